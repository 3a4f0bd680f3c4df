"""The superblock, and object headers of both versions as lists of messages.

Source: HDF5 File Format Specification, sections II.A (superblock), IV.A.1 (object headers).
"""

from __future__ import annotations

from typing import NamedTuple

from assay.core.errors import MalformedInput
from assay.formats.hdf5.cursor import Cursor, Parts
from assay.formats.impossible import Impossible
from assay.formats.pickle_machine import Data

MARK = b"\x89HDF\r\n\x1a\n"
MAX_MESSAGES = 100_000
MAX_BLOCKS = 10_000
CONTINUATION = 0x10
SHARED = 0x02


class Start(NamedTuple):
    """Where the root group is, where the file says that it ends, and the cursor to read on with."""

    cursor: Cursor
    root: int
    end: int


class Message(NamedTuple):
    """One message of an object header. `body` is a reference to another place where the flag `SHARED` is set."""

    kind: int
    flags: int
    body: bytes


def begins_at(data: Data) -> int | None:
    """Where a superblock stands: at 0, 512, 1024, 2048 and so on; None if nowhere."""
    at = 0
    while at + 8 < len(data):
        if data[at : at + 8] == MARK:
            return at
        at = at * 2 or 512
    return None


def read_superblock(data: Data, at: int) -> Start:
    """The superblock at an offset, versions 0 to 3.

    Raises:
        MalformedInput: another version, impossible sizes, or addresses outside the file.
    """
    raw = Cursor(data, at)
    version = raw.number(8, 1)
    if version in (0, 1):
        wide, long = raw.number(13, 1), raw.number(14, 1)
        first = 24 if version == 0 else 28
    elif version in (2, 3):
        wide, long, first = raw.number(9, 1), raw.number(10, 1), 12
    else:
        raise MalformedInput(f"HDF5 superblock version {version} is not known", "0 to 3 are")
    if wide not in (2, 4, 8) or long not in (2, 4, 8):
        raise MalformedInput("HDF5 addresses have an impossible size", f"{wide} and {long} bytes")
    raw.wide, raw.long = wide, long
    if version < 2:
        base, _, end, _, _, root = (raw.number(first + i * wide, wide) for i in range(6))
    else:
        raw.checked(0, first + 4 * wide)
        base, _, end, root = (raw.number(first + i * wide, wide) for i in range(4))
    if base != at:
        raise MalformedInput("HDF5 has another base address than its superblock", f"{base} and {at}")
    if end > len(data):
        raise MalformedInput("HDF5 is cut short", f"it says that it ends at {end}, the file at {len(data)}")
    return Start(Cursor(data, base, wide, long), root, end)


def messages_of(cursor: Cursor, at: int) -> list[Message]:
    """All messages of the object header at an address, continuation blocks followed.

    Raises:
        MalformedInput: no header, a block that lies outside, or too many messages.
    """
    cursor.spend()
    if cursor.take(at, 4) == b"OHDR":
        return _second_version(cursor, at)
    if cursor.number(at, 1) != 1:
        raise MalformedInput("an HDF5 object header has an unknown version", f"at {at}")
    count, size = cursor.number(at + 2, 2), cursor.number(at + 8, 4)
    found: list[Message] = []
    blocks, seen = [(at + 16, size)], set[int]()
    while blocks and len(found) < count:
        start, length = blocks.pop(0)
        if start in seen or len(seen) > MAX_BLOCKS:
            raise Impossible("HDF5 continuation blocks repeat", f"at {start}")
        seen.add(start)
        parts = Parts(cursor.take(start, length), cursor)
        while parts.at + 8 <= length and len(found) < count:
            cursor.spend()
            kind, body, flags = parts.number(2), parts.number(2), parts.number(4) & 0xFF
            _keep(cursor, Message(kind, flags, parts.take(body)), found, blocks)
    return found


def _second_version(cursor: Cursor, at: int) -> list[Message]:
    version, flags = cursor.number(at + 4, 1), cursor.number(at + 5, 1)
    if version != 2:
        raise MalformedInput("an HDF5 object header has an unknown version", f"{version} at {at}")
    start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = cursor.number(start, width)
    cursor.checked(at, start + width - at + size)
    found: list[Message] = []
    blocks, seen = [(start + width, size)], set[int]()
    while blocks:
        begin, length = blocks.pop(0)
        if begin in seen or len(seen) > MAX_BLOCKS:
            raise Impossible("HDF5 continuation blocks repeat", f"at {begin}")
        if seen:
            cursor.signed_by(begin, b"OCHK")
            cursor.checked(begin, length - 4)
            begin, length = begin + 4, length - 8
        seen.add(begin)
        _walk_second(cursor, Parts(cursor.take(begin, length), cursor), flags, found, blocks)
    return found


def _walk_second(cursor: Cursor, parts: Parts, flags: int, found: list[Message], blocks: list[tuple[int, int]]) -> None:
    head = 6 if flags & 4 else 4
    while parts.at + head <= len(parts.body):
        cursor.spend()
        kind, size, own = parts.number(1), parts.number(2), parts.number(1)
        parts.take(head - 4)
        _keep(cursor, Message(kind, own, parts.take(size)), found, blocks)


def _keep(cursor: Cursor, message: Message, found: list[Message], blocks: list[tuple[int, int]]) -> None:
    if len(found) >= MAX_MESSAGES:
        raise MalformedInput("an HDF5 object header has too many messages", f"more than {MAX_MESSAGES}")
    found.append(message)
    if message.kind == CONTINUATION:
        parts = Parts(message.body, cursor)
        blocks.append((parts.address(), parts.length()))
