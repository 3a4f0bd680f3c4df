"""Rows in clusters: the error rates hold where those of single rows would not."""

import math

import numpy as np
import pytest

from assay.statistics.cells import Measure
from assay.statistics.claims import rank_paired, share_paired
from assay.statistics.clusters import (
    TooFewClusters,
    clustered_area_change,
    clustered_cells_change,
    clustered_change,
    clustered_limit,
)
from assay.statistics.ranks import Scores
from assay.statistics.results import Limit

RUNS = 400
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def lumpy(
    rng: np.random.Generator, clusters: int, lost: float, gained: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidate, baseline and cluster of 5 to 15 rows a cluster; half of all changes hit a whole cluster at once."""
    sizes = rng.integers(5, 16, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    fate = np.repeat(rng.random(clusters), sizes)
    alone = rng.random(cluster.size)
    luck = np.where(rng.random(cluster.size) < 0.5, fate, alone)
    new = np.where(luck < lost, 0.0, 1.0)
    old = np.where(luck > 1 - gained, 0.0, 1.0)
    return new, old, cluster


@pytest.mark.parametrize("clusters", [15, 60])
def test_clusters_worse_by_the_margin_rarely_pass_where_single_rows_often_would(clusters: int) -> None:
    rng, passed, naive = np.random.default_rng(clusters), 0, 0
    for run in range(RUNS):
        new, old, cluster = lumpy(rng, clusters, 0.10, 0.05)
        passed += clustered_change(new, old, cluster, 0.05, "higher").p_not_worse <= 0.05
        if clusters == 60 and run < 60:
            naive += share_paired(new, old, 0.05, "higher").p_not_worse <= 0.05
    assert passed / RUNS <= MOST + 0.01  # linearised ratios of few, skewed clusters err by up to a point
    assert clusters < 60 or naive / 60 > 0.09


@pytest.mark.parametrize("clusters", [15, 150])
def test_equal_models_in_clusters_rarely_fail(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    failed = [
        clustered_change(*lumpy(rng, clusters, 0.05, 0.05), 0.05, "higher").p_regression <= 0.05 for _ in range(RUNS)
    ]
    assert np.mean(failed) <= MOST


def test_no_change_in_any_cluster_is_no_certainty() -> None:
    ones, cluster = np.ones(400), np.arange(400) // 10
    found = clustered_change(ones, ones, cluster, 0.05, "higher")
    assert found.estimate == 0 and -0.09 < found.low < -0.06 and found.p_not_worse > 0.05


def test_fewer_than_ten_clusters_are_refused() -> None:
    with pytest.raises(TooFewClusters, match="9 clusters"):
        clustered_change(np.ones(90), np.ones(90), np.arange(90) // 10, 0.05, "higher")


def test_clusters_of_one_row_answer_as_single_rows_do() -> None:
    rng = np.random.default_rng(2)
    new, old = rng.random(2000) < 0.9, rng.random(2000) < 0.9
    mine = clustered_change(new, old, np.arange(2000), 0.03, "higher")
    theirs = share_paired(new, old, 0.03, "higher")
    assert (mine.estimate, mine.low, mine.high) == pytest.approx((theirs.estimate, theirs.low, theirs.high), abs=2e-3)


def test_the_area_and_the_cells_know_clusters_too() -> None:
    rng = np.random.default_rng(4)
    label, cluster = rng.integers(0, 3, 1200), np.arange(1200) // 6
    new, old = (np.where(rng.random(1200) < 0.8, label, rng.integers(0, 3, 1200)) for _ in range(2))
    cells = clustered_cells_change(label, new, old, cluster, Measure("f1"), 0.08, "higher")
    assert cells.low < cells.estimate < cells.high and cells.p_not_worse <= 0.05
    a, b, c, d = rng.normal(size=(4, 600))
    sides = Scores(a, b), Scores(c, d)
    area = clustered_area_change(*sides, (cluster[:600], cluster[600:]), 0.15, "lower")
    plain = rank_paired(a, b, c, d, "auc", 0.15, "lower", seed=1, paired=True)
    assert area.estimate == pytest.approx(plain.estimate) and area.low == pytest.approx(plain.low, abs=0.02)


def test_a_limit_over_clusters() -> None:
    rng = np.random.default_rng(6)
    new, _, cluster = lumpy(rng, 80, 0.1, 0.1)
    found = clustered_limit(new, cluster, Limit(0.7, ">="), low=0, high=1)
    assert found.p_pass <= 0.05 and 0.7 < found.low < found.high <= 1
