"""Every adapter answers alike, and what a model answers is not believed before it was looked at."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from assay.core.canonical import Json
from assay.core.errors import Refused, Undecided, UsageError
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel, named_function
from assay.predictors.plan import Way, plan, strongest
from assay.predictors.predictor import Capability, Loss, Predictor, RowKind
from assay.predictors.torch_inference import MANY_ROWS

torch = pytest.importorskip("torch")
SHAPE: Mapping[str, Json] = {"shape": [1, 4, 4], "bounds": [0, 1]}
RNG = np.random.default_rng(0)
BATCH = RNG.random((7, 16))


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported conditionally
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)
        self.last = torch.nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.norm(self.conv(x))).flatten(1))


def net() -> Any:
    torch.manual_seed(0)
    return Net().eval()


def scripted() -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, but its files are everywhere
        torch.jit.save(torch.jit.trace(net(), torch.zeros(2, 1, 4, 4)), held)
    return held.getvalue()


def exported() -> bytes:
    held = io.BytesIO()
    rows = torch.export.Dim("rows", min=1, max=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net(), (torch.zeros(2, 1, 4, 4),), dynamic_shapes=({0: rows},)), held)
    return held.getvalue()


def weights() -> bytes:
    held = io.BytesIO()
    torch.save(net().state_dict(), held)
    return held.getvalue()


def network(data: bytes, **interface: Json) -> Predictor:
    from assay.predictors.torch_model import load_torch

    stated = declared({"predictor": "torch", "interface": {**SHAPE, **interface}})
    return Predictor(load_torch(data, stated, net))


@pytest.mark.parametrize("made", [scripted, exported, weights])
def test_a_network_in_any_form_answers_as_the_original(made: Any) -> None:
    model = network(made())
    with torch.no_grad():
        expected = net()(torch.as_tensor(BATCH, dtype=torch.float32).reshape(-1, 1, 4, 4)).numpy()
    assert np.allclose(model.logits(BATCH), expected, atol=1e-5)
    assert np.allclose(model.scores(BATCH).sum(axis=1), 1) and model.info.classes == (0, 1, 2)
    assert (model.labels(BATCH) == expected.argmax(axis=1)).all() and model.info.row_kind is RowKind.IMAGE
    assert model.rows_queried == 21


@pytest.mark.parametrize("made", [scripted, exported, weights])
def test_a_network_that_is_asked_many_rows_goes_on_answering_the_same(made: Any) -> None:
    model, many = network(made()), RNG.random((MANY_ROWS, 16))
    first = model.logits(many)
    assert np.allclose(model.logits(many), first, atol=1e-4)
    assert (model.slope(BATCH, np.zeros(7, np.int32), Loss.MARGIN).gradient != 0).any()


def test_a_network_that_counts_its_calls_is_not_rewritten_to_one_that_does_not() -> None:
    from assay.predictors.torch_inference import Inference

    class Counting(Net):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return super().forward(x) + self.calls

    asked, rows = Inference(Counting().eval(), torch.device("cpu")), torch.zeros(MANY_ROWS, 1, 4, 4)
    with torch.no_grad():
        said = [float(asked(rows)[0, 0]) for _ in range(4)]
    assert len(set(said)) == 4


@pytest.mark.parametrize("loss", list(Loss))
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    wide = net().double()
    held = io.BytesIO()
    torch.save(wide.state_dict(), held)
    from assay.predictors.torch_model import load_torch

    stated = declared({"predictor": "torch", "interface": dict(SHAPE)})
    model = Predictor(load_torch(held.getvalue(), stated, lambda: net().double()))
    target = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)
    slope = model.slope(BATCH, target, loss)
    step = np.zeros(16)
    step[5] = 1e-6
    ahead, behind = (_losses(model.logits(BATCH + sign * step), target, loss) for sign in (1, -1))
    assert np.allclose((ahead - behind) / 2e-6, slope.gradient[:, 5], atol=1e-4)


def _losses(logits: Any, target: Any, loss: Loss) -> Any:
    rows = np.arange(len(logits))
    mine = logits[rows, target]
    if loss is Loss.CROSS_ENTROPY:
        return np.log(np.exp(logits).sum(axis=1)) - mine
    others = logits.copy()
    others[rows, target] = -np.inf
    ordered = np.sort(logits, axis=1)[:, ::-1]
    gap = others.max(axis=1) - mine
    return gap if loss is Loss.MARGIN else gap / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def test_the_layer_before_the_last_is_shown_where_it_can_be() -> None:
    model = network(weights())
    assert model.penultimate(BATCH).shape == (7, 12)
    with pytest.raises(Undecided, match="penultimate"):
        network(scripted()).penultimate(BATCH)


def test_a_recipe_trains_fresh_networks_that_depend_on_the_seed_only() -> None:
    model = network(weights(), recipe={"epochs": 30, "rate": 0.01, "batch": 8})
    target = (BATCH[:, 0] > 0.5).astype(np.int32)
    first, again, other = (model.trainer().train(BATCH, target, seed).logits(BATCH) for seed in (1, 1, 2))
    assert (first == again).all() and not np.allclose(first, other)
    assert (first.argmax(axis=1) == target).mean() > 0.8
    assert np.allclose(model.logits(BATCH), network(weights()).logits(BATCH))  # the original is as it was


class Plain(torch.nn.Module):  # type: ignore[misc, name-defined]  # as above
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(16, 8), torch.nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.first(x.flatten(1))))


class Asking(Plain):
    """Looks at its rows, so that it cannot be one of several."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) if float(x.detach().sum()) > 0 else super().forward(-x)


