"""Laws that the claims keep for all tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.statistics.claims import gap_paired, holm, mean_paired, share_paired
from assay.statistics.claims import share_paired_counts as counts

disagreements = st.tuples(st.integers(0, 60), st.integers(0, 60))
margins = st.floats(0.002, 0.3)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidate, baseline and group of 12 to 200 rows."""
    n, seed = draw(st.integers(12, 200)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    candidate, baseline = rng.random((2, n)) < draw(st.floats(0.05, 0.95))
    return candidate, baseline, np.append([0, 1], rng.integers(0, 3, n - 2))


@settings(deadline=None, max_examples=60)
@given(tables(), margins)
def test_swapping_the_models_flips_the_sign(table: tuple[np.ndarray, np.ndarray, np.ndarray], margin: float) -> None:
    new, old, groups = table
    for there, back in (
        (share_paired(new, old, margin, "higher"), share_paired(old, new, margin, "higher")),
        (mean_paired(new, old, margin, "higher"), mean_paired(old, new, margin, "higher")),
        (gap_paired(groups, new, old, margin, "lower"), gap_paired(groups, old, new, margin, "lower")),
    ):
        assert (there.estimate, there.low, there.high) == pytest.approx(
            (-back.estimate, -back.high, -back.low), abs=1e-9
        )
        assert (there.lost, there.gained) == (back.gained, back.lost)


@settings(deadline=None, max_examples=40)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table: tuple[np.ndarray, np.ndarray, np.ndarray], shuffle: object) -> None:
    new, old, groups = table
    order = np.array(sorted(range(new.size), key=lambda _: shuffle.random()))  # type: ignore[attr-defined]  # a Random
    assert share_paired(new, old, 0.05, "higher") == share_paired(new[order], old[order], 0.05, "higher")
    assert gap_paired(groups, new, old, 0.05, "lower") == gap_paired(
        groups[order], new[order], old[order], 0.05, "lower"
    )


@settings(deadline=None, max_examples=60)
@given(disagreements, st.integers(0, 5000), st.integers(0, 5000))
def test_tied_rows_never_move_the_p_value_of_a_regression(pair: tuple[int, int], tied: int, more: int) -> None:
    lost, gained = pair
    few, many = (counts(lost, gained, lost + gained + 1 + ties, 0.02) for ties in (tied, tied + more))
    assert few.p_regression == many.p_regression


@settings(deadline=None, max_examples=100)
@given(disagreements, st.integers(1, 3000), margins, st.floats(1.0, 3.0))
def test_a_wider_margin_never_takes_a_pass_back(pair: tuple[int, int], tied: int, margin: float, wider: float) -> None:
    lost, gained = pair
    narrow, wide = (counts(lost, gained, lost + gained + tied, m) for m in (margin, margin * wider))
    assert wide.p_not_worse <= narrow.p_not_worse + 1e-12
    assert (wide.p_regression, wide.low, wide.high) == (narrow.p_regression, narrow.low, narrow.high)


@settings(deadline=None, max_examples=100)
@given(disagreements, st.integers(1, 3000), margins)
def test_the_bound_lies_inside_the_margin_exactly_where_the_claim_passes(
    pair: tuple[int, int], tied: int, margin: float
) -> None:
    lost, gained = pair
    found = counts(lost, gained, lost + gained + tied, margin)
    assert found.low <= found.estimate <= found.high
    if abs(found.low + margin) > 1e-7:
        assert (found.low > -margin) == (found.p_not_worse <= 0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.499))
def test_holm_rejects_the_smallest_first_and_nothing_above_alpha(p: list[float], alpha: float) -> None:
    rejected = holm(p, alpha)
    assert all(value <= alpha for value, out in zip(p, rejected, strict=True) if out)
    kept = [value for value, out in zip(p, rejected, strict=True) if not out]
    assert all(value <= min(kept, default=1.0) for value, out in zip(p, rejected, strict=True) if out)
