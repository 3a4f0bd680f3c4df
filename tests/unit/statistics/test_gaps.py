"""The change of a max-min gap: honest where groups were equal, alert where one falls behind, quick on large tables."""

import numpy as np
import pytest

from assay.statistics.claims import gap_change_interval, gap_interval, gap_paired
from assay.statistics.gap_change import gap_contrasts
from assay.statistics.gaps import gap_change, paired_cells
from assay.statistics.group_moments import moments_of_cells

MOST = 0.055 + 3 * np.sqrt(0.05 * 0.95 / 1000)
EQUAL = (0.8, 0.8, 0.8, 0.8)


def drawn_cells(size: int, new: tuple[float, ...], old: tuple[float, ...], disagreement: float = 0.06) -> np.ndarray:
    """1,000 tables of paired outcomes, shape (1000, groups, 4)."""
    new_share, old_share = np.array(new), np.array(old)
    change = new_share - old_share
    only_old, only_new = (disagreement - change) / 2, (disagreement + change) / 2
    cells = np.stack([1 - old_share - only_new, only_old, only_new, old_share - only_old], axis=1)
    return np.random.default_rng(16).multinomial(size, cells, size=(1000, len(new)))


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (EQUAL, EQUAL),
        ((0.75, 0.8, 0.8, 0.8), EQUAL),
        ((0.775, 0.8, 0.8, 0.825), EQUAL),
        ((0.65, 0.8, 0.8, 0.9), (0.7, 0.8, 0.8, 0.9)),
        ((0.75, 0.8), (0.8, 0.8)),
        ((0.8, 0.8, 0.8, 0.8), (0.75, 0.8, 0.8, 0.8)),
    ],
)
def test_a_change_at_the_margin_is_rarely_passed_or_failed(new: tuple[float, ...], old: tuple[float, ...]) -> None:
    truth = float(np.ptp(new) - np.ptp(old))
    tables = drawn_cells(300, new, old)
    assert np.mean([gap_contrasts(moments_of_cells(cells)).p_below(truth) <= 0.05 for cells in tables]) <= MOST
    assert np.mean([gap_contrasts(moments_of_cells(cells).swapped).p_below(-truth) <= 0.05 for cells in tables]) <= MOST


def test_a_wide_gap_that_shrinks_is_passed_and_one_that_opens_is_failed() -> None:
    before, after = (0.6, 0.8, 0.8, 0.9), (0.75, 0.8, 0.8, 0.9)
    closed = drawn_cells(300, after, before, disagreement=0.16)
    assert np.mean([gap_contrasts(moments_of_cells(cells)).p_below(0.05) <= 0.05 for cells in closed]) >= 0.9
    opened = drawn_cells(300, before, after, disagreement=0.16)
    assert np.mean([gap_contrasts(moments_of_cells(cells).swapped).p_below(0.0) <= 0.05 for cells in opened]) >= 0.7


def test_the_rows_asked_for_show_an_unchanged_gap() -> None:
    cells = drawn_cells(1000, EQUAL, EQUAL)[0]
    needed = gap_contrasts(moments_of_cells(cells)).rows(4000, 0.03, 0.05, 0.9)
    assert needed is not None
    tables = drawn_cells(needed // 4, EQUAL, EQUAL)
    assert np.mean([gap_contrasts(moments_of_cells(cells)).p_below(0.03) <= 0.05 for cells in tables]) >= 0.88 - 0.06


def test_the_sign_follows_what_is_better() -> None:
    rng = np.random.default_rng(17)
    groups, old = rng.integers(0, 3, 6000), rng.random(6000) < 0.8
    new = old & ~((groups == 0) & (rng.random(6000) < 0.2))
    worse, wanted = (gap_paired(groups, new, old, 0.05, better) for better in ("lower", "higher"))
    assert worse.estimate == pytest.approx(-wanted.estimate)
    assert worse.estimate < 0
    assert worse.p_regression <= 0.05 < worse.p_not_worse
    assert wanted.p_not_worse <= 0.05 < wanted.p_regression


def test_cells_count_the_rows_of_each_kind() -> None:
    cells = paired_cells(np.array([7, 7, 2, 2, 2]), np.array([1, 0, 1, 0, 1]), np.array([1, 1, 0, 0, 1]))
    assert cells.tolist() == [[1, 0, 1, 1], [0, 1, 0, 1]]
    assert gap_change(cells) == pytest.approx((2 / 3 - 1 / 2) - (1 - 1 / 3))


def test_intervals_hold_the_estimate_or_lean_upwards() -> None:
    found = gap_interval([80, 60, 90], [100, 100, 100], seed=1)
    assert found.estimate == pytest.approx(0.3)
    assert found.low < 0.3 < found.high


def test_the_change_of_a_gap_over_sixteen_thousand_rows_has_an_interval_around_it() -> None:
    rng = np.random.default_rng(18)
    groups, ok = rng.integers(0, 10, 16_000), rng.random((2, 16_000)) < 0.85
    found = gap_change_interval(groups, ok[0], ok[1], seed=1)
    assert found.low <= found.estimate <= found.high
