"""Writes the allow-lists of libraries that are installed here: `python tools/make_allowlist.py numpy scipy sklearn pandas joblib`.

Run it once in each environment whose versions should count; entries are merged into the files and versions added to them.
`python` stands for the list of built-in and standard library types, which is written by hand below.

A class is taken as a `type` if every hook that loading can reach is the default of its builtin base or reviewed. A review is
either the rule `is_plain` (the source of the hook does nothing but move attributes, compare and call a few harmless builtins),
or a line in REVIEWED that names the hook of one class with the reason; for hooks in Python it is bound to the digest of the
source, so that a changed hook is refused again. Functions are listed one by one, by hand, with constraint and reason.
"""

from __future__ import annotations

import argparse
import ast
import enum
import hashlib
import importlib
import inspect
import json
import pkgutil
import sys
import textwrap
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from allowlist_functions import FUNCTIONS, INERT_FUNCTIONS, MODULE_CALLS, PYTHON, REVIEWED, REVIEWED_IN_C

OUT = Path(__file__).resolve().parent.parent / "src/assay/checks/model_file/allow"
HOOKS = ("__new__", "__setstate__", "__setattr__", "__getattr__", "__getattribute__", "__del__", "__hash__")
ITEM_HOOKS = ("append", "extend", "add", "update", "__setitem__")
BUILTIN = (object, dict, list, tuple, set, frozenset, int, float, complex, str, bytes, bytearray, BaseException)
METACLASSES = {
    "type",
    "ABCMeta",
    "EnumType",
    "EnumMeta",
    "_ProtocolMeta",
    "_ParameterMeta",
    "_TensorMeta",
    "_VariableMeta",
}
SKIPPED = ("tests", "test", "testing", "conftest", "f2py", "distutils", "_build_utils", "__main__", "setup", "_pyinstaller", "dask", "spark",
           "_dynamo", "_inductor", "distributed", "onnx", "_export", "fx", "utils.tensorboard", "contrib", "backends", "_C")  # fmt: skip
COMPANION = "joblib.load reads the file that its state names, unscanned, with allow_pickle=True"
LOADER_ACTS = {  # harmless by their own hooks, but a loader does more with what it finds of them
    ("joblib.numpy_pickle_compat", "NDArrayWrapper"): COMPANION, ("joblib.numpy_pickle_compat", "ZNDArrayWrapper"): COMPANION,
    ("joblib.numpy_pickle", "NDArrayWrapper"): COMPANION, ("joblib.numpy_pickle", "ZNDArrayWrapper"): COMPANION,
}  # fmt: skip
PLAIN_CALLS = {
    "super", "isinstance", "len", "type", "hasattr", "getattr", "tuple", "list", "dict", "set", "frozenset", "int", "float", "str", "bool", "id",
    "hash", "repr", "sorted", "range", "zip", "enumerate", "min", "max", "abs", "any", "all", "iter", "next", "vars", "issubclass", "callable",
    "ValueError", "TypeError", "AttributeError", "KeyError", "RuntimeError", "NotImplementedError", "OrderedDict", "update", "items",
    "keys", "values", "get", "pop", "setdefault", "copy", "append", "startswith", "endswith", "format", "join", "__new__", "__setattr__",
    "__getattr__", "__getattribute__", "__setstate__", "__hash__", "warn", "object", "cast", "ref",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries", nargs="+")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--fresh", action="store_true", help="forget the entries of other versions")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for library in asked.libraries:
        write(asked.out / f"{library}.json", python() if library == "python" else walked(library), asked.fresh)


def python() -> dict[str, object]:
    """The list of the standard library."""
    return {"library": "python", "versions": [sys.version.split()[0]], "entries": PYTHON, "refused": {}}


