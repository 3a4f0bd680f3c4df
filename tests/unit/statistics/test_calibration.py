"""What the gate promises of shares, on simulated gates: false passes, false fails, passes at the rows it asks for."""

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics.claims import Limit, share_limit, share_paired_counts
from assay.statistics.exact_paired import FEW, exact_paired
from assay.statistics.paired import mcnemar, tango_p
from assay.statistics.sample_size import rows_for_paired_share

RUNS = 10_000
MOST = 0.055 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def gates(n: int, change: float, disagreement: float, runs: int = RUNS) -> tuple[np.ndarray, np.ndarray]:
    """Lost and gained rows of simulated gates, shape (runs,) each."""
    lost, gained = (disagreement - change) / 2, (disagreement + change) / 2
    drawn = np.random.default_rng(20).multinomial(n, [lost, gained, 1 - lost - gained], size=runs)
    return drawn[:, 0].astype(np.float64), drawn[:, 1].astype(np.float64)


def p_not_worse(lost: np.ndarray, gained: np.ndarray, n: int, margin: float) -> np.ndarray:
    """As `share_paired_counts` answers, each distinct table of few disagreements asked once."""
    p = tango_p(lost, gained, np.full(lost.shape, float(n)), np.full(lost.shape, -margin))
    few = lost + gained < FEW
    if few.any():
        tables, back = np.unique(np.stack([lost[few], gained[few]]), axis=1, return_inverse=True)
        p[few] = np.array([exact_paired(int(a), int(b), n, 0.05).p(-margin) for a, b in tables.T])[back.ravel()]
    return p


def test_the_simulation_answers_as_the_claim_does() -> None:
    lost, gained = gates(500, 0.0, 0.06, runs=40)
    claims = [share_paired_counts(int(a), int(b), 500, 0.02) for a, b in zip(lost, gained, strict=True)]
    assert p_not_worse(lost, gained, 500, 0.02) == pytest.approx([c.p_not_worse for c in claims])
    assert mcnemar(lost, gained) == pytest.approx([c.p_regression for c in claims])


@pytest.mark.parametrize("n", [150, 300, 500, 1000, 2000, 5000])
@pytest.mark.parametrize("disagreement", [0.02, 0.06, 0.2])
def test_a_model_worse_by_the_margin_rarely_passes(n: int, disagreement: float) -> None:
    assert (p_not_worse(*gates(n, -0.02, disagreement), n, 0.02) <= 0.05).mean() <= MOST


@pytest.mark.parametrize("k", [1, 2, 5, 10, 20, 50])
def test_equal_models_rarely_fail_in_a_gate_of_k_metrics(k: int) -> None:
    # Holm rejects something exactly where it rejects the smallest p-value.
    least = mcnemar(*gates(1000, 0.0, 0.06, runs=RUNS * k)).reshape(RUNS, k).min(axis=1)
    assert (least <= 0.05 / k).mean() <= MOST


@pytest.mark.parametrize(
    ("disagreement", "margin", "rows"),
    [
        (0.02, 0.02, 613),
        (0.06, 0.02, 1349),
        (0.1, 0.05, 374),
        (0.2, 0.03, 1918),
        (0.003, 0.05, None),
        (0.01, 0.02, None),
    ],
)
@pytest.mark.parametrize("k", [1, 5, 20])
def test_equal_models_pass_with_the_rows_asked_for(
    disagreement: float, margin: float, rows: int | None, k: int
) -> None:
    needed = rows_for_paired_share(disagreement, margin, 0.05, 1 - 0.10 / k)
    assert needed is not None
    assert k > 1 or rows is None or abs(needed - rows) <= 1
    lost, gained = gates(needed, 0.0, disagreement, runs=2000 * k)
    passed = (p_not_worse(lost, gained, needed, margin) <= 0.05).reshape(2000, k).all(axis=1)
    assert passed.mean() >= 0.88


@pytest.mark.parametrize(
    ("share", "limit", "op"), [(0.9, 0.85, ">="), (1.0, 0.99, ">"), (0.02, 0.05, "<="), (0.5, 0.6, "<")]
)
def test_the_rows_asked_for_show_a_share_beyond_its_limit(share: float, limit: float, op: str) -> None:
    needed = share_limit(int(share * 1000), 1000, Limit(limit, op)).rows_needed
    assert needed is not None
    hits = np.arange(needed + 1)
    passed = np.array([share_limit(int(h), needed, Limit(limit, op)).p_pass <= 0.05 for h in hits])
    assert stats.binom.pmf(hits, needed, share)[passed].sum() >= 0.88
    at_limit = stats.binom.pmf(hits, needed, limit)
    assert at_limit[passed].sum() <= 0.05


def test_no_number_of_rows_shows_what_is_not_so() -> None:
    assert share_limit(80, 100, Limit(0.9, ">=")).rows_needed is None
    assert share_paired_counts(100, 5, 1000, 0.02).rows_needed is None
    assert rows_for_paired_share(0.06, 0.02, 0.05, 0.9, difference=-0.02) is None
