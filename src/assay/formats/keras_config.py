"""Keras model configurations: every class and function that loading would look up, in a tree of JSON objects.

An object is `{"module", "class_name", "config", "registered_name"}`; older files leave the module out. What is told of each, once:
`keras-object` (module, name, registered name), `keras-function` (module, name), `keras-call` a TensorFlow function that an
operator layer calls by name, `keras-path` a vocabulary that would be read from a file. A list judges the names later.
Source: Keras 3.15, `saving/serialization_lib.py`; tf-keras 2.21, `layers/core/tf_op_layer.py`; CVE-2024-3660, CVE-2025-1550,
CVE-2025-8747, CVE-2025-12058 (vocabularies read from any path or URL).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.canonical import Json
from assay.formats.facts import Fact

MAX_OBJECTS = 300_000
MAX_FACTS = 5_000
MAX_NAME = 120
CALLING = frozenset({"TFOpLambda", "SlicingOpLambda", "InstanceProperty", "InstanceMethod", "ClassMethod"})
WITH_VOCABULARY = frozenset({"StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup", "DynamicLookup"})
CODE = "__lambda__"


def is_keras(value: Json) -> bool:
    """Whether a JSON value is a model or an object of Keras."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), dict | list)
    )


def keras_facts(value: Json) -> Iterator[Fact]:
    """One fact for each thing that loading would look up, read or call."""
    told: set[Fact] = set()
    waiting, count = [value], 0
    while waiting and count < MAX_OBJECTS and len(told) < MAX_FACTS:
        item = waiting.pop()
        count += 1
        if isinstance(item, dict):
            for fact in _object_facts(item):
                if fact not in told:
                    told.add(fact)
                    yield fact
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    if waiting:
        yield Fact("limit", "", None, (f"more than {MAX_OBJECTS} values in a Keras configuration",))


def _object_facts(item: dict[str, Json]) -> Iterator[Fact]:
    name, module, config = item.get("class_name"), _text(item.get("module")), item.get("config")
    if not isinstance(name, str):
        if "fn" in item and module:
            yield _fact("keras-function", module, _text(item["fn"]))
        return
    if name == "function" and isinstance(config, str | dict):
        own = config if isinstance(config, dict) else {"name": config}
        yield _fact("keras-function", _text(own.get("module")) or module, _text(own.get("name", own.get("class_name"))))
    elif "config" in item or module:
        yield _fact("keras-object", module, name, _text(item.get("registered_name")))
    if name in CALLING and isinstance(config, dict):
        yield _fact("keras-call", _text(config.get("function", config.get("attr_name"))))
    if name.rpartition(">")[2] in WITH_VOCABULARY and isinstance(config, dict):
        for key in ("vocabulary", "idf_weights"):
            if isinstance(config.get(key), str):
                yield _fact("keras-path", _text(config[key]))


def _fact(kind: str, *words: str) -> Fact:
    return Fact(kind, "", None, words)


def _text(value: Json) -> str:
    """A name as text; what is no text cannot be a listed name."""
    if value is None:
        return ""
    return value[:MAX_NAME] if isinstance(value, str) else f"<{type(value).__name__}>"
