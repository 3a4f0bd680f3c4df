"""A model that learnt its rows by heart is found out; one that did not is not accused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.contract.material import FEATURES, fitted, lines, loans, run, saved, world

from assay.checks.privacy.advantage import advantage
from assay.checks.privacy.confidence import confidence, modified_entropy
from assay.checks.privacy.likelihood_ratio import fitted as fitted_normal
from assay.checks.privacy.likelihood_ratio import offline, online, relative
from assay.checks.privacy.membership import membership
from assay.checks.privacy.shadows import Shadows, halves
from assay.core.outcomes import Measurement, Outcome, Skipped, Table
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor
from assay.statistics.tables import read_table

TEST, TRAIN = loans("test"), loans("train")
FEW = {"shadows": 4}


def outcomes(kind: str, test: bytes = TEST.csv, **options: Any) -> list[Outcome]:
    return run(membership, world(saved(kind), test, TRAIN.csv, options=FEW | options))


def measured(found: list[Outcome]) -> dict[str, Measurement]:
    return {o.metric: o for o in found if isinstance(o, Measurement)}


def skips(found: list[Outcome]) -> dict[str, str]:
    return {o.what: o.reason for o in found if isinstance(o, Skipped)}


def test_a_forest_leaks_and_a_linear_model_hardly_does() -> None:
    forest, linear = measured(outcomes("forest")), measured(outcomes("logistic"))
    assert forest["membership_auc"].low > 0.65 and forest["tpr_at_fpr_001"].low > 0.03
    assert linear["membership_auc"].low < 0.55 and linear["tpr_at_fpr_001"].value < 0.05
    assert forest["membership_advantage"].value > 3 * linear["membership_advantage"].value
    assert forest["membership_auc"].threat_model == "lira,scores,recipe,shadows:4"
    assert {"rmia.membership_auc", "lira_offline.tpr_at_fpr_001", "loss.membership_auc"} <= forest.keys()


def test_without_shadows_the_loss_of_each_row_is_what_is_left() -> None:
    found = outcomes("logistic", shadows=0)
    assert measured(found)["membership_auc"].threat_model == "loss,scores"
    assert {"lira", "rmia"} <= skips(found).keys()
    table = read_table(next(o.data for o in found if isinstance(o, Table)))
    members = table.columns["member"].astype(bool)
    assert members.sum() == len(TRAIN.y) and (~members).sum() == len(TEST.y)
    p = fitted("logistic").predict_proba(TRAIN.x)[np.arange(len(TRAIN.y)), TRAIN.y]
    assert np.allclose(np.sort(table.columns["score"][members]), np.sort(np.log(p)))


def test_test_rows_that_were_trained_on_are_left_out_and_said() -> None:
    mixed = TEST.csv + b"\n".join(TRAIN.csv.splitlines()[1:51]) + b"\n"
    found = outcomes("logistic", mixed)
    assert any("50 test rows" in what for what in skips(found))
    table = read_table(next(o.data for o in found if isinstance(o, Table)))
    assert (table.columns["member"] == 0).sum() == len(TEST.y)


def test_without_training_data_there_is_nothing_to_compare() -> None:
    found = run(membership, world(saved("logistic"), TEST.csv))
    assert "trained_on" in found[-1].reason


def test_few_others_show_the_area_but_no_rate_at_one_percent() -> None:
    found = outcomes("logistic", lines(TEST.csv, 60))
    assert {"membership_auc", "membership_advantage"} <= measured(found).keys()
    assert "tpr_at_fpr_001" not in measured(found) and "2000 are needed" in skips(found)["tpr_at_fpr_001"]


def test_too_few_rows_are_not_measured_at_all() -> None:
    found = outcomes("logistic", lines(TEST.csv, 29))
    assert not measured(found) and "too few rows" in skips(found)["privacy.membership"]


def test_a_rate_on_too_few_false_positives_says_how_many_rows_it_needs() -> None:
    found = skips(outcomes("logistic"))
    assert "2000 are needed for a firm threshold" in found["certainty of tpr_at_fpr_001"]
    assert "20000 are needed" in found["tpr_at_fpr_0001"]


def test_at_most_the_asked_rows_of_each_side_are_drawn() -> None:
    assert measured(outcomes("logistic", max_rows=150))["membership_auc"].n == 300


def test_a_model_with_labels_alone_is_shaken() -> None:
    from sklearn.linear_model import RidgeClassifier
    from skops.io import dumps

    x = np.nan_to_num(TRAIN.x[:200])
    data = dumps(RidgeClassifier().fit(x, TRAIN.y[:200]))
    plain = b"\n".join(line for line in TEST.csv.splitlines() if b",," not in line) + b"\n"
    train = b"\n".join(line for line in lines(TRAIN.csv, 250).splitlines() if b",," not in line) + b"\n"
    found = run(membership, world(data, plain, train, options=FEW))
    area = measured(found)["membership_auc"]
    assert area.threat_model == "label_only,labels" and 0.4 < area.value < 0.6
    assert all("capability" in skips(found)[name] for name in ("lira", "rmia", "loss"))


def of_function(answer: Any, output: str = "scores") -> list[Outcome]:
    """The check run on a function in place of the model file."""
    import assay.predictors.subject as place

    stated = declared({"predictor": "python:x:y", "features": list(FEATURES),
                       "interface": {"classes": [0, 1], "output": output}})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "load_predictor", lambda asset, context: Predictor(FunctionModel(answer, stated)))
        return outcomes("logistic")


def two(p: Any) -> Any:
    return np.stack([1 - p, p], axis=1)


def test_scores_without_a_recipe_are_compared_with_models_of_the_attackers_own() -> None:
    found = of_function(lambda batch: fitted("forest").predict_proba(batch))
    assert "capability" in skips(found)["lira"]
    best = measured(found)["membership_auc"]
    assert best.threat_model == "rmia,scores,references:4" and best.low > 0.65


def test_a_network_is_attacked_by_networks_of_its_own_recipe() -> None:
    torch = pytest.importorskip("torch")
    import assay.predictors.subject as place
    from assay.predictors.torch_model import Torch

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 8)), rng.integers(0, 2, 300)  # labels by chance: whatever is learnt is memory
    network = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    recipe = {"epochs": 60, "rate": 0.02, "batch": 50}
    stated = {"predictor": "torch", "interface": {"shape": [8], "classes": [0, 1], "recipe": recipe}}
    model = Predictor(Torch(network, declared(stated))).trainer().train(x[:150], y[:150].astype(np.int32), 0)
    texts = [["".join(f"{v}," for v in row) + str(label) for row, label in zip(x, y, strict=True)][part]
             for part in (slice(150, None), slice(150))]  # fmt: skip
    head = ",".join("abcdefgh") + ",label"
    where = world(b"x", *("\n".join([head, *rows, ""]).encode() for rows in texts), declared=stated,
                  of_data={"target": "label"}, options=FEW)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "load_predictor", lambda asset, context: model)
        area = measured(run(membership, where))["membership_auc"]
    assert area.threat_model == "lira,scores,recipe,shadows:4" and area.low > 0.7


def test_a_model_that_changes_its_answers_is_measured_as_invalid() -> None:
    rng = np.random.default_rng(0)
    found = of_function(lambda batch: two(rng.random(len(batch))))
    assert not any(m.valid for m in measured(found).values())
    assert "different answers" in skips(found)["validity of privacy.membership"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda b: np.full((len(b), 2), np.nan), "something else than labels"),
        (lambda b: np.ones((len(b), 3)) / 3, "something else than a number a class"),
        (lambda b: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_model_that_answers_nonsense_is_a_skip_with_its_reason(answer: Any, reason: str) -> None:
    found = of_function(answer)
    assert not measured(found) and any(reason in said for said in skips(found).values())


def test_a_constant_answer_hides_nothing_and_leaks_nothing() -> None:
    found = measured(of_function(lambda batch: ["1"] * len(batch), "labels"))
    assert found["membership_auc"].low < 0.5 < found["membership_auc"].high


def test_the_advantage_is_the_largest_gap_between_the_two_rates() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 400), rng.normal(0, 1, 300)
    expected = max((members >= cut).mean() - (others >= cut).mean() for cut in np.concatenate([members, others]))
    found = advantage(members, others, 0)
    assert found.estimate == pytest.approx(expected) and found.low <= found.estimate <= found.high
    assert advantage(np.zeros(50), np.zeros(50), 0).estimate == 0.0


@pytest.mark.parametrize("sizes", [(10, 10), (7, 12), (1, 5)])
def test_every_row_is_inside_exactly_half_of_the_shadows(sizes: tuple[int, int]) -> None:
    is_member = np.arange(sum(sizes)) < sizes[0]
    inside = halves(is_member, 6, np.random.default_rng(0))
    assert inside.shape == (6, sum(sizes)) and (inside.sum(axis=0) == 3).all()
    assert (abs(inside[:, is_member].sum(axis=1) - sizes[0] / 2) <= 0.5).all()


def known_shadows(count: int = 64, n: int = 4_000) -> Iterator[Any]:
    """Log odds that are normal with a mean of the row's own, one higher inside."""
    rng = np.random.default_rng(0)
    inside = halves(np.ones(n, bool), count, rng)
    own = rng.normal(0, 3, n)
    is_member = rng.random(n) < 0.5
    log_odds = own + inside + rng.normal(0, 0.5, inside.shape)
    yield Shadows(inside, -np.log1p(np.exp(-log_odds)), log_odds)
    yield own + is_member + rng.normal(0, 0.5, n)
    yield is_member


