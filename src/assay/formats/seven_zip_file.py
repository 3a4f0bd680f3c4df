"""7z archives within bounds: copied, LZMA and LZMA2 data, also with delta and x86 filters, and encoded headers; nothing else.

Encryption and other coders are told, and what they hide is not examined. Nothing is written to disk.
Source: 7-Zip 23.01, `DOC/7zFormat.txt` and `DOC/Methods.txt`.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from assay.formats.budget import Budget
from assay.formats.facts import Fact
from assay.formats.inflating import ERRORS, MAX_WINDOW_BYTES, Ended, Inflated, inflate
from assay.formats.pickle_machine import Data
from assay.formats.seven_zip_header import ENCODED, BrokenHeader, Folder, Listing, read_listing

MAGIC = b"7z\xbc\xaf\x27\x1c"
START_BYTES = 32
MAX_HEADER_BYTES = 16 << 20
MAX_ENCODED = 4
_COPY, _AES = b"\x00", b"\x06\xf1\x07\x01"
_FILTERS = {b"\x03\x01\x01": lzma.FILTER_LZMA1, b"\x21": lzma.FILTER_LZMA2, b"\x03": lzma.FILTER_DELTA, b"\x03\x03\x01\x03": lzma.FILTER_X86,
            b"\x04": lzma.FILTER_X86}  # fmt: skip


class SevenZipMember(NamedTuple):
    """One file of an archive."""

    name: str
    data: bytes


class _Unread(Exception):
    """Data that cannot be had; `fact` says why."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.fact = Fact(kind, "", None, (words,))


def seven_zip_members(data: Data, budget: Budget) -> Iterator[SevenZipMember | Fact]:
    """Files and facts, in the order of the archive."""
    try:
        listing = yield from _listing(data, budget)
    except BrokenHeader as error:
        yield Fact("malformed", "", None, (f"7z: {error}",))
        return
    except _Unread as unread:
        yield unread.fact
        return
    files = iter(listing.files)
    for folder in listing.folders:
        yield from _folder_members(data, folder, files, budget)
    for name, attributes, has_data in files:
        yield from _check_name(name, attributes)
        if has_data:
            yield Fact("malformed", name[:200], None, ("a file without data",))


def _listing(data: Data, budget: Budget) -> Generator[Fact, None, Listing]:
    """The innermost header. What of the file neither a header nor a packed stream owns is told."""
    if len(data) < START_BYTES:
        raise BrokenHeader("it is cut short")
    crc, at, size, inner = struct.unpack_from("<IQQI", data, 8)
    if zlib.crc32(data[12:START_BYTES]) != crc:
        yield Fact("checksum", "", None, ("the checksum of the first header is wrong",))
    start = START_BYTES + at
    if start + size > len(data) or size > MAX_HEADER_BYTES:
        raise BrokenHeader("the header lies outside of the file, or is too large")
    header, owned = bytes(data[start : start + size]), [(0, START_BYTES), (start, start + size)]
    for _ in range(MAX_ENCODED):
        if zlib.crc32(header) != inner:
            yield Fact("checksum", "", None, ("the checksum of a header is wrong",))
        listing = read_listing(header) if header else Listing()
        owned += [(START_BYTES + f.at, START_BYTES + f.at + f.packed) for f in listing.folders]
        if header[:1] != bytes([ENCODED]):
            yield from _gaps(owned, len(data))
            return listing
        if len(listing.folders) != 1 or len(listing.folders[0].parts) != 1:
            raise BrokenHeader("an encoded header in several parts")
        header, said = _content(data, listing.folders[0], budget), listing.folders[0].parts[0][1]
        inner = zlib.crc32(header) if said is None else said
    raise BrokenHeader(f"headers encoded more than {MAX_ENCODED} times")


def _gaps(owned: list[tuple[int, int]], size: int) -> Iterator[Fact]:
    at = 0
    for start, end in [*sorted(owned), (size, size)]:
        if start > at:
            yield Fact("gap", "", at, (f"{start - at} bytes of no member",))
        at = max(at, end)


def _folder_members(
    data: Data, folder: Folder, files: Iterator[tuple[str, int, bool]], budget: Budget
) -> Iterator[SevenZipMember | Fact]:
    try:
        content = _content(data, folder, budget)
    except _Unread as unread:
        yield unread.fact
        content = b""
    at = 0
    with budget.holding(content):
        for size, crc in folder.parts:
            for name, attributes, has_data in files:
                yield from _check_name(name, attributes)
                if has_data:
                    break
            else:
                name = "<without a name>"
                yield Fact("malformed", "", None, ("data without a file",))
            part, at = content[at : at + size], at + size
            if len(part) == size and crc is not None and zlib.crc32(part) != crc:
                yield Fact("checksum", name[:200], None, ("its checksum is wrong",))
            if part:
                yield SevenZipMember(name, part)
        if at < len(content):
            yield Fact("gap", "", None, (f"{len(content) - at} bytes of no file in a folder",))


def _content(data: Data, folder: Folder, budget: Budget) -> bytes:
    """The bytes of a folder.

    Raises:
        _Unread: encrypted, coded in another way, too large or broken.
    """
    start, end = START_BYTES + folder.at, START_BYTES + folder.at + folder.packed
    room = budget.room(folder.packed) // 2  # it is held twice for a moment
    if end > len(data):
        raise _Unread("malformed", "7z: packed data lie outside of the file")
    if folder.size > room:
        raise _Unread("limit", f"inflates to {folder.size} bytes, more than {room}")
    coders = [folder.coders[i] for i in folder.order]
    if [name for name, _ in coders] == [_COPY]:
        return bytes(data[start:end])
    out = Inflated(folder.size + 1)
    try:
        machine = lzma.LZMADecompressor(
            lzma.FORMAT_RAW, filters=[_filter(name, properties) for name, properties in coders]
        )
        ended = inflate(out, machine, data, start, end)
    except ERRORS as error:
        ended = Ended(start, str(error)[:80])
    with budget.holding(inflated := out.data()):
        found = bytes(inflated[:])
    if len(found) < folder.size:
        raise _Unread("malformed", f"7z: {len(found)} of {folder.size} bytes could be inflated: {ended.error}")
    return found


def _filter(name: bytes, properties: bytes) -> dict[str, Any]:  # Any: the type that lzma asks for
    if name == _AES:
        raise _Unread("unreadable-member", "it is encrypted")
    if name not in _FILTERS:
        raise _Unread("needs", f"7z: the coder {name.hex()} is not supported")
    if _FILTERS[name] == lzma.FILTER_X86:
        return {"id": lzma.FILTER_X86}
    found: dict[str, Any] = lzma._decode_filter_properties(_FILTERS[name], properties)  # type: ignore[attr-defined]
    if found.get("dict_size", 0) > MAX_WINDOW_BYTES:
        raise _Unread("limit", f"it needs a window of {found['dict_size']} bytes")
    return found


def _check_name(name: str, attributes: int) -> Iterator[Fact]:
    if ".." in name.replace("\\", "/").split("/") or name[:1] in ("/", "\\") or name[1:2] == ":":
        yield Fact("slip", name[:200], None, ("a name that leads outside",))
    if attributes & 0x400 or (attributes & 0x8000 and attributes >> 28 not in (0, 4, 8)):
        yield Fact("special", name[:200], None, ("a link or device",))
