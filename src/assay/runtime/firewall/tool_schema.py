"""Arguments against a JSON Schema that may itself be hostile: nothing is fetched, and patterns run in linear time.

Needs `jsonschema` (extra `server`); without it a schema cannot be applied, which is never a pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from assay.core.canonical import Json, canonical
from assay.core.errors import MalformedInput
from assay.formats.text.patterns import Pattern

MAX_SCHEMA_BYTES = 256 << 10


def fault_of(value: Json, schema: Json) -> str:
    """Where `value` does not fit, as a path; "" where it does.

    Raises:
        MalformedInput: the schema is too large, no schema, refers elsewhere, or there is no library to apply it.
    """
    validator = _validator(schema)
    try:
        error = next(iter(validator.iter_errors(value)), None)
    except Exception as failed:
        raise MalformedInput("schema cannot be applied", type(failed).__name__) from failed
    return "" if error is None else "/".join(map(str, error.absolute_path)) or "/"


def _validator(schema: Json) -> Any:
    data = canonical(schema)
    if len(data) > MAX_SCHEMA_BYTES:
        raise MalformedInput("schema is too large")
    return _made(data)


@lru_cache(maxsize=256)
def _made(data: bytes) -> Any:
    """The validator of a schema; of jsonschema, which has no types here."""
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import extend
        from referencing import Registry
    except ImportError as error:
        raise MalformedInput("jsonschema is not installed", fix="pip install 'assay[server]'") from error
    kind = extend(Draft202012Validator, {"pattern": _pattern, "patternProperties": _pattern_properties})
    try:
        schema = json.loads(data)
        kind.check_schema(schema)
    except SchemaError as error:
        raise MalformedInput("schema is no JSON Schema", str(error.message)[:200]) from error
    return kind(schema, registry=Registry())


def _pattern(validator: Any, pattern: str, value: Json, schema: Json) -> Iterator[Exception]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _search(pattern, value):
        yield ValidationError("does not match its pattern")


def _pattern_properties(validator: Any, patterns: Json, value: Json, schema: Json) -> Iterator[Exception]:
    if isinstance(value, dict):
        for pattern, below in patterns.items():
            for name, item in value.items():
                if _search(pattern, name):
                    yield from validator.descend(item, below, path=name, schema_path=pattern)


def _search(pattern: str, text: str) -> bool:
    try:
        return Pattern(pattern).occurs_in(text)
    except ValueError as error:
        raise MalformedInput("pattern cannot run in linear time") from error
