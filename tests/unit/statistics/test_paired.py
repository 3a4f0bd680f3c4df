"""Tango's score test, McNemar's exact test, and the exact version of the first for few disagreements."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from assay.statistics.exact_paired import exact_paired
from assay.statistics.paired import mcnemar, restricted_lost, tango_low, tango_score


def one(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (0, 7), (7, 0), (12, 5), (300, 260), (5, 300)])
def test_mcnemar_equals_the_binomial_test_to_nine_digits(lost: int, gained: int) -> None:
    peer = stats.binom.cdf(gained, lost + gained, 0.5)
    assert float(mcnemar(np.array(lost), np.array(gained))) == pytest.approx(peer, abs=1e-9)


def test_bounds_are_where_the_score_is_critical() -> None:
    low = tango_low(*one(14, 5, 212), alpha=0.025)[0]
    high = -tango_low(*one(5, 14, 212), alpha=0.025)[0]
    for bound, z in ((low, -ndtri(0.025)), (high, ndtri(0.025))):
        assert tango_score(*one(14, 5, 212, bound))[0] == pytest.approx(z, abs=1e-6)


def test_the_restricted_estimate_solves_its_equation() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(50, 5000, 500).astype(np.float64)
    lost, gained = np.floor(rng.random((2, 500)) * n * 0.2) + 1
    for difference in (-0.1, -0.02, 0.03):
        at = np.full(500, difference)
        q = restricted_lost(lost, gained, n, at)
        slope = lost / q + gained / (q + at) - 2 * (n - lost - gained) / (1 - 2 * q - at)
        assert np.abs(slope / n).max() < 1e-6


def test_without_a_difference_the_score_is_that_of_mcnemar() -> None:
    assert tango_score(*one(14, 5, 212, 0))[0] == pytest.approx((5 - 14) / np.sqrt(19))


@pytest.mark.parametrize(("lost", "gained", "n", "margin"), [(0, 0, 300, 0.02), (5, 3, 200, 0.05), (3, 5, 25, 0.3)])
def test_the_exact_p_value_is_the_largest_probability_of_its_region(
    lost: int, gained: int, n: int, margin: float
) -> None:
    test = exact_paired(lost, gained, n, 0.05)
    lose, gain = np.nonzero(test.weights)
    tables = np.stack([lose, gain, n - lose - gain], axis=1)
    largest = max(
        stats.multinomial.pmf(tables, n, [(psi + margin) / 2, (psi - margin) / 2, 1 - psi]).sum()
        for psi in (margin, *test.psi[test.psi > margin])
    )
    assert test.p(-margin) == pytest.approx(largest, abs=2e-6)


def test_with_no_disagreement_the_exact_p_value_is_the_rule_of_three() -> None:
    assert exact_paired(0, 0, 150, 0.05).p(-0.02) == pytest.approx(0.98**150, abs=2e-6)
    for n in (1000, 10**7):
        assert exact_paired(0, 0, n, 0.05).low(0.05) * n == pytest.approx(np.log(0.05), rel=2e-3)


def test_the_exact_bound_and_p_value_agree_and_fall_with_the_margin() -> None:
    for lost, gained, n in ((0, 0, 100), (4, 1, 300), (15, 14, 2500), (29, 0, 400)):
        test = exact_paired(lost, gained, n, 0.05)
        assert test.p(test.low(0.05)) == pytest.approx(0.05, abs=1e-6)
        p = [test.p(-margin) for margin in np.linspace(0.001, 0.5, 80)]
        assert np.all(np.diff(p) <= 1e-9)


def test_the_exact_size_never_exceeds_alpha_where_the_score_test_does() -> None:
    # Without gains the score test passes two lost rows of 300 at a margin of two points: a size of 6.0 %.
    n, margin = 300, 0.02
    p = np.array([exact_paired(lost, 0, n, 0.05).p(-margin) for lost in range(12)])
    mass = stats.binom.pmf(np.arange(12), n, margin)
    assert mass[p <= 0.05].sum() <= 0.05
    score = tango_score(np.arange(12.0), np.zeros(12), np.full(12, 300.0), np.full(12, -margin))
    assert mass[score >= -ndtri(0.05)].sum() > 0.055
