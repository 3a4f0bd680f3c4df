"""Our schema validator agrees with `jsonschema` on every shipped schema, for valid instances and mutated ones."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.core.statements import Statement, Subject
from assay.evidence.predicates import Predicate, check_predicate, full_type, problem_of, schema_of, short_type
from assay.evidence.schema import compiled

PATTERNS = {
    "^[0-9a-f]{64}$": st.text("0123456789abcdef", min_size=64, max_size=64),
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z$": st.sampled_from(
        ["2026-11-22T18:00:00Z", "2026-11-22T18:00:00.123456Z"]
    ),
    "^[a-z][a-z0-9_]*([.][a-z0-9_]+)*$": st.sampled_from(["auc", "gap.max", "a_1.b_2"]),
}
ODD = st.sampled_from(
    [None, True, False, 0, -1, 1.0, 1.5, 2**40, 1e300, "", "x", "x\n", "ab" * 32, "AB" * 32, "ab" * 32 + "\n", "é" * 4097,
     "approve", "model", [], {}, [None], [1], ["x"], {"sha256": "x"}, {"a": 1}, [{}], "2026-11-22T18:00:00Z\n"]
)  # fmt: skip


@cache
def instances(uri: str) -> st.SearchStrategy[Json]:
    schema = schema_of(uri)
    assert schema is not None
    return valid(json.dumps(schema))


@cache
def valid(text: str) -> st.SearchStrategy[Json]:
    """Instances of the part of JSON Schema that ours use."""
    schema = json.loads(text)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "string":
        return PATTERNS[schema["pattern"]] if "pattern" in schema else st.text(max_size=6)
    if kind == "integer":
        return st.integers(schema.get("minimum", -5), schema.get("maximum", 99))
    if kind == "number":
        return st.integers(-5, 5) | st.floats(-5, 5)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(valid(json.dumps(schema["items"])), max_size=2)
    if kind == "object":
        known = {name: valid(json.dumps(part)) for name, part in schema.get("properties", {}).items()}
        required = set(schema.get("required", []))
        fixed = st.fixed_dictionaries(
            {name: s for name, s in known.items() if name in required},
            optional={name: s for name, s in known.items() if name not in required},
        )
        if "additionalProperties" in schema:
            more = st.dictionaries(st.text("xyz", min_size=1, max_size=2), valid(json.dumps(schema["additionalProperties"])), max_size=2)  # fmt: skip
            return st.tuples(more, fixed).map(lambda pair: pair[0] | pair[1])
        return fixed
    return st.none() | st.integers() | st.lists(st.booleans(), max_size=2)


def places(value: Json, here: tuple[Json, ...] = ()) -> list[tuple[Json, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, item in items for place in places(item, (*here, key)))]


def mutated(value: Json, place: tuple[Json, ...], new: Json, how: str) -> Json:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(place) > 1:
        copy[place[0]] = mutated(copy[place[0]], place[1:], new, how)
    elif how == "remove":
        del copy[place[0]]
    elif how == "add" and isinstance(copy, dict):
        copy["zz"] = new
    else:
        copy[place[0]] = new
    return copy


@cache
def oracle(uri: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(uri))


@cache
def ours(uri: str):  # type: ignore[no-untyped-def]
    schema = schema_of(uri)
    assert schema is not None
    return compiled(schema)


def test_every_predicate_has_a_shipped_schema_of_its_own_and_no_schema_is_left_over() -> None:
    files = {p.name for p in resources.files("assay.evidence").joinpath("schemas").iterdir()}
    ids = [schema_of(predicate)["$id"] for predicate in Predicate]  # type: ignore[index]
    assert ids == [str(predicate) for predicate in Predicate]
    assert len(files) == len(ids)


@pytest.mark.parametrize("uri", list(Predicate))
def test_every_schema_is_a_schema(uri: str) -> None:
    Draft202012Validator.check_schema(schema_of(uri))


@pytest.mark.parametrize("uri", list(Predicate))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_valid_instance_is_accepted(uri: str, data: st.DataObject) -> None:
    value = data.draw(instances(uri))
    assert ours(uri)(value) == "" and oracle(uri).is_valid(value)


@pytest.mark.parametrize("uri", list(Predicate))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_mutated_instance_is_judged_as_jsonschema_judges_it(uri: str, data: st.DataObject) -> None:
    value = data.draw(instances(uri))
    place = data.draw(st.sampled_from(places(value)))
    changed = mutated(value, place, data.draw(ODD), data.draw(st.sampled_from(["replace", "remove", "add"])))
    problem = ours(uri)(changed)
    if _ends_with_newline(changed):
        assert not (problem == "" and not oracle(uri).is_valid(changed))  # ours may only be stricter there
        return
    assert (problem == "") == oracle(uri).is_valid(changed), (problem, changed)


def _ends_with_newline(value: Json) -> bool:
    """`$` of Python's expressions matches before a last newline, in jsonschema too; ours does not let that pass."""
    if isinstance(value, dict):
        return any(_ends_with_newline(item) for item in value.values())
    if isinstance(value, list):
        return any(_ends_with_newline(item) for item in value)
    return isinstance(value, str) and value.endswith("\n")


@pytest.mark.parametrize("text", ["ab" * 32 + "\n", "2026-11-22T18:00:00Z\n"])
def test_a_newline_at_the_end_is_no_match(text: str) -> None:
    pattern = next(p for p, s in PATTERNS.items() if ("T" in p) == ("T" in text))
    assert compiled({"type": "string", "pattern": pattern})(text) != ""


@pytest.mark.parametrize(
    "schema", [{"oneOf": []}, {"$ref": "#"}, {"type": "object", "properties": {"a": {"const": 1}}}, {"items": {"if": {}}},
               {"additionalProperties": {"format": "date"}}]
)  # fmt: skip
def test_a_keyword_that_we_do_not_check_is_refused_when_the_schema_is_loaded(schema: Json) -> None:
    with pytest.raises(MalformedInput, match="unknown keyword"):
        compiled(schema)


def test_a_problem_names_the_place() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
              "required": ["a"]}  # fmt: skip
    check = compiled(schema)
    assert check({}) == "a is missing"
    assert check({"a": [1, -1]}) == "a[1] is out of range"
    assert check([]) == "value is not of type object"


def test_types_have_short_names_for_people() -> None:
    assert full_type("scan-result") == Predicate.SCAN_RESULT and full_type("urn:x") == "urn:x"
    assert [short_type(p) for p in (Predicate.SCAN_RESULT, Predicate.PROVENANCE, Predicate.DECISION)] == [
        "scan-result", "provenance", "verification_summary",
    ]  # fmt: skip


def test_an_unknown_type_has_no_schema_and_no_problem() -> None:
    statement = Statement((Subject("a", "ab" * 32),), "urn:assay:label:v2", {"anything": 1})
    assert schema_of(statement.type) is None and problem_of(statement) == ""
    with pytest.raises(MalformedInput, match="label"):
        check_predicate(Statement(statement.subjects, Predicate.LABEL, {}))
