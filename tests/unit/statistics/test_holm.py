"""Holm's procedure: by hand, by order, and in its promise."""

import numpy as np
import pytest

from assay.statistics.claims import holm


def test_the_first_large_p_value_ends_the_rejections() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == (True, False, False, True)
    assert holm([0.02, 0.02, 0.001], 0.05) == (True, True, True)
    assert holm([0.2, 0.01], 0.05) == (False, True)


def test_claims_that_could_not_be_computed_still_count() -> None:
    assert holm([0.03], 0.05) == (True,)
    assert holm([0.03, 1.0], 0.05) == (False, False)


@pytest.mark.parametrize("p_values", [[], [0.5, float("nan")], [1.2], [-0.1]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"p_values|p-value"):
        holm(p_values, 0.05)


@pytest.mark.parametrize("k", [1, 2, 5, 10, 20, 50])
def test_a_family_of_true_hypotheses_has_a_false_rejection_in_five_percent_at_most(k: int) -> None:
    p = np.random.default_rng(19).random((4000, k))
    wrong = np.mean([any(holm(row.tolist(), 0.05)) for row in p])
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
