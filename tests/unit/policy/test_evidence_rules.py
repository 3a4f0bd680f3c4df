"""The implied rule of every alias: what counts as evidence, and why something does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.policy.good_model import decided, rule, small_policy, spoiled
from tests.unit.policy.made_evidence import BASELINE, CANDIDATE, DATA, Ledger, ago, evaluation, scan, share

from assay.core.decisions import Answer, RuleOutcome
from assay.evidence.predicates import Predicate
from assay.policy.documents import Policy

RULE = "  - {id: a, severity: high, threshold: {metric: ev.x, op: '>=', value: 0.5}}"
EVIDENCE = "{ev: {type: eval-result, checks: ['q.*'], max_age: 7d, signed_by: [evaluator]}}"


def policy() -> Policy:
    return small_policy(RULE, EVIDENCE)


def ledger(check: str = "q.one") -> Ledger:
    made = Ledger()
    made.add(Predicate.EVAL_RESULT, evaluation(check, [share("x", 900)]), "evaluator")
    return made


def test_fresh_evidence_by_a_trusted_signer_about_exactly_this_asset_passes() -> None:
    decision = decided(ledger().view(), policy())
    assert decision.answer is Answer.ALLOW and rule(decision, "evidence.ev").outcome is RuleOutcome.PASS
    cited = rule(decision, "a").evidence[0]
    assert (cited.alias, cited.role, cited.owner, cited.age_s, cited.max_age_s, cited.attempts) == (
        "ev", "evaluator", "eval-bot", 3600, 7 * 86400, 1)  # fmt: skip


SPOILED: dict[str, tuple[str, Callable[[Ledger], None]]] = {
    "nothing there": ("missing", lambda made: made.evidence.clear()),
    "too old": ("stale", lambda made: spoiled(made, 0, signed_at=ago(days=8))),
    "logged too long ago": ("stale", lambda made: spoiled(made, 0, logged_at=ago(days=8))),
    "unsigned": ("unsigned", lambda made: spoiled(made, 0, problem="unsigned", roles=())),
    "unknown signer": ("wrong-signer", lambda made: spoiled(made, 0, problem="wrong-signer", roles=())),
    "signer of another role": ("wrong-signer", lambda made: spoiled(made, 0, roles=("scanner",))),
    "signer without any role": ("wrong-signer", lambda made: spoiled(made, 0, roles=())),
    "revoked": ("revoked", lambda made: spoiled(made, 0, problem="revoked", roles=())),
    "about another asset first": ("wrong-subject", lambda made: spoiled(made, 0, subjects=(DATA, CANDIDATE))),
    "about another asset": ("missing", lambda made: spoiled(made, 0, subjects=(DATA,))),
    "malformed says the view": ("malformed", lambda made: spoiled(made, 0, problem="malformed", roles=())),
    "malformed by a trusted signer": ("malformed", lambda made: spoiled(made, 0, problem="malformed")),
    "not its schema": ("malformed", lambda made: spoiled(made, 0, {"measurements": "many"})),
    "unreadable time": ("malformed", lambda made: spoiled(made, 0, signed_at="yesterday")),
    "failed": ("failed-run", lambda made: spoiled(made, 0, {"state": "failed"})),
    "signed in the future": ("future", lambda made: spoiled(made, 0, signed_at=ago(minutes=-6))),
    "logged in the future": ("future", lambda made: spoiled(made, 0, logged_at=ago(minutes=-6))),
    "another check": ("missing", lambda made: spoiled(made, 0, evaluation("other.one", [share("x", 900)]))),
    "another type": ("missing", lambda made: spoiled(made, 0, type=Predicate.SCAN_RESULT)),
    "beyond the head": ("missing", lambda made: spoiled(made, 0, index=10_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_evidence_with_a_fault_is_undecided_with_its_reason(name: str) -> None:
    reason, spoil = SPOILED[name]
    made = ledger()
    spoil(made)
    decision = decided(made.view(), policy())
    assert decision.answer is Answer.UNDECIDED
    found = rule(decision, "evidence.ev")
    assert (found.outcome, found.reason) == (RuleOutcome.UNDECIDED, reason)
    assert found.fix and found.observed.text and found.needed


def test_a_clock_five_minutes_ahead_is_forgiven() -> None:
    made = ledger()
    spoiled(made, 0, signed_at=ago(minutes=-5), logged_at=ago(minutes=-5))
    assert decided(made.view(), policy()).answer is Answer.ALLOW


def test_the_newest_run_counts_even_if_it_is_worse_and_attempts_are_counted() -> None:
    made = ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [share("x", 100)]), "evaluator")
    found = rule(decided(made.view(), policy()), "a")
    assert found.outcome is RuleOutcome.FAIL and found.evidence[0].attempts == 2 and found.evidence[0].index == 1


def test_a_newer_failed_run_hides_an_older_good_one() -> None:
    made = ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [], state="failed"), "evaluator")
    assert rule(decided(made.view(), policy()), "a").reason == "failed-run"


@pytest.mark.parametrize("untrusted", [{"problem": "unsigned", "roles": ()}, {"problem": "wrong-signer", "roles": ()},
                                       {"roles": ("scanner",)}, {"problem": "malformed", "roles": ()}])  # fmt: skip
def test_what_nobody_trusts_neither_satisfies_nor_masks(untrusted: dict[str, object]) -> None:
    made = ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [share("x", 100)]), "evaluator", **untrusted)
    assert decided(made.view(), policy()).answer is Answer.ALLOW


def test_a_newer_malformed_run_of_a_trusted_signer_hides_the_older_one() -> None:
    made = ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [share("x", 900)]), "evaluator", problem="malformed")
    assert rule(decided(made.view(), policy()), "a").reason == "malformed"


def test_one_stale_check_makes_the_alias_stale_so_waiting_hides_nothing() -> None:
    made = ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.two", [share("y", 1)]), "evaluator", when=ago(days=9))
    decision = decided(made.view(), policy())
    assert rule(decision, "evidence.ev").reason == "stale" and rule(decision, "a").outcome is RuleOutcome.PASS
    assert decision.answer is Answer.UNDECIDED


def test_evidence_about_the_data_is_asked_of_every_dataset() -> None:
    asked = small_policy("  - {id: a, severity: high, threshold: {metric: data.files_not_clean, op: '==', value: 0}}",
                         "{data: {type: scan-result, about: trained_on}}")  # fmt: skip
    made = Ledger()
    made.subject = replace(made.subject, related={"trained_on": (DATA, BASELINE)})
    made.add(Predicate.SCAN_RESULT, scan(), "scanner", DATA)
    assert rule(decided(made.view(), asked), "evidence.data").reason == "missing"
    made.add(Predicate.SCAN_RESULT, scan(), "scanner", BASELINE)
    assert decided(made.view(), asked).answer is Answer.ALLOW
    made.subject = replace(made.subject, related={})
    assert decided(made.view(), asked).answer is Answer.UNDECIDED


class TestNarrowedTrust:
    """`trust` of a policy narrows the workspace's trust and never widens it."""

    def answer(self, trust: str, role: str, **other: object) -> Answer:
        asked = small_policy(RULE, f"{{ev: {{type: eval-result, signed_by: [{role}]}}}}", f"trust: {trust}")
        made = ledger()
        spoiled(made, 0, **other)
        return decided(made.view(), asked).answer

    def test_a_listed_key_speaks_in_the_policys_own_role(self) -> None:
        assert self.answer("{ci: {keys: [key-eval-bot]}}", "ci") is Answer.ALLOW
        assert self.answer("{ci: {keys: [key-other]}}", "ci") is Answer.UNDECIDED

    def test_a_short_form_of_a_key_is_another_key(self) -> None:
        assert self.answer("{ci: {keys: [key]}}", "ci") is Answer.UNDECIDED

    def test_a_key_that_the_workspace_does_not_trust_stays_untrusted(self) -> None:
        assert self.answer("{ci: {keys: [key-eval-bot]}}", "ci", roles=()) is Answer.UNDECIDED

    def test_a_workspace_role_is_not_gained_by_being_listed(self) -> None:
        assert self.answer("{approver: {keys: [key-eval-bot]}}", "approver") is Answer.UNDECIDED

    def test_an_identity_must_match_exactly(self) -> None:
        trust = "{ci: {identities: [{issuer: 'https://ci', subject: 'repo:main'}]}}"
        assert self.answer(trust, "ci", identity=("https://ci", "repo:main")) is Answer.ALLOW
        assert self.answer(trust, "ci", identity=("https://ci", "repo:main2")) is Answer.UNDECIDED
        assert self.answer(trust, "ci") is Answer.UNDECIDED

    def test_a_threshold_counts_persons_not_keys(self) -> None:
        asked = small_policy(
            RULE, "{ev: {type: eval-result, signed_by: [ci]}}", "trust: {ci: {keys: [k1, k2, k3], threshold: 2}}"
        )
        made = ledger()
        first = replace(made.evidence[0], key_id="k1", owner="ada")
        made.evidence = [first, replace(first, key_id="k2", owner="Ada ", index=1)]
        assert decided(made.view(), asked).answer is Answer.UNDECIDED
        made.evidence.append(replace(first, key_id="k3", owner="bob", index=2))
        assert decided(made.view(), asked).answer is Answer.ALLOW
