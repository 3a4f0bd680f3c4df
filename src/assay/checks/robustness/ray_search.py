"""A search with labels alone: the sign vector whose ray leaves the class soonest, in blocks that halve.

Every query asks one question: does flipping the signs of one block shorten the way to another class? Only if so is the new way measured by
bisection. With labels alone this needs fewer queries for the maximum norm than walks along the boundary.
Source: Chen and Gu, RayS: a ray searching method for hard-label adversarial attack, 2020, algorithms 1 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.robustness.ball import Attacked, Ball, Target

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints


TOLERANCE = 1e-3


@dataclass(frozen=True)
class Distances:
    """How far each of n rows is from another class, as the search found it: inf where it found none."""

    attacked: Attacked
    radius: Floats = field(repr=False)


def ray_search(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """The attack within a ball: a row is fooled if a point of another class was found inside it."""
    found = distances(target, ball, budget, until=ball.eps)
    return found.attacked


def distances(target: Target, ball: Ball, budget: int, *, until: float = 0.0) -> Distances:
    """The shortest way to another class for each row, with at most `budget` queries; rows nearer than `until` stop.

    The search draws nothing at random.
    """
    import numpy as np

    search = _Search(target, ball)
    search.first()
    level, block = 0, 0
    while True:
        alive = np.flatnonzero((search.queries < budget) & (search.radius > until))
        if not alive.size:
            break
        search.try_block(alive, level, block, budget)
        block += 1
        if block == 2**level:
            level, block = (level + 1 if 2 ** (level + 1) <= search.width else 0), 0
    return search.found(until)


class _Search:
    """Signs (n, d) and the radius at which each ray leaves the class, shape (n,)."""

    def __init__(self, target: Target, ball: Ball) -> None:
        import numpy as np

        self.target, self.ball = target, ball
        n, self.width = target.start.shape
        self.signs = np.ones((n, self.width))
        self.radius = np.full(n, np.inf)
        self.queries = np.zeros(n, np.int64)

    def first(self) -> None:
        """Both ends of the whole range; the ray that leaves the class at all is where the search begins."""
        import numpy as np

        everyone = np.arange(len(self.radius))
        far = self.ball.high - self.ball.low
        for sign in (1.0, -1.0):
            rest = everyone[np.isinf(self.radius)]
            if rest.size:
                self.signs[rest] = sign
                out = self.leaves(rest, self.signs[rest], np.full(rest.size, far))
                self.radius[rest[out]] = far
        self.measure(everyone[np.isfinite(self.radius)], np.iinfo(np.int64).max)

    def try_block(self, alive: Ints, level: int, block: int, budget: int) -> None:
        """Flips one block of signs, and measures those rows whose way it shortens."""
        import numpy as np

        start, end = block * self.width // 2**level, (block + 1) * self.width // 2**level
        flipped = self.signs[alive].copy()
        flipped[:, start:end] *= -1
        at = np.where(np.isfinite(self.radius[alive]), self.radius[alive], self.ball.high - self.ball.low)
        shorter = self.leaves(alive, flipped, at)
        won = alive[shorter]
        self.signs[won], self.radius[won] = flipped[shorter], at[shorter]
        self.measure(won, budget)

    def measure(self, rows: Ints, budget: int) -> None:
        """Bisects between the row itself and its radius."""
        import numpy as np

        inside, outside = np.zeros(rows.size), self.radius[rows]
        while True:
            open_ = np.flatnonzero(
                (outside - inside > TOLERANCE * (self.ball.high - self.ball.low)) & (self.queries[rows] < budget)
            )
            if not open_.size:
                break
            middle = (inside[open_] + outside[open_]) / 2
            out = self.leaves(rows[open_], self.signs[rows[open_]], middle)
            outside[open_[out]], inside[open_[~out]] = middle[out], middle[~out]
        self.radius[rows] = outside

    def leaves(self, rows: Ints, signs: Floats, radius: Floats) -> Flags:
        """Whether the point at a radius along the signs is of another class; one query a row."""
        self.queries[rows] += 1
        labels = self.target.predictor.labels(self._points(rows, signs, radius))
        out: Flags = labels != self.target.truth[rows]
        return out

    def found(self, until: float) -> Distances:
        import numpy as np

        everyone = np.arange(len(self.radius))
        reach = np.where(np.isfinite(self.radius), self.radius, 0.0)
        points = self._points(everyone, self.signs, reach)
        inside = self.radius <= (until or self.ball.eps)
        return Distances(Attacked(points, inside, self.queries), self.radius)

    def _points(self, rows: Ints, signs: Floats, radius: Floats) -> Floats:
        import numpy as np

        start = self.target.start[rows]
        low, high = np.minimum(self.ball.low, start), np.maximum(self.ball.high, start)
        return np.clip(start + radius[:, None] * signs, low, high)
