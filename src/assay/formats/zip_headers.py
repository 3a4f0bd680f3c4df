"""The records of a zip archive, one function a record: end records, directories, central and local headers, descriptors.

Nothing is judged here and nothing refused: each function says what stands at a place, or None. `zip_walk` compares them.
Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local), 4.3.9 (descriptor), 4.3.12 (central), 4.3.14-16 (ends), 4.5.3 (zip64), 4.6.9.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from assay.formats.pickle_machine import Data

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR64, DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
ENCRYPTED, DEFLATE_HINTS, STREAMED, UTF8 = 0x1, 0x6, 0x8, 0x800
KNOWN_FLAGS = DEFLATE_HINTS | STREAMED | UTF8
END_BYTES, LOCATOR_BYTES, END64_BYTES, CENTRAL_BYTES, LOCAL_BYTES = 22, 20, 56, 46, 30
MAX_TRIED_ENDS = 1_000
MAX_END_RECORDS = 8
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_TOP = 0xFFFFFFFF


class Header(NamedTuple):
    """What one header says of a member. `start` is where its data begin, `raw` the bytes of its name."""

    raw: bytes
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    start: int
    attributes: int = 0
    extra: bytes = b""

    @property
    def name(self) -> str:
        """The name as most readers decode it."""
        return self.raw.decode("utf-8" if self.flags & UTF8 else "cp437", "backslashreplace")


class Central(NamedTuple):
    """A central header, where its local header is said to be, where it ends, and what else it holds."""

    header: Header
    offset: int
    end: int
    comment: int
    disk: int


class Directory(NamedTuple):
    """A central directory as one kind of reader finds it; `shift` moves all offsets, `stop` is where its end records begin."""

    start: int
    size: int
    members: int
    shift: int
    stop: int
    disks: int


def end_records(data: Data, start: int, stop: int) -> list[int]:
    """Offsets of end records in the last 64 KiB between two offsets, the last first."""
    found: list[int] = []
    low, at = max(start, stop - END_BYTES - 0xFFFF), stop
    while len(found) < MAX_END_RECORDS and (at := data.rfind(END, low, at)) >= 0:
        if at + END_BYTES <= stop:
            found.append(at)
    return found


def comment_bytes(data: Data, end: int) -> int:
    """How long an end record says that its comment is."""
    return int(_END.unpack_from(data, end)[7])


def directories(data: Data, end: int, base: int) -> list[Directory]:
    """The directories that an end record may mean: the one before it, and the one at the offset that it names from `base`."""
    _, disk, start_disk, _, count, size, offset, _ = _END.unpack_from(data, end)
    stop, disks = end, disk | start_disk
    if end >= LOCATOR_BYTES and data[end - LOCATOR_BYTES : end - 16] == LOCATOR64:
        at = struct.unpack_from("<Q", data, end - 12)[0]
        for place in (end - LOCATOR_BYTES - END64_BYTES, base + at):
            if base <= place <= end - LOCATOR_BYTES - END64_BYTES and data[place : place + 4] == END64:
                count, size, offset = struct.unpack_from("<QQQ", data, place + 32)
                stop = place
                break
    return [
        Directory(start, size, count, start - offset, stop, 0 if disks == 0xFFFF else disks)
        for start in dict.fromkeys((stop - size, base + offset))
        if base <= start <= end and (data[start : start + 4] == CENTRAL or (size == 0 and start == stop))
    ]


def end_of_archive(data: Data, base: int) -> int | None:
    """Where the archive that begins at `base` ends, if more may follow it; None if it has no end record of its own."""
    at = base
    for _ in range(MAX_TRIED_ENDS):
        at = data.find(END, at)
        if at < 0 or at + END_BYTES > len(data):
            return None
        if any(place.shift == base for place in directories(data, at, base)):
            return at + END_BYTES + comment_bytes(data, at)
        at += 1
    return None


def central_at(data: Data, at: int) -> Central | None:
    """The central header at `at`."""
    if at + CENTRAL_BYTES > len(data) or data[at : at + 4] != CENTRAL:
        return None
    f = _CENTRAL.unpack_from(data, at)
    names = at + CENTRAL_BYTES
    extra_at, comment_at = names + f[10], names + f[10] + f[11]
    extra = bytes(data[extra_at:comment_at])
    size, packed, offset = zip64(extra, f[9], f[8], f[16])
    header = Header(bytes(data[names:extra_at]), f[4], f[3], f[7], packed, size, -1, f[15], extra)
    return Central(header, offset, comment_at + f[12], f[12], 0 if f[13] == 0xFFFF else f[13])


def local_at(data: Data, at: int) -> Header | None:
    """The local header at `at`."""
    if not 0 <= at <= len(data) - LOCAL_BYTES or data[at : at + 4] != LOCAL:
        return None
    f = _LOCAL.unpack_from(data, at)
    extra_at, start = at + LOCAL_BYTES + f[9], at + LOCAL_BYTES + f[9] + f[10]
    extra = bytes(data[extra_at:start])
    size, packed, _ = zip64(extra, f[8], f[7], 0)
    return Header(bytes(data[at + LOCAL_BYTES : extra_at]), f[3], f[2], f[6], packed, size, start, 0, extra)


def descriptor_bytes(data: Data, at: int, header: Header) -> int:
    """Length of a data descriptor that says what the directory says, with or without its mark; 0 if there is none."""
    said = (header.crc, header.packed, header.size)
    for mark, code in ((DESCRIPTOR, "<III"), (DESCRIPTOR, "<IQQ"), (b"", "<III"), (b"", "<IQQ")):
        length = len(mark) + struct.calcsize(code)
        if data[at : at + len(mark)] != mark or at + length > len(data):
            continue
        if struct.unpack_from(code, data, at + len(mark)) == said:
            return length
    return 0


def extras(extra: bytes) -> list[tuple[int, bytes]]:
    """The extra fields by their ids; a field that is cut short has the id -1."""
    found, at = [], 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        content = extra[at + 4 : at + 4 + length]
        found.append((kind if len(content) == length else -1, content))
        at += 4 + length
    return found if at >= len(extra) else [*found, (-1, extra[at:])]


def zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Values of extra field 1 for those that stand at their greatest."""
    if _TOP not in (size, packed, offset):
        return size, packed, offset
    for kind, content in extras(extra):
        if kind == 1:
            values = [v for (v,) in struct.iter_unpack("<Q", content[: min(len(content), 24) // 8 * 8])]
            size = values.pop(0) if size == _TOP and values else size
            packed = values.pop(0) if packed == _TOP and values else packed
            offset = values.pop(0) if offset == _TOP and values else offset
            break
    return size, packed, offset


def other_name(header: Header) -> bytes | None:
    """The name in the Unicode path field, which some readers take instead, if it differs. Section 4.6.9."""
    for kind, content in extras(header.extra):
        if kind == 0x7075 and len(content) > 5 and content[5:] != header.raw:
            return content[5:]
    return None
