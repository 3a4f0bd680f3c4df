"""The header of a 7z archive: which folders of packed data there are, how they were coded, and which files lie in them.

Every number is compared with what remains before it is used; what does not hold together is `BrokenHeader`, never a guess.
Source: 7-Zip 23.01, `DOC/7zFormat.txt`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from assay.formats.budget import MAX_MEMBERS

MAX_FOLDERS = 10_000
MAX_CODERS = 4
_END, _HEADER, _ARCHIVE, _MAIN, _FILES, _PACK, _UNPACK, _SUB = 0, 1, 2, 4, 5, 6, 7, 8
_SIZE, _CRC, _FOLDER, _CODER_SIZES, _COUNTS, _EMPTY, _NAMES = 9, 10, 11, 12, 13, 14, 17
_ATTRIBUTES, ENCODED = 0x15, 0x17
_COMPLEX, _HAS_PROPERTIES = 0x10, 0x20


class BrokenHeader(Exception):
    """The header does not hold together, or has a structure that nobody writes."""


@dataclass
class Folder:
    """One packed stream at `at`, relative to the end of the first header, and its coders in the order that they stand.

    `order` are the coders from the one whose output is the content to the one that reads the packed stream; empty if they are
    no chain. `parts` are sizes and checksums of the files in it.
    """

    coders: list[tuple[bytes, bytes]]
    order: list[int]
    at: int = 0
    packed: int = 0
    size: int = 0
    parts: list[tuple[int, int | None]] = field(default_factory=list)


@dataclass
class Listing:
    """What a header lists: folders, and the names and attributes of files; those with data take parts of folders in turn."""

    folders: list[Folder] = field(default_factory=list)
    files: list[tuple[str, int, bool]] = field(default_factory=list)


class Reader:
    """A cursor over a header."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self._data) - self._at:
            raise BrokenHeader("the header is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, most: int = 1 << 63) -> int:
        """A number: the leading ones of the first byte count the bytes that follow."""
        first, value, mask = self.take(1)[0], 0, 0x80
        for shift in range(8):
            if not first & mask:
                value += (first & (mask - 1)) << (8 * shift)
                break
            value |= self.take(1)[0] << (8 * shift)
            mask >>= 1
        if value > most:
            raise BrokenHeader(f"the number {value} is out of range")
        return value

    def bits(self, count: int) -> list[bool]:
        """A vector of bits, the highest first."""
        data = self.take((count + 7) // 8)
        return [bool(data[i // 8] & 0x80 >> i % 8) for i in range(count)]

    def defined(self, count: int) -> list[bool]:
        """A vector that may be said to be all ones."""
        return [True] * count if self.take(1)[0] else self.bits(count)

    def digests(self, count: int) -> list[int | None]:
        """Checksums, where they are defined."""
        return [struct.unpack("<I", self.take(4))[0] if is_so else None for is_so in self.defined(count)]

    @property
    def left(self) -> int:
        """Bytes that remain."""
        return len(self._data) - self._at


def read_listing(header: bytes) -> Listing:
    """Reads a header, or the streams of an encoded one, which then has no files.

    Raises:
        BrokenHeader: it does not hold together.
    """
    reader, found = Reader(header), Listing()
    kind = reader.number()
    if kind == ENCODED:
        found.folders = _streams(reader)
    elif kind == _HEADER:
        while (section := reader.number()) != _END:
            if section == _ARCHIVE:
                while reader.number() != _END:
                    reader.take(reader.number(reader.left))
            elif section == _MAIN:
                found.folders = _streams(reader)
            elif section == _FILES:
                found.files = _files(reader)
            else:
                raise BrokenHeader(f"a section {section} that is not read")
    else:
        raise BrokenHeader(f"a header of kind {kind}")
    if reader.left:
        raise BrokenHeader(f"{reader.left} bytes follow the header")
    return found


def _streams(reader: Reader) -> list[Folder]:
    start, packs, folders, crcs, is_split = 0, list[int](), list[Folder](), list[int | None](), False
    while (section := reader.number()) != _END:
        if section == _PACK:
            start, packs = _packs(reader)
        elif section == _UNPACK:
            folders, crcs = _folders(reader)
        elif section == _SUB:
            _parts(reader, folders, crcs)
            is_split = True
        else:
            raise BrokenHeader(f"a section {section} among the streams")
    if any(not folder.order for folder in folders):
        raise BrokenHeader("coders that are no chain, which this reader does not follow")
    if len(packs) != len(folders):
        raise BrokenHeader("folders and packed streams differ in number")
    for folder, packed, crc in zip(folders, packs, crcs, strict=True):
        folder.at, folder.packed = start, packed
        start += packed
        if not is_split:
            folder.parts = [(folder.size, crc)]
    return folders


def _packs(reader: Reader) -> tuple[int, list[int]]:
    start, count, sizes = reader.number(), reader.number(MAX_FOLDERS), list[int]()
    while (section := reader.number()) != _END:
        if section == _SIZE:
            sizes = [reader.number() for _ in range(count)]
        elif section == _CRC:
            reader.digests(count)
        else:
            raise BrokenHeader(f"a section {section} among the packed streams")
    return start, sizes


def _folders(reader: Reader) -> tuple[list[Folder], list[int | None]]:
    if reader.number() != _FOLDER:
        raise BrokenHeader("no folders stand where they should")
    count = reader.number(MAX_FOLDERS)
    if reader.take(1) != b"\x00":
        raise BrokenHeader("folders in another stream")
    folders = [_folder(reader) for _ in range(count)]
    crcs: list[int | None] = [None] * count
    while (section := reader.number()) != _END:
        if section == _CODER_SIZES:
            for folder in folders:
                sizes = [reader.number() for _ in folder.coders]
                folder.size = sizes[folder.order[0]] if folder.order else 0
        elif section == _CRC:
            crcs = reader.digests(count)
        else:
            raise BrokenHeader(f"a section {section} among the folders")
    return folders, crcs


def _folder(reader: Reader) -> Folder:
    coders, is_chain = list[tuple[bytes, bytes]](), True
    count = reader.number(MAX_CODERS)
    for _ in range(count):
        flags = reader.take(1)[0]
        name = reader.take(flags & 15)
        if flags & _COMPLEX and (reader.number(), reader.number()) != (1, 1):
            is_chain = False
        coders.append((name, reader.take(reader.number(reader.left)) if flags & _HAS_PROPERTIES else b""))
    if not is_chain or not coders:
        raise BrokenHeader("coders with several inputs, which this reader does not follow")
    pairs = {reader.number(count - 1): reader.number(count - 1) for _ in range(count - 1)}
    outer = [i for i in range(count) if i not in pairs.values()]
    order = outer[:1]
    while order and order[-1] in pairs and len(order) < count:
        order.append(pairs[order[-1]])
    return Folder(coders, order if len(set(order)) == count else [])


def _parts(reader: Reader, folders: list[Folder], crcs: list[int | None]) -> None:
    """How folders are split into files; a folder of one file may have the checksum already."""
    counts, section = [1] * len(folders), reader.number()
    if section == _COUNTS:
        counts, section = [reader.number(MAX_MEMBERS) for _ in folders], reader.number()
    if sum(counts) > MAX_MEMBERS:
        raise BrokenHeader("it has too many files")
    sizes = []
    for folder, count in zip(folders, counts, strict=True):
        given = [reader.number() for _ in range(count - 1)] if section == _SIZE else []
        rest = folder.size - sum(given)
        if rest < 0 or len(given) != max(0, count - 1):
            raise BrokenHeader("files are larger than their folder")
        sizes.append([*given, rest] if count else [])
    section = reader.number() if section == _SIZE else section
    open_ = sum(n for n, crc in zip(counts, crcs, strict=True) if n != 1 or crc is None)
    found = reader.digests(open_) if section == _CRC else [None] * open_
    if (section == _CRC and reader.number() != _END) or section not in (_CRC, _END):
        raise BrokenHeader(f"a section {section} among the parts")
    for folder, known, mine in zip(folders, crcs, sizes, strict=True):
        sums = [known] if len(mine) == 1 and known is not None else [found.pop(0) for _ in mine]
        folder.parts = list(zip(mine, sums, strict=True))


def _files(reader: Reader) -> list[tuple[str, int, bool]]:
    """Name, attributes and whether it has data, of every file."""
    count = reader.number(MAX_MEMBERS)
    names, attributes, is_empty = [""] * count, [0] * count, [False] * count
    while (kind := reader.number()) != _END:
        part = Reader(reader.take(reader.number(reader.left)))
        if kind == _EMPTY:
            is_empty = part.bits(count)
        elif kind == _NAMES and part.take(1) == b"\x00":
            texts = part.take(part.left).decode("utf-16-le", "backslashreplace").split("\x00")
            if len(texts) != count + 1:
                raise BrokenHeader("it has another number of names than files")
            names = texts[:-1]
        elif kind == _ATTRIBUTES:
            defined = part.defined(count)
            if part.take(1) == b"\x00":
                attributes = [struct.unpack("<I", part.take(4))[0] if is_so else 0 for is_so in defined]
    return [(name, bits, not empty) for name, bits, empty in zip(names, attributes, is_empty, strict=True)]
