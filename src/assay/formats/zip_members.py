"""The bytes of a zip member, as its directory says and, where it differs, as its local header says; a lie is told, not obeyed."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from assay.formats.budget import Budget
from assay.formats.facts import Fact
from assay.formats.inflating import ERRORS, STEP_BYTES, Ended, Inflated, Machine, inflate, machine_for
from assay.formats.pickle_machine import Data
from assay.formats.zip_headers import Header
from assay.formats.zip_walk import STORED, Member
from assay.formats.zstd_frame import Missing, inflate_zstd

DEFLATED, BZIP2, LZMA, ZSTD, XZ = 8, 12, 14, 93, 95
_MACHINES = {DEFLATED: "deflate", BZIP2: "bzip2", XZ: "xz"}


class Content:
    """One reading of a member: its bytes, and what was odd."""

    def __init__(self, data: Data, facts: list[Fact]) -> None:
        self.data, self.facts = data, facts


def contents(data: Data, member: Member, budget: Budget) -> Iterator[Content]:
    """Each reading of a member that differs from the others; the bytes are valid until the next is asked for."""
    seen: set[int] = set()
    for header in (member.header, member.other):
        if header is None:
            continue
        with _read(data, header, budget) as content:
            key = _checksum(content.data)
            if key not in seen or content.facts:
                seen.add(key)
                yield content


@contextmanager
def _read(data: Data, header: Header, budget: Budget) -> Iterator[Content]:
    out, facts, end = Inflated(budget.room(header.packed)), list[Fact](), min(len(data), header.start + header.packed)
    try:
        ended = _unpack(out, data, header, end)
    except Missing as missing:
        ended = Ended(end)
        facts.append(Fact("needs", "", None, (str(missing),)))
    if ended is None:
        facts.append(Fact("needs", "", None, (f"compression method {header.method} is not supported",)))
    elif ended.error:
        facts.append(Fact("unreadable-member", "", None, (f"its data cannot be inflated: {ended.error}",)))
    elif out.is_full:
        facts.append(Fact("limit", "", None, (f"inflates to more than {out.bound} bytes",)))
    elif ended.at < end:
        facts.append(Fact("gap", "", ended.at, (f"{end - ended.at} bytes behind its compressed data",)))
    content = (
        data[header.start : min(end, header.start + budget.room(header.packed))]
        if facts and not out.size
        else out.data()
    )
    with budget.holding(content):
        if not facts:
            facts += _check(content, header)
        yield Content(content, facts)


def _check(content: Data, header: Header) -> Iterator[Fact]:
    if _checksum(content) != header.crc:
        yield Fact("checksum", "", None, ("its checksum is wrong",))
    if len(content) != header.size:
        yield Fact("headers-disagree", "", None, (f"it has {len(content)} bytes where {header.size} are announced",))


def _checksum(data: Data) -> int:
    if isinstance(data, bytes):
        return zlib.crc32(data)
    found = 0
    for at in range(0, len(data), STEP_BYTES):
        found = zlib.crc32(data[at : at + STEP_BYTES], found)
    return found


def _unpack(out: Inflated, data: Data, header: Header, end: int) -> Ended | None:
    """The bytes by one method; None for a method that is not known."""
    if header.method == STORED:
        for at in range(header.start, end, STEP_BYTES):
            out.add(data[at : min(end, at + STEP_BYTES)])
            if out.is_full:
                break
        return Ended(end, "" if end >= header.start + header.packed else "it is cut short")
    if header.method == ZSTD:
        return inflate_zstd(out, data, header.start, end)
    if header.method == LZMA:
        return _lzma(out, data, header.start, end)
    if header.method in _MACHINES:
        return inflate(out, machine_for(_MACHINES[header.method]), data, header.start, end)
    return None


def _lzma(out: Inflated, data: Data, start: int, end: int) -> Ended:
    """Method 14: version, length of the properties, properties, then raw LZMA. Section 5.8."""
    try:
        length = struct.unpack_from("<H", data, start + 2)[0]
        options = lzma._decode_filter_properties(lzma.FILTER_LZMA1, data[start + 4 : start + 4 + length])  # type: ignore[attr-defined]
        machine: Machine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
    except (*ERRORS, struct.error) as error:
        return Ended(start, str(error)[:80] or "broken properties")
    return inflate(out, machine, data, start + 4 + length, end)