@pytest.mark.parametrize("made", [Plain, Asking, Net])
def test_networks_trained_side_by_side_are_those_trained_one_by_one(made: Any) -> None:
    from assay.predictors.torch_model import Torch

    torch.manual_seed(0)
    stated = declared({"predictor": "torch", "interface": {**SHAPE, "recipe": {"epochs": 5, "rate": 0.01, "batch": 8}}})
    trainer = Predictor(Torch(made(), stated)).trainer()
    rows, target = RNG.random((31, 16)), (np.arange(31) % 3).astype(np.int32)
    half = np.arange(31) < 15
    parts = np.stack([half, ~half, half[::-1], ~half[::-1]])
    found = list(trainer.train_each(rows, target, parts, 7))
    for place, (one, part) in enumerate(zip(found, parts, strict=True)):
        alone = trainer.train(rows[part], target[part], 7 + place)
        assert np.allclose(one.logits(rows), alone.logits(rows), atol=1e-3)
    assert not np.allclose(found[0].logits(rows), found[2].logits(rows), atol=1e-2)


def test_a_network_that_draws_is_trained_to_the_same_by_the_same_seed() -> None:
    from assay.predictors.torch_model import Torch

    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
    )
    stated = declared({"predictor": "torch", "interface": {**SHAPE, "recipe": {"epochs": 2, "batch": 8}}})
    trainer = Predictor(Torch(network, stated)).trainer()
    target = (np.arange(7) % 3).astype(np.int32)
    first, again = (trainer.train(BATCH, target, 1).logits(BATCH) for _ in range(2))
    assert (first == again).all()


def test_a_clone_of_scikit_learn_keeps_the_places_of_classes_it_never_saw() -> None:
    from sklearn.linear_model import LogisticRegression

    from assay.predictors.scikit_learn import ScikitLearn

    x, y = RNG.random((60, 3)), np.arange(60) % 3
    model = Predictor(ScikitLearn(LogisticRegression().fit(x, y), declared({})))
    kept = y != 1
    shadow = model.trainer().train(x[kept], y[kept].astype(np.int32), 0)
    assert shadow.scores(x).shape == (60, 3) and (shadow.scores(x)[:, 1] == 0).all()
    assert 1 not in shadow.labels(x)


def test_a_regressor_gives_values() -> None:
    from sklearn.linear_model import LinearRegression

    from assay.predictors.scikit_learn import ScikitLearn

    x = RNG.random((20, 2))
    model = Predictor(ScikitLearn(LinearRegression().fit(x, x.sum(axis=1)), declared({"task": "regression"})))
    assert np.allclose(model.values(x), x.sum(axis=1)) and model.capabilities >= {Capability.VALUES}
    with pytest.raises(Undecided, match="no labels"):
        model.labels(x)


def onnx_bytes(with_softmax: bool = False) -> bytes:
    import onnx
    from onnx import TensorProto, helper

    weight = np.linspace(-1, 1, 6, dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    nodes += [helper.make_node("Softmax", ["y"], ["z"], axis=1)] if with_softmax else []
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("z" if with_softmax else "y", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 3], weight.tobytes(), raw=True)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_onnx_graph_answers_with_logits_or_scores() -> None:
    pytest.importorskip("onnxruntime")
    from assay.predictors.onnx_model import load_onnx

    batch = RNG.random((5, 2))
    raw = Predictor(load_onnx(onnx_bytes(), declared({"predictor": "onnx", "interface": {"output": "logits"}})))
    soft = Predictor(load_onnx(onnx_bytes(True), declared({"predictor": "onnx"})))
    assert np.allclose(raw.scores(batch), soft.scores(batch), atol=1e-6)
    assert (raw.labels(batch) == soft.labels(batch)).all() and soft.info.classes == (0, 1, 2)
    with pytest.raises(Undecided, match="no gradients"):
        raw.slope(batch, np.zeros(5, np.int32), Loss.MARGIN)
    with pytest.raises(Refused):
        load_onnx(b"no graph", declared({"predictor": "onnx"}))


