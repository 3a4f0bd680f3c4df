"""Limits of gaps of means and of clustered rows: rarely passed at the limit, rarely failed below it."""

import math

import numpy as np
import pytest

from assay.statistics.claims import gap_limit, gap_limit_rows
from assay.statistics.group_moments import Side, checked_side
from assay.statistics.results import Limit

RUNS = 400
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def side_of(values: np.ndarray) -> Side:
    return checked_side(np.ones(values.size, bool), values, "side")


def test_a_gap_of_shares_answers_as_the_score_test_does() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 3000)
    ok = rng.random(3000) < np.array([0.8, 0.75, 0.7])[groups]
    hits = [int(ok[groups == g].sum()) for g in range(3)]
    counts = [int((groups == g).sum()) for g in range(3)]
    mine, theirs = gap_limit_rows(groups, side_of(ok), Limit(0.2, "<=")), gap_limit(hits, counts, Limit(0.2, "<="))
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)
    assert mine.rows_needed == pytest.approx(theirs.rows_needed, rel=0.1)
    up = gap_limit_rows(groups, side_of(ok), Limit(0.02, ">="))
    assert up.p_pass <= 0.05 and up.rows_needed is None


@pytest.mark.parametrize("size", [1, 20])
def test_a_gap_at_its_limit_rarely_passes_and_rarely_fails(size: int) -> None:
    rng, passed, failed = np.random.default_rng(size), 0, 0
    clusters = None if size == 1 else np.arange(1200) // size
    for _ in range(RUNS):
        groups = np.arange(1200) % 2
        noise = rng.normal(0, 1, 1200) + (0 if size == 1 else np.repeat(rng.normal(0, 1, 1200 // size), size))
        found = gap_limit_rows(groups, side_of(noise + 0.5 * groups), Limit(0.5, "<="), clusters)
        passed += found.p_pass <= 0.05
        failed += found.p_fail <= 0.05
    assert passed / RUNS <= MOST and failed / RUNS <= MOST
