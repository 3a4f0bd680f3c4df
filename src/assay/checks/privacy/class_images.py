"""Rows that a model is as sure of as it can be, found class by class: by its gradients, or by its scores alone.

A search works in units of the standard deviation of public rows, stays within their range, and is drawn towards their mean, so that it
does not end in a far corner where the model is sure of everything.
Source: Fredrikson et al., Model inversion attacks that exploit confidence information, 2015 (gradients); Wierstra et al., Natural
evolution strategies, 2014 (gradients estimated from pairs of answers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.predictors.predictor import Loss, Predictor
from assay.predictors.rows import EvaluationRows

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Batch, Floats, Labels

STEPS = 40
PAIRS = 10
PROBE = 0.5
RATE = 0.3
PULL = 0.02
START = 0.3
LEAST_SCORE = 1e-12


@dataclass(frozen=True)
class Space:
    """The numeric columns of public rows, shape (d,) each: `columns` are their places, `floor`..`ceiling` their range in units."""

    columns: tuple[int, ...]
    mean: Floats = field(repr=False)
    deviation: Floats = field(repr=False)
    floor: Floats = field(repr=False)
    ceiling: Floats = field(repr=False)

    @classmethod
    def of(cls, rows: EvaluationRows) -> Space:
        """The space that rows without holes span."""
        import numpy as np

        columns = tuple(place for place, number in enumerate(rows.is_number) if number)
        numbers = rows.features[:, columns].astype(np.float64)
        deviation = numbers.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        units = (numbers - numbers.mean(axis=0)) / scale
        return cls(columns, numbers.mean(axis=0), scale, units.min(axis=0), units.max(axis=0))

    def units(self, features: Batch) -> Floats:
        """The numbers of rows, shape (n, d), in units."""
        found: Floats = (features[:, self.columns].astype(float) - self.mean) / self.deviation
        return found

    def rows(self, units: Floats, like: Batch) -> Batch:
        """Rows with these numbers, and the text of `like`."""
        found = like.copy()
        found[:, self.columns] = units * self.deviation + self.mean
        return found


def images(
    predictor: Predictor,
    space: Space,
    start: Floats,
    like: Batch,
    target: Labels,
    by_gradients: bool,
    rng: np.random.Generator,
) -> Floats:
    """From `start` (n, d) in units, rows that the model takes for `target` (n,), shape (n, d) in units.

    Costs 40 queries a row with gradients, 800 with scores.

    Raises:
        Undecided: the model refuses the rows or answers nonsense.
    """
    import numpy as np

    at, momentum = start.copy(), np.zeros(start.shape)
    for _ in range(STEPS):
        if by_gradients:
            found = predictor.slope(space.rows(at, like), target, Loss.CROSS_ENTROPY)
            uphill = -found.gradient[:, space.columns] * space.deviation
        else:
            uphill = estimated(predictor, space, at, like, target, rng)
        size = np.sqrt((uphill**2).mean(axis=1, keepdims=True))
        momentum = 0.7 * momentum + 0.3 * uphill / np.maximum(size, 1e-12)
        at = np.clip((1 - PULL) * at + RATE * momentum, space.floor, space.ceiling)
    return at


def estimated(
    predictor: Predictor, space: Space, at: Floats, like: Batch, target: Labels, rng: np.random.Generator
) -> Floats:
    """The gradient of log p of the target, from pairs of points on both sides of each row."""
    import numpy as np

    ways = rng.normal(size=(PAIRS, *at.shape))
    points = np.concatenate([at + PROBE * ways, at - PROBE * ways]).reshape(-1, at.shape[1])
    said = predictor.scores(space.rows(points, np.tile(like, (2 * PAIRS, 1))))
    mine = np.log(np.maximum(said[np.arange(len(said)), np.tile(target, 2 * PAIRS)], LEAST_SCORE))
    ahead, behind = mine.reshape(2, PAIRS, len(at), 1)
    found: Floats = ((ahead - behind) * ways).mean(axis=0) / (2 * PROBE)
    return found
