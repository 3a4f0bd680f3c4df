"""The wire format of protocol buffers, read as fields without a schema, bounded and without recursion.

Source: Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from assay.core.errors import MalformedInput
from assay.formats.pickle_machine import Data

MAX_FIELDS = 5_000_000


class Field(NamedTuple):
    """One field: number, wire type, its value for numbers, and where its bytes lie for the rest."""

    number: int
    wire: int
    value: int
    start: int
    stop: int


class Wire:
    """Reads messages inside one buffer and counts fields over all of them."""

    def __init__(self, data: Data) -> None:
        self.data, self._left = data, MAX_FIELDS

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """The fields of the message between two offsets.

        Raises:
            MalformedInput: bytes that are no message, or too many fields.
        """
        at = start
        while at < stop:
            self._left -= 1
            if self._left < 0:
                raise MalformedInput("a protocol buffer has too many fields", f"more than {MAX_FIELDS}")
            tag, at = self._varint(at, stop)
            number, wire = tag >> 3, tag & 7
            value, begin = 0, at
            if wire == 0:
                value, at = self._varint(at, stop)
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            elif wire == 2:
                length, begin = self._varint(at, stop)
                at = begin + length
            else:
                raise MalformedInput("a protocol buffer has an unknown wire type", str(wire))
            if at > stop or number == 0:
                raise MalformedInput("a protocol buffer is cut short", f"field {number} at {begin}")
            yield Field(number, wire, value, begin, at)

    def text(self, field: Field, bound: int = 4096) -> str:
        """The bytes of a field as text, cut at a bound."""
        return bytes(self.data[field.start : min(field.stop, field.start + bound)]).decode("utf-8", "backslashreplace")

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        value = shift = 0
        while at < stop and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7
        raise MalformedInput("a protocol buffer is cut short", f"a number at {at}")