def walked(library: str) -> dict[str, object]:
    """Everything that one installed library may have in a model file."""
    package = importlib.import_module(library)
    entries: dict[str, dict[str, object]] = {}
    refused: dict[str, str] = {}
    for module in modules_of(package):
        for cls in {c for c in vars(module).values() if isinstance(c, type)}:
            if cls.__module__.partition(".")[0] == library and resolves(cls):
                note(cls, entries, refused)
        for name in (name for name in vars(module) if name.startswith("__pyx_unpickle_")):
            entries.setdefault(module.__name__, {})[name] = {"role": "function", "args": ["type", "int", "any?"], "makes": "@0",
                                                             "why": "Cython: an empty object, then typed fields behind a checksum"}  # fmt: skip
        for name in inert_functions(module):
            entries.setdefault(module.__name__, {}).setdefault(name, "inert")
    for module_name, functions in FUNCTIONS.get(library, {}).items():
        entries.setdefault(module_name, {}).update(functions)
    for name in ufuncs(package) if library in ("numpy", "scipy") else ():
        entries.setdefault(name.rpartition(".")[0], {}).setdefault(name.rpartition(".")[2], "inert")
    return {"library": library, "versions": [package.__version__], "entries": entries, "refused": refused}


def modules_of(package: types.ModuleType) -> Iterator[types.ModuleType]:
    """The package and every module below it that can be imported and is no test."""
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None):
        if any(part in found.name.split(".") or f".{part}." in f"{found.name}." for part in SKIPPED):
            continue
        try:
            yield importlib.import_module(found.name)
        except BaseException as error:  # noqa: BLE001 - a module that cannot be imported is left out and named
            print(f"left out {found.name}: {type(error).__name__}", file=sys.stderr)


def resolves(cls: type) -> bool:
    """Whether a loader that is given the class's own name finds this class."""
    if "<locals>" in cls.__qualname__ or any(part in cls.__module__.split(".") for part in SKIPPED):
        return False
    value: object = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        value = getattr(value, part, None)
    return value is cls


def note(cls: type, entries: dict[str, dict[str, object]], refused: dict[str, str]) -> None:
    """Takes or refuses one class."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    why = reason_against(cls)
    if why:
        refused[name] = why
        return
    entry: object = "t" + flags(cls)
    if cls.__module__ in MODULE_CALLS:
        entry = {
            "role": "type",
            "args": MODULE_CALLS[cls.__module__],
            "state": True,
            "why": "its constructor keeps numbers",
        }
    entries.setdefault(cls.__module__, {})[cls.__qualname__] = entry


def inert_functions(module: types.ModuleType) -> list[str]:
    """Plain functions that a module of INERT_FUNCTIONS defines."""
    if not any(module.__name__ == space or module.__name__.startswith(f"{space}.") for space in INERT_FUNCTIONS):
        return []
    own = (name for name, value in vars(module).items() if callable(value) and not isinstance(value, type))
    return [
        name
        for name in own
        if getattr(getattr(module, name), "__module__", "") == module.__name__ and not name.startswith("__")
    ]


def reason_against(cls: type) -> str:
    """Why a class may not be made from a file; "" if it may."""
    if (cls.__module__, cls.__qualname__) in LOADER_ACTS:
        return LOADER_ACTS[cls.__module__, cls.__qualname__]
    if type(cls).__name__ not in METACLASSES:
        return f"metaclass {type(cls).__name__}"
    if issubclass(cls, BaseException) or issubclass(cls, type):
        return "an exception or metaclass"
    for hook in HOOKS:
        owner = next((base for base in cls.__mro__ if hook in vars(base)), object)
        if owner in BUILTIN or issubclass(cls, enum.Enum) or vars(owner)[hook] is None:
            continue
        if why := reason_against_hook(owner, hook):
            return f"{hook} of {owner.__module__}:{owner.__qualname__}: {why}"
    return ""


def reason_against_hook(owner: type, hook: str) -> str:
    """Why one hook is not harmless."""
    name = f"{owner.__module__}:{owner.__qualname__}.{hook}"
    function = vars(owner)[hook]
    function = getattr(function, "__func__", function)
    if hook == "__new__" and issubclass(owner, tuple) and hasattr(owner, "_fields"):
        return ""  # a named tuple, whose constructor is tuple's
    if name in REVIEWED_IN_C or owner.__module__ in ("abc", "typing", "collections", "collections.abc", "enum"):
        return ""
    if hook == "__hash__" and isinstance(function, types.WrapperDescriptorType):
        return ""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (TypeError, OSError, IndentationError):
        if hook == "__setstate__" and not declares_constructor(owner):
            return ""  # Cython and C fill typed fields and check their types; they run nothing of the file
        # Cython and C: a constructor that a class has without declaring one makes an empty object
        is_slot = hook == "__new__" and isinstance(function, types.BuiltinFunctionType)
        return "" if is_slot and not declares_constructor(owner) else "compiled, not reviewed"
    if hashlib.sha256(source.encode()).hexdigest()[:16] in REVIEWED.get(name, {}):
        return ""
    return is_plain(source, hook)


def declares_constructor(owner: type) -> bool:
    """Extension types outside the reviewed modules are not trusted to have harmless constructors."""
    return owner.__module__.partition(".")[0] not in ("sklearn", "scipy", "pandas", "numpy")


def is_plain(source: str, hook: str) -> str:
    """Whether a hook only moves attributes about; else the first thing that it does beyond."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "its source cannot be read"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Await | ast.Yield | ast.With):
            return f"has {type(node).__name__}"
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "?")
            if called not in PLAIN_CALLS:
                return f"calls {called} ({hashlib.sha256(source.encode()).hexdigest()[:16]})"
    return ""


