"""Gaps between groups of people: who is found when they should be, and who is chosen at all.

Groups are the values of the declared sensitive columns, crossed where there are several. No group is dropped for being
small: it is counted, and named in a skip, so that a policy can refuse to decide on it.
Source: Hardt, Price, Srebro, Equality of opportunity in supervised learning, 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.assets import Asset, Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.rows import UNKNOWN_CLASS, EvaluationRows
from assay.predictors.subject import skipped, subject
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]

ID = "fairness.group_gaps"
MIN_PER_GROUP = 30
MAX_GROUPS = 64


@dataclass(frozen=True)
class Question:
    """One gap: its metric, the metric of each group, and what the rows are that it is asked of."""

    metric: str
    per_group: str
    among: str


OPPORTUNITY = Question("equal_opportunity_gap", "true_positive_rate", "rows of the positive class")
SELECTION = Question("selection_rate_gap", "selection_rate", "rows")


@check(ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"})
def group_gaps(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Largest differences between groups in how often the model says yes.

    `equal_opportunity_gap` is the largest minus the smallest true positive rate, `selection_rate_gap` the same of the share
    predicted positive. Both come with the rate of every group and with the counts that a limit is tested on.
    """
    examined = subject(asset, context, ID)
    if isinstance(examined, Skipped):
        yield examined
        return
    rows = examined.rows
    reason = _obstacle(rows)
    if reason:
        yield Skipped(ID, reason)
        return
    yield Progress(0, 2, "predicting")
    try:
        chosen = examined.predictor.labels(rows.features) == rows.positive
    except Undecided as error:
        yield skipped(ID, error)
        return
    yield from _gap(OPPORTUNITY, rows, chosen, rows.target == rows.positive, context.seed)
    yield Progress(1, 2, OPPORTUNITY.metric)
    yield from _gap(SELECTION, rows, chosen, rows.target >= UNKNOWN_CLASS, context.seed)  # all rows
    yield Progress(2, 2, "done")


def group_names(rows: EvaluationRows) -> tuple[str, ...]:
    """The group of each row: `race=0`, or `race=0,sex=1` where several columns are crossed."""
    named = [[f"{name}={value}" for value in values] for name, values in rows.groups.items()]
    return tuple(",".join(parts) for parts in zip(*named, strict=True))


def _obstacle(rows: EvaluationRows) -> str:
    if not rows.groups:
        return "the test data declare no sensitive columns"
    if rows.positive is None:
        return "no positive class: declare `positive` where there are more than two classes"
    found = len(set(group_names(rows)))
    if found > MAX_GROUPS:
        return f"{found} groups, at most {MAX_GROUPS}: declare bands instead of a continuous column"
    return "" if found > 1 else "there is one group only"


def _gap(question: Question, rows: EvaluationRows, chosen: Flags, asked: Flags, seed: int) -> Iterator[Outcome]:
    import numpy as np

    from assay.statistics.gaps import gap_interval

    names = sorted(set(group_names(rows)))
    places = {name: place for place, name in enumerate(names)}
    group = np.array([places[name] for name in group_names(rows)])[asked]
    counts = np.bincount(group, minlength=len(names)).tolist()
    hits = np.bincount(group, weights=chosen[asked], minlength=len(names)).astype(int).tolist()
    for name, count in zip(names, counts, strict=True):
        if count < MIN_PER_GROUP:
            why = f"only {count} {question.among}, fewer than {MIN_PER_GROUP}"
            yield Skipped(f"{question.metric} of {name}", why)
    if sum(count > 0 for count in counts) < 2:
        yield Skipped(question.metric, f"fewer than two groups have {question.among}")
        return
    header = {"check": ID, "metric": question.metric, "dataset": rows.dataset, "groups": names}
    table = outcome_table(rows.ids[asked], {"ok": chosen[asked], "group": group}, header)
    yield table
    digest = sha256(table.data)
    filled = [place for place, count in enumerate(counts) if count]
    found = gap_interval([hits[place] for place in filled], [counts[place] for place in filled], seed)
    yield Measurement(
        metric=question.metric, value=found.estimate, unit="share", better="lower", n=found.n, low=found.low,
        high=found.high, level=found.level, method=found.method, kind="gap", table=digest,
        limit={"groups": names, "hits": hits, "counts": counts},
    )  # fmt: skip
    for place in filled:
        yield _rate(question, names[place], hits[place], counts[place])


def _rate(question: Question, group: str, hits: int, count: int) -> Measurement:
    """The share of one group; it names no table, because the table of the gap holds the rows of all groups."""
    from assay.statistics.intervals import share_interval

    found = share_interval(hits, count)
    return Measurement(
        metric=question.per_group, value=found.estimate, unit="share", better="higher", n=count, low=found.low,
        high=found.high, level=found.level, method=found.method, kind="share", group=group,
        limit={"hits": hits, "n": count},
    )  # fmt: skip
