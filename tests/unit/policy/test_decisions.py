"""What a decision adds up to, and that it can be recomputed to the byte."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.unit.policy.good_model import decided, good_ledger, pack, rule, small_policy
from tests.unit.policy.made_evidence import CANDIDATE, DATA, NOW, Ledger

from assay.core.canonical import parse
from assay.core.decisions import Answer, RuleOutcome
from assay.core.errors import MalformedInput, PolicyError
from assay.policy.evaluate import decide
from assay.policy.reasons import REASONS

ANY = "  - {id: seen, severity: low, threshold: {metric: scan.files_examined, op: '>=', value: %d}}"


def test_a_good_model_is_allowed_and_every_rule_is_explained() -> None:
    decision = decided(good_ledger().view())
    assert decision.answer is Answer.ALLOW and decision.mode == "enforce" and decision.subject == CANDIDATE
    assert {r.outcome for r in decision.rules} == {RuleOutcome.PASS}
    for result in decision.rules:
        assert result.needed and result.evidence and (result.observed.text or result.observed.estimate is not None)
        assert result.reason in REASONS


@pytest.mark.parametrize(
    ("standing", "said"),
    [({"is_quarantined": True}, "quarantined"), ({"state": "quarantined"}, "quarantined"), ({"state": "retired"}, "retired"),
     ({"tainted_by": (DATA,)}, "tainted by sha256:")],
)  # fmt: skip
def test_quarantine_retirement_and_taint_deny_whatever_the_evidence_says(
    standing: dict[str, object], said: str
) -> None:
    ledger = good_ledger()
    ledger.subject = replace(ledger.subject, **standing)  # type: ignore[arg-type]  # each value fits its field
    decision = decided(ledger.view())
    assert decision.answer is decision.raw_answer is Answer.DENY and said in decision.reasons[0]


def test_no_policy_that_applies_decides_nothing() -> None:
    for policies in ((), (pack("third-party-llm-intake"),)):
        decision = decide(good_ledger().view(), policies, NOW)
        assert (
            decision.answer is Answer.UNDECIDED and decision.rules == () and "no policy applies" in decision.reasons[0]
        )


def test_any_failure_denies_and_a_doubt_is_undecided() -> None:
    failing = decided(good_ledger(accuracy=700).view())
    assert failing.answer is Answer.DENY and rule(failing, "accurate").outcome is RuleOutcome.FAIL
    assert decided(good_ledger(accuracy=800).view()).answer is Answer.DENY
    doubtful = decided(good_ledger(calibration=0.14).view())
    assert doubtful.answer is Answer.UNDECIDED and rule(doubtful, "calibrated").reason == "straddles"


def test_when_leaves_out_a_rule_and_a_policy_of_left_out_rules_decides_nothing() -> None:
    rules = "  - {id: seen, severity: low, when: {labels: {risk: [low]}}, threshold: {metric: scan.files_examined, op: '>=', value: 99}}"
    decision = decided(good_ledger().view(), small_policy(rules, "{scan: {type: scan-result}}"))
    assert rule(decision, "seen").reason == "not-meant" and decision.answer is Answer.UNDECIDED


def named(name: str, value: int, mode: str = "enforce") -> object:
    return replace(small_policy(ANY % value, "{scan: {type: scan-result}}"), name=name, digest=name * 8, mode=mode)


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [(("a", 1), ("b", 1), Answer.ALLOW), (("a", 1), ("b", 9), Answer.DENY), (("a", 1), ("b", 9, "warn"), Answer.ALLOW),
     (("a", 9, "warn"), ("b", 9, "warn"), Answer.DENY)],
)  # fmt: skip
def test_all_policies_that_apply_and_bind_must_allow(
    first: tuple[str, int], second: tuple[str, int], answer: Answer
) -> None:
    decision = decide(good_ledger().view(), [named(*first), named(*second)], NOW)  # type: ignore[list-item]
    assert decision.answer is answer and decision.policy_name == "a, b" and len(decision.policy_digest) == 64
    assert [r.id for r in decision.rules] == ["a/evidence.scan", "a/seen", "b/evidence.scan", "b/seen"]
    assert (decision.mode == "warn") == (first[-1] == "warn")


def test_two_policies_of_one_name_are_an_error() -> None:
    with pytest.raises(PolicyError, match="two policies"):
        decide(good_ledger().view(), [named("a", 1), named("a", 2)], NOW)  # type: ignore[list-item]


def test_now_must_be_a_time() -> None:
    with pytest.raises(MalformedInput):
        decide(good_ledger().view(), [pack()], "today")


def test_the_order_of_the_view_changes_no_byte() -> None:
    view = good_ledger().view()
    expected = decided(view).body
    for seed in range(5):
        mixed = list(view.evidence)
        random.Random(seed).shuffle(mixed)
        assert decided(replace(view, evidence=tuple(mixed))).body == expected


def test_the_body_is_canonical_json_without_surprises() -> None:
    body = decided(good_ledger().view()).body
    value = parse(body)
    assert value["answer"] == "allow" and value["rules"][0]["id"] == "evidence.scan"
    assert b"-0," not in body and b"e-1" not in body.replace(b"file-1", b"")


def test_a_newer_run_counts_only_from_its_head_on() -> None:
    view = good_ledger().view()
    earlier = replace(view.head, size=len(view.evidence) - 1)
    decision = decided(replace(view, head=earlier))
    assert decision.answer is Answer.UNDECIDED and decision.approvals_given == ()


CHILD = """
import hashlib, json, sys
from assay.core.decisions import Answer
from tests.unit.policy.good_model import decided
from tests.unit.policy.test_decisions import many_views
print(json.dumps([hashlib.sha256(decided(view).body).hexdigest() for view in many_views()]))
"""


def many_views() -> list[object]:
    """Two hundred different views, of which some are allowed, some denied and some undecided."""
    views: list[object] = []
    for i in range(200):
        ledger = good_ledger(accuracy=880 + i % 60, calibration=0.03 + 0.01 * (i % 12), approved=i % 3 > 0)
        _drop(ledger, i)
        views.append(ledger.view())
    return views


def _drop(ledger: Ledger, i: int) -> None:
    if i % 7 == 0:
        del ledger.evidence[i % len(ledger.evidence)]


def test_two_hundred_decisions_are_recomputed_to_the_byte_by_a_second_process() -> None:
    def hashes(**environment: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=200,
                              env={**os.environ, **environment})  # fmt: skip
        return list(json.loads(done.stdout))

    first = hashes(TZ="UTC", PYTHONHASHSEED="1", LC_ALL="C")
    assert first == hashes(TZ="Asia/Kathmandu", PYTHONHASHSEED="2", LC_ALL="C.UTF-8") and len(set(first)) > 50


def test_every_reason_says_what_it_means() -> None:
    passing = {"ok", "ok-estimate", "ok-but-worse", "not-meant", "missing-extra"}
    assert all(reason.means for reason in REASONS.values())
    assert all(reason.fix or name in passing for name, reason in REASONS.items())
