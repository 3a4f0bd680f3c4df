"""Heaps of HDF5: local heaps of old groups, global heaps of texts without a fixed length, fractal heaps of large objects.

Source: HDF5 File Format Specification, sections III.D (local), III.E (global), III.G (fractal heaps), III.A.2 (B-trees, version 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from assay.core.errors import MalformedInput
from assay.formats.hdf5.cursor import Cursor, Parts
from assay.formats.impossible import Impossible

MAX_NAME_BYTES = 64 << 10
MAX_ROWS = 64
MAX_DEPTH = 32
MANAGED, HUGE, TINY = 0, 1, 2


class LocalHeap:
    """The names of an old group."""

    def __init__(self, cursor: Cursor, at: int) -> None:
        cursor.signed_by(at, b"HEAP")
        self._cursor = cursor
        self._size = cursor.number(at + 8, cursor.long)
        self._start = cursor.number(at + 8 + 2 * cursor.long, cursor.wide)
        cursor.take(self._start, min(self._size, 1))

    def text(self, offset: int) -> str:
        """The name at an offset, ended by a zero."""
        if offset >= self._size:
            raise Impossible("an HDF5 name lies outside its heap", str(offset))
        bound = min(self._size - offset, MAX_NAME_BYTES)
        raw, zero, _ = self._cursor.take(self._start + offset, bound).partition(b"\0")
        if not zero:
            raise MalformedInput("an HDF5 name does not end", str(offset))
        return raw.decode("utf-8", "backslashreplace")


class GlobalHeaps:
    """Objects of global heap collections, by address and index; a collection is read once."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._read: dict[int, dict[int, tuple[int, int]]] = {}

    def object(self, at: int, index: int) -> bytes:
        """The bytes of one object.

        Raises:
            MalformedInput: no collection stands there, or it has no such object.
        """
        if at not in self._read:
            self._read[at] = self._collection(at)
        if index not in self._read[at]:
            raise MalformedInput("an HDF5 global heap has no such object", f"{index} at {at}")
        return self._cursor.take(*self._read[at][index])

    def _collection(self, at: int) -> dict[int, tuple[int, int]]:
        cursor = self._cursor
        cursor.signed_by(at, b"GCOL")
        size, pos = cursor.number(at + 8, cursor.long), 8 + cursor.long
        found: dict[int, tuple[int, int]] = {}
        while pos + 8 + cursor.long <= size:
            cursor.spend()
            index, length = cursor.number(at + pos, 2), cursor.number(at + pos + 8, cursor.long)
            if index == 0:
                break
            if pos + 8 + cursor.long + length > size:
                raise Impossible("an HDF5 global heap object leaves its collection", f"{length} bytes")
            found[index] = (at + pos + 8 + cursor.long, length)
            pos += 8 + cursor.long + (length + 7) // 8 * 8
        return found


def tree_records(cursor: Cursor, at: int, kinds: frozenset[int]) -> Iterator[bytes]:
    """All records of a B-tree of version 2.

    Raises:
        MalformedInput: it is no such tree, is of another type, has a cycle or lies about its size.
    """
    cursor.signed_by(at, b"BTHD")
    head = Parts(cursor.checked(at, 22 + cursor.wide + cursor.long - 4 + 0)[5:], cursor)
    kind, node, size, depth = head.number(1), head.number(4), head.number(2), head.number(2)
    head.take(2)
    root, count = head.address(), head.number(2)
    if kind not in kinds or size == 0 or node < size + 10 or depth > MAX_DEPTH:
        raise MalformedInput("an HDF5 B-tree is malformed", f"type {kind}, depth {depth}, records of {size}")
    widths = _pointer_widths(cursor, node, size, depth)
    waiting, seen = ([(root, count, depth)] if root != cursor.nowhere else []), set()
    while waiting:
        place, records, level = waiting.pop()
        if place in seen or records * size > node:
            raise Impossible("an HDF5 B-tree repeats a node or leaves it", f"at {place}")
        seen.add(place)
        cursor.signed_by(place, b"BTIN" if level else b"BTLF")
        width = sum(widths[level]) if level else 0
        body = cursor.checked(place, 6 + records * size + (records + 1) * width * bool(level))
        for i in range(records):
            cursor.spend()
            yield body[6 + i * size : 6 + (i + 1) * size]
        pointers = Parts(body[6 + records * size :], cursor)
        for _ in range(records + 1 if level else 0):
            child, its = pointers.address(), pointers.number(widths[level][1])
            pointers.take(widths[level][2])
            waiting.append((child, its, level - 1))


def _pointer_widths(cursor: Cursor, node: int, size: int, depth: int) -> list[tuple[int, int, int]]:
    """For each level the bytes of a child's address, of its count of records, and of the count below it."""
    most = (node - 10) // size
    own, below, total = _bytes_for(most), 0, most
    widths = [(0, 0, 0)]
    for _ in range(depth):
        pointer = (cursor.wide, own, below)
        widths.append(pointer)
        room = (node - 10 - sum(pointer)) // (size + sum(pointer))
        if room < 1:
            raise MalformedInput("an HDF5 B-tree has nodes without room", str(node))
        total = (room + 1) * total + room
        below = _bytes_for(total)
    return widths


