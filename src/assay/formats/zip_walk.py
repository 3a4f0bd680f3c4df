"""A zip archive read as if its author lied: what the central directory says must be what the local headers say.

Two readers that trust different headers see different files, so an archive is accepted only where both headers agree on
name, method, flags, sizes and checksum, no bytes lie before, between or behind the members, and nothing is larger than
the bounds. Names are compared, never used as paths; nothing is written to disk.
Source: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.9, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from assay.core.assets import check_path
from assay.core.errors import MalformedInput

MAX_MEMBERS = 100_000
MAX_INFLATED_BYTES = 4 << 30
MAX_RATIO = 1_000
RATIO_FREE_BYTES = 16 << 20
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END_BYTES = 22
_STREAMED = 0x0008  # sizes and checksum follow the data
_UTF8 = 0x0800
_DEFLATE_HINTS = 0x0006
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@dataclass(frozen=True)
class Archive:
    """An archive whose headers agree; `members` by name, `handle` stays open for `read`."""

    members: Mapping[str, zipfile.ZipInfo]
    handle: zipfile.ZipFile = field(repr=False)

    def read(self, name: str, max_bytes: int) -> bytes:
        """One member, its checksum verified.

        Raises:
            MalformedInput: no such member, larger than `max_bytes`, or its data or checksum is wrong.
        """
        if name not in self.members:
            raise MalformedInput("archive member is missing", repr(name[:120]))
        if self.members[name].file_size > max_bytes:
            raise MalformedInput(f"archive member {name[:120]!r} is too large", f"at most {max_bytes} bytes are read")
        try:
            return self.handle.read(self.members[name])
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error) as error:
            raise MalformedInput(f"archive member {name[:120]!r} cannot be read", str(error)[:200]) from error


def open_archive(handle: IO[bytes], size: int) -> Archive:
    """Walks an archive of `size` bytes and checks every header; reads no member.

    Raises:
        MalformedInput: not a zip, headers that disagree, names that collide or climb, bytes that no member owns,
            encryption, an unusual compression, too many members or too much data.
    """
    try:
        archive = zipfile.ZipFile(handle)
        entries = archive.infolist()
        _check_entries(entries)
        end = 0
        for entry in sorted(entries, key=lambda e: e.header_offset):
            end = _check_local(handle, entry, end)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, LookupError) as error:
        raise MalformedInput("archive cannot be read", str(error)[:200]) from error
    except (struct.error, ArithmeticError, EOFError) as error:
        raise MalformedInput("archive cannot be read", "a header is cut short or out of range") from error
    if archive.comment or end != archive.start_dir:
        raise MalformedInput("archive holds bytes of no member", "a comment, or data before the central directory")
    if not _directory_fills(handle, archive, entries, size):
        raise MalformedInput("archive holds bytes of no member", "behind its central directory")
    return Archive({entry.filename: entry for entry in entries}, archive)


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_MEMBERS:
        raise MalformedInput("archive has too many members", f"{len(entries)}, at most {MAX_MEMBERS}")
    total, stored = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if total > MAX_INFLATED_BYTES or (total > RATIO_FREE_BYTES and total > MAX_RATIO * max(1, stored)):
        raise MalformedInput("archive is a bomb", f"{stored} bytes would inflate to {total}")
    folded = {unicodedata.normalize("NFC", entry.filename).casefold() for entry in entries}
    if len(folded) != len(entries):
        raise MalformedInput("archive names a member twice", "names that are equal, or equal but for case")
    for entry in entries:
        check_path(entry.filename.removesuffix("/"))
        if entry.orig_filename != entry.filename:
            raise MalformedInput("archive name holds a zero byte", repr(entry.orig_filename[:120]))
        if entry.flag_bits & ~(_STREAMED | _UTF8 | _DEFLATE_HINTS):
            raise MalformedInput("archive member is encrypted or patched", repr(entry.filename[:120]))
        if entry.compress_type not in _METHODS:
            raise MalformedInput("archive member uses another compression", f"method {entry.compress_type}")


def _check_local(handle: IO[bytes], entry: zipfile.ZipInfo, start: int) -> int:
    """Compares one local header with the central one; returns where the next must start."""
    if entry.header_offset != start:
        raise MalformedInput("archive members overlap or leave a gap", f"at {entry.filename[:120]!r}")
    handle.seek(start)
    local = _LOCAL.unpack(handle.read(_LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = local
    name, extra = handle.read(name_size), handle.read(extra_size)
    spelled = entry.filename.encode("utf-8" if flags & _UTF8 else "cp437", "replace")
    if signature != b"PK\x03\x04" or name != spelled or flags != entry.flag_bits or method != entry.compress_type:
        raise MalformedInput("archive headers disagree", f"name, flags or method of {entry.filename[:120]!r}")
    end: int = start + _LOCAL.size + name_size + extra_size + entry.compress_size
    if flags & _STREAMED:
        return end + _descriptor_size(handle, entry, end)
    if 0xFFFFFFFF in (packed, unpacked):
        unpacked, packed = _zip64_sizes(extra, unpacked, packed)
    if (crc, packed, unpacked) != (entry.CRC, entry.compress_size, entry.file_size):
        raise MalformedInput("archive headers disagree", f"size or checksum of {entry.filename[:120]!r}")
    return end


def _zip64_sizes(extra: bytes, unpacked: int, packed: int) -> tuple[int, int]:
    """The sizes of extra field 1, APPNOTE 4.5.3; what it does not hold stays as it was."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            values = [value for (value,) in struct.iter_unpack("<Q", extra[4 : 4 + min(length, 16) // 8 * 8])]
            unpacked = values.pop(0) if unpacked == 0xFFFFFFFF and values else unpacked
            packed = values.pop(0) if packed == 0xFFFFFFFF and values else packed
            return unpacked, packed
        extra = extra[4 + length :]
    return unpacked, packed


def _descriptor_size(handle: IO[bytes], entry: zipfile.ZipInfo, at: int) -> int:
    """Length of the data descriptor behind a streamed member, APPNOTE 4.3.9; its values must agree too."""
    handle.seek(at)
    found = handle.read(24)
    for layout in ("<4sIII", "<4sIQQ"):
        size = struct.calcsize(layout)
        if len(found) >= size:
            mark, crc, packed, unpacked = struct.unpack_from(layout, found)
            if mark == b"PK\x07\x08" and (crc, packed, unpacked) == (entry.CRC, entry.compress_size, entry.file_size):
                return size
    raise MalformedInput("archive headers disagree", f"data descriptor of {entry.filename[:120]!r}")


def _directory_fills(handle: IO[bytes], archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], size: int) -> bool:
    """Whether central directory and end record reach from `start_dir` exactly to the end of the file."""
    handle.seek(archive.start_dir)
    tail = handle.read(size - archive.start_dir)
    at = 0
    for _ in entries:
        if tail[at : at + 4] != b"PK\x01\x02" or at + 46 > len(tail):
            return False
        at += 46 + sum(struct.unpack_from("<HHH", tail, at + 28))
    if tail[at : at + 4] == b"PK\x06\x06":  # zip64 end record and its locator
        at += 56 + 20
    return tail[at : at + 4] == b"PK\x05\x06" and at + _END_BYTES == len(tail)
