"""Evasion attacks find what is there, say what they could not do, and are not believed before they proved themselves."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.contract.material import World, run, world

from assay.checks.robustness.ball import Ball, Target
from assay.checks.robustness.corruptions import corruptions
from assay.checks.robustness.evasion import evasion
from assay.checks.robustness.gradient_attacks import apgd_ce, apgd_dlr, checkpoints, pgd
from assay.checks.robustness.image_noise import CORRUPTIONS, corrupted
from assay.checks.robustness.ray_search import distances, ray_search
from assay.checks.robustness.square_attack import repaint, side, square
from assay.core.canonical import Json
from assay.core.outcomes import Measurement, Skipped
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor

torch = pytest.importorskip("torch")
DECLARED: Mapping[str, Json] = {
    "predictor": "torch", "interface": {"file": "digits.pt", "shape": [1, 8, 8], "bounds": [0, 1], "input": "image"},
}  # fmt: skip
WHITE = (pgd, apgd_ce, apgd_dlr)
BLACK = (square, ray_search)


@cache
def digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data / 16.0, found.target.astype(np.int32)


@cache
def network() -> Any:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    x, y = digits()
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    rows, truth = torch.as_tensor(x[:1200], dtype=torch.float32).reshape(-1, 1, 8, 8), torch.as_tensor(y[:1200]).long()
    for _ in range(60):
        adam.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(rows), truth)
        loss.backward()
        adam.step()
    return net.eval()


def bytes_of(net: Any) -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, but its files are everywhere
        torch.jit.save(torch.jit.trace(net, torch.zeros(2, 1, 8, 8)), held)
    return held.getvalue()


def predictor() -> Predictor:
    from assay.predictors.torch_model import load_torch

    return Predictor(load_torch(bytes_of(network()), declared(DECLARED), None))


def attacked(count: int = 60) -> Target:
    x, y = digits()
    model = predictor()
    rows, truth = x[1200 : 1200 + count], y[1200 : 1200 + count]
    right = model.labels(rows) == truth
    return Target(model, rows[right], truth[right])


BALL = Ball(0.15, 0.0, 1.0)


@pytest.mark.parametrize("attack", [*WHITE, *BLACK])
def test_a_flip_is_real_inside_the_ball_and_within_the_budget(attack: Any) -> None:
    target = attacked()
    found = attack(target, BALL, 40, 0)
    points = found.points[found.fooled]
    assert found.fooled.any() and (found.queries <= 41).all()
    assert np.abs(points - target.start[found.fooled]).max() <= BALL.eps + 1e-9
    assert points.min() >= 0 and points.max() <= 1
    assert (target.predictor.labels(points) != target.truth[found.fooled]).all()


@pytest.mark.parametrize("attack", [*WHITE, *BLACK])
def test_equal_seeds_give_equal_attacks(attack: Any) -> None:
    first, again = attack(attacked(20), BALL, 20, 5), attack(attacked(20), BALL, 20, 5)
    assert (first.points == again.points).all() and (first.queries == again.queries).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 4), (1, 1, 20)])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_repainted_square_changes_every_image_and_nothing_outside_it(shape: tuple[int, int, int], size: int) -> None:
    rng = np.random.default_rng(0)
    low, high = np.zeros((40, *shape)), np.ones((40, *shape))
    rows = np.arange(0, 40, 2)
    before = np.where(rng.random((20, *shape)) < 0.5, low[rows], high[rows])
    after = before.copy()
    repaint(rng, after, low, high, rows, size)
    changed = (before != after).any(axis=1)
    assert changed.any(axis=(1, 2)).all() and np.isin(after, (0, 1)).all()
    assert (changed.any(axis=2).sum(axis=1) <= size).all() and (changed.any(axis=1).sum(axis=1) <= size).all()


@pytest.mark.parametrize("attack", WHITE)
def test_without_a_limit_every_row_is_fooled(attack: Any) -> None:
    assert attack(attacked(), BALL.whole, 40, 0).fooled.all()


def test_more_budget_never_fools_fewer_rows_by_much_and_gradients_beat_guesses() -> None:
    target = attacked()
    few, many = (square(target, BALL, budget, 0).fooled.mean() for budget in (10, 300))
    white = apgd_ce(target, BALL, 40, 0).fooled.mean()
    assert few < many <= white + 0.05


def test_the_ray_search_measures_how_far_the_nearest_other_class_is() -> None:
    target = attacked(20)
    found = distances(target, BALL.whole, 300)
    assert np.isfinite(found.radius).all() and 0.01 < np.median(found.radius) < 0.5
    assert (target.predictor.labels(found.attacked.points) != target.truth).all()


def test_the_checkpoints_of_apgd_are_those_of_the_paper() -> None:
    assert checkpoints(100)[:6] == (0, 22, 41, 57, 70, 80)
    assert side(0.0, 28, 28) > side(0.5, 28, 28) >= 1


def csv(count: int = 60) -> bytes:
    x, y = digits()
    held = io.BytesIO()
    np.savez(held, pixels=x[1200 : 1200 + count], label=y[1200 : 1200 + count])
    return held.getvalue()


def place(net: Any, **options: Json) -> World:
    made = world({"digits.pt": bytes_of(net)}, csv(), declared=DECLARED, of_data={"target": "label"}, options=options)
    renamed = {
        digest: {name.replace("csv", "npz"): data for name, data in files.items()}
        for digest, files in made.context.files.items()
    }
    roles = {role: tuple(_as_npz(one) for one in those) for role, those in made.context.roles.items()}
    held = dict(renamed) | {roles["tested_on"][0].digest: {"tested_on.npz": csv()}}
    return World(made.model, type(made.context)(held, roles, 0, options))


def _as_npz(dataset: Any) -> Any:
    from tests.contract.material import asset

    return asset(dataset.kind, {"tested_on.npz": csv()}, dict(dataset.declared))


def of(outcomes: list[Any], metric: str) -> Measurement:
    return next(one for one in outcomes if isinstance(one, Measurement) and one.metric == metric)


def test_the_check_counts_every_row_and_proves_itself() -> None:
    outcomes = run(evasion, place(network(), eps=0.1, queries=60, curve=[0.02, 0.3], distance_rows=8))
    found = of(outcomes, "evasion.robust_accuracy")
    assert found.valid and found.n == 60 and 0 < found.value < 0.9 and "APGD" in found.method
    assert found.threat_model == "linf:0.1, white-box"
    at = {one.slice: one.value for one in outcomes if isinstance(one, Measurement) and one.slice}
    assert at["eps=0.3"] <= found.value <= at["eps=0.02"]
    assert of(outcomes, "evasion.median_distance").value > 0
    assert not [one for one in outcomes if isinstance(one, Skipped)]


class Steps(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported conditionally
    """A model whose gradients are zero almost everywhere: its input is rounded to 16 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Any) -> Any:
        return self.net(torch.round(x * 16) / 16)


