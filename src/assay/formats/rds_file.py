"""Data of R as `saveRDS` and `save` write them: every item walked, in the order and by the rules of R's own reader.

R evaluates a promise as soon as it is touched (CVE-2024-27322), calls functions of closures, and follows external pointers when
it frees them. Vectors, lists, attributes, names, calls and environments are data until somebody evaluates them.
Source: R 4.5, `src/main/serialize.c`; "R Internals", section 1.8 "Serialization Formats".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Protocol

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact, FileFacts
from assay.formats.impossible import Impossible, broken_fact
from assay.formats.pickle_machine import Data

MAX_ITEMS = 5_000_000
MAX_TEXT = 4_096
START = re.compile(rb"(?:RD([XAB])[23]\n)?([XAB])\n")
SYMBOL, PAIRS, CLOSURE, ENVIRONMENT, PROMISE, CALL, SPECIAL, BUILTIN, CHARS, LOGICAL = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
INTEGER, REAL, COMPLEX, TEXTS, DOTS, LIST, EXPRESSION, BYTECODE, POINTER, WEAK, RAW, S4 = (
    13,
    14,
    15,
    16,
    17,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
)
REFERENCE, PERSISTENT, PACKAGE, NAMESPACE, ALTERNATIVE = 255, 247, 248, 249, 238
CONSTANTS = frozenset({254, 253, 252, 251, 250, 242, 241, 0})
_PAIR_LIKE = frozenset({PAIRS, CLOSURE, PROMISE, CALL, DOTS})
_WIDTHS = {LOGICAL: 4, INTEGER: 4, REAL: 8, COMPLEX: 16, RAW: 1}
_TOLD = {
    CLOSURE: "a function", SPECIAL: "a primitive function", BUILTIN: "a primitive function", BYTECODE: "byte code", POINTER: "an external pointer",
    WEAK: "a weak reference with a finalizer",
}  # fmt: skip
LISTED_ALTERNATIVES = frozenset(
    {"compact_intseq", "compact_realseq", "deferred_string"}
    | {f"wrap_{kind}" for kind in ("real", "integer", "logical", "string", "complex", "raw", "list")}
)


def rds_facts(data: Data) -> FileFacts | None:
    """Facts of a file or inflated stream of R; None if it does not begin as one."""
    match = START.match(bytes(data[:8]))
    if match is None:
        return None
    source = (
        _Ascii(data, match.end()) if match[2] == b"A" else _Binary(data, match.end(), ">" if match[2] == b"X" else "<")
    )
    try:
        version = source.integer()
        if version not in (2, 3):
            return None
    except MalformedInput:
        return None
    walk = _Walk(source)
    try:
        walk.run(version)
    except MalformedInput as error:
        walk.facts.append(broken_fact(error, at=source.at))
    return FileFacts("rda" if match[1] else "rds", tuple(walk.facts))


class Source(Protocol):
    """What the three encodings share."""

    at: int
    size: int

    def integer(self) -> int: ...
    def numbers(self, kind: int, count: int) -> None: ...
    def text(self, length: int) -> str: ...


class _Binary:
    """XDR (big-endian) or the writer's own order."""

    def __init__(self, data: Data, at: int, order: str) -> None:
        self.data, self.at, self.size, self._order = data, at, len(data), order

    def _take(self, count: int) -> bytes:
        if count < 0 or count > self.size - self.at:
            raise MalformedInput("R data are cut short", f"{count} bytes at {self.at}")
        start, self.at = self.at, self.at + count
        return bytes(self.data[start : start + min(count, MAX_TEXT)])

    def integer(self) -> int:
        return int(struct.unpack(self._order + "i", self._take(4))[0])

    def numbers(self, kind: int, count: int) -> None:
        width = _WIDTHS[kind] * count
        if width < 0 or width > self.size - self.at:
            raise MalformedInput("R data are cut short", f"{width} bytes at {self.at}")
        self.at += width

    def text(self, length: int) -> str:
        return self._take(length).decode("utf-8", "backslashreplace")


class _Ascii:
    """One value a line."""

    def __init__(self, data: Data, at: int) -> None:
        self._lines = bytes(data[at:]).split(b"\n")
        self.at, self.size = 0, len(self._lines)
        while self.size and not self._lines[self.size - 1]:
            self.size -= 1

    def _line(self) -> bytes:
        if self.at >= self.size:
            raise MalformedInput("R data are cut short", f"line {self.at}")
        self.at += 1
        return self._lines[self.at - 1]

    def integer(self) -> int:
        line = self._line()
        if line == b"NA":
            return -(2**31)
        if not re.fullmatch(rb"-?\d{1,10}", line):
            raise MalformedInput("R data have no integer where one must be", repr(line[:20]))
        return int(line)

    def numbers(self, kind: int, count: int) -> None:
        lines = count * (2 if kind == COMPLEX else 1)
        if lines < 0 or lines > self.size - self.at:
            raise MalformedInput("R data are cut short", f"{lines} lines at {self.at}")
        self.at += lines

    def text(self, length: int) -> str:
        return self._line()[:MAX_TEXT].decode("utf-8", "backslashreplace")


