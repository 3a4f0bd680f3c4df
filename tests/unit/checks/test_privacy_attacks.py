"""Attributes, class images and epsilons: each attack finds the leak that was built in, and little where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.contract.material import World, lines, loans, run, saved, world

import assay.predictors.subject as place_of_loading
from assay.checks.privacy.attribute_inference import advantage_bounds, attribute_inference
from assay.checks.privacy.dp_audit import dp_audit
from assay.checks.privacy.model_inversion import correlation, model_inversion
from assay.checks.privacy.one_run_audit import audited, chance, epsilon_bound
from assay.core.checks import Check
from assay.core.outcomes import Measurement, Outcome, Skipped
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Capability, Predictor, Slope

CLASSES = 3
NAMES = ("a", "b", "c", "d", "e", "secret")
STATED = {"predictor": "python:x:y", "features": list(NAMES), "interface": {"classes": [0, 1, 2], "output": "scores"}}
DATA = {"target": "label", "sensitive": ["secret"]}
WEIGHTS = np.array([[3, -1, -2], [-2, 3, -1], [-1, -2, 3], [2, 0, -2], [0, 1, -1], [0, 0, 0]], float)


def people(n: int, seed: int) -> Any:
    """Rows of five numbers and a secret bit that none of them tells; the class follows from the numbers."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(size=(n, 5)), rng.integers(0, 2, (n, 1))], axis=1)
    return x, (x @ WEIGHTS).argmax(axis=1)


def csv(x: Any, y: Any) -> bytes:
    rows = [",".join(map(repr, [*map(float, row), int(label)])) for row, label in zip(x, y, strict=True)]
    return "\n".join([",".join((*NAMES, "label")), *rows, ""]).encode()


def soft(logits: Any) -> Any:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def found(check: Check, model: Any, n: int = 300, labels: Any = None, **options: Any) -> list[Outcome]:
    """The check run on a model in place of the file, with `n` rows a side."""
    test, train = (people(n, seed) for seed in (1, 2))
    if labels:
        test, train = ((x, labels(x).argmax(axis=1)) for x, _ in (test, train))
    where: World = world(b"x", csv(*test), csv(*train), declared=STATED, of_data=DATA, options=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place_of_loading, "load_predictor", lambda asset, context: Predictor(model))
        return run(check, where)


def function(answer: Any, output: str = "scores") -> FunctionModel:
    interface = {**STATED["interface"], "output": output}
    return FunctionModel(answer, declared({**STATED, "interface": interface}))


def measured(outcomes: list[Outcome]) -> dict[str, Measurement]:
    return {o.metric: o for o in outcomes if isinstance(o, Measurement) and o.group is None}


def skips(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.what: o.reason for o in outcomes if isinstance(o, Skipped)}


def rolled(batch: Any) -> Any:
    """Logits whose classes move on by one for those who have the secret."""
    logits = batch @ WEIGHTS
    return np.where(batch[:, 5:] > 0.5, np.roll(logits, 1, axis=1), logits)


def test_a_model_that_answers_by_the_secret_gives_it_away() -> None:
    def asked(model: Any) -> Measurement:
        return measured(found(attribute_inference, model, labels=rolled))["attribute_advantage"]

    told, kept = asked(function(lambda b: soft(rolled(b)))), asked(function(lambda b: np.full((len(b), 3), 1 / 3)))
    assert told.low > 0.05 and kept.low <= 0 <= kept.high
    assert told.threat_model == "other features, class, scores" and "largest of 1: secret" in told.method
    hidden = asked(function(lambda b: rolled(b).argmax(axis=1), "labels"))
    assert hidden.low > 0.05 and hidden.threat_model == "other features, class, labels"


def test_an_attribute_that_is_no_feature_is_told_by_what_the_model_remembers() -> None:
    x, _ = people(300, 2)
    known = {row[:5].tobytes(): row[5] for row in np.concatenate([x, people(300, 1)[0]])}

    def answer(batch: Any) -> Any:
        secret = np.array([known[row.tobytes()] for row in batch])
        return soft(batch @ WEIGHTS[:5] * (1 + 4 * secret[:, None]))

    stated = {**STATED, "features": list(NAMES[:5])}
    model = FunctionModel(answer, declared(stated))
    share = measured(found(attribute_inference, model))["attribute_advantage"]
    assert share.low > 0.1


def test_attributes_need_sensitive_columns_and_enough_rows_of_each_value() -> None:
    model = function(lambda b: soft(b @ WEIGHTS))
    few = skips(found(attribute_inference, model, n=16))
    assert any(
        "0 values with enough rows" in reason or "1 values with enough rows" in reason for reason in few.values()
    )
    plain = world(saved("logistic"), lines(loans("test").csv, 100), lines(loans("train").csv, 100),
                  of_data={"target": "approve"})  # fmt: skip
    assert "none" in skips(run(attribute_inference, plain))["privacy.attribute_inference"]


def test_the_advantage_of_equal_guesses_is_none_and_its_bounds_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    value, plain = rng.integers(0, 2, 400).astype(np.int32), rng.random(400) < 0.6
    better = plain | (rng.random(400) < 0.5)
    assert advantage_bounds(plain, plain, value, 0) == (0.0, 0.0, 0.0)
    low, estimate, high = advantage_bounds(better, plain, value, 0)
    assert low < 0.2 < high and low <= estimate <= high


