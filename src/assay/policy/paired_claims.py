"""The test of a change by the kind of its metric, from the outcome tables of candidate and reference.

| kind | columns of a table | recorded in the measurement's `limit` |
|---|---|---|
| share | `ok` | `hits`, `n` |
| mean | `value` | |
| gap | `group`, and `ok` with an optional `flag` (rows in the denominator), `value`, or `label` and `pred` | `groups`, `hits`, `counts` |
| rank | `score`, `member` | |
| cells | `label`, `pred` | `measure` and `positive`, unless the metric's name says the first |
| count | none: two sets of rows are no pairs | `hits`, `n` |

A column `cluster` makes whole clusters the sample. A recipe's measurement has `limit: {seeds: {SEED: VALUE}}` and no table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from assay.core.canonical import Json
from assay.core.outcomes import Measurement
from assay.policy.measured import NotFound, flagged_of, groups_of
from assay.policy.metric_names import cells_measure, gap_question, rank_metric
from assay.policy.tables import Tables

if TYPE_CHECKING:
    from assay.statistics.claims import Side
    from assay.statistics.inputs import Bools, Ints
    from assay.statistics.results import PairedClaim
    from assay.statistics.tables import OutcomeTable

LEAST_PER_GROUP = 30  # below this a group's share says nothing; design/evaluation.md 3.3, as all of these
_LEAST_ROWS, _LEAST_MEMBERS, _LEAST_FALSE_POSITIVES = 30, 100, 20


@dataclass(frozen=True)
class Asked:
    """What is asked of a change: the loss that is accepted, which direction is better, errors, power, and the seed of draws."""

    margin: float
    better: str
    alpha: float
    metrics: int
    seed: int


@dataclass(frozen=True)
class Compared:
    """A claim and how rows were matched: `rows`, `clusters`, `seeds` or `none`."""

    claim: PairedClaim
    pairing: str = "rows"


@dataclass(frozen=True)
class _Pair:
    new: Measurement
    old: Measurement
    ours: OutcomeTable
    theirs: OutcomeTable


class Refused(ValueError):
    """A table that must not be tested so; `reason` is the word for it, `rows_needed` the rows that would help."""

    def __init__(self, reason: str, text: str, rows_needed: int | None = None) -> None:
        super().__init__(text)
        self.reason, self.rows_needed = reason, rows_needed


def compare_rows(new: Measurement, old: Measurement, asked: Asked, tables: Tables) -> Compared | NotFound:
    """What the rows of candidate and reference say about the change; their libraries must be installed."""
    from assay.statistics.claims import TooFewClusters

    try:
        if new.kind == "count":
            return _count(new, old, asked)
        pair = _pair(new, old, tables)
        return pair if isinstance(pair, NotFound) else _KINDS[new.kind](pair, asked)
    except KeyError as error:
        return NotFound("not-computable", f"no paired test for {new.kind}, or its table lacks {error}")
    except Refused as error:
        return NotFound(error.reason, str(error), error.rows_needed)
    except TooFewClusters as error:
        return NotFound("clustered-rows", str(error), math.ceil(new.n * error.needed / max(1, error.found)))
    except ValueError as error:
        return NotFound("not-computable", str(error))


def compare_seeds(new: Measurement, old: Measurement, asked: Asked) -> Compared | NotFound:
    """What the values of several training seeds say about the change of a recipe."""
    from assay.statistics import claims

    ours, theirs = _seeds_of(new), _seeds_of(old)
    if ours is None or theirs is None:
        return NotFound("no-seeds", "no values of single seeds were recorded, so nothing is known of the recipe")
    if (fewest := min(len(ours), len(theirs))) < claims.LEAST_SEEDS:
        return NotFound("no-seeds", f"{fewest} seeds; a recipe needs {claims.LEAST_SEEDS} a side", claims.LEAST_SEEDS)
    import numpy as np

    is_paired = ours.keys() == theirs.keys()
    a, b = (np.array([side[name] for name in sorted(side)]) for side in (ours, theirs))
    try:
        claim = claims.recipe_change(a, b, asked.margin, asked.better, is_paired, asked.alpha, asked.metrics)
    except ValueError as error:
        return NotFound("not-computable", str(error))
    return Compared(claim, "seeds" if is_paired else "none")


def _seeds_of(m: Measurement) -> dict[str, float] | None:
    given: Json = m.limit.get("seeds") if isinstance(m.limit, dict) else None
    if not isinstance(given, dict) or not all(type(value) in (int, float) for value in given.values()):
        return None
    return {str(name): float(value) for name, value in given.items()}


def _pair(new: Measurement, old: Measurement, tables: Tables) -> _Pair | NotFound:
    ours, theirs = tables.read(new.table), tables.read(old.table)
    if isinstance(ours, NotFound):
        return ours
    if isinstance(theirs, NotFound):
        return NotFound(theirs.reason, f"baseline: {theirs.text}")
    if new.kind != "rank" and not _same_rows(ours, theirs):
        return _unmatched(ours, theirs)
    return _Pair(new, old, ours, theirs)


def _share(pair: _Pair, asked: Asked) -> Compared:
    from assay.statistics import claims

    candidate, reference = pair.ours.columns["ok"], pair.theirs.columns["ok"]
    _agree(pair.new, float(candidate.mean()))
    _agree(pair.old, float(reference.mean()))
    if (clusters := _clusters(pair)) is not None:
        return _clustered(pair, candidate, reference, clusters, asked)
    return Compared(claims.share_paired(candidate, reference, asked.margin, asked.better, asked.alpha, asked.metrics))


def _mean(pair: _Pair, asked: Asked) -> Compared:
    from assay.statistics import claims

    candidate, reference = pair.ours.columns["value"], pair.theirs.columns["value"]
    if len(candidate) < _LEAST_ROWS:
        raise Refused("too-few-rows", f"{len(candidate)} rows; a mean needs {_LEAST_ROWS}", _LEAST_ROWS)
    _agree(pair.new, float(candidate.mean()))
    _agree(pair.old, float(reference.mean()))
    if (clusters := _clusters(pair)) is not None:
        return _clustered(pair, candidate, reference, clusters, asked)
    return Compared(claims.mean_paired(candidate, reference, asked.margin, asked.better, asked.alpha, asked.metrics))


def _clustered(pair: _Pair, candidate: Any, reference: Any, clusters: Ints, asked: Asked) -> Compared:
    from assay.statistics import claims

    change = claims.clustered_change(
        candidate, reference, clusters, asked.margin, asked.better, asked.alpha, asked.metrics
    )
    return Compared(change, "clusters")


def _cells(pair: _Pair, asked: Asked) -> Compared:
    from assay.statistics import cells, claims

    label, candidate, reference = pair.ours.columns["label"], pair.ours.columns["pred"], pair.theirs.columns["pred"]
    if bool((label != pair.theirs.columns["label"]).any()):
        raise Refused("inconsistent", "candidate and reference have other labels for the same rows")
    name, positive = cells_measure(pair.new, pair.ours.header)
    measure = claims.Measure(name, positive)
    least = min(cells.least_denominator(label, pred, measure) for pred in (candidate, reference))
    if least < _LEAST_ROWS:
        rows = math.ceil(pair.new.n * _LEAST_ROWS / least) if least else None
        raise Refused("too-few-rows", f"{name} divides by {least} rows; it needs {_LEAST_ROWS}", rows)
    for m, pred in ((pair.new, candidate), (pair.old, reference)):
        _agree(m, claims.cells_estimate(label, pred, measure))
    if (clusters := _clusters(pair)) is not None:
        change = claims.clustered_cells_change(label, candidate, reference, clusters, measure, asked.margin, asked.better,
                                               asked.alpha, asked.metrics)  # fmt: skip
        return Compared(change, "clusters")
    return Compared(claims.cells_paired(label, candidate, reference, measure, asked.margin, asked.better, asked.seed,
                                        alpha=asked.alpha, metrics=asked.metrics))  # fmt: skip


def _gap(pair: _Pair, asked: Asked) -> Compared:
    """Rows are those of the gap's denominator: those flagged, or all where the table says `ok`, else by the metric's name."""
    from assay.statistics import claims

    groups = pair.ours.columns["group"]
    if bool((groups != pair.theirs.columns["group"]).any()):
        raise Refused("inconsistent", "candidate and reference put rows into different groups")
    mine, other = gap_side(pair.new, pair.ours), gap_side(pair.old, pair.theirs)
    for m, side in ((pair.new, mine), (pair.old, other)):
        check_groups(m, groups, side)
    clusters, is_share = _clusters(pair), "value" not in pair.ours.columns
    same = bool((mine.counts == other.counts).all())
    if clusters is None and is_share and same:
        kept, ours, theirs = groups[mine.counts], mine.values[mine.counts] == 1, other.values[other.counts] == 1
        return Compared(claims.gap_paired(kept, ours, theirs, asked.margin, asked.better, asked.alpha, asked.metrics))
    change = claims.gap_paired_rows(
        groups, mine, other, asked.margin, asked.better, clusters, asked.alpha, asked.metrics
    )
    return Compared(change, "rows" if clusters is None else "clusters")


def gap_side(m: Measurement, table: OutcomeTable) -> Side:
    """The rows that a gap of one model divides by, and their values.

    Raises:
        KeyError: the table lacks a column.
        ValueError: the metric's name says no gap that can be computed from labels.
    """
    from assay.statistics import claims

    columns = table.columns
    everyone = columns["group"] == columns["group"]
    if "ok" in columns or "value" in columns:
        counted = columns["flag"].astype(bool) if "flag" in columns else everyone
        return claims.checked_side(counted, columns["ok" if "ok" in columns else "value"], m.metric)
    question, positive = gap_question(m.metric), int(table.header.get("positive", 1))
    label, pred = columns["label"] == positive, columns["pred"] == positive
    counted = {"all": everyone, "right": everyone, "label": label, "other": ~label, "pred": pred}[question]
    hits = {"right": columns["label"] == columns["pred"], "pred": label}.get(question, pred)
    return claims.checked_side(counted, hits, m.metric)


def check_groups(m: Measurement, groups: Ints, side: Side) -> None:
    """Refuses groups that are too small, and a table that counts other rows than the measurement.

    Raises:
        Refused: with the rows that would do.
    """
    counted = [(_in(groups, g, side.counts), side) for g in sorted({int(g) for g in groups})]
    rows = [int(place.sum()) for place, _ in counted]
    recorded = groups_of(m)
    if recorded is not None and (least := min(recorded[2])) < LEAST_PER_GROUP:
        needed = math.ceil(m.n * LEAST_PER_GROUP / least) if least else None
        raise Refused("small-group", f"{recorded[0][recorded[2].index(least)]} has {least} rows", needed)
    if min(rows) < LEAST_PER_GROUP:
        needed = math.ceil(m.n * LEAST_PER_GROUP / min(rows)) if min(rows) else None
        raise Refused("small-group", f"a group has {min(rows)} rows", needed)
    if recorded is not None:
        seen = [(int(side.values[place].sum()), int(place.sum())) for place, side in counted]
        if sorted(seen) != sorted(zip(recorded[1], recorded[2], strict=True)):
            raise Refused("inconsistent", f"the table of {m.metric} counts other rows than the measurement")
    else:
        means = [float(side.values[place].mean()) for place, side in counted]
        _agree(m, max(means) - min(means))


def _in(groups: Ints, group: int, counted: Bools) -> Bools:
    found: Bools = (groups == group) & counted
    return found


def _rank(pair: _Pair, asked: Asked) -> Compared:
    """Rows are paired only if both models have the same members; else each model was attacked on its own."""
    from assay.statistics import claims, ranks

    ours, theirs = pair.ours, pair.theirs
    mine, other = ours.columns["member"].astype(bool), theirs.columns["member"].astype(bool)
    metric = rank_metric(pair.new.metric)
    expected = min((~mine).sum(), (~other).sum()) * float(metric.partition(":")[2] or 1)
    if min(mine.sum(), other.sum()) < _LEAST_MEMBERS or expected < _LEAST_FALSE_POSITIVES:
        times = max(_LEAST_MEMBERS / max(1, min(mine.sum(), other.sum())), _LEAST_FALSE_POSITIVES / max(0.01, expected))
        text = f"{int(mine.sum())} members, {int((~mine).sum())} others: too few for {metric}"
        raise Refused("too-few-rows", text, math.ceil(pair.new.n * times))
    paired = _same_rows(ours, theirs) and bool((mine == other).all())
    a, b = ours.columns["score"], theirs.columns["score"]
    sides = a[mine], a[~mine], b[other], b[~other]
    clusters = _clusters(pair) if paired else next((t for t in (ours, theirs) if "cluster" in t.columns), None)
    if clusters is None:
        change = claims.rank_paired(*sides, metric, asked.margin, asked.better, asked.seed, paired, asked.alpha,
                                    metrics=asked.metrics)  # fmt: skip
        return Compared(change, "rows" if paired else "none")
    if metric not in ("auc", "roc_auc") or not paired:
        raise Refused(
            "clustered-rows", f"rows come in clusters, and {metric} has no test for that unless rows are paired"
        )
    named = ours.columns["cluster"]
    scores = ranks.checked_scores(*sides[:2], metric), ranks.checked_scores(*sides[2:], metric)
    change = claims.clustered_area_change(*scores, (named[mine], named[~mine]), asked.margin, asked.better, asked.alpha,
                                          asked.metrics)  # fmt: skip
    return Compared(change, "clusters")


def _count(new: Measurement, old: Measurement, asked: Asked) -> Compared:
    from assay.statistics import claims

    ours, theirs = flagged_of(new), flagged_of(old)
    if ours is None or theirs is None:
        raise Refused("not-computable", f"{new.metric} does not say how many of how many rows it counted")
    change = claims.count_change((ours.hits, theirs.hits), (ours.n, theirs.n), asked.margin, asked.better, asked.alpha,
                                 asked.metrics)  # fmt: skip
    return Compared(change, "none")


_KINDS: Final[Mapping[str, Callable[[_Pair, Asked], Compared]]] = {
    "share": _share, "mean": _mean, "gap": _gap, "rank": _rank, "cells": _cells,
}  # fmt: skip


def _clusters(pair: _Pair) -> Ints | None:
    """The cluster of each row; None where every row is its own."""
    found = [table.columns.get("cluster") for table in (pair.ours, pair.theirs)]
    named = [column for column in found if column is not None]
    if not named:
        return None
    if len(named) == 2 and bool((named[0] != named[1]).any()):
        raise Refused("inconsistent", "candidate and reference put rows into different clusters")
    return named[0] if len({int(c) for c in named[0]}) < len(named[0]) else None


def _agree(m: Measurement, mean: float) -> None:
    if abs(m.value - mean) > 1e-6:
        raise Refused("inconsistent", f"the table of {m.metric} gives {mean:.6g}, the measurement says {m.value:.6g}")


def _same_rows(a: OutcomeTable, b: OutcomeTable) -> bool:
    return a.rows == b.rows and a.row_id.tobytes() == b.row_id.tobytes()


def _unmatched(a: OutcomeTable, b: OutcomeTable) -> NotFound:
    ours, theirs = ({bytes(row) for row in table.row_id} for table in (a, b))
    return NotFound("unmatched-rows", f"{len(ours & theirs)} rows in both, {len(ours - theirs)} only of the candidate, "
                                      f"{len(theirs - ours)} only of the baseline")  # fmt: skip