class _Walk:
    """Items on a list of things still to do, the next one last; nothing is recursive."""

    def __init__(self, source: Source) -> None:
        self._source, self.facts, self._count = source, list[Fact](), 0
        self._todo: list[Callable[[], None]] = []
        self._references: list[str] = []
        self._word = ""
        self._told: set[str] = set()

    def tell(self, kind: str, words: str) -> None:
        """Notes each thing once, at its first place."""
        if words not in self._told:
            self._told.add(words)
            self.facts.append(Fact(kind, "", self._source.at, (words,)))

    def run(self, version: int) -> None:
        source = self._source
        source.integer()
        source.integer()
        if version == 3:
            source.text(source.integer())
        self._todo.append(self._item)
        while self._todo:
            self._count += 1
            if self._count > MAX_ITEMS:
                raise MalformedInput("R data have too many items", f"more than {MAX_ITEMS}")
            self._todo.pop()()
        if source.at != source.size and _TOLD[BYTECODE] not in self._told:
            self.tell("trailing", f"{source.size - source.at} bytes or lines follow the data")

    def _then(self, *steps: Callable[[], None]) -> None:
        """Puts steps on the list so that the first is done next."""
        self._todo += reversed(steps)

    def _item(self) -> None:
        flags = self._source.integer() & 0xFFFFFFFF
        kind, has_attributes, has_tag = flags & 255, bool(flags & 0x200), bool(flags & 0x400)
        if kind in _TOLD:
            self.tell("r-code", _TOLD[kind])
        if kind in CONSTANTS:
            return
        if kind == REFERENCE:
            index = (flags >> 8) or self._source.integer()
            if not 0 < index <= len(self._references):
                raise Impossible("R data refer to something that is not there", str(index))
            self._word = self._references[index - 1]
        elif kind in _PAIR_LIKE:
            self._pair(kind, has_attributes, has_tag)
        elif kind in _WIDTHS or kind in (TEXTS, LIST, EXPRESSION):
            self._vector(kind, has_attributes)
        elif kind in (CHARS, SPECIAL, BUILTIN):
            length = self._source.integer()
            self._word = self._source.text(length) if length >= 0 else ""
            self._then(*([self._item] if has_attributes and kind == CHARS else []))
        else:
            self._rare(kind, has_attributes)

    def _pair(self, kind: int, has_attributes: bool, has_tag: bool) -> None:
        if kind == PROMISE and has_tag:
            self.tell("r-promise", "a promise, which R evaluates as soon as it is touched")
        elif kind == PROMISE:
            self.tell("r-code", "a promise that was evaluated")
        self._then(*([self._item] * (has_attributes + has_tag + 2)))

    def _vector(self, kind: int, has_attributes: bool) -> None:
        count = self._source.integer()
        if count == -1:
            count = (self._source.integer() << 32) + (self._source.integer() & 0xFFFFFFFF)
        if count < 0:
            raise Impossible("R data have a negative length", str(count))
        self._then(*([self._item] if has_attributes else []))
        if kind in _WIDTHS:
            self._source.numbers(kind, count)
        elif count > self._source.size - self._source.at:
            raise MalformedInput("R data are cut short", f"{count} items at {self._source.at}")
        elif kind == TEXTS:
            self._texts(count)
        else:
            self._repeat(count)

    def _texts(self, count: int) -> None:
        """Items that can only be texts, read at once."""
        self._count += count
        for _ in range(count):
            if self._source.integer() & 255 != CHARS:
                raise MalformedInput("R data have something else than text among texts", f"at {self._source.at}")
            if (length := self._source.integer()) >= 0:
                self._source.text(length)

    def _repeat(self, count: int) -> None:
        """Items one after the other, without a list of all of them."""
        if count > 1:
            self._then(self._item, lambda: self._repeat(count - 1))
        elif count:
            self._then(self._item)

    def _rare(self, kind: int, has_attributes: bool) -> None:
        last = [self._item] if has_attributes else []
        if kind == SYMBOL:
            self._then(self._item, self._remember)
        elif kind == ENVIRONMENT:
            self._references.append("")
            self._source.integer()
            self._then(*([self._item] * 4))
        elif kind in (PERSISTENT, PACKAGE, NAMESPACE):
            self._references.append("")
            self._source.integer()
            self._repeat(self._bounded(self._source.integer()))
        elif kind == POINTER:
            self._references.append("")
            self._then(self._item, self._item, *last)
        elif kind == WEAK:
            self._references.append("")
            self._then(*last)
        elif kind == S4:
            self._then(*last)
        elif kind == ALTERNATIVE:
            self._alternative()
        elif kind == BYTECODE:
            self._todo.clear()  # its tables are not read; a file with byte code is not clean
        else:
            raise MalformedInput("R data have an unknown type", str(kind))

    def _bounded(self, count: int) -> int:
        if not 0 <= count <= 1000:
            raise Impossible("R data have an impossible count", str(count))
        return count

    def _remember(self) -> None:
        self._references.append(self._word)

    def _alternative(self) -> None:
        """Info (a list of class, package, type), state and attributes; the class is the first word of the info."""
        depth, found = len(self._todo), list[str]()

        def first() -> None:
            """After the class of the info was read; the rest of the info follows."""
            found.append(self._word)
            if self._word not in LISTED_ALTERNATIVES:
                self.tell("r-code", f"an alternative representation of class {self._word[:60]!r}")

        flags = self._source.integer() & 0xFFFFFFFF
        if flags & 255 != PAIRS or flags & 0x600:
            raise MalformedInput("R data have a malformed representation", f"{depth} items open")
        self._then(self._item, first, self._item, self._item, self._item)
