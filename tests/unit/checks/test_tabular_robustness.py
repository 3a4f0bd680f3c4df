"""The attack finds what can be found, keeps to its box and budget, and says when it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.contract.material import FEATURES, MODEL, World, lines, loans, run, saved, world

from assay.checks.robustness.box_search import Box, search
from assay.checks.robustness.tabular import attack_problems, median_bounds, tabular
from assay.core.errors import UsageError
from assay.core.outcomes import Measurement, Skipped, Table
from assay.predictors.predictor import Capability, Info
from assay.predictors.rows import EvaluationRows
from assay.statistics.tables import read_table, row_ids

TEST, TRAIN = loans("test"), loans("train")


@dataclass
class Linear:
    """A linear model whose worst case inside a box is known exactly."""

    weights: Any
    bias: float = 0.0
    has_scores: bool = True
    noise: Any = None
    rows_queried: int = 0
    asked: list[Any] = field(default_factory=list)
    info: Info = field(default_factory=lambda: Info("classification", (0, 1)))

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.LABELS, Capability.SCORES} if self.has_scores else {Capability.LABELS})

    def scores(self, batch: Any) -> Any:
        self.rows_queried += len(batch)
        self.asked.append(batch.copy())
        logit = batch.astype(float) @ self.weights + self.bias
        if self.noise is not None:
            logit = logit + self.noise.normal(0, 3, len(batch))
        p = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        return np.stack([1 - p, p], axis=1)

    def labels(self, batch: Any, again: bool = False) -> Any:
        return self.scores(batch).argmax(axis=1).astype(np.int32)


def rows_of(x: Any, target: Any, immutable: tuple[str, ...] = ()) -> EvaluationRows:
    names = tuple(f"f{place}" for place in range(x.shape[1]))
    ids = row_ids([str(number).encode() for number in range(len(x))])
    return EvaluationRows(x, names, (True,) * x.shape[1], np.asarray(target, np.int32), {}, ids, 1, immutable, "0" * 64)


def linear_case(seed: int, **changes: Any) -> tuple[Linear, EvaluationRows]:
    rng = np.random.default_rng(seed)
    model = Linear(rng.normal(size=8), **changes)
    x = rng.normal(size=(300, 8))
    return model, rows_of(x, (x @ model.weights + model.bias > 0).astype(int))


@pytest.mark.parametrize("seed", range(3))
def test_against_a_linear_model_the_attack_finds_every_flip_there_is(seed: int) -> None:
    model, rows = linear_case(seed)
    box = Box.around(rows, {"eps": 0.05})
    low, high = box.limits(rows.features)
    reach = np.where(model.weights > 0, high - rows.features, rows.features - low)
    toward = np.where(model.weights > 0, rows.features - low, high - rows.features)
    logit = rows.features @ model.weights
    worst = np.where(
        rows.target == 1, logit - (toward * abs(model.weights)).sum(1), logit + (reach * abs(model.weights)).sum(1)
    )
    possible = np.where(rows.target == 1, worst < 0, worst > 0)
    found = search(model, rows, box, 200, seed)
    assert (found.flipped == possible).all()
    assert 0 < possible.sum() < 300


def test_without_scores_the_attack_still_finds_most_flips() -> None:
    model, rows = linear_case(4)
    blind = Linear(model.weights, has_scores=False)
    box = Box.around(rows, {"eps": 0.05})
    seen, unseen = (search(m, rows, box, 200, 0).flipped.sum() for m in (model, blind))
    assert 0.6 * seen <= unseen <= seen


@pytest.mark.parametrize("budget", [1, 2, 7, 50])
def test_no_row_is_asked_more_often_than_the_budget(budget: int) -> None:
    model, rows = linear_case(1)
    found = search(model, rows, Box.around(rows, {"eps": 0.01}), budget, 0)
    assert found.queries.max() <= budget
    unseen = rows.n * 2  # once for labels and once for scores, to see whether scores decide
    assert model.rows_queried == found.queries.sum() + unseen


def test_queries_stay_in_the_box_and_keep_to_the_kind_of_each_feature() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [rng.normal(size=200), rng.integers(0, 100, 200), rng.integers(0, 2, 200), rng.normal(size=200)]
    )
    model = Linear(np.array([1.0, 0.05, 1.0, 1.0]), bias=-2.5)
    rows = rows_of(x, (x @ model.weights + model.bias > 0).astype(int), immutable=("f3",))
    box = Box.around(rows, {"eps": 0.1})
    assert box.movable.tolist() == [True, True, False, False]
    assert box.radius[1] == np.floor(0.1 * box.span[1]) and box.radius[2] == box.radius[3] == 0
    model.asked.clear()
    search(model, rows, box, 100, 0)
    asked = np.concatenate(model.asked)
    assert (asked[:, 1] == np.round(asked[:, 1])).all()
    assert set(asked[:, 2].tolist()) == {0.0, 1.0} and set(asked[:, 3].tolist()) == set(x[:, 3].tolist())
    assert asked[:, 0].min() >= x[:, 0].min() and asked[:, 0].max() <= x[:, 0].max()


def test_flips_lie_in_the_box_of_their_row() -> None:
    model, rows = linear_case(2)
    box = Box.around(rows, {"eps": 0.05})
    found = search(model, rows, box, 100, 0)
    moved = found.moved(rows.features)
    assert (abs(moved - rows.features) <= box.radius + 1e-12).all()
    assert (model.labels(moved)[found.flipped] != rows.target[found.flipped]).all()
    assert (moved[~found.flipped] == rows.features[~found.flipped]).all()


def test_a_model_that_answers_by_chance_makes_the_attack_invalid() -> None:
    model, rows = linear_case(3, noise=np.random.default_rng(0))
    right = model.labels(rows.features) == rows.target
    box = Box.around(rows, {"eps": 0.05})
    found = search(model, rows.subset(right), box, 50, 0).spread_over(right)
    assert any("when they are asked again" in problem for problem in attack_problems(model, rows, right, found, box, 0))


def test_features_that_decide_nothing_make_the_attack_invalid() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 2, 200), rng.normal(size=200)])
    model = Linear(np.array([5.0, 0.0]), bias=-2.5)
    rows = rows_of(x, x[:, 0])
    box = Box.around(rows, {"eps": 0.05})
    right = np.ones(200, bool)
    found = search(model, rows, box, 50, 0)
    assert not found.flipped.any()
    assert "whole range" in attack_problems(model, rows, right, found, box, 0)[0]


def measured(where: World) -> dict[str, Measurement]:
    return {o.metric: o for o in run(tabular, where) if isinstance(o, Measurement)}


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_robust_accuracy_falls_with_the_size_of_the_box(kind: str) -> None:
    values = []
    for eps in (0.01, 0.05, 0.2):
        found = measured(world(saved(kind), TEST.csv, TRAIN.csv, options={"eps": eps}))["tabular.robust_accuracy"]
        assert found.valid and found.threat_model == f"linf:{eps:g},budget:200" and found.n == len(TEST.y)
        values.append(found.value)
    assert values[0] >= values[1] >= values[2] and values[0] > values[2]


def test_the_table_counts_a_row_as_robust_only_if_it_was_right_and_stayed_so() -> None:
    found = run(tabular, world(saved("boosting"), TEST.csv, TRAIN.csv))
    table = read_table(next(o.data for o in found if isinstance(o, Table)))
    assert (table.columns["ok"] <= table.columns["flag"]).all()
    assert table.columns["ok"].mean() == next(o.value for o in found if isinstance(o, Measurement))
    assert table.columns["queries"].max() <= 200 and (table.columns["queries"][table.columns["flag"] == 0] == 0).all()


def test_sensitive_and_immutable_features_are_not_moved() -> None:
    where = world(saved("logistic"), TEST.csv, TRAIN.csv, declared={**MODEL, "immutable": list(FEATURES)})
    assert "no feature may move" in run(tabular, where)[0].reason


def test_an_option_that_cannot_be_meant_is_a_skip() -> None:
    for options in ({"eps": 0}, {"ranges": {"nothing": 1}}):
        found = run(tabular, world(saved("logistic"), TEST.csv, TRAIN.csv, options=options))
        assert [type(o) for o in found] == [Skipped]


def test_fewer_rows_may_be_attacked() -> None:
    found = measured(world(saved("logistic"), TEST.csv, TRAIN.csv, options={"rows": 50}))
    assert found["tabular.robust_accuracy"].n == 50


def test_a_feature_may_have_its_own_range() -> None:
    rows = rows_of(TRAIN.x[:, :4], TRAIN.y)
    box = Box.around(rows, {"eps": 0.05, "ranges": {"f0": 3.7}})
    assert box.radius[0] == 3.0


def test_training_data_make_the_box_and_test_data_where_there_are_none() -> None:
    with_training = measured(world(saved("boosting"), lines(TEST.csv, 300), TRAIN.csv))
    without = measured(world(saved("boosting"), lines(TEST.csv, 300)))
    assert with_training["tabular.robust_accuracy"].value != without["tabular.robust_accuracy"].value


def test_bounds_of_a_median_of_few_rows_are_all_that_is_possible() -> None:
    assert median_bounds(np.array([5.0, 7.0]), 1.0, 200.0) == (1.0, 200.0)
    low, high = median_bounds(np.arange(101.0), 1.0, 200.0)
    assert low < 50 < high


@pytest.mark.parametrize("seed", range(6))
def test_every_row_that_is_asked_keeps_the_rules_between_features(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hot, low = np.eye(3)[rng.integers(0, 3, 120)], rng.normal(size=(120, 1))
    x = np.concatenate([hot, low, low + rng.random((120, 2)), rng.normal(size=(120, 2))], axis=1)
    model = Linear(rng.normal(size=8) * 2, has_scores=bool(seed % 2))
    rows = rows_of(x, model.labels(x))
    options = {"eps": 0.5, "change_binary": True, "ranges": {"f0": 1, "f1": 1, "f2": 1},
               "one_hot": [["f0", "f1", "f2"]], "ordered": [["f3", "f4"], ["f3", "f5"]]}  # fmt: skip
    box = Box.around(rows, options)
    found = search(model, rows, box, 80, seed)
    assert found.flipped.any()
    for batch in (*model.asked, found.moved(x)):
        assert np.isin(batch[:, :3], (0, 1)).all() and (batch[:, :3].sum(axis=1) == 1).all()
        assert (batch[:, 3] <= batch[:, 4]).all() and (batch[:, 3] <= batch[:, 5]).all()
    assert (found.moved(x)[:, :3] != x[:, :3]).any() and (found.moved(x)[:, 3:6] != x[:, 3:6]).any()


@pytest.mark.parametrize("rules", [{"one_hot": [["f0"]]}, {"ordered": [["f0", "f1", "f2"]]}, {"ordered": [["f0", "nobody"]]},
                                   {"one_hot": [["f0", "f1"]], "ordered": [["f1", "f2"]]}])  # fmt: skip
def test_rules_that_are_none_are_refused(rules: dict[str, Any]) -> None:
    _, rows = linear_case(0)
    with pytest.raises(UsageError, match="rules of the features"):
        Box.around(rows, rules)


def test_a_group_of_which_one_feature_may_not_move_stays_as_it_is() -> None:
    hot = np.eye(3)[np.arange(60) % 3]
    rows = rows_of(np.concatenate([hot, np.arange(60.0)[:, None]], axis=1), np.arange(60) % 2, immutable=("f1",))
    options = {"change_binary": True, "ranges": {f"f{place}": 1 for place in range(4)}, "one_hot": [["f0", "f1", "f2"]]}
    assert Box.around(rows, options).movable.tolist() == [False, False, False, True]
