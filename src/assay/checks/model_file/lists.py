"""The allow-list: what a model file may name, and in which role. Exact names only; nothing is cleared by a prefix.

A name is a module and a dotted name inside it, never the two joined, because `a.b` of module `c` and `b` of module `c.a` are
different to a loader. Roles: `type` may be instantiated without its constructor and be given a state; `function` may be called
with arguments that fit its constraint; `inert` may only appear. A library's file is read when a name of it first appears.

Constraints of arguments, in `args`: `str int small float bool none bytes tuple list dict set const shape type builtin any`,
joined by `|`; `=text` is that text alone, `g:module:name` that global alone, `m:module:name` a value of that type; a trailing
`?` may be left out, a trailing `*` may be repeated.
"""

from __future__ import annotations

import _compat_pickle
import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from assay.core.canonical import Json
from assay.core.errors import UsageError

FOLDER = Path(__file__).with_name("allow")
SCHEMA = "urn:assay:allow-list:v1"
LIBRARIES = frozenset({"numpy", "scipy", "sklearn", "pandas", "joblib", "torch", "xgboost", "lightgbm", "torchvision"})


class Entry(NamedTuple):
    """What one name may do. `args` None: it may not be called; `makes` is the type of its results, `@0` its first argument."""

    role: str
    args: tuple[str, ...] | None = None
    makes: str = ""
    takes_items: bool = False
    own_state: bool = False
    plain_slots: bool = False
    new_args: bool = False
    why: str = ""


class Lists:
    """All lists together; the union of their entries holds. `digests` say which they were, for the statement."""

    def __init__(self, extra: Iterable[Path] = (), libraries: Iterable[str] | None = None) -> None:
        self._libraries = LIBRARIES if libraries is None else frozenset(libraries)
        self._loaded: dict[str, Mapping[str, Mapping[str, Json]]] = {}
        self._extra = [_read(path) for path in extra]
        self.digests: dict[str, str] = {}

    def find(self, module: str, name: str) -> Entry | None:
        """The entry of an exact name in the spelling of Python 3."""
        library = module.partition(".")[0]
        for modules in (self._of(library if library in self._libraries else "python"), *self._extra):
            if (found := modules.get(module, {}).get(name)) is not None:
                return _entry(found)
        return None

    def _of(self, library: str) -> Mapping[str, Mapping[str, Json]]:
        if library not in self._loaded:
            path = FOLDER / f"{library}.json"
            data = path.read_bytes() if path.exists() else b""
            self._loaded[library] = json.loads(data)["entries"] if data else {}
            self.digests[library] = sha256(data).hexdigest()
        return self._loaded[library]


@cache
def default_lists() -> Lists:
    """The lists that ship with Assay."""
    return Lists()


def spellings(module: str, name: str) -> list[tuple[str, str]]:
    """What loaders import for a name: as written, and as Python 3 maps names of Python 2 at protocols below 3.

    Where the written form exists only in Python 2, no loader of ours can import it, and the mapped form stands alone.
    """
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return [_compat_pickle.NAME_MAPPING[module, name]]
    if module in _compat_pickle.IMPORT_MAPPING:
        mapped = (_compat_pickle.IMPORT_MAPPING[module], name)
        return [mapped] if module not in ("dbm", "gdbm") else [mapped, (module, name)]
    return [(module, name)]


def _read(path: Path) -> Mapping[str, Mapping[str, Json]]:
    try:
        value = json.loads(path.read_bytes())
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        entries: Mapping[str, Mapping[str, Json]] = value["entries"]
        for module in entries.values():
            for found in module.values():
                _entry(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot use the allow-list {path}", str(error)[:200]) from error
    return entries


def _entry(found: Json) -> Entry:
    """`"t"` with flags is a type: `i` takes items, `s` has a reviewed `__setstate__`, `x` plain slots, `n` a
    constructor that takes constants (`__new__` of a builtin value or a named tuple), `e` an enumeration."""
    if isinstance(found, str):
        if found == "inert":
            return Entry("inert")
        return Entry(
            "type", ("const",) if "e" in found else None, "", "i" in found, "s" in found, "x" in found, "n" in found
        )
    args = found.get("args")
    return Entry(
        found["role"],
        None if args is None else tuple(args),
        found.get("makes", ""),
        bool(found.get("items")),
        bool(found.get("state")),
        bool(found.get("slots")),
        bool(found.get("new")),
        found.get("why", ""),
    )
