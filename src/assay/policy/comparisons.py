"""Holds the candidate against the baseline on the same rows: not worse by the margin, shown worse, or not yet known.

Candidate minus baseline is signed so that larger is better. Rows are matched by id and never silently intersected; check,
version, options and seed must be equal, and whatever the policy lists in `same`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from assay.core.canonical import Json
from assay.core.decisions import Cited, Observed, RuleOutcome
from assay.core.outcomes import Measurement
from assay.policy.case import Case
from assay.policy.drafts import INSTALL_ML, Draft, undecided
from assay.policy.grammar import Compare
from assay.policy.measured import Found, NotFound, find, groups_of, observed, rounded
from assay.policy.selection import Selection
from assay.policy.tables import Tables, seed_of
from assay.policy.thresholds import LEAST_PER_GROUP, rank_metric

if TYPE_CHECKING:
    from assay.statistics.results import PairedClaim
    from assay.statistics.tables import OutcomeTable

Fields = Callable[[Found], Json]


def _part(*path: str) -> Fields:
    def read(found: Found) -> Json:
        value: Json = found.chosen.predicate
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return read


_FIELDS: Final[Mapping[str, Fields]] = {
    "suite": _part("suite", "sha256"),
    "suite_digest": _part("suite", "sha256"),
    "dataset": _part("dataset", "sha256"),
    "threat_model": lambda found: found.measurement.threat_model or found.chosen.predicate.get("threatModel"),
    "check_version": _part("head", "check", "version"),
    "options": _part("head", "optionsSha256"),
    "seed": _part("head", "seed"),
}
_ALWAYS_SAME = ("check_version", "options", "seed")
_POSITIVE: Final[Mapping[str, int]] = {"equal_opportunity_gap": 1, "tpr_gap": 1, "fpr_gap": 0}
_LEAST_ROWS, _LEAST_MEMBERS, _LEAST_FALSE_POSITIVES = 30, 100, 20  # enough data: design/evaluation.md 3.3
_ALL_ROWS = ("selection_rate_gap", "demographic_parity_gap")


def needed_words(test: Compare) -> str:
    """The demand in words."""
    unit = " of the baseline's value" if test.scale == "relative" else ""
    same = f", same {', '.join(test.same)}" if test.same else ""
    return f"{test.metric} not worse than the baseline by {test.margin:.12g}{unit} at {test.level:.12g}{same}"


def judge_comparison(case: Case, test: Compare, ours: Selection, theirs: Selection | None, tables: Tables) -> Draft:
    """What the rows say about candidate minus baseline; `theirs` None means that there is no baseline."""
    needed, baseline = needed_words(test), case.view.baseline
    if baseline is None or theirs is None:
        absolute = case.policy.baseline is not None and case.policy.baseline.if_absent == "absolute-only"
        outcome = RuleOutcome.NOT_APPLICABLE if absolute else RuleOutcome.UNDECIDED
        return Draft(outcome, "no-baseline", Observed(text="there is no baseline yet"), needed, evidence=ours.cited)
    if baseline.digest == case.view.subject.digest:
        return undecided("equal-candidate-and-baseline", "candidate and baseline are the same bytes", needed)
    new, old = find(ours, test.path), find(theirs, test.path)
    if isinstance(new, NotFound):
        return undecided(new.reason, new.text, needed, ours.cited)
    if isinstance(old, NotFound):
        reason = "baseline-missing" if old.reason == "missing" else old.reason
        return undecided(reason, f"baseline: {old.text}", needed, (*ours.cited, *theirs.cited))
    cited = (ours.cite(new.chosen), theirs.cite(old.chosen))
    problem = _not_comparable(new, old, test)
    if problem is not None:
        return replace(undecided(problem.reason, problem.text, needed, cited), rows_needed=problem.rows_needed)
    return _judge(case, new, old, test, needed, cited, tables)


def _not_comparable(new: Found, old: Found, test: Compare) -> NotFound | None:
    a, b = new.measurement, old.measurement
    if a.better != test.better or b.better != test.better:
        return NotFound("direction", f"the check says that {a.better} is better")
    if new.chosen.check != old.chosen.check or (a.kind, a.unit) != (b.kind, b.unit):
        return NotFound("not-same", f"{new.chosen.check} {a.kind} against {old.chosen.check} {b.kind}")
    for name in (*_ALWAYS_SAME, *test.same):
        ours, theirs = _FIELDS[name](new), _FIELDS[name](old)
        if ours != theirs:
            return NotFound("not-same", f"{name}: {_brief(ours)} against {_brief(theirs)}")
        if ours is None and name in test.same:
            return NotFound("not-same", f"{name} was not recorded")
    if min(a.n, b.n) < test.min_n:
        return NotFound("too-few-rows", f"{min(a.n, b.n)} rows", test.min_n)
    return None


def _judge(
    case: Case, new: Found, old: Found, test: Compare, needed: str, cited: tuple[Cited, ...], tables: Tables
) -> Draft:
    try:
        from assay.statistics import claims  # noqa: F401 - asks whether its libraries are there
    except ImportError as error:
        return undecided("missing-extra", f"{error.name} is not installed", needed, cited, INSTALL_ML)
    claim = _claim(case, new.measurement, old.measurement, test, tables)
    if isinstance(claim, NotFound):
        return replace(undecided(claim.reason, claim.text, needed, cited), rows_needed=claim.rows_needed)
    alpha = 1 - test.level
    return Draft(
        outcome=RuleOutcome.PASS if claim.p_not_worse <= alpha else RuleOutcome.UNDECIDED,
        reason="ok" if claim.p_not_worse <= alpha else "not-shown",
        observed=_change(claim, new.measurement),
        needed=needed,
        baseline=observed(old.measurement),
        rows_needed=_rows(claim) if claim.p_not_worse > alpha else None,
        evidence=cited,
        fail_ratio=claim.p_regression / alpha,
        if_failed="shown-worse",
    )


def _claim(case: Case, new: Measurement, old: Measurement, test: Compare, tables: Tables) -> PairedClaim | NotFound:
    ours, theirs = tables.read(new.table), tables.read(old.table)
    if isinstance(ours, NotFound):
        return ours
    if isinstance(theirs, NotFound):
        return NotFound(theirs.reason, f"baseline: {theirs.text}")
    matched = _same_rows(ours, theirs)
    if not matched and new.kind != "rank":
        return _unmatched(ours, theirs)
    margin = test.margin * abs(old.value) if test.scale == "relative" else test.margin
    try:
        return _KINDS[new.kind](case, new, old, test, margin, ours, theirs)
    except KeyError as error:
        return NotFound("not-computable", f"no paired test for {new.kind}, or its table lacks {error}")
    except _Refused as error:
        return NotFound(error.reason, str(error), error.rows_needed)
    except ValueError as error:
        return NotFound("not-computable", str(error))


class _Refused(ValueError):
    """A table that must not be tested so; `reason` is the word for it, `rows_needed` the rows that would help."""

    def __init__(self, reason: str, text: str, rows_needed: int | None = None) -> None:
        super().__init__(text)
        self.reason, self.rows_needed = reason, rows_needed


def _share(case: Case, new: Measurement, old: Measurement, test: Compare, margin: float,
           ours: OutcomeTable, theirs: OutcomeTable) -> PairedClaim:  # fmt: skip
    from assay.statistics import claims

    _independent(ours, theirs)
    candidate, baseline = ours.columns["ok"], theirs.columns["ok"]
    _agree(new, float(candidate.mean()))
    _agree(old, float(baseline.mean()))
    return claims.share_paired(candidate, baseline, margin, test.better, 1 - test.level, case.policy.comparisons)


def _mean(case: Case, new: Measurement, old: Measurement, test: Compare, margin: float,
          ours: OutcomeTable, theirs: OutcomeTable) -> PairedClaim:  # fmt: skip
    from assay.statistics import claims

    _independent(ours, theirs)
    candidate, baseline = ours.columns["value"], theirs.columns["value"]
    if len(candidate) < _LEAST_ROWS:
        raise _Refused("too-few-rows", f"{len(candidate)} rows; a mean needs {_LEAST_ROWS}", _LEAST_ROWS)
    _agree(new, float(candidate.mean()))
    _agree(old, float(baseline.mean()))
    return claims.mean_paired(candidate, baseline, margin, test.better, seed_of(case, test.metric),
                              alpha=1 - test.level, metrics=case.policy.comparisons)  # fmt: skip


def _gap(case: Case, new: Measurement, old: Measurement, test: Compare, margin: float,
         ours: OutcomeTable, theirs: OutcomeTable) -> PairedClaim:  # fmt: skip
    """Rows are those of the gap's denominator: all where the table says `ok`, else by the metric's definition."""
    from assay.statistics import claims

    _independent(ours, theirs)
    groups, mine = _gap_rows(new, ours)
    same_groups, other = _gap_rows(old, theirs)
    if groups.shape != same_groups.shape or bool((groups != same_groups).any()):
        raise _Refused("inconsistent", "candidate and baseline put rows into different groups")
    return claims.gap_paired(groups, mine, other, margin, test.better, seed_of(case, test.metric),
                             alpha=1 - test.level, metrics=case.policy.comparisons)  # fmt: skip


def _gap_rows(m: Measurement, table: OutcomeTable) -> tuple[Any, Any]:  # numpy arrays, and numpy is imported lazily
    groups = table.columns["group"]
    name = m.metric.rsplit(".", 1)[-1]
    if "ok" in table.columns:
        keep, hits = groups == groups, table.columns["ok"].astype(bool)
    elif name in _ALL_ROWS:
        keep, hits = groups == groups, table.columns["pred"] == 1
    else:
        keep, hits = table.columns["label"] == _POSITIVE[name], table.columns["pred"] == 1
    groups, hits = groups[keep], hits[keep]
    recorded = groups_of(m)
    if recorded is not None and (least := min(recorded[2])) < LEAST_PER_GROUP:
        rows = math.ceil(m.n * LEAST_PER_GROUP / least) if least else None
        raise _Refused("small-group", f"{recorded[0][recorded[2].index(least)]} has {least} rows", rows)
    counted = [(int(hits[groups == g].sum()), int((groups == g).sum())) for g in sorted({int(g) for g in groups})]
    if recorded is None or sorted(counted) != sorted(zip(recorded[1], recorded[2], strict=True)):
        raise _Refused("inconsistent", f"the table of {m.metric} counts other rows than the measurement")
    return groups, hits


def _rank(case: Case, new: Measurement, old: Measurement, test: Compare, margin: float,
          ours: OutcomeTable, theirs: OutcomeTable) -> PairedClaim:  # fmt: skip
    """Rows are paired only if both models have the same members; else each model was attacked on its own."""
    from assay.statistics import claims

    mine, other = ours.columns["member"].astype(bool), theirs.columns["member"].astype(bool)
    metric = rank_metric(new.metric)
    expected = min((~mine).sum(), (~other).sum()) * float(metric.partition(":")[2] or 1)
    if min(mine.sum(), other.sum()) < _LEAST_MEMBERS or expected < _LEAST_FALSE_POSITIVES:
        times = max(_LEAST_MEMBERS / max(1, min(mine.sum(), other.sum())), _LEAST_FALSE_POSITIVES / max(0.01, expected))
        text = f"{int(mine.sum())} members, {int((~mine).sum())} others: too few for {metric}"
        raise _Refused("too-few-rows", text, math.ceil(new.n * times))
    paired = _same_rows(ours, theirs) and bool((mine == other).all())
    a, b = ours.columns["score"], theirs.columns["score"]
    return claims.rank_paired(a[mine], a[~mine], b[other], b[~other], metric, margin, test.better,
                              seed_of(case, test.metric), paired, 1 - test.level,
                              metrics=case.policy.comparisons)  # fmt: skip


_KINDS: Final[Mapping[str, Callable[..., PairedClaim]]] = {"share": _share, "mean": _mean, "gap": _gap, "rank": _rank}


def _independent(*tables: OutcomeTable) -> None:
    for table in tables:
        clusters = table.columns.get("cluster")
        if clusters is not None and len({int(c) for c in clusters}) < table.rows:
            raise _Refused("clustered-rows", "rows come in clusters, and a paired test of single rows would mislead")


def _agree(m: Measurement, mean: float) -> None:
    if abs(m.value - mean) > 1e-6:
        raise _Refused("inconsistent", f"the table of {m.metric} gives {mean:.6g}, the measurement says {m.value:.6g}")


def _same_rows(a: OutcomeTable, b: OutcomeTable) -> bool:
    return a.rows == b.rows and a.row_id.tobytes() == b.row_id.tobytes()


def _unmatched(a: OutcomeTable, b: OutcomeTable) -> NotFound:
    ours, theirs = ({bytes(row) for row in table.row_id} for table in (a, b))
    return NotFound("unmatched-rows", f"{len(ours & theirs)} rows in both, {len(ours - theirs)} only of the candidate, "
                                      f"{len(theirs - ours)} only of the baseline")  # fmt: skip


def _change(claim: PairedClaim, m: Measurement) -> Observed:
    counted = f"; lost {claim.lost}, gained {claim.gained}" if claim.lost is not None else ""
    text = f"candidate {m.value:.6g}; change signed so that more is better{counted}"
    return Observed(rounded(claim.estimate), rounded(claim.low), rounded(claim.high), claim.n, m.unit, text)


def _rows(claim: PairedClaim) -> int | None:
    return None if claim.rows_needed is None else max(claim.rows_needed, claim.n + 1)


def _brief(value: Json) -> str:
    return "nothing" if value is None else str(value)[:16]
