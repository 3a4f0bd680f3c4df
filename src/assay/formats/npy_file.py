"""Headers of npy arrays, read with patterns instead of evaluation, and npz archives of them.

Object arrays hold pickles, so their dtype is what a scan looks for. `numpy` is not needed.
Source: NumPy enhancement proposal 1, "A simple file format for NumPy arrays", versions 1.0, 2.0 and 3.0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import IO

from assay.core.errors import MalformedInput
from assay.formats.impossible import Impossible

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 16 << 10
MAX_DIMENSIONS = 64
MAX_FIELDS = 256

_CODE = r"[<>|=]?(?P<kind>[?biufcSaUVOMm])(?P<size>\d{0,9})(?:\[[0-9A-Za-z]{1,8}\])?"
_TYPE = re.compile(_CODE)
_SHAPE = r"\((?:\d{1,19}(?:, ?\d{1,19})*,?)?\)"
_FIELD = re.compile(rf"\('(?P<name>[^'\\]{{0,128}})', ?'(?P<type>[^'\\]{{1,40}})'(?:, ?(?P<shape>{_SHAPE}))?\)")
_HEADER = re.compile(
    rf"\{{'descr': ?(?:'(?P<simple>[^'\\]{{1,40}})'|\[(?P<fields>.{{1,{MAX_HEADER_BYTES}}}?)\]), ?"
    rf"'fortran_order': ?(?P<fortran>True|False), ?'shape': ?(?P<shape>{_SHAPE}),? ?\}} *\n?"
)
_FIXED_BYTES = {"?": 1, "M": 8, "m": 8, "O": 8}


@dataclass(frozen=True)
class Field:
    """One named part of a structured item: its type code without byte order, `count` items of `size` bytes each."""

    name: str
    code: str
    size: int
    count: int = 1


@dataclass(frozen=True)
class NpyHeader:
    """What an array says of itself. `fields` has one nameless field for a plain dtype; `start` is where data begin."""

    fields: tuple[Field, ...]
    shape: tuple[int, ...]
    is_fortran: bool
    is_big_endian: bool
    start: int

    @property
    def has_objects(self) -> bool:
        """Whether loading it means unpickling."""
        return any(field.code.startswith("O") for field in self.fields)

    @property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return sum(field.size * field.count for field in self.fields)

    @property
    def data_bytes(self) -> int:
        """Bytes that the shape asks for."""
        return math.prod(self.shape) * self.item_bytes


def read_npy_header(data: bytes) -> NpyHeader:
    """Reads the header at the start of `data`, which may be cut after it.

    Raises:
        MalformedInput: no npy, a header that is too long, or one that says something else than dtype, order and shape.
    """
    if not data.startswith(MAGIC) or len(data) < 12 or data[6] not in (1, 2, 3):
        raise MalformedInput("not an npy array", "magic or version is wrong")
    start = 10 if data[6] == 1 else 12
    length = int.from_bytes(data[8:start], "little")
    if length > MAX_HEADER_BYTES or start + length > len(data):
        raise MalformedInput("npy header is cut short or too long", f"{length} bytes, at most {MAX_HEADER_BYTES}")
    try:
        text = data[start : start + length].decode("utf-8" if data[6] == 3 else "latin-1")
    except UnicodeDecodeError as error:
        raise MalformedInput("npy header is not text", str(error)) from error
    found = _HEADER.fullmatch(text)
    if not found:
        raise MalformedInput("npy header is malformed", "it is not a dtype, an order and a shape")
    fields = (_simple(found["simple"], ""),) if found["simple"] else _fields(found["fields"])
    big = ">" in (found["simple"] or found["fields"])
    return NpyHeader(fields, _numbers(found["shape"]), found["fortran"] == "True", big, start + length)


def check_npy(handle: IO[bytes], size: int) -> NpyHeader:
    """Header of a whole file of `size` bytes whose data must fill it exactly, unless they are objects.

    Raises:
        MalformedInput: as `read_npy_header`, or data that are cut short or trailed by something.
    """
    header = read_npy_header(handle.read(MAX_HEADER_BYTES + 12))
    if not header.has_objects and header.start + header.data_bytes != size:
        raise MalformedInput("npy data do not fit the header", f"{header.data_bytes} bytes expected")
    return header


def _simple(text: str, name: str, shape: str | None = None) -> Field:
    found = _TYPE.fullmatch(text)
    if not found:
        raise MalformedInput("npy dtype is not known", repr(text))
    kind, given = found["kind"], int(found["size"] or 0)
    size = given * (4 if kind == "U" else 1) if found["size"] else _FIXED_BYTES.get(kind, 0)
    return Field(name, kind + found["size"], size, math.prod(_numbers(shape)) if shape else 1)


def _fields(text: str) -> tuple[Field, ...]:
    at, found = 0, []
    while match := _FIELD.match(text, at):
        found.append(_simple(match["type"], match["name"], match["shape"]))
        at = match.end()
        if at == len(text):
            break
        if text[at : at + 2] != ", ":
            raise MalformedInput("npy dtype is malformed", "fields are not separated")
        at += 2
    if at != len(text) or not 0 < len(found) <= MAX_FIELDS:
        raise MalformedInput("npy dtype is malformed", "not a list of plain fields")
    return tuple(found)


def _numbers(shape: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in re.findall(r"\d+", shape))
    if len(numbers) > MAX_DIMENSIONS or math.prod(max(1, n) for n in numbers) > 2**62:
        raise Impossible("npy shape is out of range", shape[:80])
    return numbers
