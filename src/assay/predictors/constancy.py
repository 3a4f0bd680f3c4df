"""Whether a model keeps to its answers; one that does not makes every measurement of it a matter of luck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.predictors.predictor import Capability, Predictor

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Flags, Floats


SAME = 1e-4
ROUNDED = 1e-6
ASKED_ROWS = 100


def change_of_answer(predictor: Predictor, features: Batch) -> str:
    """Why equal queries cannot be relied on, or "". Asks up to 100 rows, shape (n, d), twice, the second time in reverse order.

    Scores may differ by 1e-4, and numbers of a regression by 1e-4 of their spread: sums on another number of threads round differently.

    Raises:
        Undecided: the model refuses the rows.
    """
    asked = features[:ASKED_ROWS]
    changed = int(_changed(predictor, asked, asked[::-1].copy()).sum())
    return f"equal queries give different answers in {changed} of {len(asked)} rows" if changed else ""


def _changed(predictor: Predictor, asked: Batch, turned: Batch) -> Flags:
    """Which rows are answered otherwise when they are asked again in turned order, shape (n,)."""
    import numpy as np

    if Capability.SCORES in predictor.capabilities:
        apart = predictor.scores(asked) - predictor.scores(turned, again=True)[::-1]
        return np.asarray(np.abs(apart).max(axis=1, initial=0.0) > SAME)
    if predictor.info.is_regression:
        first = predictor.values(asked)
        return np.asarray(np.abs(first - predictor.values(turned, again=True)[::-1]) > _rounding(first))
    return np.asarray(predictor.labels(asked) != predictor.labels(turned, again=True)[::-1])


def _rounding(values: Floats) -> float:
    """How far two answers of a regression may lie apart: a little of their spread, and of their size where all are equal."""
    return SAME * float(values.std()) + ROUNDED * float(abs(values).max(initial=0.0))
