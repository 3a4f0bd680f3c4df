"""The allow-list: what a model file may name, and in which role. Exact names only; nothing is cleared by a prefix.

A name is a module and a dotted name inside it, never the two joined, because `a.b` of module `c` and `b` of module `c.a` are
different to a loader. Roles: `type` may be instantiated without its constructor and be given a state; `function` may be called
with arguments that fit its constraint; `inert` may only appear. A library's file is read when a name of it first appears.

Constraints of arguments, in `args`: `str int small float bool none bytes tuple list dict set const shape type builtin any`
and `harmless`, a function that is listed for any arguments, joined by `|`; `=text` is that text alone, `g:module:name` that
global alone, `m:module:name` a value of that type; a trailing `?` may be left out, a trailing `*` may be repeated.
"""

from __future__ import annotations

import _compat_pickle
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from assay.core.canonical import Json
from assay.core.digests import Digest, is_digest, sha256, short
from assay.core.errors import UsageError
from assay.formats.skops_file import TYPES_FILE

FOLDER = Path(__file__).with_name("allow")
SCHEMA = "urn:assay:allow-list:v1"
MAX_LIST_BYTES = 8 << 20
CONSTRAINTS = frozenset(
    {
        "str", "int", "small", "float", "bool", "none", "bytes", "tuple", "list", "dict", "set", "const", "shape", "type", "builtin",
        "any", "harmless",
    }
)  # fmt: skip
_KEYS = frozenset({"role", "args", "makes", "items", "state", "slots", "new", "why"})
LIBRARIES = frozenset(
    {
        "numpy",
        "scipy",
        "sklearn",
        "pandas",
        "joblib",
        "torch",
        "xgboost",
        "lightgbm",
        "catboost",
        "imblearn",
        "torchvision",
    }
)
_HOMES = {"_loss": "sklearn"}  # scikit-learn 1.5 to 1.7 built a module that took itself for one of the top level


class Entry(NamedTuple):
    """What one name may do. `args` None: it may not be called; `makes` is the type of its results, `@0` its first argument.

    `own_state`: any state may be set; `state_args`: a tuple that fits this constraint, and no other.
    """

    role: str
    args: tuple[str, ...] | None = None
    makes: str = ""
    takes_items: bool = False
    own_state: bool = False
    plain_slots: bool = False
    new_args: bool = False
    why: str = ""
    state_args: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AddedList:
    """An allow-list that somebody adds to those that ship with Assay; `data` are the bytes of its file."""

    name: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> Digest:
        """What names it in statements."""
        return sha256(self.data)


class Lists:
    """All lists together; the union of their entries holds."""

    def __init__(self, added: Iterable[AddedList] = (), libraries: Iterable[str] | None = None) -> None:
        """Reads the added lists; those of libraries are read when a name of theirs first appears.

        Raises:
            UsageError: an added list is malformed.
        """
        self._libraries = LIBRARIES if libraries is None else frozenset(libraries)
        self._loaded: dict[str, Mapping[str, Mapping[str, Json]]] = {}
        self._added = tuple(added)
        self._extra = [_entries_of(one) for one in self._added]

    def find(self, module: str, name: str) -> Entry | None:
        """The entry of an exact name in the spelling of Python 3."""
        library = module.partition(".")[0]
        library = _HOMES.get(library, library)
        for modules in (self._of(library if library in self._libraries else "python"), *self._extra):
            if (found := modules.get(module, {}).get(name)) is not None:
                return _entry(found)
        return None

    def digests(self) -> tuple[tuple[str, Digest], ...]:
        """Name and digest of every list that has a say, also of those that no name was looked up in."""
        paths = [FOLDER / f"{library}.json" for library in sorted({*self._libraries, "python"})]
        paths.append(TYPES_FILE)
        ours = [(f"assay/{path.stem}", sha256(path.read_bytes())) for path in paths if path.exists()]
        return (*ours, *((one.name, one.sha256) for one in self._added))

    def _of(self, library: str) -> Mapping[str, Mapping[str, Json]]:
        if library not in self._loaded:
            path = FOLDER / f"{library}.json"
            self._loaded[library] = json.loads(path.read_bytes())["entries"] if path.exists() else {}
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


def read_list(text: str) -> AddedList:
    """The allow-list in a file that is named by its path, or by `PATH@sha256:HEX` so that no other bytes can take its place.

    Raises:
        UsageError: it cannot be read, has another digest, or is no allow-list.
    """
    path, at, digest = text.rpartition("@sha256:")
    if not at or not is_digest(digest):
        path, digest = text, ""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot use the allow-list {path}", str(error)[:200]) from error
    found = AddedList(Path(path).name, data)
    if digest and found.sha256 != digest:
        why = f"its digest begins {short(found.sha256)}, not {short(digest)}"
        raise UsageError(f"cannot use the allow-list {path}", why, "review it and name its new digest")
    _entries_of(found)
    return found


def _entries_of(added: AddedList) -> Mapping[str, Mapping[str, Json]]:
    try:
        if len(added.data) > MAX_LIST_BYTES:
            raise ValueError(f"it has more than {MAX_LIST_BYTES} bytes")
        value = json.loads(added.data.decode("utf-8"))
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        entries: Mapping[str, Mapping[str, Json]] = value["entries"]
        for module, names in entries.items():
            for name, found in names.items():
                if problem := _problem(found):
                    raise ValueError(f"{module}:{name}: {problem}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"cannot use the allow-list {added.name}", str(error)[:200]) from error
    return entries


def _problem(found: Json) -> str:
    """Why an entry does not say one clear thing; a word that nothing knows would clear nothing, in silence."""
    if isinstance(found, str):
        return "" if re.fullmatch("inert|t[isxne]*", found) else f"{found[:40]!r} is no entry"
    if unknown := sorted(set(found) - _KEYS):
        return f"{unknown[0][:40]!r} is unknown here"
    if found.get("role") not in ("type", "function", "inert"):
        return f"the role {str(found.get('role'))[:40]!r} is none of type, function, inert"
    shapes = [*(found.get("args") or ()), *(found["state"] if isinstance(found.get("state"), list) else ())]
    words = [word for wanted in shapes for word in wanted.rstrip("?*").split("|")]
    wrong = [word for word in words if word not in CONSTRAINTS and word[:1] != "=" and not _is_named(word)]
    return f"the constraint {wrong[0][:40]!r} is not known" if wrong else ""


def _is_named(word: str) -> bool:
    return word[:2] in ("g:", "m:") and word.count(":") == 2


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
        found.get("state") is True,
        bool(found.get("slots")),
        bool(found.get("new")),
        found.get("why", ""),
        tuple(found["state"]) if isinstance(found.get("state"), list) else None,
    )
