"""Gaps whose denominators differ between the models, gaps of means, and gaps over clusters."""

import math

import numpy as np
import pytest

from assay.statistics.claims import gap_paired, gap_paired_rows
from assay.statistics.group_moments import checked_side

RUNS = 400
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_equal_denominators_answer_as_the_plain_claim_does() -> None:
    rng = np.random.default_rng(1)
    groups, new, old = rng.integers(0, 4, 2000), rng.random(2000) < 0.7, rng.random(2000) < 0.7
    everyone = np.ones(2000, bool)
    mine = gap_paired_rows(
        groups, checked_side(everyone, new, "new"), checked_side(everyone, old, "old"), 0.05, "lower"
    )
    theirs = gap_paired(groups, new, old, 0.05, "lower")
    assert mine.estimate == pytest.approx(theirs.estimate)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)


def precision(rng: np.random.Generator, n: int, opened: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Groups, labels, and what candidate and baseline call positive; the candidate's precision in group 1 is lower."""
    groups, label = rng.integers(0, 3, n), rng.integers(0, 2, n)
    old = np.where(rng.random(n) < 0.8, label, 1 - label)
    slip = (groups == 1) & (label == 0) & (rng.random(n) < opened)
    return groups, label, np.where(slip, 1, old), old


def change(rng: np.random.Generator, n: int, opened: float, margin: float) -> tuple[float, float]:
    groups, label, new, old = precision(rng, n, opened)
    sides = [checked_side(pred == 1, label, name) for pred, name in ((new, "new"), (old, "old"))]
    found = gap_paired_rows(groups, sides[0], sides[1], margin, "lower")
    return found.p_not_worse, found.p_regression


def test_a_precision_gap_that_grew_by_the_margin_rarely_passes() -> None:
    rng = np.random.default_rng(2)
    # Of each group .4 are called positive rightly and .1 wrongly; a quarter of the other .4 negatives slips in group 1.
    grown = 0.8 - 0.4 / (0.4 + 0.1 + 0.4 * 0.25)
    passed = [change(rng, 3000, 0.25, grown)[0] <= 0.05 for _ in range(RUNS)]
    assert np.mean(passed) <= MOST


def test_an_unchanged_precision_gap_rarely_fails() -> None:
    rng = np.random.default_rng(3)
    assert np.mean([change(rng, 1500, 0.0, 0.1)[1] <= 0.05 for _ in range(RUNS)]) <= MOST


def test_a_gap_of_means_and_a_gap_over_clusters() -> None:
    rng = np.random.default_rng(4)
    groups, old = rng.integers(0, 2, 4000), rng.normal(0, 1, 4000)
    new = old + np.where(groups == 1, 0.5, 0.0)
    everyone = np.ones(4000, bool)
    sides = checked_side(everyone, new, "new"), checked_side(everyone, old, "old")
    assert gap_paired_rows(groups, *sides, 0.2, "lower").p_regression <= 0.05
    assert gap_paired_rows(groups, *sides, 0.7, "lower").p_not_worse <= 0.05
    single = gap_paired_rows(groups, *sides, 0.7, "lower", clusters=np.arange(4000))
    lumps = gap_paired_rows(groups, *sides, 0.7, "lower", clusters=np.arange(4000) // 100)
    assert single.estimate == lumps.estimate and math.isfinite(lumps.low)


def test_a_group_that_one_model_never_calls_positive_is_refused_or_wide() -> None:
    groups, label = np.repeat([0, 1], 100), np.tile([0, 1], 100)
    none = checked_side(groups == 0, label, "new")
    found = gap_paired_rows(groups, none, none, 0.3, "lower")
    assert found.p_not_worse > 0.05
