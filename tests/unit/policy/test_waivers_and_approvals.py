"""A good waiver and a good approval hold; every attack of the corpus is refused and listed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.policy.good_model import decided, good_ledger, pack, rule, spoiled
from tests.unit.policy.made_evidence import CANDIDATE, Ledger, ago, approval, evaluation, share, waiver

from assay.core.decisions import Answer, Decision, RuleOutcome, outcome_digest
from assay.evidence.predicates import Predicate
from assay.formats.yaml_strict import load_yaml

WAIVER_ATTACKS, APPROVAL_ATTACKS = (
    load_yaml(Path(f"tests/corpus/policy/{name}_attacks.yaml").read_bytes(), name)["attacks"]
    for name in ("waiver", "approval")
)


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(filled(item) for item in value)
    return CANDIDATE if value == "CANDIDATE" else value


def named(attacks: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("attack", attacks, ids=[re.sub(r"\W+", "-", a["name"]) for a in attacks])


def miscalibrated(**other: Any) -> Ledger:
    """A ledger in which the medium rule `calibrated` fails, `accurate` too, and one waiver of the former."""
    ledger = good_ledger(calibration=0.5, approved=False)
    ledger.add(Predicate.WAIVER, waiver(pack().digest, "calibrated"), "approver", owner="carol", **other)
    ledger.add(Predicate.APPROVAL, approval(pack().digest), "approver")
    return ledger


def test_there_are_enough_attacks() -> None:
    assert len(WAIVER_ATTACKS) >= 20 and len(APPROVAL_ATTACKS) >= 20


def test_a_good_waiver_turns_a_failure_into_waived_and_shows_the_raw_outcome() -> None:
    decision = decided(miscalibrated().view())
    found = rule(decision, "calibrated")
    assert (found.outcome, found.raw_outcome) == (RuleOutcome.WAIVED, RuleOutcome.FAIL) and found.waiver
    assert (decision.answer, decision.raw_answer, decision.reasons) == (Answer.ALLOW, Answer.DENY, ())


@named(WAIVER_ATTACKS)
def test_a_waiver_attack_is_refused_and_listed(attack: dict[str, Any]) -> None:
    ledger = miscalibrated()
    owner = {"owner": "ada"} if "own request" in attack["name"] else {}
    spoiled(ledger, -2, filled(attack.get("predicate", {})), **owner, **filled(attack.get("statement", {})))
    if "scope" in attack.get("predicate", {}):
        ledger.evidence[-2] = replace(ledger.evidence[-2])
    decision = decided(ledger.view())
    assert decision.answer is not Answer.ALLOW
    assert not any(result.outcome is RuleOutcome.WAIVED for result in decision.rules)
    assert any(attack["refused"] in reason for reason in decision.reasons), decision.reasons


def test_a_waiver_counts_until_it_is_revoked_by_somebody_trusted() -> None:
    ledger = miscalibrated()
    target = {"waiver": ledger.evidence[-2].digest, "reason": "risk grew"}
    ledger.add(Predicate.WAIVER_REVOCATION, target, "approver", problem="unsigned", roles=())
    assert decided(ledger.view()).answer is Answer.ALLOW
    ledger.add(Predicate.WAIVER_REVOCATION, target, "approver")
    decision = decided(ledger.view())
    assert decision.answer is Answer.DENY and any("revoked" in reason for reason in decision.reasons)


def test_a_policy_without_waivers_accepts_none() -> None:
    policy = replace(pack(), waivers=None)
    decision = decided(miscalibrated().view(), policy)
    assert decision.answer is Answer.DENY and any("accepts no waivers" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("problem", "roles"),
    [("wrong-signer", ()), ("unsigned", ()), ("malformed", ()), ("revoked", ()), ("", ("scanner",))],
)
def test_forged_evidence_is_never_waived(problem: str, roles: tuple[str, ...]) -> None:
    policy = replace(pack(), waivers=replace(pack().waivers, severities=("low", "medium", "high")))  # type: ignore[type-var]
    ledger = good_ledger(approved=False)
    at = next(i for i, e in enumerate(ledger.evidence) if "privacy" in str(e.predicate.get("head")))
    spoiled(ledger, at, problem=problem, roles=roles)
    for name in ("evidence.privacy", "members-hidden"):
        ledger.add(Predicate.WAIVER, waiver(policy.digest, name), "approver", owner="carol")
    ledger.add(Predicate.APPROVAL, approval(policy.digest), "approver")
    decision = decided(ledger.view(), policy)
    assert decision.answer is Answer.UNDECIDED and len([r for r in decision.reasons if "can never be waived" in r]) == 2


def test_stale_evidence_may_be_waived_where_the_policy_says_so() -> None:
    policy = replace(pack(), waivers=replace(pack().waivers, severities=("medium", "high")))  # type: ignore[type-var]
    ledger = good_ledger(approved=False)
    at = next(i for i, e in enumerate(ledger.evidence) if "privacy" in str(e.predicate.get("head")))
    spoiled(ledger, at, signed_at=ago(days=31))
    for name in ("evidence.privacy", "members-hidden"):
        ledger.add(Predicate.WAIVER, waiver(policy.digest, name), "approver", owner="carol")
    ledger.add(Predicate.APPROVAL, approval(policy.digest), "approver")
    decision = decided(ledger.view(), policy)
    assert (decision.answer, decision.raw_answer) == (Answer.ALLOW, Answer.UNDECIDED)


def test_one_good_approval_is_enough_for_the_pack() -> None:
    decision = decided(good_ledger().view())
    assert (decision.answer, decision.approvals_given, decision.approvals_needed) == (Answer.ALLOW, ("ada",), 1)


def test_without_approval_it_is_undecided_and_says_so() -> None:
    decision = decided(good_ledger(approved=False).view())
    assert decision.answer is Answer.UNDECIDED and decision.reasons == ("approvals missing: 1 of 1",)


@named(APPROVAL_ATTACKS)
def test_an_approval_attack_is_no_approval(attack: dict[str, Any]) -> None:
    ledger = good_ledger()
    at = ledger.evidence[-1]
    other = filled(attack.get("statement", {}))
    ledger.evidence[-1] = replace(at, predicate={**at.predicate, **filled(attack.get("predicate", {}))}, **other)
    decision = decided(ledger.view())
    assert decision.answer is not Answer.ALLOW and decision.approvals_given == () and decision.reasons


def approvals(ledger: Ledger, count: int = 2) -> Decision:
    policy = replace(pack(), approvals=replace(pack().approvals, count=count))  # type: ignore[type-var]
    return decided(ledger.view(), policy)


def test_one_person_with_two_keys_is_one_person() -> None:
    ledger = good_ledger()
    ledger.add(Predicate.APPROVAL, approval(pack().digest), "approver", owner=" ADA", key_id="key-2")
    assert approvals(ledger).answer is Answer.UNDECIDED
    ledger.add(Predicate.APPROVAL, approval(pack().digest), "approver", owner="dora")
    assert approvals(ledger).answer is Answer.ALLOW


def test_a_rejection_denies_until_that_person_agrees_or_it_expires() -> None:
    ledger = good_ledger()
    old = approval("ff" * 32, result="reject")
    ledger.add(Predicate.APPROVAL, old, "approver", owner="dora")
    decision = decided(ledger.view())
    assert decision.answer is Answer.DENY and "rejected by dora" in decision.reasons
    agreed = good_ledger()
    agreed.add(Predicate.APPROVAL, old, "approver", owner="dora")
    agreed.add(Predicate.APPROVAL, approval(pack().digest), "approver", owner="dora")
    assert decided(agreed.view()).answer is Answer.ALLOW
    spoiled(ledger, -1, {"expires": ago(minutes=1)})
    assert decided(ledger.view()).answer is Answer.ALLOW


def test_a_rejection_by_nobody_trusted_blocks_nothing() -> None:
    ledger = good_ledger()
    ledger.add(
        Predicate.APPROVAL,
        approval(pack().digest, result="reject"),
        "approver",
        owner="eve",
        problem="unsigned",
        roles=(),
    )
    assert decided(ledger.view()).answer is Answer.ALLOW


def test_newer_evidence_voids_an_approval_unless_it_names_the_outcome() -> None:
    ledger = good_ledger()
    seen = outcome_digest(decided(ledger.view()).rules)
    newer = evaluation("privacy.membership", [next(iter(ledger.evidence[-2].predicate["measurements"]))])
    ledger.add(Predicate.EVAL_RESULT, newer, "evaluator")
    assert decided(ledger.view()).answer is Answer.UNDECIDED
    ledger.add(Predicate.APPROVAL, approval(pack().digest, bodySha256=seen), "approver", owner="dora", index=0)
    assert decided(ledger.view()).answer is Answer.ALLOW
    ledger.add(Predicate.EVAL_RESULT, evaluation("privacy.membership", [share("other", 1)]), "evaluator")
    assert decided(ledger.view()).answer is Answer.UNDECIDED
