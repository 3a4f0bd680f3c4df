"""How far the numbers of a regression are from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import Digest, sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.predictor import Capability
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Floats

ID = "quality.regression"
MIN_ROWS = 30
DRAWS = 2_000
BLOCK_CELLS = 4_000_000


@check(ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"regression"})
@of_model(ID, frozenset({Capability.VALUES}))
def regression(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Mean absolute error, mean squared error and R squared on the test rows.

    `mean_absolute_error` is in the unit of the target, `mean_squared_error` in its square. `r_squared` is the share of the target's
    variance that the model explains (1 at best; below 0 it is worse than the mean). Intervals: bootstrap of rows, B = 2,000. Fewer than 30
    rows are not measured.

    Limits: squared errors follow a few large ones, and R squared depends on how much the test rows vary.
    """
    rows, truth = examined.rows, examined.rows.values
    if truth is None or rows.n < MIN_ROWS:
        raise Undecided("too few rows", f"{rows.n}, fewer than {MIN_ROWS}")
    yield Progress(0, rows.n, "predicting")
    error = examined.predictor.values(rows.features) - truth
    for metric, values in (("mean_absolute_error", abs(error)), ("mean_squared_error", error**2)):
        table = outcome_table(rows.ids, {"value": values}, {"check": ID, "metric": metric, "dataset": rows.dataset})
        yield table
        yield _mean(metric, values, context.seed, sha256(table.data))
    if truth.std() == 0:
        yield Skipped("r_squared", "the target is the same in every row")
        return
    yield _explained(error, truth, context.seed)
    yield Progress(rows.n, rows.n, "done")


def _weights(n: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn, in blocks of shape (draws, n)."""
    import numpy as np

    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // n)
    for start in range(0, DRAWS, block):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(block, DRAWS - start)).astype(float)


def _mean(metric: str, values: Floats, seed: int, table: Digest) -> Measurement:
    import numpy as np

    draws = np.concatenate([weights @ values / len(values) for weights in _weights(len(values), seed)])
    low, high = np.quantile(draws, [0.025, 0.975])
    return Measurement(
        metric=metric, value=float(values.mean()), unit="target units" if metric.endswith("absolute_error") else "squared units",
        better="lower", n=len(values), low=float(low), high=float(high), method=f"bootstrap of rows, B={DRAWS}", kind="mean", table=table,
    )  # fmt: skip


def _explained(error: Floats, truth: Floats, seed: int) -> Measurement:
    import numpy as np

    squares, centred = error**2, truth - truth.mean()
    draws = []
    for weights in _weights(len(error), seed):
        spread = weights @ centred**2 - (weights @ centred) ** 2 / len(error)
        draws.append(1 - (weights @ squares) / np.maximum(spread, 1e-300))
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return Measurement(
        metric="r_squared", value=float(1 - squares.sum() / (centred**2).sum()), unit="share", better="higher", n=len(error),
        low=float(low), high=float(high), method=f"bootstrap of rows, B={DRAWS}", kind="mean",
    )  # fmt: skip
