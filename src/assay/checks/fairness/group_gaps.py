"""Gaps between groups of people: who is found when they should be, who is chosen at all, whose answers are wrong.

Groups are the values of the declared sensitive columns, crossed where there are several; a group of the training data that has no test row
is one as well, of no rows. No group is dropped for being small: it is counted, and named in a skip, so that a policy can refuse to decide
on it.
Source: Hardt, Price, Srebro, Equality of opportunity in supervised learning, 2016; Chouldechova, Fair prediction with disparate impact,
2017 (precision and error rates by group).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model, skipped, training_rows
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints


ID = "fairness.group_gaps"
MIN_PER_GROUP = 30
MAX_GROUPS = 64
DRAWS = 2_000


@dataclass(frozen=True)
class Question:
    """One gap: its metric, the metric of each group, what the rows are that it is asked of, and what is counted among them."""

    metric: str
    per_group: str
    among: str
    asked: Flags
    hits: Flags
    better: str = "higher"


@check(ID, kinds={Kind.MODEL}, version=3, needs=("ml",), runs_model=True)
@of_model(ID, frozenset())
def group_gaps(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Largest differences between groups in what the model answers and how often it is right.

    With a positive class: `equal_opportunity_gap` (true positive rate), `fpr_gap` (false positive rate), `ppv_gap` (precision) and
    `selection_rate_gap`; for every classifier `accuracy_gap`; for a regression `absolute_error_gap`, in the unit of the target. A gap is
    the highest rate of a group minus the lowest (a share, 0..1). Each comes with the rate of every group (`true_positive_rate`,
    `false_positive_rate`, `precision`, `selection_rate`, `group_accuracy`, `mean_absolute_error`), with the counts that a limit is tested
    on, and as `…_shrunk`: the largest of noisy gaps is biased upwards, and this estimate is not.

    Limits: groups come from declared columns, 64 at most; equal gaps can hide unequal costs, and groups of fewer than 30 rows decide
    nothing.
    """
    rows, predictor = examined.rows, examined.predictor
    if reason := _obstacle(rows):
        raise Undecided(reason)
    names = yield from _names(examined, context)
    yield Progress(0, 2, "predicting")
    if predictor.info.is_regression:
        yield from _of_numbers(predictor, rows, context.seed)
        return
    questions = _questions(predictor, rows)
    for place, question in enumerate(questions):
        yield Progress(place, len(questions), question.metric)
        yield from _gap(question, rows, names, context.seed)
    yield Progress(2, 2, "done")


def group_names(rows: EvaluationRows) -> tuple[str, ...]:
    """The group of each row: `race=0`, or `race=0,sex=1` where several columns are crossed."""
    named = [[f"{name}={value}" for value in values] for name, values in rows.groups.items()]
    return tuple(",".join(parts) for parts in zip(*named, strict=True))


def _names(examined: Subject, context: Context) -> Generator[Skipped, None, list[str]]:
    """The groups by name, with those of the training data that no test row is of; each of these is said."""
    present = set(group_names(examined.rows))
    try:
        trained = training_rows(examined.predictor, context)
    except Undecided as error:
        yield skipped("groups of the training data", error)
        return sorted(present)
    if trained is None or trained.groups.keys() != examined.rows.groups.keys():
        return sorted(present)
    absent = sorted(set(group_names(trained)) - present)[:MAX_GROUPS]
    for name in absent:
        yield Skipped(f"{ID} of {name}", "the training data have such rows, and the test data none")
    return sorted([*present, *absent])


def _obstacle(rows: EvaluationRows) -> str:
    if not rows.groups:
        return "the test data declare no sensitive columns"
    found = len(set(group_names(rows)))
    if found > MAX_GROUPS:
        return f"{found} groups, at most {MAX_GROUPS}: declare bands instead of a continuous column"
    return "" if found > 1 else "there is one group only"


def _questions(predictor: Predictor, rows: EvaluationRows) -> list[Question]:
    """What can be asked: everything with a positive class, only who is right without one."""
    import numpy as np

    predicted = predictor.labels(rows.features)
    right = (predicted == rows.target) & (predicted >= 0)
    everyone = np.ones(rows.n, bool)
    accuracy = Question("accuracy_gap", "group_accuracy", "rows", everyone, right)
    if rows.positive is None:
        return [accuracy]
    chosen, positive = predicted == rows.positive, rows.target == rows.positive
    return [
        Question("equal_opportunity_gap", "true_positive_rate", "rows of the positive class", positive, chosen),
        Question("selection_rate_gap", "selection_rate", "rows", everyone, chosen),
        Question("fpr_gap", "false_positive_rate", "rows of other classes", ~positive, chosen, "lower"),
        Question("ppv_gap", "precision", "rows predicted positive", chosen, positive),
        accuracy,
    ]


