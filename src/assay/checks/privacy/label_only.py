"""A membership attack that sees nothing but labels: rows that a model learnt stay what they are when they are shaken.

Source: Choquette-Choo et al., Label-only membership inference attacks, 2021, section 4.3 (random noise in place of the distance
to the boundary; for binary features, flips with a small probability).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.checks.privacy.sides import Sides
from assay.core.errors import Undecided
from assay.predictors.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Batch, Floats

LEVELS = (0.1, 0.2, 0.4, 0.8)
FLIPS_PER_LEVEL = 0.1
COPIES = 6
"""Shaken copies of a row at each level: 24 queries a row, and one for the row itself."""


def shaken_labels(predictor: Predictor, rows: Sides, seed: int) -> Floats:
    """The share of a row's shaken copies that are still given its true class, shape (n,), counting the row itself once.

    Equal shares are put in order by a coin, as a randomised test does, because a score of few values would let the
    true and the false positive rate jump together.

    Raises:
        Undecided: no feature is a number, or the model refuses the rows.
    """
    import numpy as np

    if not any(rows.is_number):
        raise Undecided("rows cannot be shaken", "no feature is a number")
    rng = np.random.default_rng(seed)
    kept = (predictor.labels(rows.features) == rows.target).astype(np.float64)
    for level in LEVELS:
        for _ in range(COPIES):
            kept += predictor.labels(shaken(rows, level, rng)) == rows.target
    asked = 1 + len(LEVELS) * COPIES
    found: Floats = (kept + rng.random(rows.n)) / (asked + 1)
    return found


def shaken(rows: Sides, level: float, rng: np.random.Generator) -> Batch:
    """All rows with normal noise of `level` standard deviations; features of two values change over instead, now and then."""
    import numpy as np

    moved = rows.features.copy()
    for place in np.flatnonzero(rows.is_number):
        column = moved[:, place].astype(np.float64)
        values = np.unique(column[np.isfinite(column)])
        if values.size == 2:
            flips = rng.random(rows.n) < level * FLIPS_PER_LEVEL
            moved[:, place] = np.where(flips, values.sum() - column, column)
        elif values.size > 2:
            moved[:, place] = column + rng.normal(0, level * np.nanstd(column), rows.n)
    return moved
