"""Pictures of a decision: what each rule saw, what was measured, and what the outcomes of single rows show.

A picture is drawn only of what was measured; what is not there, or cannot be read, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.core.decisions import Decision, RuleOutcome, RuleResult
from assay.core.digests import Digest, short
from assay.core.outcomes import Measurement
from assay.evidence.predicates import Predicate
from assay.policy.grammar import Compare, Expr, Threshold
from assay.policy.measured import NotFound, measurement_of
from assay.policy.metric_names import rank_metric
from assay.policy.tables import Tables
from assay.policy.view import View
from assay.surfaces.reports.figures import Measured, measured_figures
from assay.surfaces.reports.plots.curves import Curve, Point, reliability, roc
from assay.surfaces.reports.plots.intervals import Row, changes, limits
from assay.surfaces.reports.results import Figure

Tests = Mapping[str, Threshold | Compare | Expr]
BINS = 10
MOST_FIGURES = 24


def figures_of(decision: Decision, tests: Tests, view: View, baseline_name: str = "") -> tuple[Figure, ...]:
    """The pictures of a decision: its rules first, then what stands behind them."""
    sides = [Measured("candidate", _cited(decision, view, view.subject.digest))]
    if view.baseline:
        name = f"baseline {baseline_name}".strip()
        sides.append(Measured(name, _cited(decision, view, view.baseline.digest)))
    found = [*rule_figures(decision.rules, tests), *measured_figures(sides), *_row_figures(sides, Tables(view.table))]
    return tuple(found[:MOST_FIGURES])


def rule_figures(rules: Sequence[RuleResult], tests: Tests) -> Iterator[Figure]:
    """The interval plots: all comparisons in one, limits by their unit."""
    compared = [
        row for rule in rules if isinstance(test := tests.get(rule.id), Compare) for row in _changes(rule, test)
    ]
    if compared:
        yield Figure(
            "Changes against what is compared with",
            "A rule passes when its whole interval lies right of the margin: the loss that it would accept is then ruled out. "
            "An interval that reaches into the tinted zone leaves it undecided; one that lies left of no change shows a loss.",
            changes(compared),
        )
    by_unit: dict[tuple[str, bool], list[Row]] = {}
    for rule in rules:
        if isinstance(test := tests.get(rule.id), Threshold) and (row := _limit(rule, test)):
            by_unit.setdefault((row.unit, 0 <= row.mark_at <= 1), []).append(row)
    for (unit, _), rows in by_unit.items():
        yield Figure(
            f"Values against their limits{f' ({unit})' if unit else ''}",
            "A limit is kept when the whole interval lies on the tinted side, missed when all of it lies on the other.",
            limits(rows),
        )


def _row_figures(sides: Sequence[Measured], tables: Tables) -> Iterator[Figure]:
    try:
        import numpy  # noqa: F401 - asks whether the tables can be read
    except ImportError:
        return
    ranks = dict.fromkeys(m.metric for m in sides[0].measurements if m.kind == "rank" and "tpr_at_fpr" in m.metric)
    for metric in ranks:
        rate = float(rank_metric(metric).partition(":")[2])
        curves = [curve for side in sides if (curve := _roc_of(side, metric, rate, tables))]
        if curves:
            least = min(point.x for curve in curves for point in curve.points)
            yield Figure("True positives at low false positive rates", "How many members an attacker finds while accusing few "
                         "others wrongly. Left is where it hurts: an attack that names members there is believed.",
                         roc(curves, rate, min(least, rate / 2)))  # fmt: skip
    reliable = [curve for side in sides if (curve := _reliability_of(side, tables))]
    if reliable:
        yield Figure("Reliability of the probabilities", "On the dotted line a model that is 80 % sure is right 80 % of the "
                     "time; below it, it is too sure of itself. Columns count the rows of each bin.", reliability(reliable))  # fmt: skip


def _cited(decision: Decision, view: View, subject: Digest) -> list[Measurement]:
    """The measurements of the statements that the decision rests on about one asset, each once."""
    named = {cited.digest for rule in decision.rules for cited in rule.evidence}
    chosen = {
        e.digest: e
        for e in view.evidence
        if e.digest in named and e.subjects[:1] == (subject,) and e.type == Predicate.EVAL_RESULT and not e.problem
    }
    items = [item for e in chosen.values() for item in e.predicate.get("measurements", []) if isinstance(item, dict)]
    return [measurement_of(item) for item in items]


def _changes(rule: RuleResult, test: Compare) -> Iterator[Row]:
    seen = rule.observed
    if seen.estimate is not None and seen.low is not None and seen.high is not None:
        value = rule.baseline.estimate if rule.baseline else None
        margin = test.margin * abs(value) if test.scale == "relative" and value is not None else test.margin
        detail = f"margin {margin:.4g}, {test.path}"
        yield Row(rule.id, rule.outcome, seen.estimate, seen.low, seen.high, -margin, seen.n, seen.unit, detail)
    anchor = dict(rule.trace).get("anchor")
    if isinstance(anchor, dict):
        total = anchor["total_margin"]
        detail = f"{short(str(anchor['digest']).removeprefix('sha256:'))}, total margin {total:.4g}"
        kept = RuleOutcome.PASS if anchor["low"] > -total else RuleOutcome.UNDECIDED
        outcome = RuleOutcome.FAIL if rule.reason == "drifted" else kept
        yield Row(
            "… since the anchor",
            outcome,
            anchor["estimate"],
            anchor["low"],
            anchor["high"],
            -total,
            anchor["n"],
            "",
            detail,
        )


def _limit(rule: RuleResult, test: Threshold) -> Row | None:
    seen = rule.observed
    if seen.estimate is None or seen.low == seen.high == seen.estimate:  # an exact count has nothing to show
        return None
    low, high = (seen.estimate if bound is None else bound for bound in (seen.low, seen.high))
    unit = "" if seen.unit in ("share", "area") else seen.unit
    return Row(rule.id, rule.outcome, seen.estimate, low, high, test.value, seen.n, unit, f"{test.op} {test.value:.4g}, {test.path}",
               is_above=test.op.startswith(">"))  # fmt: skip


def _roc_of(side: Measured, metric: str, rate: float, tables: Tables) -> Curve | None:
    """The curve of a table of scores; ties count against the model, as they do in the gate."""
    import numpy as np

    m = next((m for m in side.measurements if m.metric == metric and m.group is None and m.slice is None), None)
    table = tables.read(m.table) if m else None
    if m is None or table is None or isinstance(table, NotFound) or not {"member", "score"} <= table.columns.keys():
        return None
    member, score = table.columns["member"].astype(bool), table.columns["score"]
    others = np.sort(score[~member])
    if not others.size or not member.any():
        return None
    above = others.size - np.searchsorted(others, score[member], side="right")
    found = np.cumsum(np.bincount(above, minlength=others.size + 1))[: others.size + 1] / member.sum()
    points = [Point(k / others.size, float(found[k]), 0.0, 0.0, m.n) for k in _places(others.size)]
    asked = Point(rate, m.value, m.value if m.low is None else m.low, m.value if m.high is None else m.high, m.n)
    note = f"({int(member.sum()):,} members, {others.size:,} others)"
    return Curve(side.name, sorted([*points, asked], key=lambda point: point.x), note)


def _places(n: int) -> list[int]:
    """Up to 300 counts from 1 to n, evenly spread on a logarithmic axis."""
    return sorted({max(1, round(n ** (i / 300))) for i in range(301)})


def _reliability_of(side: Measured, tables: Tables) -> Curve | None:
    """From a table with `score` (how sure) and `ok` (whether right) of each row."""
    import numpy as np

    from assay.statistics.intervals import share_interval

    for digest in dict.fromkeys(m.table for m in side.measurements if m.table):
        table = tables.read(digest)
        if isinstance(table, NotFound) or not {"score", "ok"} <= table.columns.keys() or "member" in table.columns:
            continue
        sure, right = table.columns["score"], table.columns["ok"].astype(bool)
        if not sure.size or sure.min() < 0 or sure.max() > 1:
            continue
        bins, points = np.minimum((sure * BINS).astype(int), BINS - 1), []
        for place in range(BINS):
            inside = bins == place
            if n := int(inside.sum()):
                seen = share_interval(int(right[inside].sum()), n)
                points.append(Point(float(sure[inside].mean()), seen.estimate, seen.low, seen.high, n))
        return Curve(side.name, points, f"({sure.size:,} rows)")
    return None
