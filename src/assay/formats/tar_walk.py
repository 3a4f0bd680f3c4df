"""A tar archive read as if its author lied: names, links and devices are told, as is every byte that no member owns.

Readers differ in where an archive ends: some stop at one block of zeros, some at two, some go on; so members behind the end
are read too. They also differ in which of two sizes or names holds, so both being there and different is told.
Source: POSIX.1-2017, `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; CPython 3.13, `tarfile.py`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data

BLOCK = 512
MAX_NAME_BYTES = 64 << 10
_REGULAR = frozenset(b"0\x007")
_SPECIAL = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a device",
    ord("4"): "a device",
    ord("6"): "a FIFO",
}
_FOLDER, _LONG_NAME, _LONG_LINK, _PAX, _GLOBAL, _SPARSE = b"5LKxgS"
_DUMP = frozenset(b"DVMN")
_ASCII = bytes(range(128))
_ZEROS = re.compile(rb"\x00*")
_RECORD = re.compile(rb"(\d{1,10}) ([^=\n]{1,200})=")


class TarMember(NamedTuple):
    """A member whose bytes are `data[start:start + size]`."""

    name: str
    start: int
    size: int


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: int
    link: bytes


def is_tar(data: Data) -> bool:
    """Whether a header with the right checksum stands at the start."""
    return len(data) >= BLOCK and _header(bytes(data[:BLOCK])) is not None


def tar_members(data: Data) -> Iterator[TarMember | Fact]:
    """Members and facts, in the order of the archive."""
    at, long_name, long_link, pax = 0, b"", b"", dict[bytes, bytes]()
    while at + BLOCK <= len(data):
        block = data[at : at + BLOCK]
        if not block.strip(b"\x00"):
            at = yield from _end(data, at)
            continue
        head = _header(block)
        if head is None:
            yield Fact("malformed", "", at, ("a tar header with a wrong checksum",))
            return
        start, end = at + BLOCK, at + BLOCK + head.size
        if end > len(data):
            yield Fact("broken", "", at, (f"a member of {head.size} bytes is cut short",))
        if head.kind in (_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL):
            text = bytes(data[start : min(end, start + MAX_NAME_BYTES)])
            if head.size > MAX_NAME_BYTES:
                yield Fact("limit", "", at, (f"a name of {head.size} bytes",))
            long_name = text.rstrip(b"\x00") if head.kind == _LONG_NAME else long_name
            long_link = text.rstrip(b"\x00") if head.kind == _LONG_LINK else long_link
            if head.kind in (_PAX, _GLOBAL):
                pax |= _records(text)
        else:
            name, link = pax.get(b"path", long_name or head.name), pax.get(b"linkpath", long_link or head.link)
            size = _size(pax, head)
            if size != head.size:
                yield Fact("headers-disagree", _text(name), at, ("two sizes, so readers differ in where it ends",))
            if any(key.startswith(b"GNU.sparse") for key in pax) or head.kind == _SPARSE:
                yield Fact("unreadable-member", _text(name), at, ("a sparse member, which is not expanded",))
            yield from _member(head._replace(name=name, link=link), start, min(head.size, len(data) - start))
            long_name, long_link, pax = b"", b"", {}
        at = start + -(-head.size // BLOCK) * BLOCK
        if end < len(data) and (padding := data[end : min(at, len(data))]).strip(b"\x00"):
            yield Fact("gap", "", end, (f"{len(padding)} bytes of padding that are not zero",))
    if data[at : len(data)].strip(b"\x00"):
        yield Fact("trailing", "", at, (f"{len(data) - at} bytes follow the archive",))


def _member(head: _Header, start: int, size: int) -> Iterator[TarMember | Fact]:
    name = _text(head.name)
    steps = name.replace("\\", "/").split("/")
    if ".." in steps or name[:1] in ("/", "\\") or name[1:2] == ":":
        yield Fact("slip", name[:200], start, ("a name that leads outside",))
    if head.kind in _SPECIAL:
        yield Fact("special", name[:200], start, (f"{_SPECIAL[head.kind]} to {_text(head.link)[:80]!r}",))
    elif head.kind not in _REGULAR and head.kind not in (_FOLDER, _SPARSE):
        yield Fact("unexamined", name[:200], start, (f"a member of type {chr(head.kind)!r}, which few readers know",))
    if size > 0 and (head.kind != _FOLDER or head.kind in _DUMP):
        yield TarMember(name, start, size)


def _end(data: Data, at: int) -> Generator[Fact, None, int]:
    """Skips zeros; what follows is told and read on. Returns where to read on."""
    match = _ZEROS.match(data, at)
    after = match.end() if match else at
    if after < len(data):
        yield Fact("gap", "", after, (f"{len(data) - after} bytes behind the end of the archive",))
    return after // BLOCK * BLOCK if after < len(data) else len(data)


def _header(block: bytes) -> _Header | None:
    said = _number(block[148:156])
    if said is None:
        return None
    rest = block[:148] + b" " * 8 + block[156:]
    total, size = sum(rest), _number(block[124:136])
    if said not in (total, total - 256 * len(rest.translate(None, _ASCII))) or size is None or size < 0:
        return None
    name, prefix = block[:100].split(b"\x00")[0], block[345:500].split(b"\x00")[0]
    if block[257:263] == b"ustar\x00" and prefix:
        name = prefix + b"/" + name
    if block[156:157] == b"\x00" and name.endswith(b"/"):
        return _Header(name, size, _FOLDER, b"")
    is_empty = block[156] in (*_SPECIAL, _FOLDER)
    return _Header(
        name, 0 if is_empty and block[156] != ord("1") else size, block[156], block[157:257].split(b"\x00")[0]
    )


def _number(field: bytes) -> int | None:
    """A number in octal digits, or in base 256 where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else None
    digits = field.strip(b" \x00").split(b"\x00")[0]
    return int(digits, 8) if digits and not digits.strip(b"01234567") else (0 if not digits else None)


def _records(text: bytes) -> dict[bytes, bytes]:
    """Records of a pax header: `LENGTH KEY=VALUE\\n`."""
    found, at = dict[bytes, bytes](), 0
    while match := _RECORD.match(text, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(text):
            break
        found[match[2]] = text[match.end() : end - 1]
        at = end
    return found


def _size(pax: dict[bytes, bytes], head: _Header) -> int:
    said = pax.get(b"size", b"")
    return int(said) if said.isdigit() and len(said) < 20 else head.size


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