def test_masked_gradients_make_the_measurement_invalid() -> None:
    outcomes = run(evasion, place(Steps(), eps=0.15, queries=100, distance_rows=0))
    assert not of(outcomes, "evasion.robust_accuracy").valid
    assert any("masked" in one.reason for one in outcomes if isinstance(one, Skipped))


def test_a_table_is_not_attacked_as_an_image() -> None:
    from tests.contract.material import loans, saved

    outcomes = run(evasion, world(saved("logistic"), loans("test").csv))
    assert isinstance(outcomes[0], Skipped) and "no images" in outcomes[0].reason


def test_a_model_that_answers_at_random_is_found_out() -> None:
    from assay.predictors.constancy import change_of_answer

    rng = np.random.default_rng(0)
    stated = declared({"predictor": "python:a:b", "interface": {"classes": [0, 1]}})
    model = Predictor(FunctionModel(lambda batch: rng.integers(0, 2, len(batch)), stated))
    assert change_of_answer(model, np.zeros((50, 4)))


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_a_corruption_grows_with_its_severity_and_stays_an_image(kind: str) -> None:
    x, _ = digits()
    images = x[:40].reshape(-1, 1, 8, 8)
    changed = [np.abs(corrupted(images, kind, severity, 0) - images).mean() for severity in (1, 3, 5)]
    assert 0 <= changed[0] <= changed[1] <= changed[2] and changed[2] > 0
    assert (corrupted(images, kind, 5, 0) == corrupted(images, kind, 5, 0)).all()
    assert corrupted(images, kind, 5, 0).shape == images.shape


def test_accuracy_under_corruptions_is_a_mean_over_rows() -> None:
    outcomes = run(corruptions, place(network(), severities=[1, 5]))
    found = of(outcomes, "corruptions.accuracy")
    kinds = [one for one in outcomes if isinstance(one, Measurement) and one.metric == "corruptions.accuracy_under"]
    assert len(kinds) == len(CORRUPTIONS) and found.kind == "mean"
    assert found.value == pytest.approx(np.mean([one.value for one in kinds])) and found.low is not None
