"""Judges what Keras configurations name against `allow/keras.json`, made by `tools/make_keras_list.py`. Pure."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from functools import cache

from assay.checks.model_file.judgement import Problem
from assay.checks.model_file.lists import FOLDER
from assay.checks.model_file.names import is_dangerous
from assay.core.canonical import Json
from assay.formats.facts import Fact

SCHEMA = "urn:assay:keras-list:v1"
_FUNCTIONS = ("losses", "metrics", "activations")
_ACTING_PARTS = frozenset({"utils", "saving", "saving_lib", "file_utils", "export", "backend", "datasets", "config"})
_JUDGED_BY_CALL = ("TFOpLambda", "SlicingOpLambda")
_BUILT_IN = ("Custom>", "keras>", "Keras>", "Addons>")
_READS = (
    "io.",
    "raw_ops.",
    "py_func",
    "numpy_function",
    "load_",
    "compat.v1.py_func",
    "data.",
    "saved_model.",
    "autograph.",
)


def keras_object(fact: Fact) -> Iterator[Problem]:
    """A class by module and name; in the oldest files by name alone."""
    module, name, registered = fact.data
    refused = _list()["refused"]
    bare = name.rpartition(">")[2] if name.startswith(_BUILT_IN) else name
    if bare in refused:
        if bare not in _JUDGED_BY_CALL:
            yield Problem("ASY-KER-001", f"the class {bare} {refused[bare]}", fact.offset, fact.member)
    elif bare not in _names(module) or (registered and registered.rpartition(">")[2] != bare):
        yield _unlisted(module, name if bare in _names(module) else bare, registered, fact)
    elif ">" in registered and not registered.startswith(_BUILT_IN):
        yield _unlisted(module, name, registered, fact)


def keras_function(fact: Fact) -> Iterator[Problem]:
    """A loss, metric or activation by name."""
    module, name = fact.data
    spaces = [m for m in _list()["entries"] if m == module or (module in ("builtins", "") and m)]
    if not any(name in _names(m) for m in spaces if any(f".{area}" in m for area in _FUNCTIONS)):
        yield _unlisted(module, name, "", fact)


def keras_call(fact: Fact) -> Iterator[Problem]:
    """A function of TensorFlow that an operator layer calls by its name."""
    (name,) = fact.data
    if name in _functions():
        return
    rule = "ASY-KER-001" if name.startswith(_READS) else "ASY-KER-002"
    yield Problem(rule, f"a layer calls tf.{name or '?'}", fact.offset, fact.member)


def keras_path(fact: Fact) -> Iterator[Problem]:
    """A vocabulary that is read from a path or URL while loading."""
    yield Problem("ASY-KER-003", f"a layer reads {fact.data[0]!r}", fact.offset, fact.member)


def _unlisted(module: str, name: str, registered: str, fact: Fact) -> Problem:
    told = f"{module or '?'}.{name}" + (f", registered as {registered}" if registered and registered != name else "")
    parts = set(module.split(".")[1:]) if module.startswith(("keras", "tf_keras")) else set()
    acts = hasattr(builtins, name) if module == "builtins" else is_dangerous(f"{module}.{name}")
    rule = "ASY-KER-001" if acts or parts & _ACTING_PARTS else "ASY-KER-002"
    return Problem(rule, told, fact.offset, fact.member)


@cache
def _list() -> dict[str, Json]:
    found: dict[str, Json] = json.loads((FOLDER / "keras.json").read_bytes())
    return found


@cache
def _names(module: str) -> frozenset[str]:
    return frozenset(_list()["entries"].get(module, ()))


@cache
def _functions() -> frozenset[str]:
    return frozenset(_list()["tensor_functions"])
