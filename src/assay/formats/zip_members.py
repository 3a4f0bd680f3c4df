"""A zip archive read by every reader at once: what each kind of reader would take for its members, and where they differ.

Some readers trust the central directory, some the local headers, some the first end record and some the last. Nothing is
refused here: a member is inflated as either side says, a wrong checksum or flag is told and its bytes are read all the same.
`zip_walk` is the strict sister for formats that must be perfect. Nothing is written to disk.
Source: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.9, 4.3.12, 4.3.14-16; CVE-2025-10156, GHSA-w8jq (checksums and flags).
"""

from __future__ import annotations

import bz2
import lzma
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data

MAX_MEMBERS = 100_000
MAX_MEMBER_BYTES = 256 << 20
MAX_END_RECORDS = 8
MAX_RATIO = 1_000
RATIO_FREE_BYTES = 16 << 20
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
ENCRYPTED, STREAMED, UTF8 = 0x1, 0x8, 0x800
STORED = 0
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")


class Header(NamedTuple):
    """What one header says of a member. `start` is where its data begin."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    start: int
    attributes: int = 0


@dataclass
class Member:
    """A member as the central directory names it, and as its local header does where that differs."""

    central: Header
    local: Header | None
    end: int

    @property
    def name(self) -> str:
        """Its name in the central directory."""
        return self.central.name

    @property
    def is_plain(self) -> bool:
        """Whether its bytes stand in the archive as they are."""
        return self.central.method == STORED and self.local is None


@dataclass
class Walk:
    """All members and what is odd about the archive; `starts_at` is where its first byte lies in the file."""

    members: list[Member] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    starts_at: int = 0

    def tell(self, kind: str, words: str, name: str = "", offset: int | None = None) -> None:
        """Notes a fact, not more than a hundred of them."""
        if len(self.facts) < 100:
            self.facts.append(Fact(kind, name[:200], offset, (words,)))


def end_records(data: Data) -> list[int]:
    """Offsets of end records whose directory lies before them, the last first."""
    found: list[int] = []
    low, at = max(0, len(data) - 22 - 0xFFFF), len(data)
    while len(found) < MAX_END_RECORDS and (at := data.rfind(END, low, at)) >= 0:
        if at + 22 <= len(data) and (_directory(data, at) is not None):
            found.append(at)
    return found


def walk(data: Data) -> Walk | None:
    """Every member of every directory; None where there is no end record."""
    ends = end_records(data)
    if not ends:
        return None
    result = Walk()
    owned: list[tuple[int, int]] = []
    others = []
    for end in ends:
        if end == ends[0] or not any(
            start <= end < stop for start, stop in owned
        ):  # else it ends an archive inside a member
            others.append(end)
            _read_directory(data, end, result, owned)
    ends = others
    if len(ends) > 1:
        result.tell(
            "headers-disagree", f"{len(ends)} end records, so readers see different directories", offset=ends[-1]
        )
    comment = data[ends[0] + 22 :]
    if comment and len(ends) == 1:
        words = (
            "a comment"
            if len(comment) == struct.unpack_from("<H", data, ends[0] + 20)[0]
            else "bytes behind the end record"
        )
        result.tell("gap", f"{len(comment)} bytes: {words}", offset=ends[0] + 22)
    _find_gaps(result, owned, ends)
    _find_twins(result)
    return result


class _Directory(NamedTuple):
    start: int
    size: int
    entries: int
    shift: int


def _directory(data: Data, end: int) -> _Directory | None:
    """Where the directory of an end record lies; `shift` is how far everything is moved by bytes in front."""
    _, _, _, _, count, size, offset, _ = _END.unpack_from(data, end)
    stop = end
    if end >= 20 and data[end - 20 : end - 16] == LOCATOR64:
        at = struct.unpack_from("<Q", data, end - 12)[0]
        for place in (at, end - 20 - 56):
            if 0 <= place <= end - 76 and data[place : place + 4] == END64:
                count, size, offset = struct.unpack_from("<QQQ", data, place + 32)
                stop = place
                break
    start = stop - size
    if start < 0 or (size and data[start : start + 4] != CENTRAL):
        start = offset
        if not 0 <= start <= end or (size and data[start : start + 4] != CENTRAL):
            return None
    return _Directory(start, size, count, start - offset)


def _read_directory(data: Data, end: int, result: Walk, owned: list[tuple[int, int]]) -> None:
    place = _directory(data, end)
    if place is None:
        return
    if place.shift:
        result.tell("gap", f"{place.shift} bytes stand before the archive", offset=0)
        result.starts_at = place.shift
    at, seen = place.start, 0
    while at + _CENTRAL.size <= end and data[at : at + 4] == CENTRAL:
        if seen >= MAX_MEMBERS:
            result.tell("limit", f"more than {MAX_MEMBERS} members")
            break
        at, seen = _read_entry(data, at, place.shift, result, owned), seen + 1
    if seen != place.entries and place.entries != 0xFFFF:
        result.tell(
            "headers-disagree", f"the end record counts {place.entries} members, the directory has {seen}", offset=end
        )
    owned.append((place.start, at))


def _read_entry(data: Data, at: int, shift: int, result: Walk, owned: list[tuple[int, int]]) -> int:
    fields = _CENTRAL.unpack_from(data, at)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, attributes, offset = fields[10], fields[11], fields[12], fields[15], fields[16]
    raw = bytes(data[at + 46 : at + 46 + name_size])
    extra = bytes(data[at + 46 + name_size : at + 46 + name_size + extra_size])
    size, packed, offset = _zip64(extra, size, packed, offset)
    name = _decoded(raw, flags)
    central = Header(name, method, flags, crc, packed, size, -1, attributes)
    if comment_size:
        result.tell("gap", f"a comment of {comment_size} bytes", name, at)
    result.members.append(_with_local(data, central, raw, offset + shift, result, owned))
    return int(at + 46 + name_size + extra_size + comment_size)


def _with_local(data: Data, central: Header, raw: bytes, at: int, result: Walk, owned: list[tuple[int, int]]) -> Member:
    """Reads the local header at `at` and notes every difference."""
    if not 0 <= at <= len(data) - _LOCAL.size or data[at : at + 4] != LOCAL:
        result.tell("headers-disagree", "no local header stands where the directory says", central.name, max(at, 0))
        return Member(central._replace(start=max(0, at)), None, at)
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(data, at)
    start = at + _LOCAL.size + name_size + extra_size
    spelled = bytes(data[at + 30 : at + 30 + name_size])
    size, packed, _ = _zip64(bytes(data[at + 30 + name_size : start]), size, packed, 0)
    central = central._replace(start=start)
    local = Header(_decoded(spelled, flags), method, flags, crc, packed, size, start)
    streamed = bool(flags & STREAMED) and packed == size == crc == 0
    differs = [word for word, is_so in (("name", spelled != raw), ("method", method != central.method), ("flags", flags != central.flags),
               ("checksum", not streamed and crc != central.crc), ("size", not streamed and (packed, size) != (central.packed,
               central.size))) if is_so]  # fmt: skip
    if differs:
        result.tell("headers-disagree", f"central and local header differ in {', '.join(differs)}", central.name, at)
    end = start + central.packed
    if flags & STREAMED and end <= len(data):
        end += _descriptor(data, end, central)
    owned.append((at, end))
    return Member(central, local if differs and not streamed else None, end)


def _descriptor(data: Data, at: int, central: Header) -> int:
    """Length of a data descriptor that says what the directory says, with or without its mark; else 0."""
    for mark, code in ((b"PK\x07\x08", "<III"), (b"PK\x07\x08", "<IQQ"), (b"", "<III"), (b"", "<IQQ")):
        length = len(mark) + struct.calcsize(code)
        said = (central.crc, central.packed, central.size)
        if data[at : at + len(mark)] != mark or at + length > len(data):
            continue
        if struct.unpack_from(code, data, at + len(mark)) == said:
            return length
    return 0


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Values of extra field 1, section 4.5.3, for those that stand at their greatest."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            values = [v for (v,) in struct.iter_unpack("<Q", extra[4 : 4 + min(length, 24) // 8 * 8])]
            size = values.pop(0) if size == 0xFFFFFFFF and values else size
            packed = values.pop(0) if packed == 0xFFFFFFFF and values else packed
            offset = values.pop(0) if offset == 0xFFFFFFFF and values else offset
            break
        extra = extra[4 + length :]
    return size, packed, offset


def _decoded(raw: bytes, flags: int) -> str:
    return raw.decode("utf-8" if flags & UTF8 else "cp437", "backslashreplace")


def _find_gaps(result: Walk, owned: list[tuple[int, int]], ends: list[int]) -> None:
    at = result.starts_at
    for start, end in sorted(set(owned)):
        if start > at:
            result.tell("gap", f"{start - at} bytes between members", offset=at)
        elif start < at:
            result.tell("headers-disagree", "members overlap", offset=start)
        at = max(at, end)
    if not any(at <= end <= at + 76 for end in ends):
        result.tell("gap", "bytes between the directory and the end record", offset=at)


def _find_twins(result: Walk) -> None:
    seen: dict[str, str] = {}
    for member in result.members:
        name = member.name
        folded = unicodedata.normalize("NFKC", name.replace("\\", "/")).casefold()
        if folded in seen:
            result.tell("duplicate", f"{name[:80]!r} and {seen[folded][:80]!r}", name)
        seen[folded] = name
        steps = name.replace("\\", "/").split("/")
        if ".." in steps or name.startswith(("/", "\\")) or name[1:2] == ":":
            result.tell("slip", "a name that leads outside", name)
        if "\x00" in name:
            result.tell("headers-disagree", "a zero byte in a name, where readers end it", name)
        if (member.central.attributes >> 28) not in (0, 4, 8) and member.central.attributes >> 16:
            result.tell("special", "a link or device", name)


def contents(data: Data, member: Member) -> Iterator[tuple[bytes, list[Fact]]]:
    """The bytes of a member as the directory says and, where it differs, as the local header says; with what was odd."""
    seen: set[int] = set()
    for header in (member.central, member.local):
        if header is None:
            continue
        inflated, facts = _inflated(data, header)
        if hash(inflated) not in seen or facts:
            seen.add(hash(inflated))
            yield inflated, facts


def _inflated(data: Data, header: Header) -> tuple[bytes, list[Fact]]:
    facts: list[Fact] = []
    packed = bytes(data[header.start : header.start + min(header.packed, MAX_MEMBER_BYTES)])
    bound = max(RATIO_FREE_BYTES, min(MAX_MEMBER_BYTES, len(packed) * MAX_RATIO))
    try:
        found = _unpacked(packed, header.method, bound)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, struct.error) as error:
        facts.append(Fact("unreadable-member", "", None, (f"its data cannot be inflated: {str(error)[:80]}",)))
        return packed, facts
    if found is None:
        return packed, [Fact("needs", "", None, (f"compression method {header.method} is not supported",))]
    if len(found) > bound or header.packed > MAX_MEMBER_BYTES:
        return found, [Fact("limit", "", None, (f"inflates to more than {bound} bytes",))]
    if header.flags & ENCRYPTED:
        facts.append(Fact("unreadable-member", "", None, ("it is marked as encrypted",)))
    if zlib.crc32(found) != header.crc:
        facts.append(Fact("checksum", "", None, ("its checksum is wrong",)))
    if len(found) != header.size:
        facts.append(
            Fact("headers-disagree", "", None, (f"it has {len(found)} bytes where {header.size} are announced",))
        )
    return found, facts


def _unpacked(packed: bytes, method: int, bound: int) -> bytes | None:
    """The bytes by one method, one more than `bound` at most; None for a method that is not known."""
    if method == STORED:
        return packed
    if method == 8:
        return zlib.decompressobj(-15).decompress(packed, bound + 1)
    if method == 12:
        return bz2.BZ2Decompressor().decompress(packed, bound + 1)
    if method == 14:
        properties = lzma._decode_filter_properties(lzma.FILTER_LZMA1, packed[4:9])  # type: ignore[attr-defined]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties]).decompress(packed[9:], bound + 1)
    return None
