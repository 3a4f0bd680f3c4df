"""Holds one number against a limit: by its worst one-sided bound, so that luck with few rows does not pass.

Shares use exact bounds from their recorded hits, gaps the score test of every ordered pair of groups, counts themselves,
all else the recorded interval or, without one, the table of outcomes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Final

from assay.core.decisions import Cited, Observed, RuleOutcome
from assay.core.outcomes import Measurement
from assay.policy.case import Case
from assay.policy.drafts import INSTALL_ML, Draft, FailClaim, undecided
from assay.policy.grammar import Threshold
from assay.policy.limit_bounds import Bounds, bounds_of
from assay.policy.looks import alpha_of, held_to_looks
from assay.policy.measured import Found, NotFound, find, groups_of, observed
from assay.policy.offered import COUNTS, counts, has_looked, is_count
from assay.policy.paired_claims import LEAST_PER_GROUP
from assay.policy.selection import Selection
from assay.policy.tables import Tables

_OPS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq,
}  # fmt: skip


def judge_threshold(case: Case, test: Threshold, selection: Selection, tables: Tables) -> Draft:
    """What the evidence says about the limit."""
    if is_count(test.path, selection.spec.type):
        return _judge_count(case, test, selection)
    needed = needed_words(test)
    found = find(selection, test.path)
    if isinstance(found, NotFound):
        return undecided(found.reason, found.text, needed, selection.cited)
    cited = (selection.cite(found.chosen),)
    draft = _too_small(found.measurement, test, needed, cited) or _judge(case, found, test, needed, cited, tables)
    return draft if test.op == "==" else held_to_looks(case, test, selection, found, draft)


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
    if groups is None:  # the table may tell; its groups are counted there
        return None
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
    bounds = bounds_of(case, m, test, tables)
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
        return Draft(RuleOutcome.UNDECIDED, bounds.open_reason, seen, needed, rows_needed=rows, evidence=cited)
    return Draft(RuleOutcome.UNDECIDED, "may-be-chance", seen, needed, rows_needed=rows, evidence=cited,
                 claims=(FailClaim(bounds.p_fail / alpha_of(test), "bound-misses", is_final=True),))  # fmt: skip


def _judge_exactly(m: Measurement, bounds: Bounds, test: Threshold, needed: str, cited: tuple[Cited, ...]) -> Draft:
    if bounds.low != bounds.high:
        return undecided("not-a-count", f"{test.path} is estimated", needed, cited)
    passed = m.value == test.value
    outcome = RuleOutcome.PASS if passed else RuleOutcome.FAIL
    return Draft(outcome, "ok" if passed else "count-misses", observed(m), needed, evidence=cited)
