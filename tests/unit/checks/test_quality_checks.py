"""Quality beyond accuracy: classes, ranks, numbers, slices and holes, each against what is known of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.contract.material import DECLARED, World, loans, run, saved, world

from assay.checks.fairness.group_gaps import group_gaps
from assay.checks.quality.classes import classes
from assay.checks.quality.missing_values import missing_values
from assay.checks.quality.ranking import average_precision, ranking
from assay.checks.quality.regression import regression
from assay.checks.quality.slices import Slice, confirmed, slices, worst
from assay.core.outcomes import Measurement, Skipped
from assay.statistics.gaps import shrunk_gap
from assay.statistics.tables import read_table

TEST = loans("test")


def measured(outcomes: list[Any]) -> dict[str, Measurement]:
    return {
        one.metric: one for one in outcomes if isinstance(one, Measurement) and one.group is None and one.slice is None
    }


def test_precision_recall_and_f1_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score
    from tests.contract.material import fitted

    found = measured(run(classes, world(saved("logistic"), TEST.csv)))
    said = fitted("logistic").predict(TEST.x)
    expected = {
        "precision": precision_score(TEST.y, said), "recall": recall_score(TEST.y, said), "f1": f1_score(TEST.y, said),
        "macro_f1": f1_score(TEST.y, said, average="macro"), "mcc": matthews_corrcoef(TEST.y, said),
        "balanced_accuracy": balanced_accuracy_score(TEST.y, said),
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, value in expected.items():
        one = found[name]
        assert one.value == pytest.approx(value) and one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high and one.kind == "cells"


def test_area_and_average_precision_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score
    from tests.contract.material import fitted

    found = measured(run(ranking, world(saved("boosting"), TEST.csv)))
    scores = fitted("boosting").predict_proba(TEST.x)[:, 1]
    assert found["average_precision"].value == pytest.approx(average_precision_score(TEST.y, scores))
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(TEST.y, scores))


def test_an_interval_of_average_precision_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = average_precision(rng.normal(1, 1, 20_000), rng.normal(0, 1, 20_000), 0)[0]
    hits = 0
    for seed in range(60):  # 60 intervals
        drawn = np.random.default_rng(seed)
        _, low, high = average_precision(drawn.normal(1, 1, 150), drawn.normal(0, 1, 150), seed)
        hits += low <= truth <= high
    assert hits >= 52  # 95 % of 60 is 57, three standard errors below are 52


def of_numbers(kind: str = "linear") -> World:
    from sklearn.linear_model import LinearRegression
    from skops.io import dumps

    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    y = x @ [1.0, -2.0, 0.5] + rng.normal(0, 0.5, 400)
    model = dumps(LinearRegression().fit(x[:200], y[:200]))
    sex = rng.integers(0, 2, 400)
    lines = ["a,b,c,sex,price"] + [
        f"{a},{b},{c},{s},{p}" for (a, b, c), s, p in zip(x[200:], sex[200:], y[200:], strict=True)
    ]
    declared = {"predictor": "scikit-learn", "task": "regression", "features": ["a", "b", "c"]}
    return world(model, "\n".join(lines).encode(), declared=declared, of_data={"target": "price", "sensitive": ["sex"]})


def test_the_errors_of_a_regression_are_near_its_noise() -> None:
    found = measured(run(regression, of_numbers()))
    assert found["mean_squared_error"].value == pytest.approx(0.25, rel=0.3)
    assert found["mean_absolute_error"].value == pytest.approx(0.5 * (2 / np.pi) ** 0.5, rel=0.2)
    assert 0.9 < found["r_squared"].value < 1
    assert all(one.low <= one.value <= one.high for one in found.values())  # type: ignore[operator]  # all have bounds


def test_a_regression_has_error_gaps_between_groups() -> None:
    outcomes = run(group_gaps, of_numbers())
    gap = measured(outcomes)["absolute_error_gap"]
    means = [one.value for one in outcomes if isinstance(one, Measurement) and one.group]
    assert gap.value == pytest.approx(max(means) - min(means)) and gap.low is not None and gap.low <= gap.value


def test_every_gap_is_that_of_its_groups_and_its_table_says_so() -> None:
    outcomes = run(group_gaps, world(saved("logistic"), TEST.csv))
    found = measured(outcomes)
    assert {"equal_opportunity_gap", "selection_rate_gap", "fpr_gap", "ppv_gap", "accuracy_gap"} <= set(found)
    tables = {one.rows for one in outcomes if hasattr(one, "row_root")}
    assert tables == {len(TEST.y)}
    for one in outcomes:
        if hasattr(one, "row_root"):
            columns = read_table(one.data).columns
            assert set(columns) == {"flag", "group", "ok"} and not (columns["ok"] & ~columns["flag"].astype(bool)).any()


def test_several_classes_without_a_positive_one_have_an_accuracy_gap() -> None:
    from sklearn.linear_model import LogisticRegression
    from skops.io import dumps

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(300, 2)), rng.integers(0, 3, 300)
    lines = ["a,b,sex,kind"] + [f"{a},{b},{i % 2},{k}" for i, ((a, b), k) in enumerate(zip(x, y, strict=True))]
    where = world(
        dumps(LogisticRegression().fit(x, y)), "\n".join(lines).encode(),
        declared={"predictor": "scikit-learn", "features": ["a", "b"]}, of_data={"target": "kind", "sensitive": ["sex"]},
    )  # fmt: skip
    assert set(measured(run(group_gaps, where))) == {"accuracy_gap", "accuracy_gap_shrunk"}


def test_shrinking_takes_most_of_the_bias_away_and_keeps_a_true_gap() -> None:
    rng = np.random.default_rng(3)
    counts = [60] * 10
    equal = [rng.binomial(60, 0.7, 10).tolist() for _ in range(300)]
    plain = np.mean([np.ptp(np.array(hits) / 60) for hits in equal])
    shrunk = np.mean([shrunk_gap(hits, counts) for hits in equal])
    assert shrunk < plain / 3
    assert shrunk_gap([900, 500], [1_000, 1_000]) == pytest.approx(0.4, abs=0.01)


def test_a_planted_slice_is_found_and_noise_is_not() -> None:
    found, false = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = 2_000
        columns = rng.integers(0, 4, (n, 6))
        options = [Slice(f"c{c} = {v}", columns[:, c] == v) for c in range(6) for v in range(4)]
        half = rng.permutation(n) < n // 2
        noise = rng.random(n) < 0.2
        false += bool(confirmed(worst(options, noise, half, 50, 0.03), noise, ~half))
        planted = rng.random(n) < np.where(options[0].rows, 0.4, 0.2)
        names = [one.name for one in confirmed(worst(options, planted, half, 50, 0.03), planted, ~half)]
        found += "c0 = 0" in names
    assert found >= 38 and false <= 6  # at most 5 % of 40 are expected, 6 is three standard errors above


def test_slices_are_reported_as_measurements_or_too_few_rows_said() -> None:
    assert "slices.confirmed" in measured(run(slices, world(saved("forest"), TEST.csv)))
    few = b"\n".join(TEST.csv.splitlines()[:60]) + b"\n"
    assert any(isinstance(one, Skipped) for one in run(slices, world(saved("forest"), few)))


def test_a_column_without_a_value_makes_no_slice_and_no_harm() -> None:
    empty = TEST.csv.splitlines()[0].split(b",").index(b"hrat")
    parts = [line.split(b",") for line in TEST.csv.splitlines()]
    rows = [parts[0], *([*row[:empty], b"", *row[empty + 1 :]] for row in parts[1:])]
    found = run(slices, world(saved("forest"), b"\n".join(map(b",".join, rows)) + b"\n"))
    assert "slices.confirmed" in measured(found) and "hrat" not in str(found)


def test_blank_cells_cost_accuracy_and_a_refusal_counts_as_wrong() -> None:
    found = run(missing_values, world(saved("boosting"), TEST.csv))
    worst_case = measured(found)["missing.accuracy"]
    lighter = next(one for one in found if isinstance(one, Measurement) and one.slice == "missing=0.1")
    assert 0.3 < worst_case.value <= lighter.value + 0.05
    whole = b"\n".join(line for line in TEST.csv.splitlines() if b",," not in line) + b"\n"
    found = run(missing_values, world(saved("no-imputer"), whole, of_data=DECLARED))
    refusing = measured(found)["missing.accuracy"]
    lighter = next(one for one in found if isinstance(one, Measurement) and one.slice == "missing=0.1")
    assert (
        "refused" in refusing.method and refusing.value < lighter.value < 0.9
    )  # rows that lost nothing are still answered
