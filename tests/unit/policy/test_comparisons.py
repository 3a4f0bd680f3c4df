"""The truth table of `compare`, and its error rates over seeded gates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.policy.good_model import decided, rule, small_policy
from tests.unit.policy.made_evidence import (
    BASELINE,
    CANDIDATE,
    Ledger,
    ago,
    compared,
    evaluation,
    number,
    outcomes,
    right,
    rows,
)

from assay.core.decisions import Answer, RuleOutcome, RuleResult
from assay.evidence.predicates import Predicate
from assay.policy.documents import Policy
from assay.statistics.tables import write_table

PASS, FAIL, UNDECIDED = RuleOutcome.PASS, RuleOutcome.FAIL, RuleOutcome.UNDECIDED


def asked(more: str = "", better: str = "higher", margin: float = 0.03, top: str = "") -> Policy:
    rules = f"  - {{id: a, severity: high, compare: {{metric: ev.x, better: {better}, margin: {margin}{more}}}}}"
    return small_policy(rules, more=top)


def pair(ours: np.ndarray, theirs: np.ndarray, better: str = "higher", **other: Any) -> Ledger:
    ledger = Ledger()
    compared(ledger, "x", "q.one", ours, theirs, better, **other)
    return ledger


def judged(ledger: Ledger, policy: Policy | None = None) -> RuleResult:
    return rule(decided(ledger.view(), policy or asked()), "a")


@pytest.mark.parametrize(
    ("hits", "n", "outcome", "reason"),
    [(930, 1000, PASS, "ok"), (920, 1000, PASS, "ok-but-worse"), (890, 1000, FAIL, "shown-worse"),
     (95, 100, UNDECIDED, "not-shown"), (400, 1000, FAIL, "shown-worse")],
)  # fmt: skip
def test_a_share_passes_fails_or_asks_for_rows(hits: int, n: int, outcome: RuleOutcome, reason: str) -> None:
    found = judged(pair(right(hits, n), right(930 if n == 1000 else 96, n)))
    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.baseline is not None and found.baseline.estimate is not None and "lost" in found.observed.text
    assert {cited.alias for cited in found.evidence} == {"ev", "ev@baseline"}
    assert (found.rows_needed is not None) == (outcome is UNDECIDED)


def test_better_turns_the_sign() -> None:
    assert judged(pair(right(100), right(50), "lower"), asked(better="lower")).outcome is FAIL
    assert judged(pair(right(50), right(100), "lower"), asked(better="lower")).outcome is PASS


def test_a_relative_margin_is_a_share_of_the_baselines_value() -> None:
    ledger = pair(right(97), right(100))
    assert judged(ledger, asked(", scale: relative", margin=0.2)).outcome is PASS
    assert judged(ledger, asked(", scale: relative", margin=0.001)).outcome is UNDECIDED


def test_no_baseline_is_undecided_or_not_applicable() -> None:
    ledger = pair(right(930), right(930))
    ledger.baseline = None
    assert (judged(ledger).outcome, judged(ledger).reason) == (UNDECIDED, "no-baseline")
    policy = replace(asked(), baseline=replace(asked().baseline, if_absent="absolute-only"))  # type: ignore[type-var]
    decision = decided(ledger.view(), policy)
    assert rule(decision, "a").outcome is RuleOutcome.NOT_APPLICABLE
    assert decision.answer is Answer.UNDECIDED and "nothing was decided" in decision.reasons[0]


def test_an_asset_is_never_compared_with_itself() -> None:
    ledger = pair(right(930), right(930))
    ledger.baseline = replace(ledger.subject, version=1)
    assert judged(ledger).reason == "equal-candidate-and-baseline"


def change(about: str, **predicate: Any) -> Callable[[Ledger], None]:
    def apply(ledger: Ledger) -> None:
        for i, evidence in enumerate(ledger.evidence):
            if evidence.subjects[0] == about:
                ledger.evidence[i] = replace(evidence, predicate={**evidence.predicate, **predicate})

    return apply


def remeasure(about: str, **measured: Any) -> Callable[[Ledger], None]:
    def apply(ledger: Ledger) -> None:
        old = next(e for e in ledger.evidence if e.subjects[0] == about)
        made = {**old.predicate["measurements"][0], **measured}
        change(about, measurements=[{k: v for k, v in made.items() if v is not None}])(ledger)

    return apply


def retable(about: str, data: bytes) -> Callable[[Ledger], None]:
    return lambda ledger: remeasure(about, outcomes=ledger.keep(data))(ledger)


def head_of(**changed: Any) -> dict[str, Any]:
    made = evaluation("q.one", [])["head"]
    return made | changed


FAILED = evaluation("q.one", [], state="failed")
FAULTS: dict[str, tuple[str, Callable[[Ledger], None]]] = {
    "no evidence of the baseline": ("baseline-missing", lambda made: made.evidence.pop(0)),
    "baseline's newest run failed": ("failed-run", lambda made: made.add(Predicate.EVAL_RESULT, FAILED, "evaluator", BASELINE)),
    "baseline by nobody trusted": ("wrong-signer", lambda made: made.evidence.__setitem__(0, replace(made.evidence[0], roles=()))),
    "tables gone": ("no-table", lambda made: made.tables.clear()),
    "no table named": ("no-table", remeasure(CANDIDATE, outcomes=None)),
    "other bytes under the name": ("malformed-table", lambda made: made.tables.update(dict.fromkeys(made.tables, b"x"))),
    "table is no table": ("malformed-table", retable(CANDIDATE, b"x")),
    "other rows": ("unmatched-rows", retable(CANDIDATE, outcomes(right(930), prefix="easier"))),
    "rows left out": ("unmatched-rows", retable(CANDIDATE, outcomes(right(930, 990)))),
    "table of another number": ("inconsistent", retable(CANDIDATE, outcomes(right(999)))),
    "other suite": ("not-same", change(CANDIDATE, suite={"name": "easy", "version": 1, "sha256": "ee" * 32})),
    "other version of the check": ("not-same", change(CANDIDATE, head=head_of(check={"id": "q.one", "version": 2}))),
    "other check": ("not-same", change(CANDIDATE, head=head_of(check={"id": "q.two", "version": 1}))),
    "other options": ("not-same", change(CANDIDATE, head=head_of(optionsSha256="ab" * 32))),
    "other seed": ("not-same", change(CANDIDATE, head=head_of(seed=7))),
    "other unit": ("not-same", remeasure(CANDIDATE, unit="percent")),
    "other direction": ("direction", remeasure(CANDIDATE, better="lower")),
    "invalid": ("invalid", remeasure(BASELINE, valid=False)),
    "kind without a test": ("not-computable", lambda made: [remeasure(a, kind="cells", limit=None)(made) for a in (CANDIDATE, BASELINE)]),
    "too few clusters": ("clustered-rows", retable(CANDIDATE, outcomes(right(930), cluster=np.arange(1000) // 125))),
    "no such column": ("not-computable", retable(CANDIDATE, write_table(rows(1000), {"value": np.zeros(1000)}, {}))),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_compared_is_undecided_with_its_reason(name: str) -> None:
    reason, spoil = FAULTS[name]
    ledger = pair(right(930), right(925))
    spoil(ledger)
    found = judged(ledger, asked(", same: [suite]"))
    assert (found.outcome, found.reason) == (UNDECIDED, reason), found.observed.text
    assert found.fix and found.observed.text


def test_unmatched_rows_are_counted() -> None:
    ledger = pair(right(930), right(925))
    retable(CANDIDATE, outcomes(right(930, 990)))(ledger)
    assert judged(ledger).observed.text == "990 rows in both, 0 only of the candidate, 10 only of the baseline"


def test_a_field_of_same_that_nobody_recorded_is_not_the_same() -> None:
    found = judged(pair(right(930), right(925)), asked(", same: [threat_model]"))
    assert found.reason == "not-same" and "threat_model was not recorded" in found.observed.text
    assert judged(pair(right(930), right(925), threatModel="linf"), asked(", same: [threat_model]")).outcome is PASS


def test_the_baselines_outcomes_do_not_age() -> None:
    ledger = pair(right(930), right(925))
    ledger.evidence[0] = replace(ledger.evidence[0], signed_at=ago(days=900), logged_at=ago(days=900))
    policy = small_policy("  - {id: a, severity: high, compare: {metric: ev.x, better: higher, margin: 0.03}}",
                          "{ev: {type: eval-result, max_age: 7d}}")  # fmt: skip
    assert judged(ledger, policy).outcome is PASS


def test_too_few_rows_of_either_side() -> None:
    assert judged(pair(right(90, 100), right(90, 100)), asked(", min_n: 500")).reason == "too-few-rows"


def test_a_mean_is_compared_by_the_row() -> None:
    ledger, rng = Ledger(), np.random.default_rng(3)
    base = rng.gamma(2, 0.1, 800)
    for about, values in ((BASELINE, base), (CANDIDATE, base + rng.normal(0.0, 0.01, 800))):
        table = ledger.keep(write_table(rows(800), {"value": values}, {}))
        measured = number("x", float(values.mean()), 800, "lower", kind="mean", outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [measured]), "evaluator", about)
    assert judged(ledger, asked(better="lower", margin=0.005)).outcome is PASS


def test_members_are_compared_with_a_seed_that_the_decision_fixes() -> None:
    ledger, rng = Ledger(), np.random.default_rng(4)
    member = np.arange(2400) % 2
    for about in (BASELINE, CANDIDATE):
        scores = rng.normal(0, 1, 2400)
        table = ledger.keep(write_table(rows(2400), {"score": scores, "member": member}, {}))
        measured = number("tpr_at_fpr_01", 0.1, 2400, "lower", kind="rank", outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [measured]), "evaluator", about)
    policy = small_policy(
        "  - {id: a, severity: high, compare: {metric: ev.tpr_at_fpr_01, better: lower, margin: 0.3}}"
    )
    first, second = (decided(ledger.view(), policy) for _ in range(2))
    assert rule(first, "a").outcome is PASS and first.body == second.body


def test_a_gap_whose_table_counts_other_rows_is_inconsistent() -> None:
    ledger, groups = Ledger(), np.arange(1000) % 2
    for about, hits in ((BASELINE, [460, 470]), (CANDIDATE, [465, 470])):
        ok = np.zeros(1000, bool)
        for g in (0, 1):
            ok[np.flatnonzero(groups == g)[: hits[g]]] = True
        table = ledger.keep(outcomes(ok, group=groups))
        limit = {"groups": ["a", "b"], "hits": hits, "counts": [500, 500]}
        gap = number("x", (hits[1] - hits[0]) / 500, 1000, "lower", kind="gap", limit=limit, outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [gap]), "evaluator", about)
    assert judged(ledger, asked(better="lower", margin=0.1)).outcome is PASS
    remeasure(CANDIDATE, outcomes=ledger.keep(outcomes(right(900), group=groups)))(ledger)
    assert judged(ledger, asked(better="lower", margin=0.1)).reason == "inconsistent"


def test_a_gap_with_a_small_group_is_not_compared() -> None:
    ledger, groups = Ledger(), (np.arange(1000) >= 980).astype("i4")
    for about, hits in ((BASELINE, [900, 18]), (CANDIDATE, [901, 18])):
        ok = np.concatenate([np.arange(980) < hits[0], np.arange(20) < hits[1]])
        limit = {"groups": ["a", "b"], "hits": hits, "counts": [980, 20]}
        value = abs(hits[0] / 980 - hits[1] / 20)
        table = ledger.keep(outcomes(ok, group=groups))
        gap = number("x", value, 1000, "lower", kind="gap", limit=limit, outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [gap]), "evaluator", about)
    found = judged(ledger, asked(better="lower", margin=0.1))
    assert (found.reason, found.rows_needed) == ("small-group", 1500)


@pytest.mark.parametrize("metric", ["tpr_at_fpr_001", "auc"])
def test_too_few_members_or_others_are_not_compared(metric: str) -> None:
    ledger, member = Ledger(), (np.arange(1000) < (500 if metric != "auc" else 90)).astype("u1")
    for about in (BASELINE, CANDIDATE):
        table = ledger.keep(
            write_table(rows(1000), {"score": np.random.default_rng(1).random(1000), "member": member}, {})
        )
        measured = number(metric, 0.1, 1000, "lower", kind="rank", outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [measured]), "evaluator", about)
    policy = small_policy(
        f"  - {{id: a, severity: high, compare: {{metric: ev.{metric}, better: lower, margin: 0.3}}}}"
    )
    found = judged(ledger, policy)
    assert found.reason == "too-few-rows" and (found.rows_needed or 0) > 1000


@pytest.mark.parametrize(("loss", "least", "most"), [(0.0, 0.5, 1.0), (0.03, 0.0, 0.08), (0.06, 0.0, 0.005)])
def test_simulated_gates_pass_no_more_often_than_promised(loss: float, least: float, most: float) -> None:
    """n = 1,000, margin 3 points, 6 % disagreement: at the margin at most 5 % pass (8 % here: 150 runs), beyond it none."""
    rng, answers = np.random.default_rng(11), []
    for _ in range(150):
        theirs = rng.random(1000) < 0.85
        kind = rng.choice(3, 1000, p=[1 - 0.06 - loss, 0.03 + loss, 0.03])
        ours = np.where(kind == 1, False, np.where(kind == 2, True, theirs))
        theirs = np.where(kind == 1, True, np.where(kind == 2, False, theirs))
        answers.append(judged(pair(ours, theirs)))
    share_passed = sum(a.outcome is PASS for a in answers) / len(answers)
    assert least <= share_passed <= most
    assert loss > 0 or sum(a.outcome is FAIL for a in answers) / len(answers) <= 0.09
    assert all(a.rows_needed is not None for a in answers if a.outcome is UNDECIDED)


def test_seeds_depend_on_policy_candidate_baseline_and_metric() -> None:
    from tests.unit.policy.made_evidence import NOW

    from assay.core.times import instant
    from assay.policy.case import Case
    from assay.policy.tables import seed_of

    ledger = pair(right(930), right(925))
    cases = [Case(ledger.view(), asked(), instant(NOW)), Case(ledger.view(), asked(margin=0.02), instant(NOW)),
             Case(ledger.view(baseline=None), asked(), instant(NOW))]  # fmt: skip
    seeds = {seed_of(case, "ev.x") for case in cases} | {seed_of(cases[0], "ev.y")}
    assert len(seeds) == 4 and all(0 <= seed < 2**64 for seed in seeds)
