"""Counts of flagged rows: exact where they can be, and never surer than the detector."""

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics.counts import Canaries, count_change, count_limit, detected_high, fisher
from assay.statistics.results import Limit

RUNS = 2_000
MOST = 0.055 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_fisher_equals_scipys() -> None:
    for hits, n, others, m in ((9, 100, 2, 100), (0, 50, 3, 70), (5, 5, 0, 5), (30, 400, 30, 400)):
        table = [[hits, n - hits], [others, m - others]]
        assert fisher(hits, n, others, m) == pytest.approx(stats.fisher_exact(table, "greater").pvalue, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "share"), [(300, 300, 0.01), (1000, 400, 0.02), (2000, 2000, 0.003)])
def test_more_by_the_margin_rarely_passes_and_equal_shares_rarely_fail(n: int, m: int, share: float) -> None:
    rng, margin = np.random.default_rng(1), 0.02
    tables, weight = np.unique(
        np.stack([rng.binomial(n, share + margin, RUNS), rng.binomial(m, share, RUNS)]), axis=1, return_counts=True
    )
    passed = [count_change((int(a), int(b)), (n, m), margin, "lower").p_not_worse <= 0.05 for a, b in tables.T]
    assert np.average(passed, weights=weight) <= MOST
    tables, weight = np.unique(
        np.stack([rng.binomial(n, share, RUNS), rng.binomial(m, share, RUNS)]), axis=1, return_counts=True
    )
    failed = [fisher(int(a), n, int(b), m) <= 0.05 for a, b in tables.T]
    assert np.average(failed, weights=weight) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_the_bound_and_the_p_value_agree() -> None:
    for hits, margin in (((3, 2), 0.02), ((12, 2), 0.02), ((0, 0), 0.01)):
        found = count_change(hits, (500, 400), margin, "lower")
        assert (found.low > -margin) == (found.p_not_worse <= 0.05)
        assert found.low <= found.estimate <= found.high
    more = count_change((480, 380), (500, 400), 0.02, "higher")
    less = count_change((20, 20), (500, 400), 0.02, "lower")
    assert more == less


def test_nothing_found_is_bounded_by_the_rows_and_by_the_detectors_recall() -> None:
    assert detected_high(0, 1000, None, 0.05) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert detected_high(0, 1000, Canaries(0, 50), 0.05) == 1.0
    weak, strong = (detected_high(0, 1000, Canaries(found, 100), 0.05) for found in (50, 100))
    assert strong < weak < 0.01
    assert weak == pytest.approx((1 - 0.025 ** (1 / 1000)) / stats.beta.ppf(0.025, 50, 51))


def test_a_weak_detector_cannot_clear_what_a_strong_one_can() -> None:
    limit = Limit(0.005, "<=")
    assert count_limit(0, 1000, limit).p_pass <= 0.05
    assert count_limit(0, 1000, limit, Canaries(98, 100)).p_pass <= 0.05
    assert count_limit(0, 1000, limit, Canaries(10, 100)).p_pass > 0.05
    assert count_limit(0, 1000, limit, Canaries(0, 100)).p_pass == 1.0
    found = count_limit(30, 1000, limit, Canaries(98, 100))
    assert found.p_fail <= 0.05 and found.low > 0.005 and found.rows_needed is None


def test_the_bound_of_a_detector_covers() -> None:
    rng, missed = np.random.default_rng(3), 0
    for _ in range(2000):
        truth, recall = 0.01, 0.7
        canaries = Canaries(int(rng.binomial(60, recall)), 60)
        missed += detected_high(int(rng.binomial(2000, truth * recall)), 2000, canaries, 0.05) < truth
    assert missed / 2000 <= 0.05


def test_flagged_rows_have_no_limit_from_below() -> None:
    with pytest.raises(ValueError, match="from above"):
        count_limit(1, 10, Limit(0.1, ">="))
