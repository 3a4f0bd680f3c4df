"""FlatBuffers read without a schema: tables, vectors and texts by offset, each checked against the size of the file.

Source: FlatBuffers, "FlatBuffer Internals".
"""

from __future__ import annotations

import struct

from assay.core.errors import MalformedInput
from assay.formats.pickle_machine import Data

MAX_STEPS = 3_000_000


class Table:
    """One table; fields are numbered as in the schema, in order."""

    __slots__ = ("_at", "_buffer", "_fields", "_size")

    def __init__(self, buffer: Buffer, at: int) -> None:
        self._buffer, self._at = buffer, at
        virtual = at - buffer.number(at, 4, signed=True)
        self._size = buffer.number(virtual, 2)
        if self._size < 4 or self._size % 2:
            raise MalformedInput("a FlatBuffers table is malformed", f"at {at}")
        self._fields = virtual

    def place(self, field: int) -> int:
        """Where a field lies; 0 if it is left out."""
        if 4 + 2 * field + 2 > self._size:
            return 0
        offset = self._buffer.number(self._fields + 4 + 2 * field, 2)
        return self._at + offset if offset else 0

    def number(self, field: int, width: int = 4, default: int = 0) -> int:
        """A scalar."""
        at = self.place(field)
        return self._buffer.number(at, width) if at else default

    def table(self, field: int) -> Table | None:
        """A table; None if it is left out."""
        at = self.place(field)
        return Table(self._buffer, self._buffer.follow(at)) if at else None

    def vector(self, field: int, width: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are."""
        at = self.place(field)
        return self._buffer.vector(self._buffer.follow(at), width) if at else (0, 0)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self.vector(field, 4)
        return [Table(self._buffer, self._buffer.follow(start + 4 * i)) for i in range(count)]

    def signed(self, field: int) -> list[int]:
        """A vector of signed numbers of four bytes."""
        start, count = self.vector(field, 4)
        return [number for (number,) in struct.iter_unpack("<i", self._buffer.take(start, 4 * count))] if count else []

    def bytes(self, field: int) -> bytes:
        """A vector of bytes, whole."""
        start, count = self.vector(field, 1)
        return self._buffer.take(start, count) if count else b""

    def text(self, field: int) -> str:
        """A text; "" if it is left out."""
        start, count = self.vector(field, 1)
        return self._buffer.take(start, min(count, 4096)).decode("utf-8", "backslashreplace") if count else ""


class Buffer:
    """The bytes, and a budget of steps over all tables."""

    def __init__(self, data: Data, start: int = 0, stop: int | None = None) -> None:
        self.data, self.start = data, start
        self.stop = len(data) if stop is None else stop
        self._left = MAX_STEPS

    def root(self) -> Table:
        """The table that the file begins with."""
        return Table(self, self.follow(0))

    def take(self, at: int, count: int) -> bytes:
        """Bytes at an offset.

        Raises:
            MalformedInput: they lie outside, or too many steps were made.
        """
        self._left -= 1
        if at < 0 or count < 0 or self.start + at + count > self.stop:
            raise MalformedInput("FlatBuffers point outside the file", f"{count} bytes at {at}")
        if self._left < 0:
            raise MalformedInput("FlatBuffers have too many parts", f"more than {MAX_STEPS}")
        return bytes(self.data[self.start + at : self.start + at + count])

    def number(self, at: int, width: int, *, signed: bool = False) -> int:
        """An integer at an offset."""
        return int.from_bytes(self.take(at, width), "little", signed=signed)

    def follow(self, at: int) -> int:
        """Where the offset that stands at a place leads; always forward."""
        step = self.number(at, 4)
        if step < 4:
            raise MalformedInput("a FlatBuffers offset leads nowhere", f"at {at}")
        return at + step

    def vector(self, at: int, width: int) -> tuple[int, int]:
        """Where the items of the vector at a place begin, and how many there are.

        Raises:
            MalformedInput: they do not fit the file.
        """
        count = self.number(at, 4)
        if self.start + at + 4 + count * width > self.stop:
            raise MalformedInput("a FlatBuffers vector leaves the file", f"{count} items at {at}")
        return at + 4, count
