"""Datatypes and dataspaces of HDF5, as far as sizes and texts need them.

Source: HDF5 File Format Specification, sections IV.A.2.b (dataspace), IV.A.2.d (datatype).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from assay.core.errors import MalformedInput
from assay.formats.hdf5.cursor import Cursor, Parts
from assay.formats.hdf5.headers import SHARED, Message, messages_of

MAX_RANK = 32
STRING, OPAQUE, COMPOUND, REFERENCE, VARIABLE = 3, 5, 6, 7, 9
DATATYPE = 0x03
_SCALAR, _SIMPLE, _NULL = 0, 1, 2
_BY_HEAP = 1


class Datatype(NamedTuple):
    """The class of a type and the bytes of one item; `is_text` for texts, fixed or of any length."""

    kind: int
    size: int
    is_text: bool

    @property
    def is_variable(self) -> bool:
        """Whether items lie in a global heap."""
        return self.kind == VARIABLE


def read_datatype(body: bytes, cursor: Cursor, *, is_shared: bool = False) -> Datatype:
    """Class, size and whether it is text; a shared type is fetched from its object header.

    Raises:
        MalformedInput: the message is cut short, or shared in a way that is not read.
    """
    if is_shared:
        body = _shared(body, cursor)
    parts = Parts(body, cursor)
    kind, bits, size = parts.number(1) & 15, parts.number(3), parts.number(4)
    return Datatype(kind, size, kind == STRING or (kind == VARIABLE and bits & 15 == 1))


def read_dataspace(body: bytes, cursor: Cursor) -> tuple[int, ...] | None:
    """The current size of each dimension; () for a scalar, None where there are no items at all.

    Raises:
        MalformedInput: another version, or too many dimensions.
    """
    parts = Parts(body, cursor)
    version, rank, _ = parts.number(1), parts.number(1), parts.number(1)
    if version not in (1, 2) or rank > MAX_RANK:
        raise MalformedInput("an HDF5 dataspace is malformed", f"version {version}, {rank} dimensions")
    kind = parts.number(5) & 0 | (_SIMPLE if rank else _SCALAR) if version == 1 else parts.number(1)
    if kind == _NULL:
        return None
    return tuple(parts.length() for _ in range(rank))


def count_of(shape: tuple[int, ...] | None) -> int:
    """How many items a dataspace has."""
    return 0 if shape is None else math.prod(shape)


def _shared(body: bytes, cursor: Cursor) -> bytes:
    parts = Parts(body, cursor)
    version, kind = parts.number(1), parts.number(1)
    if version == 1:
        parts.take(6)
    if version > 3 or (version == 3 and kind == _BY_HEAP):
        raise MalformedInput("an HDF5 datatype is shared through a heap", "such files are not read")
    for message in messages_of(cursor, parts.address()):
        if message.kind == DATATYPE and not message.flags & SHARED:
            return message.body
    raise MalformedInput("an HDF5 datatype is shared with an object that has none", "its reference leads nowhere")


class Attribute(NamedTuple):
    """One attribute: its name, type, dimensions and the bytes of its items."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...] | None
    body: bytes


def read_attribute(message: Message, cursor: Cursor) -> Attribute:
    """An attribute message of version 1, 2 or 3.

    Raises:
        MalformedInput: another version, or sizes that do not fit the message.
    """
    if message.flags & SHARED:
        raise MalformedInput("an HDF5 attribute is shared through a heap", "such files are not read")
    parts = Parts(message.body, cursor)
    version, flags = parts.number(1), parts.number(1)
    if version not in (1, 2, 3):
        raise MalformedInput("an HDF5 attribute has an unknown version", str(version))
    sizes = [parts.number(2) for _ in range(3)]
    parts.take(1 if version == 3 else 0)
    name, kind, space = (_padded(parts, size) if version == 1 else parts.take(size) for size in sizes)
    if version > 1 and flags & 2:
        raise MalformedInput("an HDF5 dataspace is shared", "such files are not read")
    datatype = read_datatype(kind, cursor, is_shared=version > 1 and bool(flags & 1))
    shape = read_dataspace(space, cursor)
    wanted = count_of(shape) * datatype.size
    text = name.rstrip(b"\0").decode("utf-8", "backslashreplace")
    return Attribute(text, datatype, shape, parts.take(wanted))


def _padded(parts: Parts, size: int) -> bytes:
    body = parts.take(size)
    parts.take(min(-size % 8, len(parts.body) - parts.at))
    return body
