"""A linear model is stolen within the published number of queries; the cost of any other is told as a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.contract.material import lines, loans, run, saved, world

from assay.checks.extraction.distillation import asked_rows, budgets, distillation
from assay.checks.extraction.equation_solving import equation_solving
from assay.checks.extraction.linear_copies import Region, solved, traced, unknowns
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Skipped
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor
from assay.predictors.substitutes import Shape, Substitutes

RNG = np.random.default_rng(0)
ROWS = RNG.normal(3, [1, 5, 0.1, 2], (2_000, 4))
TEST, TRAIN = lines(loans("test").csv, 400), lines(loans("train").csv, 100)


def linear(classes: int, output: str = "scores", strength: float = 1.0) -> Predictor:
    """A logistic regression of four features with fixed weights."""
    weights = np.random.default_rng(classes).normal(0, strength / ROWS.std(axis=0)[:, None], (4, classes))

    def answer(batch: Any) -> Any:
        logits = (batch - ROWS.mean(axis=0)) @ weights
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True) if output == "scores" else logits.argmax(axis=1)

    stated = declared({"predictor": "python:x:y", "interface": {"classes": list(range(classes)), "output": output}})
    return Predictor(FunctionModel(answer, stated))


def measured(found: list[Outcome]) -> dict[str, Measurement]:
    return {o.metric: o for o in found if isinstance(o, Measurement) and o.slice is None}


def skips(found: list[Outcome]) -> dict[str, str]:
    return {o.what: o.reason for o in found if isinstance(o, Skipped)}


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_a_logistic_regression_is_solved_within_the_published_queries(classes: int, strength: float) -> None:
    model = linear(classes, strength=strength)
    copy = solved(model, Region.of(ROWS), np.random.default_rng(0))
    assert model.rows_queried == copy.queries == unknowns(4, classes) == 5 * (classes - 1)
    assert (copy.labels(ROWS) == model.labels(ROWS)).mean() >= 0.99


def test_the_boundary_of_two_classes_is_traced_from_labels_alone() -> None:
    model = linear(2, "labels")
    copy = traced(model, Region.of(ROWS), ROWS[:100])
    assert (copy.labels(ROWS) == model.labels(ROWS)).mean() >= 0.99
    assert copy.queries == 100 + 40 + 2 * 4 + 40 * 4
    with pytest.raises(Undecided, match="two classes"):
        traced(linear(3, "labels"), Region.of(ROWS), ROWS[:100])


def test_a_pipeline_of_scikit_learn_is_as_good_as_public() -> None:
    found = run(equation_solving, world(saved("logistic"), TEST, TRAIN))
    share = measured(found)["equation_solving.agreement"]
    assert share.low > 0.98 and measured(found)["equation_solving.queries"].value == 13
    assert "a constant copy agrees on 0.9" in share.method


def test_a_forest_is_not_solved_but_can_be_distilled() -> None:
    solving = measured(run(equation_solving, world(saved("forest"), TEST, TRAIN)))
    found = run(distillation, world(saved("forest"), TEST, TRAIN, options={"max_queries": 200}))
    assert solving["equation_solving.agreement"].high < 0.9
    assert measured(found)["distillation.agreement"].value > 0.9
    assert "at best within 200 queries" in skips(found)["distillation.queries_to_99"]


def test_the_cost_to_steal_is_the_first_budget_on_the_curve() -> None:
    found = run(distillation, world(saved("logistic"), TEST, TRAIN, options={"max_queries": 400}))
    cost = measured(found)["distillation.queries_to_95"]
    assert cost.low <= cost.value <= cost.high <= 400 and cost.unit == "queries"
    assert {"queries=50"} <= {o.slice for o in found if isinstance(o, Measurement)}


def test_too_many_queries_and_too_few_rows_are_skips() -> None:
    dear = run(equation_solving, world(saved("logistic"), TEST, TRAIN, options={"max_queries": 12}))
    few = run(distillation, world(saved("logistic"), lines(TEST, 59), TRAIN))
    assert "13 queries" in skips(dear)["extraction.equation_solving"]
    assert "too few rows" in skips(few)["extraction.distillation"]
    assert not measured(dear) and not measured(few)


def test_scores_of_zero_and_one_hold_no_equation() -> None:
    stated = declared({"predictor": "python:x:y", "interface": {"classes": [0, 1], "output": "scores"}})
    hard = Predictor(FunctionModel(lambda b: np.eye(2)[(b[:, 0] > 3).astype(int)], stated))
    with pytest.raises(Undecided, match="0 and 1 only"):
        solved(hard, Region.of(ROWS), np.random.default_rng(0))


def test_budgets_double_and_end_where_they_were_told_to() -> None:
    assert budgets(300) == (50, 100, 200, 300) and budgets(50) == (50,)


def test_asked_rows_are_public_ones_first_and_then_lie_between_two_of_them() -> None:
    class Public:
        features, n, is_number = ROWS[:30], 30, (True,) * 4

    found = asked_rows(Public(), 100, np.random.default_rng(0))  # type: ignore[arg-type]
    assert (found[:30] == ROWS[:30]).all() and found.shape == (100, 4)
    assert (found >= ROWS[:30].min(axis=0)).all() and (found <= ROWS[:30].max(axis=0)).all()


@pytest.mark.parametrize("shape", list(Shape))
def test_a_substitute_learns_tables_with_text_and_holes(shape: Shape) -> None:
    text = np.array(["red", "green", None] * 100, object)
    numbers = RNG.normal(size=300)
    target = ((text == "red") | (numbers > 1)).astype(np.int32)
    features = np.stack([text, np.where(np.arange(300) % 7, numbers, np.nan)], axis=1).astype(object)
    info = declared({"features": ["a", "b"]}).info(("no", "yes", "never"))
    model = Substitutes(info, (False, True), shape).train(features, target, 0)
    assert (model.labels(features) == target).mean() > 0.85 and (model.scores(features)[:, 2] == 0).all()
    assert model.scores(np.array([["blue", 9.0]], object)).shape == (1, 3)
    with pytest.raises(Undecided, match="one class only"):
        Substitutes(info, (False, True), shape).train(features, np.ones(300, np.int32), 0)