class Linear:
    """A linear model of three classes that shows its gradients."""

    info = declared(STATED).info((0, 1, 2))
    capabilities = frozenset({Capability.LABELS, Capability.SCORES, Capability.LOGITS, Capability.GRADIENTS})

    def ask(self, wanted: str, batch: Any) -> Any:
        logits = batch @ WEIGHTS
        return logits.argmax(axis=1) if wanted == "labels" else logits if wanted == "logits" else soft(logits)

    def slope(self, batch: Any, target: Any, loss: Any) -> Slope:
        logits = batch @ WEIGHTS
        return Slope(logits, (soft(logits) - np.eye(3)[target]) @ WEIGHTS.T)


def test_a_class_of_a_linear_model_is_drawn_out_by_gradients_and_by_scores() -> None:
    for model, threat in ((Linear(), "gradients"), (function(lambda b: soft(b @ WEIGHTS)), "scores")):
        outcomes = measured(found(model_inversion, model, starts=4))
        like, seen = outcomes["inversion_similarity"], outcomes["inversion_recognised"]
        assert like.threat_model == threat and like.low > 0.4 and like.n == 12
        assert seen.low > 0.6


def test_a_search_that_finds_nothing_is_invalid_and_labels_alone_are_a_skip() -> None:
    flat = found(model_inversion, function(lambda b: np.tile([0.5, 0.3, 0.2], (len(b), 1))), starts=2)
    assert not any(m.valid for m in measured(flat).values())
    assert "33%" in skips(flat)["validity of privacy.model_inversion"]
    labels = found(model_inversion, function(lambda b: (b @ WEIGHTS).argmax(axis=1), "labels"))
    assert not measured(labels) and "neither gradients nor scores" in skips(labels)["privacy.model_inversion"]


def test_correlation_is_that_of_numpy_and_zero_for_constants() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 3, 8))
    assert np.allclose(correlation(a, b), [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])
    assert correlation(np.ones((1, 4)), a[:1, :4]).tolist() == [0.0]


def test_a_forest_exceeds_an_epsilon_that_a_linear_model_does_not() -> None:
    sides = lines(loans("test").csv, 400), lines(loans("train").csv, 400)
    forest, linear = (measured(run(dp_audit, world(saved(kind), *sides))) for kind in ("forest", "logistic"))
    assert forest["epsilon_lower_bound"].value > 1 > linear["epsilon_lower_bound"].value
    assert forest["epsilon_lower_bound"].threat_model == "canaries,delta:1e-05"
    assert (
        forest["epsilon_lower_bound"].value == forest["epsilon_lower_bound"].low <= forest["epsilon_lower_bound"].high
    )


def test_without_a_recipe_pairs_of_rows_are_the_coins() -> None:
    seen = {row.tobytes() for row in people(300, 2)[0]}
    sure = function(lambda b: soft(b @ WEIGHTS * np.array([[9.0 if r.tobytes() in seen else 1.0] for r in b])))
    outcomes = found(dp_audit, sure)
    assert measured(outcomes)["epsilon_lower_bound"].value > 1 and "capability" in skips(outcomes)["canaries"]
    blind = measured(found(dp_audit, function(lambda b: soft(b @ WEIGHTS))))
    assert blind["epsilon_lower_bound"].value < 0.3


def test_too_few_coins_are_undecided_and_a_claim_out_of_reach_is_said() -> None:
    model = function(lambda b: soft(b @ WEIGHTS))
    assert "100 are needed" in skips(found(dp_audit, model, n=90))["privacy.dp_audit"]
    reach = skips(found(dp_audit, model, claimed_epsilon=50.0))["certainty of epsilon_lower_bound"]
    assert "the claim is 50" in reach
    labels = skips(found(dp_audit, function(lambda b: (b @ WEIGHTS).argmax(axis=1), "labels")))
    assert "no scores" in labels["privacy.dp_audit"]


def test_the_bound_of_all_right_guesses_is_that_of_clopper_and_pearson() -> None:
    share = 0.05 ** (1 / 100)
    assert epsilon_bound(100, 100, 100, 0.0, 0.05) == pytest.approx(np.log(share / (1 - share)), abs=1e-6)
    assert epsilon_bound(50, 100, 100, 0.0, 0.05) == 0.0
    assert epsilon_bound(100, 100, 100, 1e-5, 0.05) < epsilon_bound(100, 100, 100, 0.0, 0.05)
    assert chance(60, 100, 100, 0.0, 0.0) == pytest.approx(0.0284, abs=1e-4)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_the_bound_lies_above_the_true_epsilon_in_at_most_five_percent_of_audits(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    m, runs = 200, 200
    share = 1 / (1 + np.exp(-epsilon))  # randomised response: the worst that epsilon allows
    bounds = [audited(rng.random(m), rng.random(m) < share, 0.0, 0.05).bound for _ in range(runs)]
    assert np.mean(np.array(bounds) > epsilon + 1e-9) <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert epsilon == 0 or np.median(bounds) > 0.4 * epsilon
