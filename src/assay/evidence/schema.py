"""A validator for the part of JSON Schema that our predicates use; everything else is refused when a schema is loaded.

Our own, because it stands in the path of every statement: the usual library costs more to import than a whole
`assay verify`, and evidence must be read with bounded work. The tests hold it against `jsonschema`.
Source: JSON Schema draft 2020-12, the keywords of `KEYWORDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from assay.core.canonical import Json
from assay.core.errors import MalformedInput

KEYWORDS: Final = frozenset({
    "$schema", "$id", "title", "type", "enum", "properties", "required", "additionalProperties", "items",
    "minItems", "maxItems", "minimum", "maximum", "maxLength", "pattern",
})  # fmt: skip
# Where a value stands: the path of what holds it, and its name or number there. Written out only for a problem.
Place = tuple[Any, str | int] | None
Validator = Callable[[Json, Place], str]

_TYPES: Final[Mapping[str, Callable[[Json], bool]]] = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: (isinstance(v, int) and not isinstance(v, bool)) or (isinstance(v, float) and v.is_integer()),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
}


def compiled(schema: Mapping[str, Json]) -> Callable[[Json], str]:
    """A function that returns the first problem of a value as text, or "" if there is none.

    Raises:
        MalformedInput: the schema uses a keyword outside `KEYWORDS`.
    """
    check = _compiled(schema)
    return lambda value: check(value, None)


def _compiled(schema: Mapping[str, Json]) -> Validator:
    if unknown := set(schema) - KEYWORDS:
        raise MalformedInput("schema uses an unknown keyword", ", ".join(sorted(unknown)))
    if schema.get("type") == "string" and "enum" not in schema:
        return _string(schema)
    checks: list[Validator] = []
    if "type" in schema:
        checks.append(_typed(schema["type"]))
    if "enum" in schema:
        checks.append(_one_of(schema["enum"]))
    if "pattern" in schema or "maxLength" in schema:
        checks.append(_text(schema))
    if "minimum" in schema or "maximum" in schema:
        checks.append(_range(schema))
    if "items" in schema or "minItems" in schema or "maxItems" in schema:
        checks.append(_array(schema))
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        checks.append(_object(schema))

    if len(checks) == 1:
        return checks[0]

    def validate(value: Json, at: Place) -> str:
        for check in checks:
            if problem := check(value, at):
                return problem
        return ""

    return validate


def _said(at: Place) -> str:
    """`a.b[2]`, or "" for the whole."""
    if at is None:
        return ""
    before, step = _said(at[0]), at[1]
    return f"{before}[{step}]" if isinstance(step, int) else f"{before}.{step}".lstrip(".")


def _string(schema: Mapping[str, Json]) -> Validator:
    """Text, perhaps of bounded length and with a pattern: the commonest schema by far, in one step."""
    typed, text = _typed("string"), _text(schema)

    def validate(value: Json, at: Place) -> str:
        return text(value, at) if type(value) is str else typed(value, at)

    return validate


def _typed(name: str) -> Validator:
    fits = _TYPES[name]
    return lambda value, at: "" if fits(value) else f"{_said(at) or 'value'} is not of type {name}"


def _one_of(choices: list[Json]) -> Validator:
    return lambda value, at: (
        "" if value in choices else f"{_said(at) or 'value'} is not one of {', '.join(map(str, choices))}"
    )


def _text(schema: Mapping[str, Json]) -> Validator:
    # NOTE: Python's `$` also matches before a last newline, JSON Schema's only at the end.
    fits = re.compile(re.sub(r"\$$", r"\\Z", schema["pattern"])).search if "pattern" in schema else None
    longest = schema.get("maxLength", 1 << 30)

    def validate(value: Json, at: Place) -> str:
        if isinstance(value, str) and (len(value) > longest or (fits is not None and not fits(value))):
            return f"{_said(at) or 'value'} has another form or is too long"
        return ""

    return validate


def _range(schema: Mapping[str, Json]) -> Validator:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))

    def validate(value: Json, at: Place) -> str:
        inside = isinstance(value, bool) or not isinstance(value, (int, float)) or low <= value <= high
        return "" if inside else f"{_said(at) or 'value'} is out of range"

    return validate


def _array(schema: Mapping[str, Json]) -> Validator:
    fewest, most = schema.get("minItems", 0), schema.get("maxItems", 1 << 40)
    item = _compiled(schema.get("items", {}))

    def validate(value: Json, at: Place) -> str:
        if not isinstance(value, list):
            return ""
        if not fewest <= len(value) <= most:
            return f"{_said(at) or 'value'} has {len(value)} items"
        return next((problem for i, v in enumerate(value) if (problem := item(v, (at, i)))), "")

    return validate


def _object(schema: Mapping[str, Json]) -> Validator:
    known = {name: _compiled(part) for name, part in schema.get("properties", {}).items()}
    required = set(schema.get("required", []))
    other = _compiled(schema["additionalProperties"]) if "additionalProperties" in schema else None

    def validate(value: Json, at: Place) -> str:
        if not isinstance(value, dict):
            return ""
        if not required <= value.keys():
            missing = next(name for name in schema["required"] if name not in value)
            return f"{_said((at, missing))} is missing"
        for name, item in value.items():
            check = known.get(name, other)
            if check and (problem := check(item, (at, name))):
                return problem
        return ""

    return validate