def _bytes_for(limit: int) -> int:
    return (max(limit, 1).bit_length() - 1) // 8 + 1


class _Table(NamedTuple):
    """The doubling table of a fractal heap: columns, bytes of its first and largest direct blocks, and bits of an offset."""

    columns: int
    first: int
    largest: int
    bits: int
    root: int
    rows: int


class FractalHeap:
    """Objects by heap id: inside the id (tiny), in a direct block (managed), or at an address of their own (huge)."""

    def __init__(self, cursor: Cursor, at: int) -> None:
        cursor.signed_by(at, b"FRHP")
        wide, long = cursor.wide, cursor.long
        size = 22 + 3 * wide + 12 * long
        head = Parts(cursor.take(at, size), cursor)
        head.take(5)
        self.id_bytes, filters, self._flags = head.number(2), head.number(2), head.number(1)
        most = head.number(4)
        head.length()
        self._huge_tree = head.address()
        head.take(wide + long)
        head.take(8 * long)
        columns, first, largest, bits = head.number(2), head.length(), head.length(), head.number(2)
        head.number(2)
        root, rows = head.address(), head.number(2)
        if filters:
            raise MalformedInput("an HDF5 heap is filtered", "such heaps are not read")
        cursor.checked(at, size)
        if not columns or not first or first & (first - 1) or largest < first or largest & (largest - 1) or bits > 64:
            raise MalformedInput("an HDF5 heap has an impossible table", f"{columns} x {first}, up to {largest}")
        if rows > MAX_ROWS:
            raise MalformedInput("an HDF5 heap has too many rows", str(rows))
        self._cursor, self._table = cursor, _Table(columns, first, largest, bits, root, rows)
        self._offset_bytes = (bits + 7) // 8
        self._length_bytes = min(_bytes_for(largest), _bytes_for(most))
        self._huge: dict[int, tuple[int, int]] | None = None

    def object(self, identity: bytes) -> bytes:
        """The bytes of one object.

        Raises:
            MalformedInput: the id means nothing, or leads outside.
        """
        kind = identity[0] >> 4 & 3 if identity else 3
        if kind == MANAGED:
            offset = int.from_bytes(identity[1 : 1 + self._offset_bytes], "little")
            length = int.from_bytes(identity[1 + self._offset_bytes :][: self._length_bytes], "little")
            return self._managed(offset, length)
        if kind == HUGE:
            return self._far(identity[1:])
        if kind == TINY:
            return self._tiny(identity)
        raise MalformedInput("an HDF5 heap id has an unknown type", identity.hex())

    def _tiny(self, identity: bytes) -> bytes:
        if self.id_bytes - 1 <= 16:
            return identity[1 : 2 + (identity[0] & 15)]
        return identity[2 : 3 + ((identity[0] & 15) << 8 | identity[1])]

    def _far(self, rest: bytes) -> bytes:
        cursor = self._cursor
        if self.id_bytes - 1 >= cursor.wide + cursor.long:
            parts = Parts(rest, cursor)
            return cursor.take(parts.address(), parts.length())
        if self._huge is None:
            self._huge = {}
            for record in tree_records(cursor, self._huge_tree, frozenset({1})):
                parts = Parts(record, cursor)
                place, length, key = parts.address(), parts.length(), parts.length()
                self._huge[key] = (place, length)
        key = int.from_bytes(rest[: cursor.long], "little")
        if key not in self._huge:
            raise MalformedInput("an HDF5 heap has no such huge object", str(key))
        return cursor.take(*self._huge[key])

    def _managed(self, offset: int, length: int) -> bytes:
        """Follows the doubling table: rows 0 and 1 have blocks of the first size, each further row of twice as many bytes."""
        cursor, table = self._cursor, self._table
        place, rows, base, size = table.root, table.rows, 0, table.first
        direct_rows = table.largest.bit_length() - table.first.bit_length() + 2
        for _ in range(MAX_DEPTH):
            if rows == 0:
                head = 5 + cursor.wide + self._offset_bytes + (4 if self._flags & 2 else 0)
                cursor.signed_by(place, b"FHDB")
                if not head <= offset - base <= offset - base + length <= size:
                    raise Impossible("an HDF5 heap object leaves its block", f"{length} bytes at {offset}")
                return cursor.take(place + offset - base, length)
            cursor.signed_by(place, b"FHIB")
            inside = offset - base
            row = 0 if inside < table.first * table.columns else (inside // (table.first * table.columns)).bit_length()
            size = table.first << max(0, row - 1)
            start = 0 if row == 0 else (table.first * table.columns) << (row - 1)
            column = (inside - start) // size
            if row >= rows or row >= MAX_ROWS:
                break
            entry = place + 5 + cursor.wide + self._offset_bytes + (row * table.columns + column) * cursor.wide
            place, base = cursor.number(entry, cursor.wide), base + start + column * size
            rows = 0 if row < direct_rows else (size // (table.first * table.columns)).bit_length()
        raise Impossible("an HDF5 heap object lies outside its heap", str(offset))