def _gap(question: Question, rows: EvaluationRows, names: list[str], seed: int) -> Iterator[Outcome]:
    import numpy as np

    from assay.statistics.gaps import gap_interval, shrunk_gap_interval
    from assay.statistics.measurements import measured, measured_share

    everyone = _places(rows, names)
    group = everyone[question.asked]
    counts = np.bincount(group, minlength=len(names)).tolist()
    hits = np.bincount(group, weights=question.hits[question.asked], minlength=len(names)).astype(int).tolist()
    yield from _small(question.metric, question.among, names, counts)
    if sum(count > 0 for count in counts) < 2:
        yield Skipped(question.metric, f"fewer than two groups have {question.among}")
        return
    header = {"check": ID, "metric": question.metric, "dataset": rows.dataset, "groups": names}
    columns = {"ok": question.hits & question.asked, "flag": question.asked, "group": everyone}
    table = outcome_table(rows.ids, columns, header)
    yield table
    filled = [place for place, count in enumerate(counts) if count]
    kept_hits, kept_counts = [hits[place] for place in filled], [counts[place] for place in filled]
    found = gap_interval(kept_hits, kept_counts, seed)
    limit = {"groups": names, "hits": hits, "counts": counts}
    yield measured(question.metric, found, "share", "gap", better="lower", table=sha256(table.data), limit=limit)
    shrunk = shrunk_gap_interval(kept_hits, kept_counts, seed)
    yield measured(f"{question.metric}_shrunk", shrunk, "share", "mean", better="lower")
    for place in filled:  # no table, because that of the gap holds the rows of all groups
        yield measured_share(question.per_group, hits[place], counts[place], better=question.better, group=names[place])


def _places(rows: EvaluationRows, names: Sequence[str]) -> Ints:
    """The place of each row's group among `names`, shape (n,)."""
    import numpy as np

    places = {name: place for place, name in enumerate(names)}
    return np.array([places[name] for name in group_names(rows)])


def _small(metric: str, among: str, names: Sequence[str], counts: Sequence[int]) -> Iterator[Skipped]:
    for name, count in zip(names, counts, strict=True):
        if count < MIN_PER_GROUP:
            have = f"only {count} {among}" if count else f"no {among}"
            yield Skipped(f"{metric} of {name}", f"{have}, fewer than {MIN_PER_GROUP}")


def _of_numbers(predictor: Predictor, rows: EvaluationRows, seed: int) -> Iterator[Outcome]:
    """The gap of the mean absolute error of a regression."""
    import numpy as np

    if Capability.VALUES not in predictor.capabilities or rows.values is None:
        raise Undecided("capability", "the model gives no values")
    error = np.abs(predictor.values(rows.features) - rows.values)
    names = sorted(set(group_names(rows)))
    group = _places(rows, names)
    counts = np.bincount(group, minlength=len(names))
    yield from _small("absolute_error_gap", "rows", names, counts.tolist())
    header = {"check": ID, "metric": "absolute_error_gap", "dataset": rows.dataset, "groups": names}
    table = outcome_table(rows.ids, {"value": error, "group": group}, header)
    yield table
    means, gaps = _mean_gaps(error, group, len(names), seed)
    low, high = np.quantile(gaps, [0.025, 0.975])
    gap = float(np.ptp(means))
    yield Measurement(
        metric="absolute_error_gap", value=gap, unit="target units", better="lower", n=rows.n, low=float(min(low, gap)),
        high=float(max(high, gap)), method=f"bootstrap within groups, B={DRAWS}", kind="gap", table=sha256(table.data),
    )  # fmt: skip
    for place, name in enumerate(names):
        spread = float(error[group == place].std()) / max(1, counts[place]) ** 0.5
        yield Measurement(
            metric="mean_absolute_error", value=float(means[place]), unit="target units", better="lower", n=int(counts[place]),
            low=float(means[place]) - 1.96 * spread, high=float(means[place]) + 1.96 * spread, method="normal interval", kind="mean",
            group=name,
        )  # fmt: skip


def _mean_gaps(error: Floats, group: Ints, groups: int, seed: int) -> tuple[Floats, Floats]:
    """Mean of each group, shape (groups,), and the max-min gap in DRAWS resamples of rows within groups, shape (DRAWS,)."""
    import numpy as np

    rng = np.random.default_rng(seed)
    parts = [error[group == place] for place in range(groups)]
    drawn = np.empty((DRAWS, groups))
    for place, part in enumerate(parts):
        block = max(1, 4_000_000 // len(part))
        for start in range(0, DRAWS, block):
            size = min(block, DRAWS - start)
            drawn[start : start + size, place] = part[rng.integers(0, len(part), (size, len(part)))].mean(axis=1)
    return np.array([part.mean() for part in parts]), np.ptp(drawn, axis=1)
