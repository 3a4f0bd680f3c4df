"""A model that answers by chance gives every check of answers a number, and none of them is valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.contract.material import World, is_explained, run, world

import assay.predictors.subject as place_of_loading
from assay.app.runner.discovery import discover
from assay.checks.quality.accuracy import accuracy
from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.checks import Check, Family
from assay.core.outcomes import Measurement, Outcome, Skipped
from assay.predictors.constancy import change_of_answer
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor

CHECKS = [c for c in discover().checks.values() if Kind.MODEL in c.kinds and c.family is Family.EVALUATION]
SMALL = {"rows": 40, "queries": 20, "budget": 20, "max_queries": 100, "shadows": 2, "starts": 2, "distance_rows": 2,
         "severities": [1], "kinds": [], "min_rows": 20}  # fmt: skip
DATA = {"target": "label", "sensitive": ["group"]}
CHANGES = "equal queries give different answers"


def stated(check: Check) -> Mapping[str, Json]:
    """A declaration that suits the check: a table unless it looks at something else."""
    kind = "table" if "table" in check.inputs or not check.inputs else min(check.inputs)
    features = ["said"] if kind == "text" else list("abcd")
    interface = {"classes": [0, 1], "output": "scores", "input": kind} | (
        {"shape": [1, 2, 2]} if kind == "image" else {}
    )
    task = "regression" if "regression" in check.tasks else "classification"
    return {"predictor": "python:x:y", "features": features, "task": task, "interface": interface}


def rows(seed: int, n: int = 240) -> bytes:
    rng = np.random.default_rng(seed)
    lines = [
        f"{','.join(map(repr, map(float, rng.random(4))))},good {i},{i % 2},{rng.integers(0, 2)}" for i in range(n)
    ]
    return "\n".join(["a,b,c,d,said,group,label", *lines, ""]).encode()


def by_chance(check: Check) -> FunctionModel:
    """Answers that the next question does not get again."""
    rng, made = np.random.default_rng(0), declared(stated(check))

    def answer(batch: Any) -> Any:
        p = rng.random(len(batch))
        return p if made.task == "regression" else np.stack([1 - p, p], axis=1)

    return FunctionModel(answer, made)


def found(check: Check, model: Any, options: Mapping[str, Json]) -> list[Outcome]:
    where: World = world(b"x", rows(1), rows(2), declared=stated(check), of_data=DATA, options=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place_of_loading, "load_predictor", lambda asset, context: Predictor(model))
        return run(check, where)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_no_number_of_a_model_that_changes_its_answers_is_valid(check: Check) -> None:
    options = {**SMALL, "kinds": ["typo"] if check.id == "robustness.text" else []}
    outcomes = found(check, by_chance(check), options)
    measured = [one for one in outcomes if isinstance(one, Measurement)]
    assert measured and not any(one.valid for one in measured)
    assert all(is_explained(one.metric, check) for one in measured)
    said = [one.reason for one in outcomes if isinstance(one, Skipped) and one.what == f"validity of {check.id}"]
    assert sum(CHANGES in reason for reason in said) == 1


def test_a_model_that_keeps_to_its_answers_costs_a_few_queries_and_is_believed() -> None:
    asked: list[int] = []
    keeps = FunctionModel(lambda batch: asked.append(len(batch)) or (batch[:, 0] > 0.5).astype(int), declared(
        {**stated(accuracy), "interface": {"classes": [0, 1], "output": "labels"}}))  # fmt: skip
    outcomes = found(accuracy, keeps, {})
    assert [one.valid for one in outcomes if isinstance(one, Measurement)] == [True]
    assert not [one for one in outcomes if isinstance(one, Skipped)]
    assert asked == [240, 100, 100]


@pytest.mark.parametrize(
    ("level", "spread", "noise", "keeps"),
    [(0, 1, 1e-9, True), (0, 1, 1e-2, False), (250, 0, 1e-5, True), (250, 0, 1, False), (1e6, 1e3, 1e-1, True), (1e6, 1e3, 50, False)],
)  # fmt: skip
def test_numbers_may_differ_by_what_sums_round_and_not_by_more(
    level: float, spread: float, noise: float, keeps: bool
) -> None:
    rng, made = np.random.default_rng(0), declared({"predictor": "python:x:y", "task": "regression"})
    model = FunctionModel(lambda batch: level + spread * batch[:, 0] + noise * rng.uniform(-1, 1, len(batch)), made)
    change = change_of_answer(Predictor(model), np.random.default_rng(1).normal(size=(60, 2)))
    assert (change == "") is keeps and (keeps or CHANGES in change)
