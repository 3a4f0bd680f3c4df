"""What every evasion attack shares: how far a row may move, and what an attack found.

Rows are flat, shape (n, d). A row may move by at most `eps` in every coordinate (the maximum norm) and never leaves the values that
an input can have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.predictors.predictor import Capability, Predictor

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints, Labels


@dataclass(frozen=True)
class Ball:
    """The points within `eps` of a row and within `low`..`high`."""

    eps: float
    low: float
    high: float

    def limits(self, start: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest point around each row of `start`, shape (n, d); a row outside the values may stay there."""
        import numpy as np

        least = np.maximum(start - self.eps, np.minimum(self.low, start))
        most = np.minimum(start + self.eps, np.maximum(self.high, start))
        return least, most

    @property
    def whole(self) -> Ball:
        """The ball that reaches every value from every other: within it an attack that works breaks any model."""
        return Ball(self.high - self.low, self.low, self.high)


@dataclass(frozen=True)
class Attacked:
    """What an attack found of each of n rows: `points` (n, d), whether the point fools the model, and the queries spent."""

    points: Floats = field(repr=False)
    fooled: Flags = field(repr=False)
    queries: Ints = field(repr=False)


@dataclass(frozen=True)
class Target:
    """Rows to attack: `start` (n, d), which the model gets right, and their classes, shape (n,)."""

    predictor: Predictor
    start: Floats = field(repr=False)
    truth: Labels = field(repr=False)

    def only(self, keep: Flags) -> Target:
        """The rows that a mask picks."""
        return Target(self.predictor, self.start[keep], self.truth[keep])


Attack = Callable[[Target, Ball, int, int], Attacked]
"""An attack gets rows, a ball, the queries that it may spend on each row, and a seed."""


def margins(predictor: Predictor, points: Floats, truth: Labels) -> Floats:
    """Logit (or log score) of the true class minus the best other, shape (n,); below 0 the model is fooled.

    A tie goes to the first class, as argmax decides it.
    """
    import numpy as np

    if Capability.LOGITS in predictor.capabilities:
        return margins_of(predictor.logits(points).copy(), truth)
    return margins_of(np.log(np.maximum(predictor.scores(points), 1e-30)), truth)


def margins_of(logits: Floats, truth: Labels) -> Floats:
    """The same from logits (n, classes), which are overwritten."""
    import numpy as np

    at = np.arange(len(truth))
    mine = logits[at, truth].copy()
    logits[at, truth] = -np.inf
    rival = logits.argmax(axis=1)
    found = mine - logits[at, rival]
    answer: Floats = np.where((found == 0) & (rival < truth), -1e-30, found)
    return answer
