"""F1, precision, recall, balanced accuracy and MCC: equal to scikit-learn's, and as sure as they say."""

import math

import numpy as np
import pytest
from sklearn import metrics

from assay.statistics.cells import MEASURES, Measure, cells_interval, cells_limit, cells_paired, least_denominator
from assay.statistics.results import Limit

RUNS, DRAWS = 300, 300
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def oracle(name: str, label: np.ndarray, pred: np.ndarray, positive: int | None) -> float:
    if name == "mcc":
        return float(metrics.matthews_corrcoef(label, pred))
    if name == "balanced_accuracy":
        return float(metrics.recall_score(label, pred, labels=np.unique(label), average="macro", zero_division=0))
    score = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}[name]
    if positive is None:
        return float(score(label, pred, labels=np.unique(label), average="macro", zero_division=0))
    return float(score(label, pred, labels=[positive], average="macro", zero_division=0))


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("positive", [None, 2])
def test_measures_equal_those_of_scikit_learn(name: str, positive: int | None) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 4, 500)
    new, old = (np.where(rng.random(500) < right, label, rng.integers(0, 5, 500)) for right in (0.8, 0.7))
    found = cells_paired(label, new, old, Measure(name, positive), 0.05, "higher", seed=1, draws=100)
    assert found.estimate == pytest.approx(oracle(name, label, new, positive) - oracle(name, label, old, positive))
    assert cells_interval(label, new, Measure(name, positive), 1).estimate == pytest.approx(
        oracle(name, label, new, positive)
    )


def models(rng: np.random.Generator, n: int, lost: float, gained: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (40 % positive), candidate and baseline; the baseline finds 80 % of either class."""
    label = (rng.random(n) < 0.4).astype(np.int64)
    old = np.where(rng.random(n) < 0.8, label, 1 - label)
    turn = rng.random(n)
    new = np.where((old == label) & (turn < lost / 0.8), 1 - label, old)
    return label, np.where((old != label) & (turn < gained / 0.2), label, new), old


def expected(name: str, right: float) -> float:
    """The measure of class 1 where each class is found with probability `right`."""
    actual, hit, false = 0.4, 0.4 * right, 0.6 * (1 - right)
    return {"recall": right, "precision": hit / (hit + false), "f1": 2 * hit / (actual + hit + false)}[name]


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
@pytest.mark.parametrize("n", [150, 500])
def test_a_measure_worse_by_the_margin_rarely_passes_and_an_equal_one_rarely_fails(name: str, n: int) -> None:
    rng = np.random.default_rng(3)
    margin = expected(name, 0.8) - expected(name, 0.77)
    worse = [
        cells_paired(*models(rng, n, 0.05, 0.02), Measure(name, 1), margin, "higher", i, draws=DRAWS)
        for i in range(RUNS)
    ]
    assert np.mean([c.p_not_worse <= 0.05 for c in worse]) <= MOST
    equal = [
        cells_paired(*models(rng, n, 0.03, 0.03), Measure(name, 1), margin, "higher", i, draws=DRAWS)
        for i in range(RUNS)
    ]
    assert np.mean([c.p_regression <= 0.05 for c in equal]) <= MOST


def test_no_disagreement_among_few_rows_of_a_class_proves_little() -> None:
    label = np.repeat([0, 1], [970, 30])
    found = cells_paired(label, label, label, Measure("recall", 1), 0.05, "higher", seed=1)
    assert found.p_not_worse > 0.05 and found.low == pytest.approx(-(1 - 0.05 ** (1 / 30)), abs=0.01)
    assert cells_paired(label, label, label, Measure("recall", 1), 0.12, "higher", seed=1).p_not_worse <= 0.05


def test_equal_models_pass_with_the_rows_asked_for() -> None:
    rng = np.random.default_rng(5)
    plan = cells_paired(*models(rng, 2000, 0.03, 0.03), Measure("f1", 1), 0.03, "higher", seed=1).rows_needed
    assert plan is not None
    found = [
        cells_paired(*models(rng, plan, 0.03, 0.03), Measure("f1", 1), 0.03, "higher", i, draws=DRAWS)
        for i in range(200)
    ]
    assert np.mean([c.p_not_worse <= 0.05 for c in found]) >= 0.86  # the plan itself is a guess from one sample


@pytest.mark.parametrize("name", ["f1", "mcc"])
def test_intervals_cover_what_they_promise(name: str) -> None:
    rng, covered = np.random.default_rng(7), 0
    big = models(rng, 400_000, 0.0, 0.0)
    truth = oracle(name, big[0], big[1], 1)
    for seed in range(RUNS):
        label, new, _ = models(rng, 400, 0.0, 0.0)
        found = cells_interval(label, new, Measure(name, 1), seed)
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / RUNS <= 0.975


def test_a_limit_is_passed_failed_or_open() -> None:
    rng = np.random.default_rng(9)
    label, new, _ = models(rng, 2000, 0.0, 0.0)
    at = [cells_limit(label, new, Measure("f1", 1), Limit(value, ">="), seed=1) for value in (0.7, 0.9, 0.765)]
    assert at[0].p_pass <= 0.05 and at[1].p_fail <= 0.05 and at[0].rows_needed is not None
    assert at[1].rows_needed is None
    assert all(claim.low <= claim.high for claim in at)


def test_rows_of_a_class_that_is_never_seen_are_its_least_denominator() -> None:
    label, pred = np.array([0] * 50 + [1] * 7), np.array([0] * 57)
    assert least_denominator(label, pred, Measure("recall", 1)) == 7
    assert least_denominator(label, pred, Measure("precision", 1)) == 0
    assert least_denominator(label, pred, Measure("recall", 9)) == 0
    assert least_denominator(label, pred, Measure("mcc")) == 7


@pytest.mark.parametrize("bad", [np.array([0.5, 1.0]), np.zeros((2, 2), int), np.array([], int)])
def test_labels_that_are_no_classes_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="whole number"):
        cells_paired(bad, bad, bad, Measure("f1"), 0.1, "higher", seed=1)
    with pytest.raises(ValueError, match="none of"):
        Measure("accuracy")
    with pytest.raises(ValueError, match="class 9"):
        cells_limit(np.array([0, 1]), np.array([0, 1]), Measure("f1", 9), Limit(0.5, ">="), seed=1)
