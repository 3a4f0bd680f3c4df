"""Universal Binary JSON, as XGBoost writes models: walked to its end without recursion, so that nothing hides in or behind it.

Source: ubjson.org, draft 12 (types, optimised containers); XGBoost 3, `src/common/json.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.facts import Fact
from assay.formats.pickle_machine import Data

MAX_VALUES = 5_000_000
MAX_DEPTH = 1_000
_FIXED = {
    "Z": 0,
    "T": 0,
    "F": 0,
    "N": 0,
    "i": 1,
    "U": 1,
    "C": 1,
    "I": 2,
    "u": 2,
    "l": 4,
    "m": 4,
    "d": 4,
    "L": 8,
    "M": 8,
    "D": 8,
}
_INTEGERS = {
    "i": (1, True),
    "U": (1, False),
    "I": (2, True),
    "u": (2, False),
    "l": (4, True),
    "m": (4, False),
    "L": (8, True),
    "M": (8, False),
}


class _Walk:
    """A position in the bytes; every step is checked against what remains."""

    def __init__(self, data: Data) -> None:
        self.data, self.at = data, 0

    def skip(self, count: int) -> None:
        if count < 0 or count > len(self.data) - self.at:
            raise MalformedInput("UBJSON is cut short", f"{count} bytes are announced at {self.at}")
        self.at += count

    def mark(self) -> str:
        self.skip(1)
        return chr(self.data[self.at - 1])

    def number(self) -> int:
        kind = self.mark()
        if kind not in _INTEGERS:
            raise MalformedInput("UBJSON has a length that is no integer", repr(kind))
        width, is_signed = _INTEGERS[kind]
        self.skip(width)
        return int.from_bytes(self.data[self.at - width : self.at], "big", signed=is_signed)


def ubjson_facts(data: Data) -> Iterator[Fact]:
    """One fact if bytes follow the value.

    Raises:
        MalformedInput: it does not follow the format, or is too large or deep.
    """
    walk = _Walk(data)
    _value(walk)
    if walk.at != len(data):
        yield Fact("trailing", "", walk.at, (f"{len(data) - walk.at} bytes follow the value",))


def _value(walk: _Walk) -> None:
    """One value; open containers stand on a list as (is object, type of items, items left or None)."""
    values, stack = 0, [(False, "", 1)]
    while stack:
        is_object, kind, left = stack[-1]
        values += 1
        if values > MAX_VALUES or len(stack) > MAX_DEPTH:
            raise MalformedInput(
                "UBJSON is too large or too deep", f"more than {MAX_VALUES} values or {MAX_DEPTH} levels"
            )
        if left == 0:
            stack.pop()
            continue
        if left < 0 and chr(walk.data[walk.at] if walk.at < len(walk.data) else 0) == ("}" if is_object else "]"):
            walk.skip(1)
            stack.pop()
            continue
        if is_object:
            walk.skip(walk.number())
        stack[-1] = (is_object, kind, left - 1 if left > 0 else left)
        _step(walk, kind or walk.mark(), stack)


def _step(walk: _Walk, kind: str, stack: list[tuple[bool, str, int]]) -> None:
    if kind in _FIXED:
        walk.skip(_FIXED[kind])
    elif kind in "SH":
        walk.skip(walk.number())
    elif kind in "[{":
        _open(walk, kind == "{", stack)
    else:
        raise MalformedInput("UBJSON has an unknown type", repr(kind))


def _open(walk: _Walk, is_object: bool, stack: list[tuple[bool, str, int]]) -> None:
    kind, count = "", -1
    if chr(walk.data[walk.at] if walk.at < len(walk.data) else 0) == "$":
        walk.skip(1)
        kind = walk.mark()
    if chr(walk.data[walk.at] if walk.at < len(walk.data) else 0) == "#":
        walk.skip(1)
        count = walk.number()
    if kind and count < 0:
        raise MalformedInput("a typed UBJSON container has no count", str(walk.at))
    if kind in _FIXED and not is_object:
        walk.skip(_FIXED[kind] * count)
        return
    stack.append((is_object, kind, count))
