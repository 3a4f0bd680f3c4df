"""`policy explain`, `policy lint` and `policy test`."""

from __future__ import annotations

import pytest
from tests.unit.policy.good_model import pack, small_policy

from assay.core.errors import PolicyError
from assay.policy.explain import explain
from assay.policy.lint import lint
from assay.policy.trial import run_policy_tests

NAMES = (
    "promote-high-risk-classifier",
    "third-party-llm-intake",
    "stay-in-production",
    "production-tabular-classifier",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_explanation_names_every_rule_alias_and_duty(name: str) -> None:
    policy = pack(name)
    text = explain(policy)
    assert policy.digest in text
    for word in (
        *policy.evidence,
        *(rule.id for rule in policy.rules),
        *(ref for rule in policy.rules for ref in rule.refs),
    ):
        assert word in text
    assert ("must approve" in text) == (policy.approvals is not None)


def test_lint_names_line_and_rule_of_every_weakness() -> None:
    rules = """
  - {id: luck, severity: low, threshold: {metric: ev.x, op: ">=", value: 1, bound: estimate}}
  - {id: equal, severity: low, threshold: {metric: ev.x, op: "==", value: 1}}
  - {id: easy, severity: low, compare: {metric: ev.x, better: higher, margin: 0.1}}
  - {id: typo, severity: low, expr: 'ev.file_not_clean == 0'}
  - {id: vacuous, severity: low, expr: 'ev.formats.all(f, f == "onnx")'}"""
    found = lint(small_policy(rules.lstrip("\n")))
    said = {(problem.line, problem.rule, problem.is_error) for problem in found}
    assert {
        (9, "luck", False),
        (10, "equal", True),
        (11, "easy", False),
        (12, "typo", True),
        (13, "vacuous", True),
    } <= said
    assert {problem.rule for problem in found if problem.line == 5} == {"evidence.ev"}
    assert "files_not_clean" in str(next(p for p in found if p.rule == "typo"))


TESTS = b"""
tests:
  - name: a clean model passes
    evidence:
      scan: {files: [{path: m, verdict: clean}]}
      quality: {measurements: [{metric: accuracy, right: 930, n: 1000}]}
    baseline: {quality: {measurements: [{metric: accuracy, right: 925, n: 1000}]}}
    expect: {files-clean: pass, accurate: pass, accuracy-kept: pass, evidence.scan: pass, decision: undecided}
  - name: a scan of yesteryear says nothing
    evidence: {scan: {files: [{path: m, verdict: clean}], age: 400d}}
    expect: {files-clean: undecided, evidence.scan: undecided}
  - name: a wrong expectation is told
    asset: {quarantined: true}
    evidence: {scan: {files: [{path: m, verdict: malicious}]}}
    expect: {files-clean: pass, decision: deny}
"""


def test_policy_tests_go_through_the_gate_itself() -> None:
    first, second, third = run_policy_tests(pack(), TESTS)
    assert first.is_passed and second.is_passed and (first.line, second.line) == (3, 9)
    assert third.differences == ("files-clean: expected pass, found fail",)


@pytest.mark.parametrize(
    ("text", "said"),
    [("tests: []", "no test"), ("tests: [{name: a}]", "'expect' is missing"), ("tests: [{name: a, expect: {nosuch: pass}}]", "no rule"),
     ("tests: [{name: a, expect: {accurate: good}}]", "known words"), ("tests: [{name: a, evidence: {scna: {}}, expect: {}}]", "scan"),
     ("tests: [{name: a, evidence: {scan: {age: long}}, expect: {}}]", "duration"), ("a: &x 1", "refused")],
)  # fmt: skip
def test_tests_that_are_unclear_are_errors(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        run_policy_tests(pack(), text.encode())
    assert said in str(caught.value)
