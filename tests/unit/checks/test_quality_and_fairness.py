"""Accuracy, calibration and gaps equal what scikit-learn and a few lines by hand give."""

from __future__ import annotations

import numpy as np
import pytest
from tests.contract.material import DECLARED, fitted, lines, loans, run, saved, world

from assay.checks.fairness.group_gaps import group_gaps
from assay.checks.quality.accuracy import accuracy
from assay.checks.quality.calibration import calibration
from assay.core.checks import Check
from assay.core.outcomes import Measurement, Skipped, Table
from assay.policy.measured import problem_of_measurement
from assay.statistics.tables import read_table

TEST, TRAIN = loans("test"), loans("train")


def measured(check: Check, **changes: object) -> dict[str, Measurement]:
    where = world(saved("boosting"), TEST.csv, TRAIN.csv, **changes)
    return {o.metric: o for o in run(check, where) if isinstance(o, Measurement) and o.group is None}


def test_accuracy_is_that_of_scikit_learn() -> None:
    found = measured(accuracy)["accuracy"]
    assert found.value == fitted("boosting").score(TEST.x, TEST.y)
    assert found.limit == {"hits": round(found.value * found.n), "n": len(TEST.y)}


def test_the_table_of_accuracy_holds_every_row() -> None:
    table = read_table(next(o.data for o in run(accuracy, world(saved("boosting"), TEST.csv)) if isinstance(o, Table)))
    assert table.rows == len(TEST.y)
    assert (table.columns["ok"] == (table.columns["label"] == table.columns["pred"])).all()
    assert table.header["classes"] == [0, 1]


def test_rows_in_another_order_give_the_same_table() -> None:
    head, *rows = TEST.csv.splitlines()
    shuffled = b"\n".join([head, *np.random.default_rng(1).permutation(np.array(rows, object))]) + b"\n"
    first, second = (
        [o for o in run(accuracy, world(saved("boosting"), data)) if isinstance(o, Table)]
        for data in (TEST.csv, shuffled)
    )
    assert first[0].row_root == second[0].row_root
    one, two = read_table(first[0].data), read_table(second[0].data)
    assert all((one.columns[name] == two.columns[name]).all() for name in one.columns)


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss

    found = measured(calibration)["brier_score"]
    assert found.value == pytest.approx(brier_score_loss(TEST.y, fitted("boosting").predict_proba(TEST.x)[:, 1]))


def test_the_calibration_error_is_the_weighted_gap_over_bins() -> None:
    scores = fitted("boosting").predict_proba(TEST.x)
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == TEST.y
    bins = np.digitize(confidence, np.linspace(0, 1, 16)[1:-1])
    expected = sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())
    )
    found = measured(calibration)["expected_calibration_error"]
    assert found.value == pytest.approx(expected)


def test_gaps_are_those_of_the_groups() -> None:
    chosen = fitted("boosting").predict(TEST.x) == 1
    black = TEST.x[:, -1] == 1
    positive = TEST.y == 1
    found = measured(group_gaps)
    tpr = [chosen[positive & group].mean() for group in (~black, black)]
    assert found["equal_opportunity_gap"].value == pytest.approx(abs(tpr[0] - tpr[1]))
    assert found["selection_rate_gap"].value == pytest.approx(abs(chosen[~black].mean() - chosen[black].mean()))
    assert found["equal_opportunity_gap"].limit == {
        "groups": ["black=0", "black=1"],
        "hits": [int(chosen[positive & group].sum()) for group in (~black, black)],
        "counts": [int((positive & group).sum()) for group in (~black, black)],
    }


def test_crossed_groups_are_named_by_both_columns_and_small_ones_are_named() -> None:
    found = run(group_gaps, world(saved("boosting"), TEST.csv, of_data={**DECLARED, "sensitive": ["black", "married"]}))
    groups = next(o for o in found if isinstance(o, Measurement)).limit["groups"]
    assert "black=0,married=1" in groups and "black=0,married=missing" in groups
    assert any("married=missing" in o.what and "fewer than 30" in o.reason for o in found if isinstance(o, Skipped))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"target": "approve"}, "no sensitive columns"),
        ({**DECLARED, "sensitive": ["appinc"]}, "bands"),
        ({**DECLARED, "positive": "yes"}, "none of the model's"),
        ({**DECLARED, "sensitive": ["race"]}, "no column 'race'"),
    ],
)
def test_what_cannot_be_grouped_is_a_skip(declared: dict[str, object], reason: str) -> None:
    found = run(group_gaps, world(saved("boosting"), TEST.csv, of_data=declared))
    assert [type(o) for o in found] == [Skipped] and reason in found[0].reason


