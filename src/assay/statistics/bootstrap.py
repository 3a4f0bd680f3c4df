"""Bounds and p-values from resamples, for metrics with no formula: drawn as counts of cells, never as rows.

A table with few distinct kinds of row is resampled by one multinomial draw of the counts of each kind, which costs
the same for a thousand rows and for a million.

Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997; Phipson and Smyth, Permutation p-values
should never be zero, 2010 (the 1 in p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.statistics.inputs import Floats, Ints, checked_alpha, checked_level
from assay.statistics.results import Interval

DRAWS = 10_000


@dataclass(frozen=True)
class Draws:
    """An estimate and what it might as well have been, shape (draws,): once leaning low, once leaning high.

    The two differ where counts are drawn whose own discreteness must not help a claim, and are one array otherwise.
    """

    estimate: float
    lower: Floats
    upper: Floats

    def p_above(self, value: float) -> float:
        """The p-value of "theta <= value": the share of draws there, never zero."""
        return float(1 + (self.lower <= value).sum()) / (self.lower.size + 1)

    def p_below(self, value: float) -> float:
        """The p-value of "theta >= value"."""
        return self.mirrored().p_above(-value)

    def low(self, alpha: float) -> float:
        """One-sided lower bound at confidence 1 - alpha: every value below it has `p_above` of at most alpha."""
        at = max(0, int(checked_alpha(alpha) * (self.lower.size + 1)) - 1)
        return float(np.partition(self.lower, at)[at])

    def high(self, alpha: float) -> float:
        """One-sided upper bound at confidence 1 - alpha."""
        return -self.mirrored().low(alpha)

    def mirrored(self) -> Draws:
        """The same for minus theta."""
        return Draws(-self.estimate, -self.upper, -self.lower)

    def interval(self, level: float, method: str, n: int) -> Interval:
        """Two-sided interval, for reports."""
        tail = (1 - checked_level(level)) / 2
        return Interval(self.estimate, self.low(tail), self.high(tail), level, method, n)

    def variance(self) -> float:
        """The variance of the estimate."""
        return float(self.lower.var() + self.upper.var()) / 2

    def lean(self) -> float:
        """Half the distance between the two."""
        return float(self.upper.mean() - self.lower.mean()) / 2


def checked_draws(draws: int) -> int:
    """At least 100 resamples, or ValueError: fewer cannot speak of 5 %."""
    if int(draws) != draws or draws < 100:
        raise ValueError(f"at least 100 draws are needed, not {draws}")
    return int(draws)


def redrawn(cells: Ints, draws: int, seed: int) -> Ints:
    """Resampled counts of the cells of each stratum, shape (draws, strata, cells), from `cells`, shape (strata, cells).

    The size of a stratum stays what it is, so that no group can vanish from a resample.
    """
    size = cells.sum(axis=1)
    rng = np.random.default_rng(seed)
    return rng.multinomial(size, cells / size[:, None], size=(checked_draws(draws), size.size))