def flags(cls: type) -> str:
    """The letters that `assay.checks.model_file.lists` knows."""
    found = "i" if issubclass(cls, list | dict | set) and not own(cls, ITEM_HOOKS) else ""
    found += "n" if issubclass(cls, tuple | str | int | float | bytes | frozenset | complex) else ""
    found += "s" if own(cls, ("__setstate__",)) else ""
    setters = any((isinstance(v, property) and v.fset) or (hasattr(type(v), "__set__") and not isinstance(v,
        property | types.MemberDescriptorType | types.GetSetDescriptorType))
                  for base in cls.__mro__ if base is not object for v in vars(base).values())  # fmt: skip
    found += "" if setters or own(cls, ("__setattr__",)) else "x"
    return found + ("e" if issubclass(cls, enum.Enum) and "_missing_" not in vars(cls) else "")


def own(cls: type, hooks: tuple[str, ...]) -> bool:
    """Whether a class or a base that is not builtin has one of the hooks."""
    return any(hook in vars(base) for base in cls.__mro__ if base not in BUILTIN for hook in hooks)


def ufuncs(package: types.ModuleType) -> list[str]:
    """Elementwise functions, which appear as values in pipelines; they may not be called by a file."""
    import numpy as np

    spaces = [package] if package is np else [importlib.import_module("scipy.special")]
    names = [
        f"{space.__name__}.{name}"
        for space in spaces
        for name in dir(space)
        if isinstance(getattr(space, name, None), np.ufunc)
    ]
    homes = ("numpy.core._multiarray_umath", "numpy._core._multiarray_umath") if package is np else ()
    return sorted(names + [f"{home}.{n[6:]}" for home in homes for n in names])


def narrower(known: object, entry: object) -> object:
    """What two versions of a class both allow: attributes may be set from a file only where neither has a setter."""
    if isinstance(known, str) and isinstance(entry, str) and known != entry and entry.startswith("t"):
        return entry.replace("x", "") if "x" not in known else entry
    return entry


def write(path: Path, made: dict[str, object], is_fresh: bool) -> None:
    """Merges what was made into the library's file."""
    old = (
        json.loads(path.read_text())
        if path.exists() and not is_fresh
        else {"entries": {}, "versions": [], "refused": {}}
    )
    entries = old["entries"]
    for module, names in made["entries"].items():  # type: ignore[attr-defined]
        known = entries.setdefault(module, {})
        for name, entry in names.items():
            known[name] = narrower(known.get(name, entry), entry)
    refused = {**old["refused"], **made["refused"]}  # type: ignore[dict-item]
    for module, _, name in (name.partition(":") for name, why in refused.items() if why.startswith("__del__")):
        if name not in FUNCTIONS.get(str(made["library"]), {}).get(module, {}):
            entries.get(module, {}).pop(name, None)  # a hook that runs unasked in one version is refused in all
    value = {
        "schema": "urn:assay:allow-list:v1", "library": made["library"], "python": sys.version.split()[0],
        "versions": sorted({*old["versions"], *made["versions"]}), "entries": entries,  # type: ignore[misc]
        "refused": refused,
    }  # fmt: skip
    path.write_text(json.dumps(value, indent=0, sort_keys=True) + "\n")
    print(
        path.name,
        value["versions"],
        sum(map(len, entries.values())),
        "entries,",
        len(refused),
        "refused",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
