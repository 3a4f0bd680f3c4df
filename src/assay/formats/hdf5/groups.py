"""Links of a group: old ones in a symbol table, new ones as messages or, where there are many, in a fractal heap.

Source: HDF5 File Format Specification, sections III.A.1 (B-trees), III.B (symbol tables), IV.A.2.c, g (link info, link).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from assay.core.errors import MalformedInput
from assay.formats.hdf5.cursor import Cursor, Parts
from assay.formats.hdf5.headers import Message
from assay.formats.hdf5.heaps import FractalHeap, LocalHeap, tree_records
from assay.formats.impossible import Impossible

LINK_INFO, LINK, SYMBOL_TABLE, ATTRIBUTE_INFO, ATTRIBUTE = 0x02, 0x06, 0x11, 0x15, 0x0C
HARD, SOFT, EXTERNAL = 0, 1, 64
_GROUP_NODES, _CHUNK_NODES = 0, 1
_SOFT_IN_CACHE = 2
_BY_NAME = {LINK: frozenset({5}), ATTRIBUTE: frozenset({8})}


class Link(NamedTuple):
    """A name in a group. `target` is the address of a hard link; `words` say where the others lead."""

    name: str
    kind: int
    target: int = 0
    words: tuple[str, ...] = ()


def links_of(messages: list[Message], cursor: Cursor) -> Iterator[Link]:
    """Every link that the messages of a group hold or point to.

    Raises:
        MalformedInput: as the structures say.
    """
    for message in messages:
        parts = Parts(message.body, cursor)
        if message.kind == SYMBOL_TABLE:
            yield from _symbols(cursor, parts.address(), parts.address())
        elif message.kind == LINK:
            yield _link(message.body, cursor)
        elif message.kind == LINK_INFO:
            for body in dense(message.body, cursor, LINK):
                yield _link(body, cursor)


def dense(body: bytes, cursor: Cursor, kind: int) -> Iterator[bytes]:
    """Messages of one kind that a link info or attribute info keeps in a fractal heap, found by its index of names."""
    parts = Parts(body, cursor)
    if parts.number(1) != 0:
        raise MalformedInput("an HDF5 index of messages has an unknown version", "0 is known")
    if parts.number(1) & 1:
        parts.take(8 if kind == LINK else 2)
    heap_at, tree_at = parts.address(), parts.address()
    if heap_at == cursor.nowhere:
        return
    heap = FractalHeap(cursor, heap_at)
    for record in tree_records(cursor, tree_at, _BY_NAME[kind]):
        identity = record[4 : 4 + heap.id_bytes] if kind == LINK else record[: heap.id_bytes]
        yield heap.object(identity)


def tree_entries(cursor: Cursor, at: int, kind: int, key_bytes: int) -> Iterator[int]:
    """Addresses that the leaves of a B-tree of version 1 hold.

    Raises:
        MalformedInput: it is no such tree, or has a cycle.
    """
    waiting, seen = ([at] if at != cursor.nowhere else []), set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            raise Impossible("an HDF5 B-tree repeats a node", f"at {node}")
        seen.add(node)
        cursor.signed_by(node, b"TREE")
        head = Parts(cursor.take(node, 8), cursor)
        head.take(4)
        found, level, used = head.number(1), head.number(1), head.number(2)
        if found != kind:
            raise MalformedInput("an HDF5 B-tree has another type than its place", str(found))
        start, step = node + 8 + 2 * cursor.wide + key_bytes, key_bytes + cursor.wide
        for i in range(used):
            cursor.spend()
            child = cursor.number(start + i * step, cursor.wide)
            if level:
                waiting.append(child)
            else:
                yield child


def _symbols(cursor: Cursor, tree: int, heap_at: int) -> Iterator[Link]:
    heap = LocalHeap(cursor, heap_at)
    for node in tree_entries(cursor, tree, _GROUP_NODES, cursor.long):
        cursor.signed_by(node, b"SNOD")
        count, size = cursor.number(node + 6, 2), 2 * cursor.wide + 24
        for i in range(count):
            cursor.spend()
            entry = Parts(cursor.take(node + 8 + i * size, size), cursor)
            name, target, cache = heap.text(entry.address()), entry.address(), entry.number(4)
            entry.take(4)
            if cache == _SOFT_IN_CACHE:
                yield Link(name, SOFT, words=(heap.text(entry.number(4)),))
            else:
                yield Link(name, HARD, target)


def _link(body: bytes, cursor: Cursor) -> Link:
    parts = Parts(body, cursor)
    version, flags = parts.number(1), parts.number(1)
    if version != 1:
        raise MalformedInput("an HDF5 link has an unknown version", str(version))
    kind = parts.number(1) if flags & 8 else HARD
    parts.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = _text(parts.take(parts.number(1 << (flags & 3))))
    if kind == HARD:
        return Link(name, HARD, parts.address())
    value = parts.take(parts.number(2))
    if kind == SOFT:
        return Link(name, SOFT, words=(_text(value),))
    if kind == EXTERNAL:
        file, _, place = value[1:].partition(b"\0")
        return Link(name, EXTERNAL, words=(_text(file), _text(place.rstrip(b"\0"))))
    return Link(name, kind)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