def function(answer: Any, **interface: Json) -> Predictor:
    stated = declared({"predictor": "python:x:y", "interface": {"classes": ["no", "yes"], **interface}})
    return Predictor(FunctionModel(lambda batch: answer(batch), stated), remembers=True)


@pytest.mark.parametrize(
    ("answer", "output", "reason"),
    [
        (lambda b: np.full((len(b), 2), np.nan), "scores", "something else than scores"),
        (lambda b: np.ones((len(b), 3)) / 3, "scores", "something else than scores"),
        (lambda b: np.ones((len(b), 2)), "scores", "probabilities"),
        (lambda b: np.ones((len(b) + 1, 2)), "scores", "something else than scores"),
        (lambda b: 1 / 0, "scores", "ZeroDivisionError"),
        (lambda b: "text", "scores", "something else than scores|cannot be read"),
    ],
)
def test_an_answer_that_is_none_is_undecided(answer: Any, output: str, reason: str) -> None:
    with pytest.raises(Undecided, match=reason):
        function(answer, output=output).scores(BATCH)


def test_costly_answers_are_remembered_unless_asked_for_again() -> None:
    asked: list[int] = []

    def answer(batch: Any) -> list[str]:
        asked.append(len(batch))
        return ["yes" if row[0] > 0.5 else "no" for row in batch]

    model = function(answer)
    twice = np.concatenate([BATCH, BATCH])
    assert (model.labels(twice) == np.concatenate([model.labels(BATCH)] * 2)).all()
    assert asked == [7] and model.rows_queried == 7
    model.labels(BATCH, again=True)
    assert asked == [7, 7]


def test_labels_beyond_the_classes_are_no_class() -> None:
    assert function(lambda b: ["maybe"] * len(b)).labels(BATCH).tolist() == [-1] * 7


def test_the_strongest_way_comes_first_and_the_impossible_is_said() -> None:
    ways = [Way("a", frozenset({Capability.GRADIENTS}), 1), Way("b", frozenset({Capability.LABELS}), 2)]
    found = plan(ways, frozenset({Capability.LABELS}))
    assert [way.run for way in found.ways] == [2]
    assert found.impossible[0].what == "a" and "gradients" in found.impossible[0].reason
    with pytest.raises(Undecided, match="labels say nothing"):
        list(strongest(ways[:1], frozenset({Capability.LABELS}), "labels say nothing"))


def refusing() -> Any:
    raise OSError("no such tray")


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda net, x: net.last(x) * float("nan"), "NaN"),
        (lambda net, x: torch.cat([net.last(x)] * 2, dim=1), "something else than a number a class"),
        (lambda net, x: refusing(), "OSError: no such tray"),
    ],
)
def test_a_network_that_answers_nonsense_has_no_labels(forward: Any, reason: str) -> None:
    from assay.predictors.torch_model import Torch

    class Odd(Plain):
        def forward(self, x: Any) -> Any:
            return forward(self, self.first(x.flatten(1)))

    stated = declared({"predictor": "torch", "interface": {**SHAPE, "classes": [0, 1, 2]}})
    with pytest.raises(Undecided) as error:
        Predictor(Torch(Odd(), stated)).labels(BATCH)
    assert reason in str(error.value)


def test_a_network_without_gradients_says_so_and_one_number_is_a_value() -> None:
    from assay.predictors.torch_model import Torch

    class Cut(Plain):
        def forward(self, x: Any) -> Any:
            return super().forward(x).detach()

    stated = {"predictor": "torch", "interface": {**SHAPE, "classes": [0, 1, 2]}}
    with pytest.raises(Undecided, match="no gradients"):
        Predictor(Torch(Cut(), declared(stated))).slope(BATCH, np.zeros(len(BATCH), np.int32), Loss.MARGIN)
    with pytest.raises(Undecided, match="something else than values"):  # three numbers a row are no regression
        Predictor(Torch(Cut(), declared({**stated, "task": "regression"}))).values(BATCH)


@pytest.mark.parametrize(
    "stated",
    [
        {"interface": {"shap": [1]}}, {"task": "dreaming"}, {"interface": {"shape": [0]}}, {"interface": {"bounds": [1, 0]}},
        {"interface": {"divisor": 0}}, {"interface": {"input": "smell"}}, {"interface": []},
    ],
)  # fmt: skip
def test_a_declaration_that_says_nothing_is_wrong_use(stated: Mapping[str, Json]) -> None:
    with pytest.raises(UsageError):
        declared(stated)


def test_a_function_is_found_by_name_or_named_as_missing() -> None:
    assert named_function("python:math:sqrt", None)(4) == 2
    for name in ("python:math", "python:math:nothing", "python:../x:y", "python:no_such_module_here:f"):
        with pytest.raises(UsageError):
            named_function(name, None)
