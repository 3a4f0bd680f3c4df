"""The safetensors format, validated whole: tensors described by JSON, then their bytes and nothing else.

Source: safetensors 0.4 README, "Format": 8 bytes length, JSON header, byte buffer without holes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import IO

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.impossible import Impossible

MAX_HEADER_BYTES = 100 << 20
MAX_DIMENSIONS = 64
_PLACES = "tensors"  # the kind of fact
_NEAR_END = 24  # a number or word that is cut in the middle is told at its beginning
_KEYS = {"dtype", "shape", "data_offsets"}
_OPENING = frozenset({b"{", b"[", b" ", b"\n", b"\t", b'"'})
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Tensors:
    """What the header names: tensors by name with their shapes, and the free text of `__metadata__`."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def looks_like_safetensors(start: bytes, size: int, path: str = "") -> bool:
    """Whether a file begins with a header length that fits it and an object; by its name also if the length or object is wrong."""
    fits = len(start) > 8 and int.from_bytes(start[:8], "little") <= size - 8
    if path.lower().endswith(".safetensors"):
        return fits or start[8:9] in _OPENING
    return fits and start[8:9] == b"{"


def check_safetensors(handle: IO[bytes], size: int) -> Tensors:
    """Validates a file of `size` bytes, read from its start; tensor bytes are not read.

    Raises:
        MalformedInput: the header is cut short, or a dtype unknown.
        Impossible: header too long or not JSON, a duplicate name, a shape that does not fit its bytes, or offsets with a
            hole, an overlap or a tail.
    """
    header, length = _header(handle, size)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Impossible("safetensors metadata is malformed", "it holds something else than text")
    spans = sorted(_span(name, tensor) for name, tensor in header.items())
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise Impossible(
                "safetensors tensors leave a hole or overlap", f"at byte {min(begin, end)}", reason=_PLACES
            )
        end = stop
    if end != size - 8 - length:
        words = f"{size - 8 - length - end} bytes"
        raise Impossible("safetensors buffer does not end with its last tensor", words, reason=_PLACES)
    return Tensors({name: tuple(tensor["shape"]) for name, tensor in header.items()}, metadata)


def _header(handle: IO[bytes], size: int) -> tuple[dict[str, Json], int]:
    """The object of the header, and its length. A header that a broken download cut short is malformed, nothing worse."""
    start = handle.read(8)
    length = int.from_bytes(start, "little")
    if len(start) != 8:
        raise MalformedInput("safetensors header is cut short", f"{len(start)} bytes")
    if length > MAX_HEADER_BYTES:
        raise Impossible("safetensors header is longer than the format allows", f"{length} bytes")
    text = handle.read(min(length, size - 8))
    if length > size - 8:
        kind = MalformedInput if _breaks_off(text) else Impossible
        raise kind("safetensors header is cut short", f"{length} bytes announced, {size - 8} follow")
    try:
        header = parse(text, what="safetensors header", max_bytes=MAX_HEADER_BYTES, max_depth=4)
    except MalformedInput as error:
        raise Impossible(error.what, error.why) from error
    if not isinstance(header, dict) or text[:1] != b"{" or text.rstrip(b" ")[-1:] != b"}":
        raise Impossible(
            "safetensors header is malformed", "it is no object, or other bytes than spaces stand around it"
        )
    return header, length


def _breaks_off(text: bytes) -> bool:
    """Whether bytes begin as a JSON object and end inside of it."""
    try:
        json.JSONDecoder().raw_decode(text.decode("utf-8", "ignore"))
    except json.JSONDecodeError as error:
        return text[:1] == b"{" and (error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - _NEAR_END)
    except RecursionError:
        return False
    return False


def _span(name: str, tensor: Json) -> tuple[int, int]:
    if not isinstance(tensor, dict) or tensor.keys() != _KEYS:
        raise Impossible(f"tensor {name[:80]!r} is malformed", "expected dtype, shape and data_offsets")
    shape, offsets, dtype = tensor["shape"], tensor["data_offsets"], tensor["dtype"]
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS or not _naturals(offsets) or len(offsets) != 2:
        raise Impossible(f"tensor {name[:80]!r} is malformed", "shape or offsets are no natural numbers")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise MalformedInput(f"tensor {name[:80]!r} has an unknown dtype", repr(dtype)[:40], reason="unexamined")
    begin, stop = offsets
    if math.prod(shape) * bits != (stop - begin) * 8:
        raise Impossible(f"tensor {name[:80]!r} does not fit its bytes", f"{shape} of {dtype} in {stop - begin}")
    return begin, stop


def _naturals(value: Json) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)
