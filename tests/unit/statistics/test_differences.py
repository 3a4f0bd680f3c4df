"""Score bounds of a difference of independent shares, and the largest gap among groups."""

import numpy as np
import pytest
from scipy.special import ndtri

from assay.statistics.claims import Limit, gap_limit
from assay.statistics.differences import Pairs, difference_bounds, difference_score, ordered_pairs


def pairs(*rows: tuple[float, float, float, float]) -> Pairs:
    return Pairs(*np.array(rows, np.float64).T)


def test_the_published_example_of_newcombe_is_met() -> None:
    low, high = difference_bounds(pairs((56, 70, 48, 80), (9, 10, 3, 10)), 0.025)
    assert low == pytest.approx([0.0528, 0.1700], abs=2e-4)
    assert high == pytest.approx([0.3382, 0.8406], abs=2e-4)


def test_the_restricted_shares_are_the_most_likely_ones() -> None:
    rng, grid = np.random.default_rng(1), np.linspace(1e-6, 1 - 1e-6, 200_001)
    for _ in range(30):
        n_1, n_2 = rng.integers(5, 80, 2)
        x_1, x_2, delta = rng.integers(0, n_1 + 1), rng.integers(0, n_2 + 1), rng.uniform(-0.9, 0.9)
        q_2 = grid[(grid + delta > 0) & (grid + delta < 1)]
        q_1 = q_2 + delta
        likely = x_1 * np.log(q_1) + (n_1 - x_1) * np.log1p(-q_1) + x_2 * np.log(q_2) + (n_2 - x_2) * np.log1p(-q_2)
        best = q_2[likely.argmax()]
        variance = (best + delta) * (1 - best - delta) / n_1 + best * (1 - best) / n_2
        z = (x_1 / n_1 - x_2 / n_2 - delta) / np.sqrt(variance * (n_1 + n_2) / (n_1 + n_2 - 1))
        assert difference_score(pairs((x_1, n_1, x_2, n_2)), np.array([delta]))[0] == pytest.approx(
            z, rel=2e-3, abs=2e-3
        )


def test_bounds_are_where_the_score_is_critical() -> None:
    rng = np.random.default_rng(2)
    n = rng.integers(5, 500, (2, 300)).astype(np.float64)
    hits = np.floor(rng.random((2, 300)) * (n + 1))
    inside = (hits[0] / n[0] - hits[1] / n[1] > -1) & (hits[0] / n[0] - hits[1] / n[1] < 1)
    some = Pairs(hits[0][inside], n[0][inside], hits[1][inside], n[1][inside])
    low, high = difference_bounds(some, 0.05)
    assert difference_score(some, low) == pytest.approx(-ndtri(0.05), abs=1e-5)
    assert difference_score(some, high) == pytest.approx(ndtri(0.05), abs=1e-5)


def test_every_ordered_pair_is_asked() -> None:
    found = ordered_pairs(np.array([1.0, 2.0, 3.0]), np.array([9.0, 9.0, 9.0]))
    assert {*zip(found.hits_1, found.hits_2, strict=True)} == {(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)}


def test_a_gap_at_its_limit_is_rarely_passed_or_failed() -> None:
    rng, runs, limit = np.random.default_rng(3), 600, Limit(0.1, "<=")
    for shares, sizes in (((0.85, 0.75), (400, 400)), ((0.9, 0.85, 0.8, 0.8), (120, 300, 150, 500))):
        counts = [rng.binomial(sizes, shares) for _ in range(runs)]
        found = [gap_limit([int(c) for c in count], sizes, limit) for count in counts]
        for p in ("p_pass", "p_fail"):
            assert np.mean([getattr(f, p) <= 0.05 for f in found]) <= 0.055 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_the_rows_asked_for_show_the_gap() -> None:
    rng, shares, limit = np.random.default_rng(4), np.array([0.8, 0.82, 0.84]), Limit(0.12, "<=")
    needed = gap_limit([800, 820, 840], [1000] * 3, limit).rows_needed
    assert needed is not None
    size = needed // 3 + 1
    passed = [gap_limit(rng.binomial(size, shares).tolist(), [size] * 3, limit).p_pass <= 0.05 for _ in range(300)]
    assert np.mean(passed) >= 0.88 - 3 * np.sqrt(0.09 / 300)
    assert gap_limit([700, 820, 840], [1000] * 3, limit).rows_needed is None
