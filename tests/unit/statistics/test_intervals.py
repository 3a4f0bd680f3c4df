"""Intervals and exact tests of one share, against scipy."""

import numpy as np
import pytest
from scipy import stats

from assay.statistics.intervals import (
    p_at_least,
    p_at_most,
    share_high,
    share_interval,
    share_interval_exact,
    share_low,
)

COUNTS = [(0, 1), (1, 1), (0, 30), (3, 30), (30, 30), (499, 500), (4000, 5000)]


@pytest.mark.parametrize(("hits", "n"), COUNTS)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_and_clopper_pearson_equal_those_of_scipy(hits: int, n: int, level: float) -> None:
    peer = stats.binomtest(hits, n)
    for ours, method in ((share_interval, "wilson"), (share_interval_exact, "exact")):
        low, high = peer.proportion_ci(level, method)
        found = ours(hits, n, level)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
        assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize(("hits", "n"), COUNTS)
def test_one_sided_bounds_are_where_the_exact_p_value_is_alpha(hits: int, n: int) -> None:
    if hits:
        assert stats.binom.sf(hits - 1, n, share_low(hits, n, 0.05)) == pytest.approx(0.05, abs=1e-9)
    if hits < n:
        assert stats.binom.cdf(hits, n, share_high(hits, n, 0.05)) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), COUNTS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_tails_equal_those_of_scipy(hits: int, n: int, share: float) -> None:
    assert p_at_least(hits, n, share) == pytest.approx(stats.binom.sf(hits - 1, n, share), abs=1e-9)
    assert p_at_most(hits, n, share) == pytest.approx(stats.binom.cdf(hits, n, share), abs=1e-9)


def test_nothing_found_is_bounded_by_the_rule_of_three() -> None:
    assert share_high(0, 300, 0.05) == pytest.approx(1 - 0.05 ** (1 / 300), abs=1e-12)


def test_exact_intervals_cover_at_least_their_level_and_wilson_nearly() -> None:
    n, shares = 60, np.linspace(0.02, 0.98, 49)
    for ours, least, mean in ((share_interval_exact, 0.95, 0.95), (share_interval, 0.90, 0.945)):
        found = [ours(k, n) for k in range(n + 1)]
        low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
        covered = np.array([stats.binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum() for p in shares])
        assert covered.min() >= least - 1e-9
        assert covered.mean() >= mean
