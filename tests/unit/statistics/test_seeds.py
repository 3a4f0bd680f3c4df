"""Claims about a way of training, from one number a seed."""

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics.seeds import recipe_change

RUNS = 4_000
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("is_paired", [True, False])
def test_the_p_values_are_those_of_t_and_of_welch(is_paired: bool) -> None:
    rng = np.random.default_rng(1)
    new, old = rng.normal(0.80, 0.01, 8), rng.normal(0.81, 0.02, 8)
    found = recipe_change(new, old, 0.02, "higher", is_paired)
    test = (
        stats.ttest_rel(new, old, alternative="less")
        if is_paired
        else stats.ttest_ind(new, old, equal_var=False, alternative="less")
    )
    assert found.p_regression == pytest.approx(test.pvalue, abs=1e-12 if is_paired else 3e-3)


@pytest.mark.parametrize(("m", "spread"), [(5, 1.0), (8, 3.0)])
def test_a_recipe_worse_by_the_margin_rarely_passes(m: int, spread: float) -> None:
    rng = np.random.default_rng(2)
    passed = [
        recipe_change(rng.normal(-1, 1, 5), rng.normal(0, spread, m), 1.0, "higher", is_paired=False).p_not_worse
        <= 0.05
        for _ in range(RUNS)
    ]
    assert np.mean(passed) <= MOST


def test_four_seeds_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        recipe_change(np.ones(4), np.ones(5), 0.1, "higher", is_paired=False)
