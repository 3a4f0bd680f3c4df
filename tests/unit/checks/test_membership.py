"""A model that learnt its rows by heart is found out; one that did not is not accused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.contract.material import fitted, lines, loans, run, saved, world

from assay.checks.privacy.membership import advantage, membership
from assay.core.outcomes import Measurement, Skipped, Table
from assay.statistics.tables import read_table

TEST, TRAIN = loans("test"), loans("train")


def measured(kind: str, **changes: object) -> dict[str, Measurement]:
    where = world(saved(kind), TEST.csv, TRAIN.csv, **changes)
    return {o.metric: o for o in run(membership, where) if isinstance(o, Measurement)}


def test_a_forest_leaks_and_a_linear_model_hardly_does() -> None:
    forest, linear = measured("forest"), measured("logistic")
    assert forest["membership_auc"].low > 0.65 and forest["tpr_at_fpr_001"].value > 0.2
    assert linear["membership_auc"].low < 0.55 and linear["tpr_at_fpr_001"].value < 0.05
    assert forest["membership_advantage"].value > 3 * linear["membership_advantage"].value


def test_the_table_holds_both_sides_with_the_log_likelihood_of_each_row() -> None:
    table = read_table(
        next(o.data for o in run(membership, world(saved("logistic"), TEST.csv, TRAIN.csv)) if isinstance(o, Table))
    )
    members = table.columns["member"].astype(bool)
    assert members.sum() == len(TRAIN.y) and (~members).sum() == len(TEST.y)
    p = fitted("logistic").predict_proba(TRAIN.x)[np.arange(len(TRAIN.y)), TRAIN.y]
    assert np.allclose(np.sort(table.columns["score"][members]), np.sort(np.log(p)))


def test_test_rows_that_were_trained_on_are_left_out_and_said() -> None:
    mixed = TEST.csv + b"\n".join(TRAIN.csv.splitlines()[1:51]) + b"\n"
    found = run(membership, world(saved("logistic"), mixed, TRAIN.csv))
    assert any("50 test rows" in o.what for o in found if isinstance(o, Skipped))
    table = read_table(next(o.data for o in found if isinstance(o, Table)))
    assert (table.columns["member"] == 0).sum() == len(TEST.y)


def test_without_training_data_there_is_nothing_to_compare() -> None:
    found = run(membership, world(saved("logistic"), TEST.csv))
    assert "trained_on" in found[-1].reason


def test_few_others_show_the_area_but_no_rate_at_one_percent() -> None:
    found = run(membership, world(saved("logistic"), lines(TEST.csv, 60), TRAIN.csv))
    assert {o.metric for o in found if isinstance(o, Measurement)} == {"membership_auc", "membership_advantage"}
    assert any(o.what == "tpr_at_fpr_001" for o in found if isinstance(o, Skipped))


def test_a_rate_on_too_few_false_positives_says_how_many_rows_it_needs() -> None:
    found = run(membership, world(saved("logistic"), TEST.csv, TRAIN.csv))
    assert any("2000 are needed" in o.reason for o in found if isinstance(o, Skipped))


def test_at_most_the_asked_rows_of_each_side_are_drawn() -> None:
    assert measured("logistic", options={"max_rows": 150})["membership_auc"].n == 300


def test_a_model_without_scores_is_a_skip() -> None:
    from sklearn.svm import LinearSVC
    from skops.io import dumps

    x = np.nan_to_num(TRAIN.x[:200])
    data = dumps(LinearSVC(max_iter=20_000, C=1e-6).fit(x, TRAIN.y[:200]))
    found = run(membership, world(data, TEST.csv, TRAIN.csv))
    assert "capability" in found[0].reason


def test_the_advantage_is_the_largest_gap_between_the_two_rates() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 400), rng.normal(0, 1, 300)
    expected = max((members >= cut).mean() - (others >= cut).mean() for cut in np.concatenate([members, others]))
    value, low, high = advantage(members, others, 0)
    assert value == pytest.approx(expected) and low <= value <= high
    assert advantage(np.zeros(50), np.zeros(50), 0)[0] == 0.0
