"""For all documents, views and orders: nothing random is a policy that allows, and less evidence never allows more."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib import resources
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.policy.good_model import decided, good_ledger, pack
from tests.unit.policy.made_evidence import NOW

from assay.core.decisions import Answer
from assay.core.errors import AssayError, PolicyError, UsageError
from assay.evidence.predicates import Predicate
from assay.formats.yaml_strict import load_yaml
from assay.policy.documents import read_policy
from assay.policy.evaluate import decide

GOOD = good_ledger()
VIEW = GOOD.view()
PACK = resources.files("assay.policy").joinpath("packs", "production-tabular-classifier.yaml").read_bytes()
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({key for e in VIEW.evidence for key in e.predicate})
# Statements that speak for nobody's exclusion: without them the answer may not become better.
FAVOURABLE = [
    i for i, e in enumerate(VIEW.evidence) if e.type != Predicate.REGISTRATION or e.predicate["kind"] == "dataset"
]


@FAST
@given(st.integers(0, len(PACK)))
def test_a_policy_cut_anywhere_is_refused_or_the_same(at: int) -> None:
    try:
        policy = read_policy(PACK[:at], "cut")
    except PolicyError:
        return
    assert set(vars(policy)) and len(policy.rules) <= len(pack().rules)
    decide(VIEW, [policy], NOW)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_yaml_policy(data: bytes) -> None:
    for read in (lambda: load_yaml(data, "x"), lambda: read_policy(data, "x")):
        try:
            found = read()
        except UsageError:
            continue
        assert not hasattr(found, "rules")


@settings(max_examples=100, deadline=None)
@given(
    st.text("abcdefgh_-", min_size=1, max_size=10),
    st.sampled_from(["top", "rule", "evidence", "approvals", "waivers", "baseline"]),
)
def test_unknown_keys_are_refused_everywhere(key: str, where: str) -> None:
    document = load_yaml(PACK, "pack")
    places: dict[str, dict[str, Any]] = {
        "top": document,
        "rule": document["rules"][2],
        "evidence": document["evidence"]["scan"],
    }
    place = places.get(where) or document[where]
    known = {"title", "refs", "id", "when", "task", "kind", "mode", "name", "type", "about", "roles", "count", "expr"}
    if key in place or key in known:
        return
    place[key] = 1
    import json

    try:
        read_policy(json.dumps(document).encode(), "x")
    except PolicyError as error:
        assert key in str(error)
    else:
        raise AssertionError(f"{key!r} was accepted in {where}")


@FAST
@given(st.integers(0, len(VIEW.evidence) - 1), st.sampled_from(FIELDS), values)
def test_a_predicate_with_random_fields_never_turns_a_denial_into_allow(at: int, name: str, value: Any) -> None:
    ledger = good_ledger(accuracy=700)
    evidence = ledger.evidence[at]
    ledger.evidence[at] = replace(evidence, predicate={**evidence.predicate, name: value})
    assert decided(ledger.view()).answer is not Answer.ALLOW


@FAST
@given(st.lists(values, max_size=4), st.data())
def test_random_predicates_alone_never_allow(predicates: list[Any], data: st.DataObject) -> None:
    ledger = good_ledger()
    for i, evidence in enumerate(ledger.evidence):
        shape = (
            data.draw(st.sampled_from(["keep", "random", "cut"]))
            if evidence.type != Predicate.SCAN_RESULT
            else "random"
        )
        if shape == "keep":
            continue
        predicate = copy.deepcopy(dict(evidence.predicate))
        if shape == "cut" and predicate:
            predicate.pop(data.draw(st.sampled_from(sorted(predicate))))
        else:
            predicate = {"files": predicates, "state": "done", "measurements": predicates}
        ledger.evidence[i] = replace(evidence, predicate=predicate)
    try:
        assert decided(ledger.view()).answer is not Answer.ALLOW
    except AssayError as error:  # pragma: no cover - decide raises for policies only
        raise AssertionError(str(error)) from error


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(FAVOURABLE), min_size=1), st.sampled_from([930, 910, 880, 700]))
def test_removing_favourable_statements_never_yields_allow(removed: set[int], accuracy: int) -> None:
    ledger = good_ledger(accuracy=accuracy)
    assert decided(ledger.view()).answer is (Answer.ALLOW if accuracy == 930 else decided(ledger.view()).answer)
    kept = tuple(e for i, e in enumerate(ledger.evidence) if i not in removed)
    assert decided(ledger.view(evidence=kept)).answer is not Answer.ALLOW


@settings(max_examples=30, deadline=None)
@given(st.permutations(VIEW.evidence))
def test_the_order_of_the_view_does_not_matter(mixed: list[Any]) -> None:
    assert decided(replace(VIEW, evidence=tuple(mixed))).body == decided(VIEW).body
