"""Area under the curve and true positive rate at a fixed false one: estimates, ties, error rates."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from assay.statistics.claims import Limit, rank_interval, rank_limit, rank_paired


def test_the_area_is_the_share_of_pairs_won_and_ties_are_won() -> None:
    rng = np.random.default_rng(10)
    members, others = rng.integers(0, 9, 60) + 0.0, rng.integers(0, 7, 80) + 0.0
    won = (members[:, None] >= others[None, :]).mean()
    assert rank_interval(members, others, "auc", seed=1).estimate == pytest.approx(won)


def test_a_constant_score_hides_nothing() -> None:
    members, others = np.zeros(200), np.zeros(300)
    assert rank_interval(members, others, "auc", seed=1).estimate == 1
    assert rank_interval(members, others, "tpr_at_fpr:0.01", seed=1).estimate == 1


def test_the_true_positive_rate_is_read_at_the_threshold_of_the_others() -> None:
    members, others = np.arange(100) + 0.5, np.arange(100.0)
    # Five of the others are 95 or more, so the threshold is 94, and members 94.5 to 99.5 are above it.
    assert rank_interval(members, others, "tpr_at_fpr:0.05", seed=1).estimate == pytest.approx(0.06)


@pytest.mark.parametrize(("members", "others", "rate", "shift"), [(300, 800, 0.05, 0.0), (600, 2000, 0.01, 1.5)])
def test_a_leak_at_its_limit_is_rarely_passed_or_failed(members: int, others: int, rate: float, shift: float) -> None:
    rng, runs = np.random.default_rng(11), 500
    truth = {
        f"tpr_at_fpr:{rate}": float(1 - ndtr(ndtri(1 - rate) - shift)),
        "auc": float(ndtr(shift / np.sqrt(2))),
    }
    most = 0.055 + 3 * np.sqrt(0.05 * 0.95 / runs)
    drawn = [(rng.normal(size=members) + shift, rng.normal(size=others)) for _ in range(runs)]
    for metric, value in truth.items():
        found = [rank_limit(m, o, metric, Limit(value, "<="), seed=i, draws=500) for i, (m, o) in enumerate(drawn)]
        assert np.mean([f.p_pass <= 0.05 for f in found]) <= most
        assert np.mean([f.p_fail <= 0.05 for f in found]) <= most
        covered = np.mean([f.low <= value <= f.high for f in found])
        assert covered >= 0.90 - 3 * np.sqrt(0.09 / runs)


def test_no_member_found_does_not_prove_a_leak_of_zero() -> None:
    rng = np.random.default_rng(12)
    members, others = rng.normal(size=100) - 9, rng.normal(size=2000)
    found = rank_limit(members, others, "tpr_at_fpr:0.01", Limit(0.01, "<="), seed=1)
    assert found.p_pass == pytest.approx(0.99**100, abs=0.02)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 100), abs=0.003)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("metric", ["auc", "tpr_at_fpr:0.02"])
def test_equal_and_worse_models_are_told_apart(metric: str, paired: bool) -> None:
    rng, runs, failed, passed = np.random.default_rng(13), 150, 0, 0
    most = 0.055 + 3 * np.sqrt(0.05 * 0.95 / runs)
    truth = {"auc": ndtr(0.7 / 2**0.5) - 0.5, "tpr_at_fpr:0.02": 1 - ndtr(ndtri(0.98) - 0.7) - 0.02}[metric]
    for seed in range(runs):
        member, other = rng.normal(size=300), rng.normal(size=1000)
        scores = [(row + rng.normal(size=row.size)) / 2**0.5 for row in (member, other, member, other)]
        equal = rank_paired(*scores, metric, 0.02, "lower", seed, paired, draws=400)
        leaky = rank_paired(scores[0] + 0.7, *scores[1:], metric, float(truth), "lower", seed, paired, draws=400)
        failed += equal.p_regression <= 0.05
        passed += leaky.p_not_worse <= 0.05
    assert failed / runs <= most
    assert passed / runs <= most


def test_a_model_against_itself_has_not_changed() -> None:
    rng = np.random.default_rng(14)
    members, others = rng.normal(size=500) + 1, rng.normal(size=2000)
    for metric in ("auc", "tpr_at_fpr:0.01"):
        found = rank_paired(members, others, members, others, metric, 0.05, "lower", 1, True)
        assert found.estimate == 0
        assert found.p_not_worse <= 0.05 < found.p_regression


def test_the_same_seed_gives_the_same_answer() -> None:
    rng = np.random.default_rng(15)
    scores = [rng.normal(size=400) for _ in range(4)]
    ask = [rank_paired(*scores, "tpr_at_fpr:0.05", 0.02, "lower", seed, True, draws=500) for seed in (3, 3, 4)]
    assert ask[0] == ask[1] != ask[2]