def test_no_positive_rows_leave_no_gap_among_them() -> None:
    rows = TEST.csv.replace(b",1\n", b",0\n")
    found = run(group_gaps, world(saved("boosting"), rows))
    metrics = {o.metric for o in found if isinstance(o, Measurement)}
    assert "selection_rate_gap" in metrics and not metrics & {"equal_opportunity_gap", "true_positive_rate"}


def test_a_model_of_three_classes_is_measured_and_has_no_positive_class() -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from skops.io import dumps

    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    data = dumps(LogisticRegression(max_iter=500).fit(x, names))
    rows = ["a,b,c,d,label"] + [
        ",".join(map(str, row)) + f",{name}" for row, name in zip(x.tolist(), names, strict=True)
    ]
    where = world(
        data, "\n".join(rows).encode(), declared={"features": ["a", "b", "c", "d"]}, of_data={"sensitive": ["label"]}
    )
    found = {o.metric: o.value for o in run(calibration, where) if isinstance(o, Measurement)}
    assert 0 < found["brier_score"] < 0.2
    assert next(o.value for o in run(accuracy, where) if isinstance(o, Measurement)) > 0.95
    gaps = {o.metric for o in run(group_gaps, where) if isinstance(o, Measurement)}
    assert "accuracy_gap" in gaps and "equal_opportunity_gap" not in gaps


def test_labels_that_the_model_does_not_know_are_wrong_rows() -> None:
    rows = lines(TEST.csv, 300).replace(b",0\n", b",7\n")
    found = run(accuracy, world(saved("boosting"), rows))
    measurement = next(o for o in found if isinstance(o, Measurement))
    assert measurement.value == pytest.approx(
        ((fitted("boosting").predict(TEST.x[:300]) == 1) & (TEST.y[:300] == 1)).mean()
    )
    assert isinstance(run(calibration, world(saved("boosting"), rows))[0], Skipped)


def skips(found: list[object]) -> dict[str, str]:
    return {one.what: one.reason for one in found if isinstance(one, Skipped)}


def test_a_group_that_only_the_training_data_have_is_a_group_of_no_rows() -> None:
    of_data = {**DECLARED, "sensitive": ["married"]}
    married = TEST.csv.splitlines()[0].split(b",").index(b"married")
    rows = b"\n".join(line for line in TEST.csv.splitlines() if line.split(b",")[married] != b"") + b"\n"
    found = run(group_gaps, world(saved("boosting"), rows, TRAIN.csv, of_data=of_data))
    gap = next(one for one in found if isinstance(one, Measurement) and one.metric == "accuracy_gap")
    assert gap.limit["groups"] == ["married=0", "married=1", "married=missing"] and gap.limit["counts"][2] == 0
    assert problem_of_measurement(gap) == ""  # a policy reads it, and finds the group too small
    assert not [one for one in found if isinstance(one, Measurement) and one.group == "married=missing"]
    assert "the test data none" in skips(found)["fairness.group_gaps of married=missing"]
    assert skips(found)["accuracy_gap of married=missing"] == "no rows, fewer than 30"
    assert "married=missing" not in str(run(group_gaps, world(saved("boosting"), rows, of_data=of_data)))


def test_a_group_without_positive_rows_keeps_the_gaps_that_do_not_need_them() -> None:
    black = [line for line in TEST.csv.splitlines() if line.endswith(b",1,0")]
    others = [line for line in TEST.csv.splitlines()[1:] if line.split(b",")[-2] == b"0"]
    rows = b"\n".join([TEST.csv.splitlines()[0], *others, *black]) + b"\n"
    found = run(group_gaps, world(saved("boosting"), rows))
    metrics = {one.metric for one in found if isinstance(one, Measurement)}
    assert {"selection_rate_gap", "accuracy_gap"} <= metrics and "equal_opportunity_gap" not in metrics
    said = skips(found)
    assert said["equal_opportunity_gap of black=1"] == "no rows of the positive class, fewer than 30"
    assert said["equal_opportunity_gap"] == "fewer than two groups have rows of the positive class"


def test_training_data_that_cannot_be_read_are_said_and_the_gaps_stay() -> None:
    found = run(group_gaps, world(saved("boosting"), TEST.csv, TRAIN.csv.replace(b"hrat", b"rath")))
    assert "no feature 'hrat'" in skips(found)["groups of the training data"]
    assert "accuracy_gap" in {one.metric for one in found if isinstance(one, Measurement)}
