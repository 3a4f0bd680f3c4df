"""MessagePack, as Flax and others write weights: walked to its end without recursion; extension types told, hidden pickles found.

Flax packs arrays as extension 1, complex numbers as 2, numpy scalars as 3: each holds a tuple of shape, dtype and bytes.
msgpack-numpy unpickles the data of arrays of kind `O`. Source: MessagePack specification; Flax 0.12, `serialization.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.impossible import Impossible
from assay.formats.pickle_file import PickleFile
from assay.formats.pickle_machine import Data

MAX_VALUES = 5_000_000
MAX_DEPTH = 500
MAX_BLOBS = 1_000
LISTED_EXTENSIONS = frozenset({1, 2, 3, 255})  # 255 is -1, a time
_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
MAP_STARTS = (*range(0x81, 0x90), 0xDE, 0xDF)


def is_msgpack(data: Data, path: str) -> bool:
    """Whether a file begins with a map and is named or built as MessagePack."""
    return (
        bool(len(data)) and data[0] in MAP_STARTS and (path.lower().endswith((".msgpack", ".mpk")) or _is_whole(data))
    )


def msgpack_facts(data: Data) -> Iterator[Fact]:
    """Facts of one value that should fill the file.

    Raises:
        MalformedInput: it is cut short, or too large or deep.
    """
    walk = _Walk(data)
    walk.value()
    yield from walk.facts
    if walk.at != len(data):
        yield Fact("trailing", "", walk.at, (f"{len(data) - walk.at} bytes follow the value",))
        yield from PickleFile(data).search(walk.at)


def _is_whole(data: Data) -> bool:
    walk = _Walk(data)
    try:
        walk.value()
    except MalformedInput:
        return False
    return walk.at == len(data) and walk.has_keys


class _Walk:
    """A position in the bytes; containers stand on a list as how many values are left."""

    def __init__(self, data: Data) -> None:
        self._data, self.at, self.facts = data, 0, list[Fact]()
        self.has_keys = data[1] & 0xE0 == 0xA0 or data[0] >= 0xDE if len(data) > 1 else False

    def value(self) -> None:
        """Walks one value."""
        left, count = [1], 0
        while left:
            if left[-1] == 0:
                left.pop()
                continue
            left[-1] -= 1
            count += 1
            if count > MAX_VALUES or len(left) > MAX_DEPTH:
                raise MalformedInput(
                    "MessagePack is too large or too deep", f"more than {MAX_VALUES} values or {MAX_DEPTH} levels"
                )
            inner = self._step(self._number(1))
            if inner > len(self._data) - self.at:
                kind = Impossible if inner > 2 * MAX_VALUES else MalformedInput
                raise kind("MessagePack holds less than it says", f"{inner} values are announced at {self.at}")
            left += [inner] if inner else []

    def _step(self, mark: int) -> int:
        """Reads one mark and what belongs to it; returns how many values a container holds."""
        if mark < 0x80 or mark >= 0xE0:
            return 0
        if mark < 0x90:
            return 2 * (mark & 15)
        if mark < 0xA0:
            return mark & 15
        if mark < 0xC0:
            self._skip(mark & 31)
        elif mark in _FIXED:
            self._skip(_FIXED[mark])
        elif mark in _SIZED:
            self._blob(self._number(_SIZED[mark]))
        elif mark in _EXTENSION:
            self._extension(self._number(_EXTENSION[mark]))
        elif 0xD4 <= mark <= 0xD8:
            self._extension(1 << (mark - 0xD4))
        elif mark in _CONTAINERS:
            width, each = _CONTAINERS[mark]
            return self._number(width) * each
        else:
            raise MalformedInput("MessagePack has an unknown type", f"0x{mark:02x} at {self.at}")
        return 0

    def _blob(self, size: int) -> None:
        start = self.at
        self._skip(size)
        head = bytes(self._data[start : start + 2])
        if head[:1] == b"\x80" and head[1:] <= b"\x05" and len(self.facts) < MAX_BLOBS:
            self.facts += PickleFile(bytes(self._data[start : self.at])).search(0)

    def _extension(self, size: int) -> None:
        kind = self._number(1)
        if kind not in LISTED_EXTENSIONS and len(self.facts) < MAX_BLOBS:
            self.facts.append(Fact("unexamined", "", self.at, (f"an extension of type {kind - 256 * (kind > 127)}",)))
        self._blob(size)

    def _number(self, width: int) -> int:
        self._skip(width)
        return int.from_bytes(self._data[self.at - width : self.at], "big")

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self.at:
            raise MalformedInput("MessagePack is cut short", f"{count} bytes at {self.at}")
        self.at += count
