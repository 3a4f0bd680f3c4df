"""Holds one number against a limit: by its worst one-sided bound, so that luck with few rows does not pass.

Shares use exact bounds from their recorded hits, gaps the score test of every ordered pair of groups, counts themselves,
all else the recorded interval or, without one, the table of outcomes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from assay.core.decisions import Cited, Observed, RuleOutcome
from assay.core.outcomes import Measurement
from assay.policy import shares
from assay.policy.case import Case
from assay.policy.drafts import INSTALL_ML, Draft, undecided
from assay.policy.grammar import Threshold
from assay.policy.measured import Found, NotFound, find, groups_of, hits_of, observed
from assay.policy.offered import COUNTS, counts, has_looked, is_count
from assay.policy.selection import Selection
from assay.policy.tables import Tables, seed_of

_OPS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq,
}  # fmt: skip
LEAST_PER_GROUP = 30  # below this a group's share says nothing; design/evaluation.md 3.3


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds at the asked level; `p_fail` is the p-value of "the limit is met"."""

    low: float
    high: float
    p_fail: float
    rows_needed: int | None = None


def judge_threshold(case: Case, test: Threshold, selection: Selection, tables: Tables) -> Draft:
    """What the evidence says about the limit."""
    if is_count(test.path, selection.spec.type):
        return _judge_count(case, test, selection)
    needed = needed_words(test)
    found = find(selection, test.path)
    if isinstance(found, NotFound):
        return undecided(found.reason, found.text, needed, selection.cited)
    cited = (selection.cite(found.chosen),)
    return _too_small(found.measurement, test, needed, cited) or _judge(case, found, test, needed, cited, tables)


def needed_words(test: Threshold) -> str:
    """The demand in words."""
    if test.path in COUNTS:
        return f"{test.metric} {test.op} {test.value:.12g}"
    at = f"{test.level:.12g}"
    by = {"==": "exactly"}.get(test.op) or ("by the estimate" if test.bound == "estimate" else f"by its bound at {at}")
    rows = f", on {test.min_n} rows or more" if test.min_n else ""
    groups = f", with {test.min_per_group} rows or more in each group" if test.min_per_group else ""
    return f"{test.metric} {test.op} {test.value:.12g} {by}{rows}{groups}"


def _judge_count(case: Case, test: Threshold, selection: Selection) -> Draft:
    needed = f"{test.metric} {test.op} {test.value:.12g}"
    if selection.problem:
        return undecided(selection.problem, selection.text, needed, selection.cited)
    if not has_looked(selection):
        return undecided("empty", "nothing was looked at, so no count means anything", needed, selection.cited)
    count = counts(case, selection)[test.path]
    met = _OPS[test.op](count, test.value)
    outcome = RuleOutcome.PASS if met else RuleOutcome.FAIL
    seen = Observed(float(count), float(count), float(count), unit="count")
    return Draft(outcome, "ok" if met else "count-misses", seen, needed, evidence=selection.cited)


def _too_small(m: Measurement, test: Threshold, needed: str, cited: tuple[Cited, ...]) -> Draft | None:
    if m.n < test.min_n:
        return Draft(RuleOutcome.UNDECIDED, "too-few-rows", observed(m), needed, rows_needed=test.min_n, evidence=cited)
    if m.kind != "gap":
        return None
    groups, least = groups_of(m), test.min_per_group or LEAST_PER_GROUP
    if groups is None:
        return undecided("no-bounds", "the rows of each group were not recorded", needed, cited)
    small = [f"{name} ({rows})" for name, rows in zip(groups[0], groups[2], strict=True) if rows < least]
    if not small:
        return None
    text = f"fewer than {least} rows: {', '.join(small[:8])}"
    rows_needed = math.ceil(m.n * least / min(groups[2])) if min(groups[2]) else None
    return Draft(RuleOutcome.UNDECIDED, "small-group", observed(m, text=text), needed, rows_needed=rows_needed,
                 evidence=cited)  # fmt: skip


def _judge(case: Case, found: Found, test: Threshold, needed: str, cited: tuple[Cited, ...], tables: Tables) -> Draft:
    m, met = found.measurement, _OPS[test.op]
    if test.bound == "estimate":
        passed = met(m.value, test.value)
        outcome = RuleOutcome.PASS if passed else RuleOutcome.FAIL
        reason = "ok-estimate" if passed else "estimate-misses"
        return Draft(outcome, reason, observed(m, text="the estimate alone: weak"), needed, evidence=cited)
    bounds = _bounds(case, m, test, tables)
    if isinstance(bounds, NotFound):
        fix = INSTALL_ML if bounds.reason == "missing-extra" else ""
        return undecided(bounds.reason, bounds.text, needed, cited, fix)
    if test.op == "==":
        return _judge_exactly(m, bounds, test, needed, cited)
    worst, best = (bounds.low, bounds.high) if test.op.startswith(">") else (bounds.high, bounds.low)
    seen = observed(m, bounds.low, bounds.high)
    if met(worst, test.value):
        return Draft(RuleOutcome.PASS, "ok", seen, needed, evidence=cited)
    rows = None if bounds.rows_needed is None else max(bounds.rows_needed, m.n + 1)
    if bounds.low == bounds.high:
        return Draft(RuleOutcome.FAIL, "bound-misses", seen, needed, evidence=cited)
    if met(best, test.value):
        return Draft(RuleOutcome.UNDECIDED, "straddles", seen, needed, rows_needed=rows, evidence=cited)
    return Draft(RuleOutcome.UNDECIDED, "may-be-chance", seen, needed, rows_needed=rows, evidence=cited,
                 fail_ratio=bounds.p_fail / (1 - test.level), if_failed="bound-misses")  # fmt: skip


