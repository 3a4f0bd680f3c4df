"""The claims as a policy asks them: what is refused, what is signed how, and what it costs."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from assay.statistics.claims import (
    Limit,
    gap_limit,
    gap_paired,
    mean_interval,
    mean_limit,
    mean_paired,
    rank_limit,
    rank_paired,
    share_interval,
    share_limit,
    share_paired,
)

OK, FIVE, NAN = np.array([1, 0, 1, 1, 0], np.bool_), np.arange(5.0), np.array([1.0, np.nan, 2.0])
MOST, LEAST = Limit(0.5, "<="), Limit(0.5, ">=")
GROUPS = np.array([0, 0, 1, 1, 1])

REFUSED: dict[str, Callable[[], object]] = {
    "more hits than rows": lambda: share_limit(6, 5, LEAST),
    "no rows": lambda: share_limit(0, 0, LEAST),
    "a limit in percent": lambda: share_limit(3, 5, Limit(95, ">=")),
    "an unknown comparison": lambda: share_limit(3, 5, Limit(0.5, "==")),
    "a limit that is no number": lambda: mean_limit(FIVE, Limit(float("nan"), "<=")),
    "alpha of one half": lambda: share_limit(3, 5, LEAST, alpha=0.5),
    "alpha of zero": lambda: mean_limit(FIVE, LEAST, alpha=0.0),
    "NaN in a mean": lambda: mean_limit(NAN, LEAST),
    "an empty mean": lambda: mean_limit(np.array([]), LEAST),
    "an empty interval": lambda: mean_interval(np.array([])),
    "infinity in a mean": lambda: mean_paired(np.array([1.0, np.inf]), np.zeros(2), 0.1, "lower"),
    "one row more on one side": lambda: share_paired(OK, OK[:4], 0.02, "higher"),
    "a flag of two": lambda: share_paired(np.array([0, 2]), np.array([0, 1]), 0.02, "higher"),
    "NaN as a flag": lambda: share_paired(NAN, NAN, 0.02, "higher"),
    "no flags": lambda: share_paired(OK[:0], OK[:0], 0.02, "higher"),
    "a margin of zero": lambda: share_paired(OK, OK, 0.0, "higher"),
    "a margin below zero": lambda: mean_paired(FIVE, FIVE, -0.1, "higher"),
    "a margin that is no number": lambda: mean_paired(FIVE, FIVE, float("nan"), "higher"),
    "a margin of the whole share": lambda: share_paired(OK, OK, 1.0, "higher"),
    "an unknown direction": lambda: share_paired(OK, OK, 0.02, "up"),
    "no metrics": lambda: share_paired(OK, OK, 0.02, "higher", metrics=0),
    "one group": lambda: gap_limit([3], [5], MOST),
    "an empty group": lambda: gap_limit([3, 0], [5, 0], MOST),
    "groups without counts": lambda: gap_limit([3, 1], [5], MOST),
    "one group of pairs": lambda: gap_paired(np.zeros(5, np.int64), OK, OK, 0.02, "lower"),
    "groups of other rows": lambda: gap_paired(GROUPS[:4], OK, OK, 0.02, "lower"),
    "groups that are no numbers": lambda: gap_paired(FIVE, OK, OK, 0.02, "lower"),  # type: ignore[arg-type]  # on purpose
    "an unknown rank metric": lambda: rank_limit(FIVE, FIVE, "f1", MOST, seed=1),
    "a rate of zero": lambda: rank_limit(FIVE, FIVE, "tpr_at_fpr:0", MOST, seed=1),
    "too few others for the rate": lambda: rank_limit(FIVE, FIVE, "tpr_at_fpr:0.01", MOST, seed=1),
    "NaN as a score": lambda: rank_limit(NAN, FIVE, "auc", MOST, seed=1),
    "pairs of other members": lambda: rank_paired(FIVE, FIVE, FIVE[:4], FIVE, "auc", 0.1, "lower", 1, True),
    "too few draws": lambda: rank_limit(FIVE, FIVE, "tpr_at_fpr:0.4", MOST, seed=1, draws=10),
    "a level of one": lambda: share_interval(3, 5, level=1.0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_answer_is_refused_with_a_reason(what: str) -> None:
    with pytest.raises(ValueError, match=r".* (not|needs?|has|holds|lies|must|have|names) "):
        REFUSED[what]()


def test_an_attack_that_succeeds_more_often_is_worse() -> None:
    candidate, baseline = np.arange(1000) < 300, np.arange(1000) < 100
    found = share_paired(candidate, baseline, 0.02, "lower")
    assert (found.estimate, found.lost, found.gained, found.n) == (-0.2, 200, 0, 1000)
    assert found.p_regression < 1e-9
    assert found.p_not_worse > 0.99
    assert found.rows_needed is None


def test_bounds_and_p_values_agree() -> None:
    rng = np.random.default_rng(21)
    for n in (40, 200, 1000):
        for hits in rng.integers(0, n + 1, 10).tolist():
            claim = share_limit(hits, n, LEAST)
            assert (claim.low >= 0.5) == (claim.p_pass <= 0.05)
            assert (claim.high <= 0.5) == (claim.p_fail <= 0.05)
        for lost in rng.integers(0, 30, 10).tolist():
            old = np.ones(n, np.bool_)
            new = np.arange(n) >= lost
            change = share_paired(new, old, 0.05, "higher")
            assert (change.low > -0.05) == (change.p_not_worse <= 0.05)
        values = rng.exponential(size=n)
        mean = mean_limit(values, Limit(0.9, ">="))
        assert (mean.low >= 0.9) == (mean.p_pass <= 0.05)
        gap = gap_limit([n // 2, n // 3], [n, n], Limit(0.25, "<="))
        assert (gap.high <= 0.25) == (gap.p_pass <= 0.05)
        assert (gap.low >= 0.25) == (gap.p_fail <= 0.05)


@pytest.mark.parametrize(("op", "value", "p_pass"), [(">=", 0, 0.0), ("<=", 1, 0.0), (">", 1, 1.0), ("<", 0, 1.0)])
def test_limits_that_nothing_or_everything_keeps_are_answered_so(op: str, value: float, p_pass: float) -> None:
    for claim in (share_limit(3, 5, Limit(value, op)), gap_limit([3, 4], [5, 5], Limit(value, op))):
        assert (claim.p_pass, claim.p_fail) == (p_pass, 1 - p_pass)


def test_more_metrics_need_more_rows() -> None:
    ok = np.random.default_rng(22).random((2, 1000)) < 0.9
    needed = [share_paired(ok[0], ok[1], 0.02, "higher", metrics=k).rows_needed or 0 for k in (1, 5, 20)]
    assert needed == sorted(set(needed))


def test_scipy_stats_and_optimize_are_never_imported() -> None:
    code = (
        "import sys, assay.statistics.claims; print([m for m in ('scipy.stats', 'scipy.optimize') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
