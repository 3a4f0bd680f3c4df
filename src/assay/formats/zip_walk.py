"""A zip archive read by every reader at once: what each kind of reader would take for its members, and where they differ.

Some readers trust the central directory, some the local headers, some look for the directory before the end record and some
at the offset that it names; some take the first end record and some the last; streaming readers need no directory. Nothing is
refused here: what differs is a fact, and a member is read as either side says. `zip_archive` refuses what has any fact.
Source: PKWARE APPNOTE 6.3.10, section 4.3; CVE-2025-10156, GHSA-w8jq (checksums and flags); CPython `zipfile`, miniz, libarchive.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from assay.formats.budget import MAX_MEMBERS
from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data
from assay.formats.zip_headers import (
    END64,
    END64_BYTES,
    END_BYTES,
    KNOWN_FLAGS,
    LOCAL,
    LOCATOR64,
    LOCATOR_BYTES,
    STREAMED,
    Central,
    Directory,
    Header,
    central_at,
    comment_bytes,
    descriptor_bytes,
    directories,
    end_records,
    extras,
    local_at,
    other_name,
)

MAX_FACTS = 100
MAX_STRAYS = 1_000
MAX_EXTRA_BYTES = 64
STORED = 0
_PADDING, _ZIP64, _TIMES, _OWNERS, _NTFS, _ALIGNMENT, _UNICODE = 0x4246, 0x0001, 0x5455, 0x7875, 0x000A, 0xD935, 0x7075
_KNOWN_EXTRAS = frozenset({_ZIP64, _TIMES, _OWNERS, 0x5855, 0x7855, _NTFS, _ALIGNMENT, _UNICODE})
_WORDS = ("name", "method", "flags", "checksum", "size")


@dataclass(frozen=True)
class Member:
    """A member: as a directory says or, where no directory has it, as its local header does; `other` if the local one differs."""

    header: Header
    other: Header | None
    end: int

    @property
    def name(self) -> str:
        """Its name, as the directory has it."""
        return self.header.name

    @property
    def is_plain(self) -> bool:
        """Whether its bytes stand in the archive as they are, for every reader."""
        return self.header.method == STORED and self.other is None and self.header.packed == self.header.size


@dataclass
class Walk:
    """All members and what is odd about the archive, which reaches from `starts_at` to `ends_at` in the data."""

    members: list[Member] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    starts_at: int = 0
    ends_at: int = 0
    owned: list[tuple[int, int]] = field(default_factory=list)

    def tell(self, kind: str, words: str, name: str = "", offset: int | None = None) -> None:
        """Notes a fact, not more than a hundred of them."""
        if len(self.facts) < MAX_FACTS:
            self.facts.append(Fact(kind, name[:200], offset, (words,)))


def walk(data: Data, base: int = 0, stop: int | None = None) -> Walk | None:
    """Every member of every directory, or of no directory, between two offsets; None where no reader finds an archive."""
    stop = len(data) if stop is None else stop
    found = [(end, places) for end in end_records(data, base, stop) if (places := directories(data, end, base))]
    result = Walk(starts_at=base, ends_at=stop)
    if not found:
        if data[base : base + 4] != LOCAL:
            return None
        result.tell("malformed", "it begins as an archive and has no directory")
        _read_strays(data, result, base, stop)
        return result
    ends: list[int] = []
    for end, places in found:
        if not ends or not any(
            start <= end < stop for start, stop in result.owned
        ):  # else it ends a member's own archive
            ends.append(end)
            for place in places:
                _read_directory(data, place, end, base, result)
            if len(places) > 1:
                result.tell(
                    "headers-disagree", "its directory stands at two places, by its size and by its offset", offset=end
                )
    _check_end(data, ends, stop, result)
    for start, end in _gaps(result, ends, base, data):
        _read_strays(data, result, start, end)
    _find_twins(result)
    return result


def _read_directory(data: Data, place: Directory, end: int, base: int, result: Walk) -> None:
    if place.shift != base:
        result.tell("gap", f"the archive is moved by {place.shift - base} bytes", offset=base)
        result.starts_at = max(base, place.shift)
    if place.disks:
        result.tell("headers-disagree", "it claims to be on several disks", offset=end)
    at, seen = place.start, 0
    while at < end and (central := central_at(data, at)) is not None:
        if len(result.members) >= MAX_MEMBERS:
            result.tell("limit", f"more than {MAX_MEMBERS} members")
            break
        _read_member(data, central, place.shift, result)
        at, seen = central.end, seen + 1
    if seen != place.members or at != place.start + place.size:
        words = f"the end record counts {place.members} members in {place.size} bytes, the directory has {seen} in {at - place.start}"
        result.tell("headers-disagree", words, offset=end)
    result.owned.append((place.start, at))


def _read_member(data: Data, central: Central, shift: int, result: Walk) -> None:
    """Reads the local header of a member and notes every difference."""
    header, at = central.header, central.offset + shift
    if central.comment:
        result.tell("gap", f"a comment of {central.comment} bytes", header.name)
    local = local_at(data, at)
    if central.disk or local is None:
        result.tell("headers-disagree", "no local header stands where the directory says", header.name, max(at, 0))
    if local is None:
        result.members.append(Member(header._replace(start=max(0, at)), None, at))
        return
    _check_fields(header, result)
    _check_fields(local, result)
    streamed = bool(local.flags & STREAMED) and local.packed == local.size == local.crc == 0
    seen = local._replace(crc=header.crc, packed=header.packed, size=header.size) if streamed else local
    pairs = zip(_WORDS, zip(_shown(header), _shown(seen), strict=True), strict=True)
    differs = [word for word, (ours, theirs) in pairs if ours != theirs]
    if differs:
        result.tell("headers-disagree", f"central and local header differ in {', '.join(differs)}", header.name, at)
    end = local.start + header.packed
    if local.flags & STREAMED and end <= len(data):
        end += descriptor_bytes(data, end, header)
    if end > len(data):
        result.tell("headers-disagree", "a member reaches beyond the end", header.name, at)
    result.owned.append((at, end))
    result.members.append(Member(header._replace(start=local.start), seen if differs else None, end))


def _shown(header: Header) -> tuple[object, ...]:
    return header.raw, header.method, header.flags, header.crc, (header.packed, header.size)


def _check_fields(header: Header, result: Walk) -> None:
    """Extra fields that hide bytes or another name, and flags of features that few readers have."""
    if header.flags & ~KNOWN_FLAGS & 0xFFFF:
        result.tell("unreadable-member", f"flags {header.flags:#06x}: encrypted, patched or masked", header.name)
    if not header.extra:
        return
    if other_name(header) is not None:
        result.tell("headers-disagree", "a second name in the Unicode path field", header.name)
    unknown = 0
    for kind, content in extras(header.extra):
        if kind == _PADDING:
            unknown += 0 if set(content[2:]) <= {0, ord("Z")} else len(content)
        elif kind not in _KNOWN_EXTRAS or len(content) > MAX_EXTRA_BYTES + len(header.raw):
            unknown += len(content)
    if unknown > MAX_EXTRA_BYTES:
        result.tell("gap", f"{unknown} bytes in extra fields of no known meaning", header.name)


def _check_end(data: Data, ends: list[int], stop: int, result: Walk) -> None:
    result.ends_at = ends[0] + END_BYTES
    if len(ends) > 1:
        words = f"{len(ends)} end records, so readers see different directories"
        result.tell("headers-disagree", words, offset=ends[-1])
    if behind := stop - ends[0] - END_BYTES:
        words = "a comment" if behind == comment_bytes(data, ends[0]) else "bytes behind the end record"
        result.tell("gap", f"{behind} bytes: {words}", offset=ends[0] + END_BYTES)
    elif comment_bytes(data, ends[0]):
        result.tell("headers-disagree", "the comment is shorter than announced", offset=ends[0])


def _gaps(result: Walk, ends: list[int], base: int, data: Data) -> list[tuple[int, int]]:
    """Bytes that belong to nothing, which are told; overlaps are told too."""
    gaps, at = [(base, result.starts_at)] if result.starts_at > base else [], result.starts_at
    records = [(_end_start(data, end), end + END_BYTES) for end in ends]
    for start, end in sorted({*result.owned, *records}):
        if start > at:
            gaps.append((at, start))
            result.tell("gap", f"{start - at} bytes of no member", offset=at)
        elif start < at:
            result.tell("headers-disagree", "members overlap", offset=start)
        at = max(at, end)
    return gaps


def _end_start(data: Data, end: int) -> int:
    """Where the end records begin, with those of zip64."""
    if end >= LOCATOR_BYTES and data[end - LOCATOR_BYTES : end - 16] == LOCATOR64:
        start = end - LOCATOR_BYTES - END64_BYTES
        return start if start >= 0 and data[start : start + 4] == END64 else end - LOCATOR_BYTES
    return end


def _read_strays(data: Data, result: Walk, start: int, stop: int) -> None:
    """Members that stand between two offsets without a directory; readers of streams take them."""
    at = start
    for _ in range(MAX_STRAYS):
        at = data.find(LOCAL, at, stop)
        if at < 0 or (header := local_at(data, at)) is None:
            return
        if header.flags & STREAMED or header.start + header.packed > stop:
            header = header._replace(packed=max(0, stop - header.start))  # its own end mark tells
        result.members.append(Member(header, None, header.start + header.packed))
        at = header.start + (0 if header.flags & STREAMED else header.packed)
    result.tell("limit", f"more than {MAX_STRAYS} members outside of every directory")


def _find_twins(result: Walk) -> None:
    seen: dict[str, str] = {}
    for member in result.members:
        name = member.name
        if (folded := same_name(name)) in seen:
            result.tell("duplicate", f"{name[:80]!r} and {seen[folded][:80]!r}", name)
        seen[folded] = name
        check_name(name, result)
        if (member.header.attributes >> 28) not in (0, 4, 8):
            result.tell("special", "a link or device", name)


def same_name(name: str) -> str:
    """A name as file systems may fold it: case, Unicode forms, both slashes, empty and `.` steps, trailing dots and spaces."""
    if name.isascii() and "/" not in name and "\\" not in name and name[-1:] not in (".", " "):
        return name.casefold()
    folded = unicodedata.normalize("NFKC", name.replace("\\", "/")).casefold()
    steps = [step.rstrip(". ") for step in folded.split("/")]
    return "/".join(step for step in steps if step)


def check_name(name: str, result: Walk) -> None:
    """Names that lead outside, or that end early for readers in C."""
    if (".." in name and ".." in name.replace("\\", "/").split("/")) or name[:1] in ("/", "\\") or name[1:2] == ":":
        result.tell("slip", "a name that leads outside", name)
    if "\x00" in name or not name:
        result.tell("headers-disagree", "an empty name or a zero byte in it, where readers end it", name)
