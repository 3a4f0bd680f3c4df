"""Slices of the data on which the model is worse than elsewhere: found on one half of the rows, confirmed on the other.

Every value of a column (numbers in quarters) and every pair of such values is a slice. What looks worst on the first half is tested on the
second, which was not looked at; Benjamini and Hochberg keep the share of false finds among those reported at 5 %. A slice that was found by
search never decides at the gate: declare it as a sensitive column for that.
Source: Chung et al., Slice finder: automated data slicing for model validation, 2019; Benjamini and Hochberg, 1995.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


ID = "quality.slices"
MAX_VALUES = 12
MAX_COLUMNS = 40
KEPT = 20
FALSE_FINDS = 0.05


@dataclass(frozen=True)
class Slice:
    """Rows that share something, and the words for it."""

    name: str
    rows: Flags = field(repr=False)


@check(
    ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"table"},
    defaults={"min_rows": 50, "least_gap": 0.05},
)  # fmt: skip
@of_model(ID)
def slices(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Slices of the test rows on which the model errs more than on the rest.

    `slices.error_excess` is the error rate of a slice minus that of all other rows, on the half that confirms it (-1..1). There is one for
    each slice of at least `min_rows` rows in either half whose excess is `least_gap` or more on the half it was found on, and is confirmed
    to be above 0 on the other. `slices.confirmed` counts them, 20 at most.

    Limits: slices of one or two columns are searched; a worse group that no column describes is not found.
    """
    rows, least = examined.rows, int(context.options.get("min_rows", 50))
    if rows.n < 4 * least:
        need = f"{4 * least} are needed to find slices on one half and confirm them on the other"
        raise Undecided("too few rows", f"{rows.n}; {need}")
    if rows.has_one_class:
        raise Undecided("one class only", "where the model errs would say more about the data than about it")
    import numpy as np

    yield Progress(0, 2, "predicting")
    wrong = examined.predictor.labels(rows.features) != rows.target
    first = np.random.default_rng(context.seed).permutation(rows.n) < rows.n // 2
    found = worst(candidates(rows), wrong, first, least, float(context.options.get("least_gap", 0.05)))
    yield Progress(1, 2, f"confirming {len(found)} slices")
    kept = confirmed(found, wrong, ~first)
    for one in kept:
        yield _excess(one, wrong, ~first)
    yield Measurement(
        metric="slices.confirmed", value=float(len(kept)), unit="slices", better="lower", n=rows.n, low=float(len(kept)),
        high=float(len(kept)), method=f"{len(found)} tested, Benjamini-Hochberg at {FALSE_FINDS:g}", kind="count",
    )  # fmt: skip
    yield Progress(2, 2, "done")


def _excess(one: Slice, wrong: Flags, half: Flags) -> Measurement:
    """The error rate of a slice minus that of all other rows, on the half that confirms it, with a normal interval."""
    inside, outside = wrong[one.rows & half], wrong[~one.rows & half]
    error = (inside.var() / inside.size + outside.var() / outside.size) ** 0.5
    excess = float(inside.mean() - outside.mean())
    return Measurement(
        metric="slices.error_excess", value=excess, unit="share", better="lower", n=inside.size + outside.size,
        low=excess - 1.96 * float(error), high=excess + 1.96 * float(error), kind="mean", slice=one.name,
        method=f"errs on {inside.mean():.1%} of {inside.size} rows, elsewhere on {outside.mean():.1%}; normal interval",
    )  # fmt: skip


def candidates(rows: EvaluationRows) -> list[Slice]:
    """Every value of a column, numbers in quarters, and every pair of values of two columns."""
    single = [one for place in range(min(rows.features.shape[1], MAX_COLUMNS)) for one in _values(rows, place)]
    pairs = [
        Slice(f"{a.name} and {b.name}", a.rows & b.rows)
        for a, b in combinations(single, 2)
        if a.name.partition(" ")[0] != b.name.partition(" ")[0]
    ]
    return single + pairs


def worst(found: list[Slice], wrong: Flags, half: Flags, least: int, gap: float) -> list[Slice]:
    """At most KEPT slices with the strongest evidence on one half: large enough, and worse than the rest by `gap`."""
    strength = []
    for one in found:
        inside, outside = wrong[one.rows & half], wrong[~one.rows & half]
        if min(inside.size, outside.size, (one.rows & ~half).sum()) >= least and inside.mean() - outside.mean() >= gap:
            strength.append((float(_z(inside, outside)), one))
    strength.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [one for _, one in strength[:KEPT]]


def confirmed(found: list[Slice], wrong: Flags, half: Flags) -> list[Slice]:
    """Those whose excess holds on the other half, with false finds at FALSE_FINDS among all that are kept."""
    from scipy.special import ndtr

    p = [float(ndtr(-_z(wrong[one.rows & half], wrong[~one.rows & half]))) for one in found]
    order = sorted(range(len(p)), key=lambda place: p[place])
    passed = [rank for rank, place in enumerate(order, 1) if p[place] <= FALSE_FINDS * rank / len(p)]
    return [found[place] for place in order[: max(passed, default=0)]]


def _values(rows: EvaluationRows, place: int) -> Iterator[Slice]:
    import numpy as np

    column, name = rows.features[:, place], rows.names[place]
    if not rows.is_number[place]:
        texts = np.array([str(value) for value in column.tolist()])
        values, counts = np.unique(texts, return_counts=True)
        for value in values[np.argsort(-counts)][:MAX_VALUES]:
            yield Slice(f"{name} = {value}", texts == value)
        return
    numbers = column.astype(np.float64)
    known = numbers[~np.isnan(numbers)]
    if known.size < numbers.size:
        yield Slice(f"{name} is missing", np.isnan(numbers))
    values = np.unique(known)
    if values.size <= MAX_VALUES:
        yield from (Slice(f"{name} = {value:g}", numbers == value) for value in values)
        return
    edges = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    for low, high in pairwise(edges):
        if low < high:
            yield Slice(f"{name} from {low:g} to {high:g}", (numbers >= low) & (numbers <= high))


def _z(inside: Floats | Flags, outside: Floats | Flags) -> float:
    """How many standard errors the share inside lies above that outside, with the pooled variance."""
    n, m = inside.size, outside.size
    if not n or not m:
        return 0.0
    pooled = (inside.sum() + outside.sum()) / (n + m)
    error = max(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-12) ** 0.5
    return float((inside.mean() - outside.mean()) / error)
