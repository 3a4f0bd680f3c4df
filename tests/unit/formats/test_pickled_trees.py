"""Trees in pickles: those that libraries write are clean in every protocol and in joblib; forged ones are refused."""

from __future__ import annotations

import gzip
import io
import pickle

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from assay.checks.model_file.judge import judge
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

X, Y = make_classification(80, 5, random_state=0)


def fitted() -> dict[str, object]:
    models = [
        DecisionTreeClassifier(max_depth=3), DecisionTreeRegressor(max_depth=1), ExtraTreeClassifier(), RandomForestClassifier(4, max_depth=3),
        ExtraTreesRegressor(3), GradientBoostingClassifier(n_estimators=3), HistGradientBoostingClassifier(max_iter=3), IsolationForest(n_estimators=3),
        AdaBoostClassifier(n_estimators=3), BaggingClassifier(n_estimators=3, max_features=0.5),
        BaggingClassifier(RandomForestClassifier(2), 2, max_features=0.6),
        VotingClassifier([("a", RandomForestClassifier(2)), ("b", DecisionTreeClassifier())]), make_pipeline(StandardScaler(), RandomForestClassifier(2)),
    ]  # fmt: skip
    rows = np.abs(np.round(X))
    found = {f"{i}-{type(m).__name__}": m.fit(rows, Y) for i, m in enumerate(models)}
    found["outputs"] = MultiOutputClassifier(DecisionTreeClassifier(max_depth=2)).fit(rows, np.c_[Y, 1 - Y])
    found["two-outputs"] = DecisionTreeClassifier(max_depth=2).fit(rows, np.c_[Y, 1 - Y])
    return found


MODELS = fitted()


def verdict(data: bytes) -> Verdict:
    return judge(read_facts(data, "m.pkl")).verdict


def saved(model: object, compress: int = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=compress)
    return buffer.getvalue()


@pytest.mark.parametrize("name", MODELS)
def test_trees_of_the_library_are_clean(name: str) -> None:
    model = MODELS[name]
    for data in (*(pickle.dumps(model, protocol) for protocol in range(2, 6)), saved(model), saved(model, 3)):
        found = judge(read_facts(data, "m.pkl"))
        assert found.problems == ()


def forged(model: object, column: str, value: int, protocol: int) -> bytes:
    """The model with one number of its first tree's nodes changed, in the bytes of its pickle."""
    nodes = model.tree_.__getstate__()["nodes"]
    bad = nodes.copy()
    bad[column][0] = value
    data = pickle.dumps(model, protocol) if protocol else saved(model)
    assert data.count(nodes.tobytes()) == 1
    return data.replace(nodes.tobytes(), bad.tobytes())


@pytest.mark.parametrize("protocol", [0, 3, 4, 5])
@pytest.mark.parametrize(
    ("column", "value"),
    [("left_child", 1 << 40), ("right_child", 0), ("feature", 99), ("feature", -7), ("left_child", -5)],
)
def test_a_tree_that_points_outside_itself_is_refused(protocol: int, column: str, value: int) -> None:
    """scikit-learn pull request 34558: indices of a pickled tree are used unchecked."""
    data = forged(MODELS["0-DecisionTreeClassifier"], column, value, protocol)
    assert verdict(data) is Verdict.MALICIOUS
    assert verdict(gzip.compress(data, mtime=0)) is Verdict.MALICIOUS


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_tree_with_another_count_or_width_is_refused(protocol: int) -> None:
    tree = DecisionTreeClassifier(max_depth=2).fit(X, Y)
    for change in ({"n_features_in_": 2}, {"n_features_in_": 50}):
        tree.__dict__.update(change)
        assert verdict(pickle.dumps(tree, protocol)) is Verdict.MALICIOUS
    state = MODELS["1-DecisionTreeRegressor"].tree_.__reduce__()
    state[2]["node_count"] = 2

    class Wrong:
        def __reduce__(self) -> object:
            return state

    assert verdict(pickle.dumps(Wrong(), protocol)) is Verdict.MALICIOUS


def test_a_forest_whose_trees_expect_more_features_is_refused() -> None:
    forest = RandomForestClassifier(3, max_depth=2).fit(X, Y)
    forest.n_features_in_ = 2
    assert verdict(pickle.dumps(forest)) is Verdict.MALICIOUS
    boosted = GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    boosted.n_features_in_ = 2
    assert verdict(pickle.dumps(boosted)) is Verdict.MALICIOUS


def test_a_boosted_tree_that_points_outside_itself_is_refused() -> None:
    model = HistGradientBoostingClassifier(max_iter=1).fit(X, Y)
    nodes = model._predictors[0][0].nodes
    nodes["left"][0] = 1 << 20
    assert verdict(pickle.dumps(model)) is Verdict.MALICIOUS


def test_a_tree_whose_arrays_cannot_be_found_is_not_clean() -> None:
    data = pickle.dumps(MODELS["0-DecisionTreeClassifier"], 4)
    assert verdict(data.replace(b"node_count", b"node_counx")) is Verdict.INCONCLUSIVE