def test_the_likelihood_ratio_is_that_of_the_normals_it_was_drawn_from() -> None:
    shadows, log_odds, is_member = known_shadows()
    score = online(log_odds, shadows)
    found = float((score[is_member][:, None] > score[~is_member][None]).mean())
    assert found == pytest.approx(0.9214, abs=0.02)  # Phi(1 / (0.5 sqrt 2)), the best that any attack can do
    assert np.corrcoef(offline(log_odds, shadows), score)[0, 1] > 0.5
    ratio = relative(-np.log1p(np.exp(-log_odds)), shadows)
    assert (ratio[is_member].mean() - ratio[~is_member].mean()) > 0.2


def test_the_variance_of_a_row_is_drawn_towards_the_pooled_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, np.array([0.1, 1.0, 3.0]), (20_000, 3))
    many = fitted_normal(values, np.ones(values.shape, bool)).deviation
    few = fitted_normal(values[:3], np.ones((3, 3), bool)).deviation
    assert np.allclose(many, [0.1, 1.0, 3.0], rtol=0.15)
    assert few.max() / few.min() < 2


def test_log_odds_of_logits_are_exact_where_scores_have_rounded_to_one() -> None:
    class Sure:
        info = declared({"features": ["a"]}).info((0, 1, 2))
        capabilities = frozenset({"labels", "scores", "logits"})

        def ask(self, wanted: str, batch: Any) -> Any:
            return np.tile([60.0, 0.0, 0.0], (len(batch), 1))

    found = confidence(Predictor(Sure()), np.zeros((2, 1)), np.array([0, 1]))  # type: ignore[arg-type]
    assert found.log_odds == pytest.approx([60 - np.log(2), -60.0])


def test_a_score_of_zero_is_taken_for_half_of_the_smallest_one() -> None:
    class Coarse:
        info = declared({"features": ["a"]}).info((0, 1))
        capabilities = frozenset({"labels", "scores"})

        def ask(self, wanted: str, batch: Any) -> Any:
            return np.array([[1.0, 0.0], [0.98, 0.02]])

    model = Predictor(Coarse())  # type: ignore[arg-type]
    found = confidence(model, np.zeros((2, 1)), np.array([0, 1]))
    assert found.log_odds == pytest.approx([-np.log(0.01), np.log(0.02 / 0.98)])
    assert modified_entropy(model, np.zeros((2, 1)), np.array([0, 1]))[0] > -1e-9
