"""From an estimate with its spread, or its draws, to what a gate is told: bounds, p-values and rows, for limit and change."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from assay.statistics import sample_size
from assay.statistics.inputs import checked_limit, checked_margin, checked_power
from assay.statistics.results import Limit, LimitClaim, PairedClaim


class Found(Protocol):
    """What is known of an estimate theta: by formula (`Spread`) or by resamples (`Draws`)."""

    @property
    def estimate(self) -> float: ...

    def p_above(self, value: float) -> float:
        """The p-value of "theta <= value"."""
        ...

    def p_below(self, value: float) -> float:
        """The p-value of "theta >= value"."""
        ...

    def low(self, alpha: float) -> float: ...

    def high(self, alpha: float) -> float: ...

    def variance(self) -> float: ...

    def lean(self) -> float:
        """By how much the cautious draws lie beside the estimate; it shrinks like one over the rows."""
        ...


def limit_claim(
    found: Found, n: int, limit: Limit, alpha: float, metrics: int, low: float = -np.inf, high: float = np.inf
) -> LimitClaim:
    """What `n` rows say about a limit of a metric that lies in `low`..`high`."""
    up = checked_limit(limit, low, high)
    above, below = found.p_above(limit.value), found.p_below(limit.value)
    reach = up * (found.estimate - limit.value)
    return LimitClaim(
        low=max(low, found.low(alpha)),
        high=min(high, found.high(alpha)),
        p_pass=above if up > 0 else below,
        p_fail=below if up > 0 else above,
        rows_needed=_rows(found, n, reach, alpha, metrics),
    )


def paired_claim(found: Found, n: int, margin: float, alpha: float, metrics: int) -> PairedClaim:
    """What `n` rows say about a change, larger being better. Rows are planned for no change at all, unless the data rule
    that out."""
    margin, regression = checked_margin(margin), found.p_below(0.0)
    assumed = found.estimate if regression <= alpha else 0.0
    return PairedClaim(
        estimate=found.estimate,
        low=found.low(alpha),
        high=found.high(alpha),
        p_not_worse=found.p_above(-margin),
        p_regression=regression,
        p_beyond=found.p_below(-margin),
        rows_needed=_rows(found, n, margin + assumed, alpha, metrics),
        n=n,
        lost=None,
        gained=None,
    )


def _rows(found: Found, n: int, reach: float, alpha: float, metrics: int) -> int | None:
    """Rows that show `reach`; what caution takes off it is won back by 2 lean / reach rows more, to first order."""
    rows = sample_size.rows_for_normal(n * found.variance(), reach, alpha, checked_power(metrics))
    return None if rows is None else rows + math.ceil(2 * n * found.lean() / reach)
