"""Models are loaded only if every name is cleared, and rows reach them in the declared order."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.contract.material import FEATURES, MODEL, MemoryContext, asset, fitted, lines, loans, saved, world

from assay.core.assets import Kind
from assay.core.canonical import canonical
from assay.core.errors import MalformedInput, Refused, Undecided
from assay.formats.tabular import Rows, read_rows
from assay.predictors.declared import declared
from assay.predictors.loading import load_predictor
from assay.predictors.predictor import Capability, Info, Predictor
from assay.predictors.rows import canonical_rows, evaluation_rows
from assay.predictors.scikit_learn import load_scikit_learn
from assay.predictors.subject import subject

TEST = loans("test")


def loaded(kind: str, **stated: object) -> Predictor:
    return Predictor(load_scikit_learn(saved(kind), declared({**MODEL, **stated})))


def test_labels_and_scores_are_those_of_the_model() -> None:
    model = loaded("boosting")
    assert (model.labels(TEST.x) == fitted("boosting").predict(TEST.x)).all()
    assert np.allclose(model.scores(TEST.x), fitted("boosting").predict_proba(TEST.x))
    assert model.rows_queried == 2 * len(TEST.x)
    assert model.capabilities == {Capability.LABELS, Capability.SCORES, Capability.RETRAIN} and model.info.classes == (
        0,
        1,
    )


def test_no_rows_give_no_answers() -> None:
    model = loaded("logistic")
    assert model.labels(TEST.x[:0]).shape == (0,) and model.scores(TEST.x[:0]).shape == (0, 2)


def test_a_type_that_is_not_listed_is_refused_before_skops_reads_it() -> None:
    from sklearn.preprocessing import FunctionTransformer
    from skops.io import dumps

    with pytest.raises(Refused, match="posix"):
        load_scikit_learn(dumps(FunctionTransformer(__import__("posix").system)), declared(MODEL))


def test_a_pickle_is_never_loaded() -> None:
    with pytest.raises(MalformedInput):
        load_scikit_learn(b"cos\nsystem\n(S'true'\ntR.", declared(MODEL))


def test_rows_that_the_model_refuses_are_undecided() -> None:
    with pytest.raises(Undecided, match="refuses"):
        loaded("no-imputer").labels(TEST.x)
    with pytest.raises(Undecided, match="refuses"):
        loaded("logistic").labels(TEST.x[:, :3])


def test_a_transformer_cannot_be_evaluated() -> None:
    from sklearn.preprocessing import StandardScaler
    from skops.io import dumps

    with pytest.raises(Undecided, match="no fitted estimator"):
        load_scikit_learn(dumps(StandardScaler().fit(np.nan_to_num(TEST.x))), declared(MODEL))


@pytest.mark.parametrize(
    ("files", "declared", "reason"),
    [
        ({"a.txt": b"x"}, {}, "no single model file"),
        ({"a.skops": b"x", "b.skops": b"x"}, {}, "no single model file"),
        ({"a.skops": b"x"}, {"predictor": "oracle"}, "not available"),
        ({"a.skops": b"x"}, {"file": "b.skops"}, "no single model file"),
    ],
)
def test_an_asset_without_one_model_is_undecided(
    files: dict[str, bytes], declared: dict[str, str], reason: str
) -> None:
    model = asset(Kind.MODEL, files, declared)
    with pytest.raises(Undecided, match=reason):
        load_predictor(model, MemoryContext({model.digest: files}))


def framed() -> tuple[bytes, list[str]]:
    """A model fitted on named columns, one of them text, that its pipeline picks by name."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from skops.io import dumps

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=80), "colour": rng.choice(["red", "blue"], 80)})
    y = ((frame["size"] > 0) & (frame["colour"] == "red")).astype(int)
    pick = ColumnTransformer([("n", StandardScaler(), ["size"]), ("c", OneHotEncoder(), ["colour"])])
    model = make_pipeline(pick, LogisticRegression()).fit(frame, y)
    frame["label"] = y
    return dumps(model), frame.to_csv(index=False).splitlines()


def test_a_pipeline_that_picks_columns_by_name_gets_them() -> None:
    model, rows = framed()
    found = subject(*_of(world(model, "\n".join(rows).encode(), declared={}, of_data={})))
    assert found.predictor.info.features == ("size", "colour")
    labels = found.predictor.labels(found.rows.features)
    assert (labels == found.rows.target).mean() > 0.8


def test_features_declared_in_another_order_are_refused() -> None:
    model, rows = framed()
    where = world(model, "\n".join(rows).encode(), declared={"features": ["colour", "size"]}, of_data={})
    with pytest.raises(Undecided, match="not those of the model"):
        subject(*_of(where))


def _of(where: object) -> tuple[object, object]:
    return where.model, where.context


def dataset(data: bytes, **declared: object) -> tuple[object, MemoryContext]:
    made = asset(Kind.DATASET, {"rows.csv": data}, declared)
    return made, MemoryContext({made.digest: {"rows.csv": data}})


INFO = Info("classification", (0, 1), FEATURES)


def test_rows_come_in_the_order_of_the_model() -> None:
    made, context = dataset(TEST.csv, target="approve", sensitive=["black"])
    rows = evaluation_rows(INFO, [made], context)
    assert np.array_equal(rows.features, TEST.x, equal_nan=True)
    assert (rows.target == TEST.y).all() and rows.missing == np.isnan(TEST.x).sum()
    assert set(rows.groups["black"]) == {"0", "1"} and rows.immutable == ("black",)


def test_a_row_keeps_its_id_under_another_order_spelling_and_encoding() -> None:
    one = read_rows(b"b,a,c\n1,x,\n2.50,y,3\n", "t.csv")
    two = read_rows(b'{"a":"y","b":2.5,"c":3}\n{"a":"x","b":1.0,"c":null}\n', "t.jsonl")
    assert sorted(canonical_rows(one)) == sorted(canonical_rows(two))
    assert next(iter(canonical_rows(one))) == canonical({"a": "x", "b": 1, "c": None})


def test_a_column_of_vectors_stands_as_its_digest() -> None:
    values = np.arange(6.0).reshape(2, 3)
    rows = list(canonical_rows(Rows({"x": values}, 2)))
    assert rows[0] == canonical({"x": hashlib.sha256(values[0].tobytes()).hexdigest()})


@pytest.mark.parametrize("spelling", [[b"0", b"1"], [b"0.0", b"1.0"]])
def test_labels_are_matched_by_value(spelling: list[bytes]) -> None:
    data = b"label,f\n" + b"\n".join(value + b",1" for value in spelling) + b"\n"
    made, context = dataset(data)
    assert evaluation_rows(Info("classification", (False, True)), [made], context).target.tolist() == [0, 1]
    assert evaluation_rows(Info("classification", ("1", "0")), [made], context).target.tolist() == [1, 0]


def test_several_datasets_are_stacked_if_they_say_the_same() -> None:
    first, second = (
        asset(Kind.DATASET, {f"{name}.csv": data}, {"target": "approve"})
        for name, data in (("a", lines(TEST.csv, 100)), ("b", TEST.csv))
    )
    context = MemoryContext({first.digest: {"a.csv": lines(TEST.csv, 100)}, second.digest: {"b.csv": TEST.csv}})
    rows = evaluation_rows(INFO, [first, second], context)
    assert rows.n == 100 + len(TEST.y) and len({row.tobytes() for row in rows.ids}) == rows.n
    other = asset(Kind.DATASET, {"b.csv": TEST.csv}, {"target": "black"})
    with pytest.raises(Undecided, match="different things"):
        evaluation_rows(INFO, [first, other], context)
