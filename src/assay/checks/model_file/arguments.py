"""Whether the shape of arguments fits a constraint of the allow-list. Shapes are those of `assay.formats.pickle_values`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from assay.checks.model_file.lists import Entry
from assay.formats.pickle_values import Shape

MAX_SMALL = 1 << 24
MAX_ITEMS = 1 << 26
_CONSTANT = frozenset("sifbno")
_LETTERS = {"str": "s", "int": "i", "float": "f", "bool": "o", "none": "n", "bytes": "b", "tuple": "t", "list": "l"}
BUILTIN_BASES = frozenset(
    {"object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bytes", "complex"}
)


class Finder(Protocol):
    """What finds the entry of a name as it is spelt in the stream."""

    def __call__(self, module: str | None, name: str | None) -> Entry | None: ...


def fits(shape: Shape, constraint: Sequence[str], find: Finder) -> bool:
    """Whether a tuple of arguments is what a constraint allows."""
    if shape[0] != "t" or shape[-1] == "…":
        return False
    items = list(shape[1:])
    for wanted in constraint:
        if wanted.endswith("*"):
            return all(_fits_one(item, wanted[:-1], find) for item in items)
        if not items:
            return wanted.endswith("?")
        if not _fits_one(items.pop(0), wanted.removesuffix("?"), find):
            return False
    return not items


def type_of(shape: Shape, find: Finder) -> tuple[str, str] | None:
    """The listed type of what a call made; None if nothing is known of it."""
    if shape[0] != "r" or shape[1][0] != "g":
        return None
    callee = (shape[1][1], shape[1][2])
    entry = find(*callee)
    if entry is None:
        return None
    if entry.makes == "@0":
        return (shape[2][1], shape[2][2]) if shape[2][0] == "g" else None
    if entry.makes:
        module, _, name = entry.makes.partition(":")
        return module, name
    return callee if entry.role == "type" else None


def _fits_one(item: Shape, wanted: str, find: Finder) -> bool:
    return any(_is(item, alternative, find) for alternative in wanted.split("|"))


def _is(item: Shape, wanted: str, find: Finder) -> bool:
    letter = item[0]
    if wanted in _LETTERS:
        return bool(letter == _LETTERS[wanted])
    if wanted.startswith("="):
        return bool(item == ("s", wanted[1:]))
    if wanted.startswith(("g:", "m:")):
        _, module, name = wanted.split(":")
        return item == ("g", module, name) if wanted[0] == "g" else type_of(item, find) == (module, name)
    return _KINDS[wanted](item, find)


def _is_type(item: Shape, find: Finder) -> bool:
    entry = find(item[1], item[2]) if item[0] == "g" else None
    return entry is not None and entry.role == "type"


def _is_harmless(item: Shape, find: Finder) -> bool:
    """Whether it is a function that is listed for whatever arguments, so that calling it later is as harmless as calling it now."""
    entry = find(item[1], item[2]) if item[0] == "g" else None
    return entry is not None and entry.role == "function" and entry.args == ("any*",)


def _is_shape(item: Shape, find: Finder) -> bool:
    sizes = [part[1] for part in item[1:] if part[0] == "i"] if item[0] == "t" else [MAX_ITEMS + 1]
    return len(sizes) == len(item) - 1 and math.prod(sizes) <= MAX_ITEMS and min(sizes, default=0) >= 0


def _is_constant(item: Shape, find: Finder) -> bool:
    return item[0] in _CONSTANT or (
        item[0] == "t" and all(part != "…" and _is_constant(part, find) for part in item[1:])
    )


_KINDS: dict[str, Callable[[Shape, Finder], bool]] = {
    "any": lambda item, find: True,
    "small": lambda item, find: item[0] == "i" and 0 <= item[1] <= MAX_SMALL,
    "dict": lambda item, find: item[0] in ("d", "k"),
    "set": lambda item, find: item[0] in ("e", "z"),
    "const": _is_constant,
    "shape": _is_shape,
    "type": _is_type,
    "harmless": _is_harmless,
    "builtin": lambda item, find: (
        item[0] == "g" and item[1] in ("builtins", "__builtin__") and item[2] in BUILTIN_BASES
    ),
}
