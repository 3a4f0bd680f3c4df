"""Whether a classifier's probabilities mean what they say.

Source: Brier, Verification of forecasts expressed in terms of probability, 1950; Guo et al., On calibration of modern neural networks, 2017
(expected calibration error, 15 bins of equal width).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Table
from assay.predictors.subject import SCORES, Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Floats, Ints, Labels


ID = "quality.calibration"
BINS = 15
DRAWS = 2_000
BLOCK_CELLS = 4_000_000
MIN_ROWS = 2


@check(ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"})
@of_model(ID, SCORES)
def calibration(examined: Subject, context: Context) -> Iterator[Outcome]:
    """How far the model's probabilities are from what happens.

    `brier_score` is the mean squared error of the positive class's probability for two classes (0..1), summed over the classes for more
    (0..2). `expected_calibration_error` weighs the gap between confidence and accuracy in 15 bins of equal width (a share, 0..1); it is
    biased upwards for few rows. Of both, 0 is perfect. The table also keeps how sure the model was of each row, and whether it was right,
    for the picture of its reliability.

    Limits: bins hide what happens within them, and a few hundred rows leave the error of small bins wide.
    """
    rows = examined.rows
    if rows.n < MIN_ROWS or rows.has_one_class or (rows.target < 0).any():
        raise Undecided("one class only, or classes that the model does not know", "probabilities cannot be compared")
    yield Progress(0, 2, "predicting")
    scores = examined.predictor.scores(rows.features)
    yield from _brier(examined, scores)
    yield Progress(1, 2, "resampling bins")
    yield _calibration_error(scores, rows.target, context.seed)
    yield Progress(2, 2, "done")


def _brier(examined: Subject, scores: Floats) -> Iterator[Table | Measurement]:
    from assay.statistics.measurements import measured
    from assay.statistics.studentised import mean_interval

    rows = examined.rows
    errors = squared_errors(scores, rows.target)
    columns = {"value": errors, "label": rows.target, "score": scores.max(axis=1)}
    columns["ok"] = scores.argmax(axis=1) == rows.target
    table = outcome_table(rows.ids, columns, {"check": ID, "dataset": rows.dataset})
    yield table
    found = mean_interval(errors)
    yield measured("brier_score", found, "squared error", "mean", better="lower", table=sha256(table.data))


def squared_errors(scores: Floats, target: Labels) -> Floats:
    """Squared error of each row's probabilities, shape (n,): of one class where there are two, else of all together."""
    import numpy as np

    truth = np.zeros_like(scores)
    truth[np.arange(len(target)), target] = 1.0
    squares = (scores - truth) ** 2
    found: Floats = squares[:, 1] if scores.shape[1] == 2 else squares.sum(axis=1)
    return found


def _calibration_error(scores: Floats, target: Labels, seed: int) -> Measurement:
    """The measurement with a percentile interval from resampled rows; there is no table, as it is no mean over rows."""
    import numpy as np

    confidence = scores.max(axis=1)
    gaps = confidence - (scores.argmax(axis=1) == target)
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    n = len(gaps)
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // n)
    draws = [
        _binned_errors(gaps, bins, rng.integers(0, n, size=(min(block, DRAWS - start), n)))
        for start in range(0, DRAWS, block)
    ]
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    value = float(_binned_errors(gaps, bins, np.arange(n)[None, :])[0])
    return Measurement(
        metric="expected_calibration_error", value=value, unit="share", better="lower", n=n, low=float(min(low, value)),
        high=float(max(high, value)), method=f"percentile bootstrap of rows, B={DRAWS}, {BINS} bins", kind="mean",
    )  # fmt: skip


def _binned_errors(gaps: Floats, bins: Ints, picked: Ints) -> Floats:
    """Sum over bins of |sum of gaps| / n for each row of `picked`, shape (draws, n) of row places."""
    import numpy as np

    draws, n = picked.shape
    cells = (np.arange(draws)[:, None] * BINS + bins[picked]).ravel()
    sums = np.bincount(cells, weights=gaps[picked].ravel(), minlength=draws * BINS)
    found: Floats = np.abs(sums.reshape(draws, BINS)).sum(axis=1) / n
    return found
