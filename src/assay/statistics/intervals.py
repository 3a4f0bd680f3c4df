"""Intervals and exact tests of one share: Wilson for reports, Clopper-Pearson for limits."""

from __future__ import annotations

import math

from scipy.special import betainc, betaincinv, ndtri

from assay.statistics.inputs import checked_alpha, checked_count, checked_level
from assay.statistics.results import Interval


def share_interval(hits: int, n: int, level: float = 0.95) -> Interval:
    """Two-sided Wilson score interval of a share; near its level on average, also at shares near 0 and 1.

    Source: Wilson, Probable inference, JASA 1927; Brown, Cai, DasGupta, Statistical Science 2001.
    """
    hits, n = checked_count(hits, n)
    z = float(ndtri(0.5 + checked_level(level) / 2))
    share, weight = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == n else min(1.0, middle + half)
    return Interval(share, low, high, level, "wilson", n)


def share_interval_exact(hits: int, n: int, level: float = 0.95) -> Interval:
    """Two-sided Clopper-Pearson interval of a share: it covers with at least its level, for every share and n."""
    alpha = (1 - checked_level(level)) / 2
    return Interval(hits / n, share_low(hits, n, alpha), share_high(hits, n, alpha), level, "clopper-pearson", n)


def share_low(hits: int, n: int, alpha: float) -> float:
    """One-sided lower Clopper-Pearson bound: the share at which `hits` or more happens with probability alpha.

    Source: Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 1934.
    """
    hits, n = checked_count(hits, n)
    return 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, checked_alpha(alpha)))


def share_high(hits: int, n: int, alpha: float) -> float:
    """One-sided upper Clopper-Pearson bound; 1 - alpha^(1/n) where there is no hit at all."""
    hits, n = checked_count(hits, n)
    return 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - checked_alpha(alpha)))


def p_at_least(hits: int, n: int, share: float) -> float:
    """P(X >= hits) for X ~ Binomial(n, share)."""
    return 1.0 if hits == 0 else float(betainc(hits, n - hits + 1, share))


def p_at_most(hits: int, n: int, share: float) -> float:
    """P(X <= hits) for X ~ Binomial(n, share)."""
    return 1.0 if hits == n else float(betainc(n - hits, hits + 1, 1 - share))