def _judge_exactly(m: Measurement, bounds: Bounds, test: Threshold, needed: str, cited: tuple[Cited, ...]) -> Draft:
    if bounds.low != bounds.high:
        return undecided("not-a-count", f"{test.path} is estimated", needed, cited)
    passed = m.value == test.value
    outcome = RuleOutcome.PASS if passed else RuleOutcome.FAIL
    return Draft(outcome, "ok" if passed else "count-misses", observed(m), needed, evidence=cited)


def _bounds(case: Case, m: Measurement, test: Threshold, tables: Tables) -> Bounds | NotFound:
    alpha = 1 - test.level
    if share := hits_of(m):
        return _share_bounds(*share, test, alpha)
    if m.kind == "gap":
        return _gap_bounds(m, test, alpha)
    if m.low is not None and m.high is not None:
        return _recorded_bounds(m, test, alpha)
    if m.kind == "count":
        return Bounds(m.value, m.value, 1.0)
    if m.kind in ("mean", "rank") and m.table is not None:
        return _table_bounds(case, m, test, alpha, tables)
    return NotFound("no-bounds", f"{test.path} = {m.value:.12g} without an interval")


def _share_bounds(hits: int, n: int, test: Threshold, alpha: float) -> Bounds:
    if not 0 < test.value < 1:
        p_fail = 0.0  # such a limit is kept, or missed, by every share; the bounds say which
    elif test.op.startswith(">"):
        p_fail = shares.p_at_most(hits, n, test.value)
    else:
        p_fail = shares.p_at_least(hits, n, test.value)
    low, high = shares.share_low(hits, n, alpha), shares.share_high(hits, n, alpha)
    return Bounds(low, high, p_fail, shares.rows_for_share(hits / n, test.value, alpha))


def _gap_bounds(m: Measurement, test: Threshold, alpha: float) -> Bounds | NotFound:
    groups = groups_of(m)
    if groups is None or test.op == "==":
        return NotFound("no-bounds", "the rows of each group were not recorded")
    try:
        from assay.statistics import claims
    except ImportError as error:
        return NotFound("missing-extra", f"{error.name} is not installed")
    try:
        claim = claims.gap_limit(groups[1], groups[2], claims.Limit(test.value, test.op), alpha)
    except ValueError as error:
        return NotFound("not-computable", str(error))
    return Bounds(claim.low, claim.high, claim.p_fail, claim.rows_needed)


def _recorded_bounds(m: Measurement, test: Threshold, alpha: float) -> Bounds | NotFound:
    """The bounds of a two-sided interval are one-sided bounds at (1 + level)/2, so 0.95 serves for up to 0.975."""
    assert m.low is not None and m.high is not None
    if m.low == m.high:
        return Bounds(m.low, m.high, 1.0)
    if not 0 < m.level < 1 or (1 - m.level) / 2 > alpha + 1e-9:
        return NotFound("no-bounds", f"its interval was recorded at {m.level:.12g}")
    # The p-value of a missed limit, from the half width on that side as if it were normal; it feeds Holm only.
    side = m.high - m.value if test.op.startswith(">") else m.value - m.low
    spread = side / NormalDist().inv_cdf((1 + m.level) / 2)
    away = abs(test.value - m.value)
    p_fail = NormalDist().cdf(-away / spread) if spread > 0 else 0.0
    rows = math.ceil(m.n * (2.93 * spread / away) ** 2) if away > 0 and spread > 0 else None
    return Bounds(m.low, m.high, p_fail, rows)


def _table_bounds(case: Case, m: Measurement, test: Threshold, alpha: float, tables: Tables) -> Bounds | NotFound:
    try:
        from assay.statistics import claims
    except ImportError as error:
        return NotFound("missing-extra", f"{error.name} is not installed")
    table = tables.read(m.table)
    if isinstance(table, NotFound):
        return table
    try:
        limit, seed = claims.Limit(test.value, test.op), seed_of(case, test.metric)
        if m.kind == "mean":
            claim = claims.mean_limit(table.columns["value"], limit, seed, alpha)
        else:
            members = table.columns["member"].astype(bool)
            scores = table.columns["score"]
            claim = claims.rank_limit(scores[members], scores[~members], rank_metric(m.metric), limit, seed, alpha)
    except (ValueError, KeyError) as error:
        return NotFound("not-computable", str(error))
    return Bounds(claim.low, claim.high, claim.p_fail, claim.rows_needed)


def rank_metric(metric: str) -> str:
    """`auc`, or `tpr_at_fpr:0.01` for a metric called `tpr_at_fpr_001`: the digits after the first are decimals.

    Raises:
        ValueError: the name says neither.
    """
    last = metric.rsplit(".", 1)[-1]
    rate = last.removeprefix("tpr_at_fpr_")
    if rate != last and rate.isdigit() and len(rate) > 1:
        return f"tpr_at_fpr:{rate[0]}.{rate[1:]}"
    if last == "auc" or last.endswith("_auc"):
        return "auc"
    raise ValueError(f"{metric!r} is no rank metric that can be computed: auc or tpr_at_fpr_001")
