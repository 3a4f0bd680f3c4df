"""The gate beyond single shares: ratchet, looks, clusters, recipes, F1 and counts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.unit.policy.good_model import decided, rule, small_policy
from tests.unit.policy.made_evidence import (
    BASELINE,
    CANDIDATE,
    Ledger,
    compared,
    evaluation,
    number,
    observation,
    outcomes,
    right,
    rows,
    share,
)

from assay.core.decisions import RuleOutcome, RuleResult
from assay.core.digests import sha256
from assay.core.errors import PolicyError
from assay.evidence.predicates import Predicate
from assay.policy.documents import Policy
from assay.policy.lint import lint
from assay.statistics.tables import write_table

PASS, FAIL, UNDECIDED = RuleOutcome.PASS, RuleOutcome.FAIL, RuleOutcome.UNDECIDED
ANCHOR = sha256(b"anchor")


def asked(
    more: str = "",
    metric: str = "x",
    better: str = "higher",
    margin: float = 0.03,
    anchor: str = "",
    absent: str = "undecided",
) -> Policy:
    test = f"{{metric: ev.{metric}, better: {better}, margin: {margin}{more}}}"
    text = small_policy(f"  - {{id: a, severity: high, compare: {test}}}")
    if not anchor:
        return text
    pinned = f"baseline: {{stage: production, if_absent: {absent}, anchor: 'sha256:{anchor}'}}"
    from assay.policy.documents import read_policy

    return read_policy(
        "policy: assay/policy/v1\nname: small\napplies_to: {kind: model, stage: production}\n"
        f"evidence: {{ev: {{type: eval-result}}}}\n{pinned}\nrules:\n  - {{id: a, severity: high, compare: {test}}}\n".encode(), "small.yaml",
    )  # fmt: skip


def judged(ledger: Ledger, policy: Policy) -> RuleResult:
    return rule(decided(ledger.view(), policy), "a")


def measured(ledger: Ledger, about: str, ok: np.ndarray, **other: Any) -> None:
    table = ledger.keep(outcomes(ok))
    found = share("x", int(ok.sum()), len(ok), outcomes=table)
    ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [found], **other), "evaluator", about)


def three(candidate: int, baseline: int, anchor: int | None, n: int = 5000) -> Ledger:
    ledger = Ledger()
    if anchor is not None:
        measured(ledger, ANCHOR, right(anchor, n))
    compared(ledger, "x", "q.one", right(candidate, n), right(baseline, n))
    return ledger


def test_twenty_releases_each_down_half_a_margin_are_stopped_by_the_ratchet() -> None:
    """Each loses 1.5 points of 5,000 rows, margin 3 points: alone all pass, against the anchor the fall ends at six points."""
    hits = [4700 - 75 * release for release in range(21)]
    alone = [judged(three(new, old, None), asked()).outcome for old, new in pairwise(hits)]
    held = [judged(three(new, old, hits[0]), asked(anchor=ANCHOR)) for old, new in pairwise(hits)]
    assert set(alone) == {PASS}
    outcomes_ = [result.outcome for result in held]
    assert outcomes_[:3] == [PASS] * 3 and PASS not in outcomes_[4:]
    assert set(outcomes_[6:]) == {FAIL}
    assert held[-1].reason == "drifted" and "since the anchor" in held[-1].observed.text
    assert dict(held[-1].trace)["anchor"]["total_margin"] == pytest.approx(0.06)


def test_the_total_margin_is_the_policys_to_say() -> None:
    ledger = three(4600, 4610, 4700)
    assert judged(ledger, asked(", total_margin: 0.03", anchor=ANCHOR)).outcome is PASS
    assert judged(three(4500, 4510, 4700), asked(", total_margin: 0.03", anchor=ANCHOR)).reason == "drifted"
    with pytest.raises(PolicyError, match="may not be smaller"):
        asked(", total_margin: 0.01")
    assert any(p.is_error and "anchor" in p.what for p in lint(asked(", total_margin: 0.05")))
    with pytest.raises(PolicyError, match="sha256:HEX"):
        asked(anchor="production")


def test_an_anchor_without_evidence_is_undecided_and_the_anchor_itself_passes() -> None:
    found = judged(three(4700, 4700, None), asked(anchor=ANCHOR))
    assert (found.outcome, found.reason) == (UNDECIDED, "anchor-missing")
    found = judged(three(4700, 4700, None), asked(anchor=CANDIDATE))
    assert found.outcome is PASS and "the anchor itself" in found.observed.text


def test_an_anchor_measured_on_another_dataset_must_be_run_again() -> None:
    ledger = Ledger()
    measured(ledger, ANCHOR, right(930), dataset={"name": "old", "sha256": "aa" * 32})
    compared(ledger, "x", "q.one", right(930), right(930), dataset={"name": "new", "sha256": "bb" * 32})
    found = judged(ledger, asked(anchor=ANCHOR))
    assert (found.outcome, found.reason) == (UNDECIDED, "not-same") and "anchor: dataset" in found.observed.text


def test_the_anchor_counts_even_while_nothing_is_in_production() -> None:
    ledger = Ledger(baseline=None)
    measured(ledger, ANCHOR, right(4700, 5000))
    measured(ledger, CANDIDATE, right(4690, 5000))
    found = judged(ledger, asked(anchor=ANCHOR, absent="absolute-only"))
    assert found.outcome is PASS and found.observed.n == 5000
    worse = Ledger(baseline=None)
    measured(worse, ANCHOR, right(4700, 5000))
    measured(worse, CANDIDATE, right(4000, 5000))
    assert judged(worse, asked(anchor=ANCHOR, absent="absolute-only")).reason == "drifted"


def tried(results: list[np.ndarray], **other: Any) -> Ledger:
    ledger = Ledger()
    measured(ledger, BASELINE, right(930), **other)
    for ok in results:
        measured(ledger, CANDIDATE, ok, **other)
    return ledger


def test_one_candidate_gated_twenty_times_gets_no_pass_by_luck() -> None:
    """At the margin each look passes with 5 %; of 20 looks with fresh noise none may be picked, planned or not."""
    rng, picked, planned, single = np.random.default_rng(1), 0, 0, 0
    for _ in range(12):
        looks = [np.where(rng.random(1000) < 0.03, False, right(930)) for _ in range(20)]
        found = [judged(tried(looks[: i + 1]), asked()).outcome for i in (0, 19)]
        single += found[0] is PASS
        picked += found[1] is PASS
        planned += judged(tried(looks), asked(", looks: 20")).outcome is PASS
    assert picked == 0 and planned <= 2 and single <= 4


def test_spent_looks_say_so_and_the_same_result_again_is_no_new_look() -> None:
    again = judged(tried([right(929)] * 5), asked())
    assert again.outcome is PASS
    spent = judged(tried([right(929), right(931)]), asked())
    assert (spent.outcome, spent.reason) == (UNDECIDED, "looks-spent") and "2 different results" in spent.observed.text
    assert judged(tried([right(929), right(931)]), asked(", looks: 2")).outcome is PASS
    assert judged(tried([right(929), right(800)]), asked()).outcome is FAIL
    with pytest.raises(PolicyError, match="between 1 and 100"):
        asked(", looks: 101")


def test_another_dataset_is_another_look() -> None:
    ledger = Ledger()
    measured(ledger, CANDIDATE, right(925), dataset={"name": "d", "sha256": "aa" * 32})
    for about in (BASELINE, CANDIDATE):
        measured(ledger, about, right(930), dataset={"name": "d", "sha256": "bb" * 32})
    assert judged(ledger, asked()).outcome is PASS


def test_limits_are_held_to_their_looks_too() -> None:
    policy = small_policy("  - {id: a, severity: high, threshold: {metric: ev.x, op: '>=', value: 0.9}}")
    assert judged(tried([right(930)]), policy).outcome is PASS
    assert judged(tried([right(910), right(930)]), policy).reason == "looks-spent"


def test_every_window_of_what_runs_is_new_data_and_no_look() -> None:
    ledger = Ledger()
    for score in (0.1, 0.2, 0.3):
        seen = number("max_score", score, 500, "lower", low=score - 0.05, high=score + 0.05, kind="mean")
        ledger.add(Predicate.OBSERVATION, observation("abuse.extraction", [seen]), "observer")
    rule_text = "  - {id: a, severity: high, threshold: {metric: ev.max_score, op: '<', value: 0.9}}"
    assert judged(ledger, small_policy(rule_text, "{ev: {type: observation}}")).outcome is PASS


def test_a_worn_dataset_is_said() -> None:
    ledger, data = tried([right(930)], dataset={"name": "d", "sha256": "aa" * 32}), "aa" * 32
    assert not any("wears out" in reason for reason in decided(ledger.view(wear={data: 100}), asked()).reasons)
    assert any("137 assets" in reason for reason in decided(ledger.view(wear={data: 137}), asked()).reasons)


def test_clusters_widen_what_single_rows_would_show() -> None:
    ledgers = []
    for clusters in (np.arange(1000), np.arange(1000) // 25):
        ledger, bad = Ledger(), right(930)
        bad[[3, 4, 5, 6, 7, 8, 9, 10]] = False  # all in one cluster
        for about, ok in ((BASELINE, right(930)), (CANDIDATE, bad)):
            table = ledger.keep(outcomes(ok, cluster=clusters))
            found = share("x", int(ok.sum()), 1000, outcomes=table)
            ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [found]), "evaluator", about)
        ledgers.append(ledger)
    single, lumps = (judged(ledger, asked(margin=0.02)) for ledger in ledgers)
    assert single.outcome is PASS and lumps.outcome is UNDECIDED and "pairing: clusters" in lumps.observed.text
    assert lumps.rows_needed is not None and lumps.rows_needed > 1000


def seeds(values: dict[str, float], about: str, ledger: Ledger) -> None:
    made = number("x", float(np.mean(list(values.values()))), len(values), kind="mean", limit={"seeds": values})
    ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [made]), "evaluator", about)


@pytest.mark.parametrize(
    ("new", "old", "outcome", "reason"),
    [([0.91, 0.92, 0.90, 0.91, 0.92], [0.91, 0.92, 0.91, 0.90, 0.91], PASS, "ok"),
     ([0.80, 0.81, 0.82, 0.80, 0.81], [0.91, 0.92, 0.91, 0.90, 0.91], FAIL, "shown-worse"),
     ([0.91, 0.92, 0.90, 0.91], [0.91, 0.92, 0.91, 0.90, 0.91], UNDECIDED, "no-seeds")],
)  # fmt: skip
def test_a_recipe_is_judged_by_its_seeds(new: list[float], old: list[float], outcome: RuleOutcome, reason: str) -> None:
    ledger = Ledger()
    seeds({str(i): value for i, value in enumerate(old)}, BASELINE, ledger)
    seeds({str(i): value for i, value in enumerate(new)}, CANDIDATE, ledger)
    found = judged(ledger, asked(", claim: recipe"))
    assert (found.outcome, found.reason) == (outcome, reason)


def test_one_model_says_nothing_of_its_recipe() -> None:
    assert judged(tried([right(930)]), asked(", claim: recipe")).reason == "no-seeds"


def classified(f1_of_candidate: float, positives: int = 400) -> Ledger:
    ledger, rng = Ledger(), np.random.default_rng(2)
    label = (np.arange(2000) < positives).astype("i4")
    base = np.where(rng.random(2000) < 0.05, 1 - label, label)
    worse = np.where((rng.random(2000) < f1_of_candidate) & (label == 1), 0, base)
    from assay.statistics.cells import Measure, cells_estimate

    for about, pred in ((BASELINE, base), (CANDIDATE, worse)):
        table = ledger.keep(write_table(rows(2000), {"label": label, "pred": pred}, {"positive": 1}))
        made = number("f1", cells_estimate(label, pred, Measure("f1", 1)), 2000, kind="cells", outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [made]), "evaluator", about)
    return ledger


def test_f1_is_compared_over_the_cells_of_both_models() -> None:
    assert judged(classified(0.0), asked(metric="f1")).outcome is PASS
    assert judged(classified(0.2), asked(metric="f1")).outcome is FAIL
    few = judged(classified(0.0, positives=10), asked(metric="f1"))
    assert few.reason == "too-few-rows" and few.rows_needed is not None
    policy = small_policy("  - {id: a, severity: high, threshold: {metric: ev.f1, op: '>=', value: 0.8}}")
    assert judged(classified(0.0), policy).outcome is PASS
    assert judged(classified(0.6), policy).outcome is FAIL


def flagged(candidate: dict[str, Any], baseline: dict[str, Any] | None = None) -> Ledger:
    ledger = Ledger()
    for about, limit in ((BASELINE, baseline), (CANDIDATE, candidate)):
        if limit is not None:
            made = number("x", limit["hits"] / limit["n"], limit["n"], "lower", kind="count", limit=limit)
            ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [made]), "evaluator", about)
    return ledger


def test_flagged_rows_are_compared_as_two_sets() -> None:
    policy = asked(better="lower", margin=0.01)
    assert judged(flagged({"hits": 3, "n": 5000}, {"hits": 4, "n": 4000}), policy).outcome is PASS
    assert judged(flagged({"hits": 200, "n": 5000}, {"hits": 4, "n": 4000}), policy).outcome is FAIL
    assert "pairing: none" in judged(flagged({"hits": 3, "n": 5000}, {"hits": 4, "n": 4000}), policy).observed.text


def test_nothing_found_by_a_detector_of_unknown_power_clears_nothing() -> None:
    policy = small_policy("  - {id: a, severity: high, threshold: {metric: ev.x, op: '<=', value: 0.005}}")
    none = judged(flagged({"hits": 0, "n": 2000}), policy)
    assert (none.outcome, none.reason) == (UNDECIDED, "no-power")
    assert judged(flagged({"hits": 0, "n": 2000, "detector": "exact"}), policy).outcome is PASS
    assert judged(flagged({"hits": 0, "n": 2000, "canaries": {"found": 48, "planted": 50}}), policy).outcome is PASS
    assert judged(flagged({"hits": 0, "n": 2000, "canaries": {"found": 5, "planted": 50}}), policy).outcome is UNDECIDED
    assert judged(flagged({"hits": 90, "n": 2000}), policy).outcome is FAIL


def test_a_precision_gap_divides_by_what_each_model_calls_positive() -> None:
    ledger, rng = Ledger(), np.random.default_rng(5)
    group, label = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    base = np.where(rng.random(4000) < 0.1, 1 - label, label)
    bent = np.where((group == 1) & (rng.random(4000) < 0.3), 1, base)
    for about, pred in ((BASELINE, base), (CANDIDATE, bent)):
        table = ledger.keep(write_table(rows(4000), {"label": label, "pred": pred, "group": group}, {"positive": 1}))
        means = [float(label[(pred == 1) & (group == g)].mean()) for g in (0, 1)]
        made = number("ppv_gap", abs(means[0] - means[1]), 4000, "lower", kind="gap", outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [made]), "evaluator", about)
    assert judged(ledger, asked(metric="ppv_gap", better="lower", margin=0.05)).outcome is FAIL
    assert judged(ledger, asked(metric="ppv_gap", better="lower", margin=0.3)).outcome is PASS


def regression(spread: float, few: int = 0) -> Ledger:
    """Errors of a regression in two groups whose means lie `spread` apart, in clusters of one."""
    ledger, rng = Ledger(), np.random.default_rng(8)
    group = (np.arange(2000) < (few or 1000)).astype("i4")
    value = rng.gamma(2, 0.5, 2000) + spread * group
    table = ledger.keep(write_table(rows(2000), {"value": value, "group": group}, {}))
    gap = abs(float(value[group == 1].mean() - value[group == 0].mean()))
    made = number("error_gap", gap, 2000, "lower", kind="gap", unit="years", outcomes=table)
    ledger.add(Predicate.EVAL_RESULT, evaluation("q.one", [made]), "evaluator")
    return ledger


def test_a_gap_of_means_has_a_limit_from_its_rows() -> None:
    policy = small_policy("  - {id: a, severity: high, threshold: {metric: ev.error_gap, op: '<=', value: 0.3}}")
    assert judged(regression(0.0), policy).outcome is PASS
    assert judged(regression(1.0), policy).outcome is FAIL
    assert judged(regression(0.3), policy).outcome is UNDECIDED
    assert judged(regression(0.0, few=20), policy).reason == "small-group"


def test_policy_tests_can_speak_of_the_anchor() -> None:
    from assay.policy.trial import run_policy_tests

    text = """
tests:
  - name: a slow loss is stopped
    evidence: {ev: {measurements: [{metric: x, right: 800, n: 1000}]}}
    baseline: {ev: {measurements: [{metric: x, right: 805, n: 1000}]}}
    anchor: {ev: {measurements: [{metric: x, right: 930, n: 1000}]}}
    expect: {a: fail}
"""
    assert run_policy_tests(asked(anchor=ANCHOR), text.encode())[0].is_passed
    with pytest.raises(PolicyError, match="pins no anchor"):
        run_policy_tests(asked(), text.encode())
