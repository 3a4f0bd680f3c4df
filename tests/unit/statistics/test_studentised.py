"""Means: exact on normal values, honest on skewed ones."""

import numpy as np
import pytest
from scipy import stats

from assay.statistics.claims import Limit, mean_limit, mean_paired
from assay.statistics.studentised import Spread, mean_interval, spread


def test_without_skewness_it_is_students_t() -> None:
    values = np.array([-3.0, -1.0, 0.0, 1.0, 3.0, 2.0, -2.0]) + 5
    found, peer = mean_interval(values), stats.ttest_1samp(values, 5).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(peer), abs=1e-9)


def test_bounds_are_where_the_p_value_is_alpha() -> None:
    found = spread(np.random.default_rng(6).exponential(size=40))
    assert found.p_above(found.low(0.05)) == pytest.approx(0.05)
    assert found.p_below(found.high(0.05)) == pytest.approx(0.05)


def test_the_spread_of_a_sum_adds_variances_and_third_moments() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.exponential(size=30), rng.exponential(size=50)
    found = spread(a, b)
    variances = [x.var(ddof=1) / x.size for x in (a, b)]
    thirds = [((x - x.mean()) ** 3).mean() / x.size**2 for x in (a, b)]
    assert found == Spread(
        pytest.approx(a.mean() + b.mean()), pytest.approx(sum(variances) ** 0.5),
        pytest.approx(sum(thirds) / sum(variances) ** 1.5), 29,
    )  # fmt: skip


def test_equal_values_have_no_spread() -> None:
    found = spread(np.full(50, 0.1))
    assert found.error == 0
    assert (found.p_above(0.0), found.p_above(0.2), found.low(0.05)) == (0.0, 1.0, pytest.approx(0.1))


@pytest.mark.parametrize(("n", "least"), [(40, 0.92), (200, 0.93)])
def test_intervals_of_a_skewed_mean_cover(n: int, least: float) -> None:
    values = np.random.default_rng(8).exponential(size=(2000, n))
    found = [mean_interval(row) for row in values]
    covered = np.mean([f.low <= 1 <= f.high for f in found])
    assert least <= covered <= 0.97


@pytest.mark.parametrize("kind", ["normal", "exponential", "long tails"])
def test_a_mean_at_its_limit_is_rarely_passed_or_failed(kind: str) -> None:
    rng, runs, n = np.random.default_rng(9), 3000, 100
    values = {
        "normal": lambda: rng.normal(size=(runs, n)),
        "exponential": lambda: rng.exponential(size=(runs, n)) - 1,
        "long tails": lambda: rng.standard_t(3, size=(runs, n)),
    }[kind]()
    found = [spread(row) for row in values]
    most = 0.055 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert np.mean([f.p_above(0) <= 0.05 for f in found]) <= most
    assert np.mean([f.p_below(0) <= 0.05 for f in found]) <= most


def test_the_rows_asked_for_show_a_mean() -> None:
    rng, runs = np.random.default_rng(24), 1500
    old, noise = rng.normal(size=2000), rng.exponential(size=2000) - 1
    needed = mean_paired(old + noise, old, 0.1, "lower").rows_needed
    assert needed is not None
    changes = rng.exponential(size=(runs, needed)) - 1
    assert np.mean([spread(-row).p_above(-0.1) <= 0.05 for row in changes]) >= 0.86
    assert mean_limit(old, Limit(float(old.mean()) - 0.1, "<=")).rows_needed is None
