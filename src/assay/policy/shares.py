"""Exact bounds and tests of one share without any library, so that a limit can be held where numpy is not installed.

`assay.statistics` computes the same from scipy; the tests hold the two against each other.
Source: Clopper and Pearson, Biometrika 1934; continued fraction of the incomplete beta function: Abramowitz and Stegun
26.5.8, evaluated by Lentz's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_TINY = 1e-300


def p_at_least(hits: int, n: int, share: float) -> float:
    """P(X >= hits) for X ~ Binomial(n, share)."""
    return 1.0 if hits == 0 else _beta(hits, n - hits + 1, share)


def p_at_most(hits: int, n: int, share: float) -> float:
    """P(X <= hits) for X ~ Binomial(n, share)."""
    return 1.0 if hits == n else _beta(n - hits, hits + 1, 1 - share)


def share_low(hits: int, n: int, alpha: float) -> float:
    """One-sided lower bound at confidence 1 - alpha: the share at which `hits` or more happens with alpha."""
    return 0.0 if hits == 0 else _root(lambda share: p_at_least(hits, n, share) - alpha, 0.0, hits / n)


def share_high(hits: int, n: int, alpha: float) -> float:
    """One-sided upper bound at confidence 1 - alpha."""
    return 1.0 if hits == n else _root(lambda share: alpha - p_at_most(hits, n, share), hits / n, 1.0)


def rows_for_share(estimate: float, limit: float, alpha: float, power: float = 0.9) -> int | None:
    """Rows at which a share of `estimate` would be shown to lie on its side of `limit`; None if it lies on it.

    Source: the normal sample-size formula of design/evaluation.md, 3.3: limit.
    """
    if not 0 < limit < 1 or abs(estimate - limit) < 1e-9:
        return None
    z_a, z_b = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    spread = z_a * math.sqrt(limit * (1 - limit)) + z_b * math.sqrt(estimate * (1 - estimate))
    return max(1, math.ceil(spread**2 / (estimate - limit) ** 2))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return min(1.0, front * _fraction(a, b, x) / a)
    return max(0.0, 1 - front * _fraction(b, a, 1 - x) / b)


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _not_zero(1 + step * d), _not_zero(1 + step / c)
            found *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return found


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses 0, by the Illinois variant of regula falsi, to 1e-14."""
    at_low, at_high, kept = rising(low), rising(high), 0
    middle = low
    for _ in range(200):
        middle = high - at_high * (high - low) / (at_high - at_low) if at_high != at_low else (low + high) / 2
        if not low < middle < high:
            middle = (low + high) / 2
        value = rising(middle)
        if value == 0 or high - low <= 1e-14:
            break
        if value > 0:
            high, at_high, at_low, kept = middle, value, at_low / 2 if kept > 0 else at_low, 1
        else:
            low, at_low, at_high, kept = middle, value, at_high / 2 if kept < 0 else at_high, -1
    return middle
