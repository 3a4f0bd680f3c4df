"""The compact encoding of Thrift, read without a schema as paths of field numbers; bounded and without recursion.

Source: Apache Thrift, "Thrift Compact protocol encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from assay.core.errors import MalformedInput

MAX_VALUES = 2_000_000
MAX_DEPTH = 64
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(1, 14)


class Value(NamedTuple):
    """A number or some bytes, and the field numbers that lead to it; items of lists have the path of the list."""

    path: tuple[int, ...]
    number: int
    body: bytes | None


def compact_values(data: bytes) -> Iterator[Value]:
    """Every number and text of one struct.

    Raises:
        MalformedInput: it is cut short, has an unknown type, or is too large or deep.
    """
    reader = _Reader(data)
    # open containers: (path, last field number, None) for a struct, (path, item type, items left) for a list
    open_: list[tuple[tuple[int, ...], int, int | None]] = [((), 0, None)]
    while open_:
        path, state, left = open_.pop()
        reader.count()
        if len(open_) > MAX_DEPTH:
            raise MalformedInput("Thrift is nested too deeply", f"more than {MAX_DEPTH} levels")
        if left is None:
            head = reader.byte()
            if head == 0:
                continue
            number = state + (head >> 4) if head >> 4 else reader.zigzag()
            kind, inside = head & 15, (*path, number)
            open_.append((path, number, None))
        elif left == 0:
            continue
        else:
            kind, inside = state, path
            open_.append((path, state, left - 1))
        if kind == _STRUCT:
            open_.append((inside, 0, None))
        elif kind in (_LIST, _SET):
            item, count = reader.list_head()
            open_.append((inside, item, count))
        elif kind == _MAP:
            raise MalformedInput("Thrift has a map where none is expected", str(inside))
        else:
            yield reader.scalar(inside, kind, in_list=left is not None)
    if reader.at != len(data):
        raise MalformedInput("bytes follow a Thrift struct", f"{len(data) - reader.at}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at, self._left = data, 0, MAX_VALUES

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise MalformedInput("Thrift has too many values", f"more than {MAX_VALUES}")

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self._data) - self.at:
            raise MalformedInput("Thrift is cut short", f"{count} bytes at {self.at}")
        self.at += count
        return self._data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise MalformedInput("a Thrift number is too long", f"at {self.at}")

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def list_head(self) -> tuple[int, int]:
        head = self.byte()
        count = head >> 4 if head >> 4 < 15 else self.varint()
        if count > len(self._data) - self.at:
            raise MalformedInput("a Thrift list is cut short", f"{count} items")
        return head & 15, count

    def scalar(self, path: tuple[int, ...], kind: int, *, in_list: bool) -> Value:
        if kind in (_TRUE, _FALSE):
            return Value(path, self.byte() if in_list else int(kind == _TRUE), None)
        if kind == _BINARY:
            return Value(path, 0, self.take(self.varint()))
        if kind in (_I16, _I32, _I64):
            return Value(path, self.zigzag(), None)
        if kind in (_BYTE, _DOUBLE, _UUID):
            return Value(path, int.from_bytes(self.take({_BYTE: 1, _DOUBLE: 8, _UUID: 16}[kind]), "little"), None)
        raise MalformedInput("Thrift has an unknown type", str(kind))
