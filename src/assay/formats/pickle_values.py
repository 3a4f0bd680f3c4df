"""Abstract values of the pickle machine, and how a value is told in a fact.

Constants (`str`, `int`, `float`, `None`, `bool`) and tuples stand for themselves; everything else is one of these. A value
is described to a bounded depth by nested tuples that begin with a letter, never of more than 500 parts; texts in them lose what
may be a credential, and lone surrogates, so that facts can be stored as they are:

    ("g", module, name)  a global; a part is None where it was computed      ("s", text)  ("i", n)  ("f",)  ("n",)  ("o", bool)
    ("r", callee, of)    what a call made; `of` is its first argument         ("b", length)  bytes or a long text
    ("t", items...)      a tuple, cut after 12 items                          ("l"|"d"|"e"|"z", count)  list, dict, set, frozenset
    ("k", count, keys)   a small dict whose keys are all texts                ("p",) persistent id   ("x",) code   ("?",) unknown
"""

from __future__ import annotations

from typing import Any

from assay.core.canonical import MAX_INTEGER
from assay.formats.facts import plain_text
from assay.formats.masking import masked

MAX_TEXT = 200
MAX_ITEMS = 12
MAX_KEPT = 64
MAX_MADE = 100_000
MAX_KEY = 80
MAX_DEPTH = 4
MAX_PARTS = 500
MAX_NAME = 500

Value = Any  # Any: constants, tuples of values, and the classes below
Shape = tuple[Any, ...]  # Any: nested tuples of texts and numbers


class Name:
    """A global that the stream names; None for a part that is put together while loading."""

    __slots__ = ("at", "module", "name")

    def __init__(self, module: str | None, name: str | None, at: int) -> None:
        self.module = module and plain_text(module, MAX_NAME)
        self.name = name and plain_text(name, MAX_NAME)
        self.at = at


class Made:
    """The result of a call; `state` is what BUILD gave it last, `raw` and `inner` what joblib reads behind that: bytes, or an array of objects."""

    __slots__ = ("args", "callee", "inner", "op", "raw", "state")

    def __init__(self, op: str, callee: Value, args: Value) -> None:
        self.op, self.callee, self.args = op, callee, args
        self.state: Value = None
        self.raw: tuple[int, int] | None = None
        self.inner: Value = None


class Box:
    """A builtin container; `kept` holds the first items of a dict that have a text as key, `made` what calls made in a list."""

    __slots__ = ("count", "kept", "kind", "made", "others")

    def __init__(self, kind: str) -> None:
        self.kind, self.count, self.others = kind, 0, 0
        self.kept: dict[str, Value] = {}
        self.made: list[Made] = []

    def take(self, items: list[Value]) -> None:
        """Takes items of a list or set."""
        self.count += len(items)
        if len(self.made) < MAX_MADE:
            self.made += [item for item in items if type(item) is Made]

    def put(self, items: list[Value]) -> None:
        """Takes keys and values in turns."""
        self.count += len(items) // 2
        for i in range(0, len(items) - 1, 2):
            if type(items[i]) is str and len(self.kept) < MAX_KEPT:
                self.kept[items[i]] = items[i + 1]
            else:
                self.others += 1


class Blob:
    """Bytes or a long text that stays in the file: `b`, `s` or, for bytearrays and buffers, `a`."""

    __slots__ = ("at", "kind", "size")

    def __init__(self, kind: str, at: int, size: int) -> None:
        self.kind, self.at, self.size = kind, at, size


class Opaque:
    """A value that nothing is known of: `p` a persistent id, `x` an extension code, `?` anything else."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


UNKNOWN = Opaque("?")
NOTHING = Opaque("-")
"""What an empty stack gives: loaders have failed before they could use it."""


class Room:
    """How many parts a description may still have; a tuple that holds itself twelve times over would have thousands."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_PARTS


def describe(value: Value, room: Room, depth: int = MAX_DEPTH) -> Shape:
    """The shape of a value, never deeper than `depth`; what finds no `room` any more is `("?",)`."""
    room.left -= 1
    kind = type(value)
    if kind is str:
        return ("s", value if len(value) < 8 and value.isascii() else masked(plain_text(value, MAX_TEXT)))
    if kind is int:
        return ("i", value if -MAX_INTEGER <= value <= MAX_INTEGER else MAX_INTEGER if value > 0 else -MAX_INTEGER)
    if kind is tuple:
        return _tuple(value, room, depth) if depth and room.left > 0 else ("?",)
    if kind is Name:
        return ("g", value.module, value.name)
    if kind is Made:
        return _made(value, room, depth)
    if kind is Box:
        return _box(value)
    if kind is Blob:
        return ("s", "…") if value.kind == "s" else ("b", value.size)
    if kind is Opaque:
        return (value.kind,)
    return {bool: ("o", value), float: ("f",)}.get(kind, ("n",))


def _tuple(value: tuple[Value, ...], room: Room, depth: int) -> Shape:
    items = [describe(item, room, depth - 1) for item in value[:MAX_ITEMS]]
    return ("t", *items, "…") if len(value) > MAX_ITEMS else ("t", *items)


def _made(value: Made, room: Room, depth: int) -> Shape:
    if not depth:
        return ("?",)
    first = value.args[0] if type(value.args) is tuple and value.args else None
    of = value.callee if value.op in ("NEWOBJ", "NEWOBJ_EX") else first
    return ("r", describe(value.callee, room, depth - 1), describe(of, room, 1) if type(of) is Name else ("n",))


def _box(value: Box) -> Shape:
    if value.kind == "d" and value.count and not value.others and value.count <= MAX_KEPT:
        return ("k", value.count, tuple(masked(plain_text(key, MAX_KEY)) for key in sorted(value.kept)))
    return (value.kind, value.count)


class Cut(Exception):
    """The stream cannot be decoded further; the text says why."""


class Stopped(Exception):
    """STOP was read."""
