"""The library-free bounds against scipy's."""

from __future__ import annotations

import pytest

from assay.policy import shares
from assay.statistics import intervals


@pytest.mark.parametrize("n", [1, 2, 3, 30, 1000, 50_000])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
def test_bounds_and_tails_are_those_of_the_statistics_room(n: int, alpha: float) -> None:
    for hits in {0, 1, n // 3, n - 1, n}:
        assert shares.share_low(hits, n, alpha) == pytest.approx(intervals.share_low(hits, n, alpha), rel=1e-9)
        assert shares.share_high(hits, n, alpha) == pytest.approx(intervals.share_high(hits, n, alpha), rel=1e-9)
        for share in (0.01, 0.4, 0.97):
            assert shares.p_at_least(hits, n, share) == pytest.approx(intervals.p_at_least(hits, n, share), abs=1e-9)
            assert shares.p_at_most(hits, n, share) == pytest.approx(intervals.p_at_most(hits, n, share), abs=1e-9)


def test_the_rows_asked_for_would_show_it() -> None:
    rows = shares.rows_for_share(0.85, 0.8, 0.05)
    assert rows is not None and 400 < rows < 700
    assert intervals.share_low(round(0.87 * rows), rows, 0.05) > 0.8
    assert shares.rows_for_share(0.8, 0.8, 0.05) is None and shares.rows_for_share(0.5, 1.0, 0.05) is None
