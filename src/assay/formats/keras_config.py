"""Keras model configurations: every class and function that `load_model` would look up, in a tree of JSON objects.

An object is `{"module", "class_name", "config", "registered_name"}`. Older files leave the module out. A Lambda layer carries
marshalled code; a module that is not Keras is imported by name (CVE-2024-3660, CVE-2025-1550).
Source: Keras 3.11, `saving/serialization_lib.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.core.canonical import Json
from assay.formats.facts import Fact

MAX_OBJECTS = 100_000
CODE_CLASSES = frozenset(
    {
        "Lambda",
        "TFOpLambda",
        "SlicingOpLambda",
        "__lambda__",
        "function",
        "TorchModuleWrapper",
        "FlaxLayer",
        "JaxLayer",
        "TFSMLayer",
    }
)
_LISTED_MODULES = re.compile(
    r"(?:tf_|tf\.)?keras(?:\.src)?(?:\.(?:layers|models|optimizers|losses|metrics|initializers|regularizers|constraints|activations|dtype_policies|random|"
    r"engine|core|legacy|saving|quantizers|loss_scale_optimizer|applications|functional|sequential)(?:\.[a-z_0-9]+)*)?"
)
_FORBIDDEN_PARTS = frozenset({"utils", "saving_lib", "file_utils", "export", "backend", "datasets", "callbacks"})


def is_keras(value: Json) -> bool:
    """Whether a JSON value is a model or an object of Keras."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), dict | list)
    )


def keras_facts(value: Json) -> Iterator[Fact]:
    """One fact for each thing that loading would run or that is not listed."""
    told: set[tuple[str, str]] = set()
    waiting, count = [value], 0
    while waiting and count < MAX_OBJECTS:
        item = waiting.pop()
        count += 1
        if isinstance(item, dict):
            for kind, words in _object_facts(item):
                if (kind, words) not in told:
                    told.add((kind, words))
                    yield Fact(kind, "", None, (words,))
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    if waiting:
        yield Fact("limit", "", None, (f"more than {MAX_OBJECTS} values in a Keras configuration",))


def _object_facts(item: dict[str, Json]) -> Iterator[tuple[str, str]]:
    name, module = item.get("class_name"), item.get("module")
    if isinstance(name, str) and "config" in item:
        registered = item.get("registered_name")
        if name in CODE_CLASSES and (name != "function" or not _is_keras_function(item)):
            yield "keras-code", f"a layer of class {name}"
        elif isinstance(module, str) and not _is_listed(module):
            yield "keras-name", f"{module[:80]}.{name[:80]}"
        elif isinstance(registered, str) and ">" in registered and not registered.startswith("keras"):
            yield "keras-name", f"the registered class {registered[:80]}"
    if isinstance(module, str) and "fn" in item and not _is_listed(module):
        yield "keras-name", f"the module {module[:80]}"


def _is_listed(module: str) -> bool:
    return module in ("builtins", "") or (
        _LISTED_MODULES.fullmatch(module) is not None and not _FORBIDDEN_PARTS & set(module.split("."))
    )


def _is_keras_function(item: dict[str, Json]) -> bool:
    return (
        isinstance(item.get("module"), str)
        and item["module"] != "builtins"
        and _is_listed(item["module"])
        and isinstance(item.get("config"), str)
    )
