"""Skops files: real models are clean, and every forged name, node, id and tree is seen without loading anything."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.contract.material import loans, saved

from assay.core.errors import MalformedInput
from assay.formats.skops_file import TYPES_FILE, SkopsFacts, skops_facts

Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


def facts(data: bytes) -> SkopsFacts:
    return skops_facts(data)


def edited(data: bytes, edit: Edit) -> bytes:
    """A skops file whose schema and members an attacker changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    schema = json.loads(members.pop("schema.json"))
    edit(schema, members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, content in {**members, "schema.json": json.dumps(schema).encode()}.items():
            new.writestr(name, content)
    return buffer.getvalue()


def nodes(value: Any, loader: str) -> list[dict[str, Any]]:
    found = []
    if isinstance(value, dict):
        found = [value] if value.get("__loader__") == loader else []
        found += [node for item in value.values() for node in nodes(item, loader)]
    elif isinstance(value, list):
        found = [node for item in value for node in nodes(item, loader)]
    return found


@pytest.mark.parametrize("kind", ["logistic", "boosting", "forest"])
def test_a_real_model_is_clean(kind: str) -> None:
    found = facts(saved(kind))
    assert found.is_clean, (found.unlisted, found.problems)


def test_what_skops_asks_for_is_what_was_reviewed() -> None:
    from skops.io import get_untrusted_types

    for kind in ("logistic", "boosting", "forest"):
        assert list(facts(saved(kind)).reviewed) == get_untrusted_types(data=saved(kind))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["SVC", "KNeighborsClassifier", "MLPClassifier", "GaussianNB", "ColumnTransformer"])
def test_other_estimators_are_clean(name: str) -> None:
    import sklearn.compose
    import sklearn.naive_bayes
    import sklearn.neighbors
    import sklearn.neural_network
    import sklearn.preprocessing
    import sklearn.svm
    from skops.io import dumps

    made: dict[str, Any] = {
        "SVC": sklearn.svm.SVC(),
        "KNeighborsClassifier": sklearn.neighbors.KNeighborsClassifier(algorithm="brute"),
        "MLPClassifier": sklearn.neural_network.MLPClassifier((3,), max_iter=3),
        "GaussianNB": sklearn.naive_bayes.GaussianNB(),
        "ColumnTransformer": sklearn.compose.ColumnTransformer(
            [("a", sklearn.preprocessing.StandardScaler(), [0]), ("b", sklearn.preprocessing.OneHotEncoder(), [2])]
        ),
    }
    data = loans("train")
    x = np.nan_to_num(data.x[:100])
    assert facts(dumps(made[name].fit(x, data.y[:100]))).is_clean


def forge_class(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    nodes(schema, "ObjectNode")[0].update({"__module__": "os", "__class__": "system"})


def forge_function(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    nodes(schema, "JsonNode")[0].update({"__loader__": "FunctionNode", "__module__": "posix", "__class__": "system"})


def forge_role(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    nodes(schema, "TypeNode")[0].update({"__module__": "sklearn.pipeline", "__class__": "Pipeline"})


def forge_loader(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    nodes(schema, "JsonNode")[0].update(
        {"__loader__": "OperatorFuncNode", "__module__": "operator", "__class__": "methodcaller"}
    )


def forge_constructor(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    nodes(schema, "ListNode")[0].update(
        {"__loader__": "ConstructorFromReduceNode", "__module__": "builtins", "__class__": "exec"}
    )


@pytest.mark.parametrize("edit", [forge_class, forge_function, forge_role, forge_loader, forge_constructor])
def test_a_forged_name_is_not_listed_in_its_role(edit: Edit) -> None:
    found = facts(edited(saved("logistic"), edit))
    assert found.unlisted and not found.is_clean


def test_an_unknown_node_is_seen_wherever_it_hides() -> None:
    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        schema["ignored"] = [{"deep": {"__loader__": "NewNode", "__module__": "a", "__class__": "b"}}]

    assert [found.loader for found in facts(edited(saved("logistic"), edit)).unlisted] == ["NewNode"]


@pytest.mark.parametrize("protocol", [0, 1, 3, True, None, "2"])
def test_another_protocol_is_not_vouched_for(protocol: object) -> None:
    found = facts(edited(saved("logistic"), lambda schema, members: schema.update(protocol=protocol)))
    assert "protocol" in found.problems[0]


def test_an_array_of_objects_is_a_problem() -> None:
    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}], object), allow_pickle=True)
        members[next(name for name in members if name.endswith(".npy"))] = buffer.getvalue()

    assert "holds objects" in facts(edited(saved("logistic"), edit)).problems[0]


def test_a_member_that_no_node_names_is_a_problem() -> None:
    found = facts(edited(saved("logistic"), lambda schema, members: members.update({"payload.pkl": b"cos\nsystem\n."})))
    assert "payload.pkl" in found.problems[0]


def test_one_id_for_two_objects_is_a_problem() -> None:
    """Skops would put the first in the place of the second, behind the back of any check of the second."""

    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        first, second = nodes(schema, "NdArrayNode")[:2]
        second["__id__"] = first["__id__"]

    assert "same id" in facts(edited(saved("boosting"), edit)).problems[0]


def tree_members(schema: dict[str, Any]) -> tuple[dict[str, Any], str]:
    tree = nodes(schema, "TreeNode")[0]
    return tree, tree["content"]["content"]["nodes"]["file"]


def with_node(column: str, row: int, value: int) -> Edit:
    def edit(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        _, name = tree_members(schema)
        array = np.load(io.BytesIO(members[name]))
        array[column][row] = value
        buffer = io.BytesIO()
        np.save(buffer, array)
        members[name] = buffer.getvalue()

    return edit


def with_count(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    tree_members(schema)[0]["content"]["content"]["node_count"]["content"] = "9999"


def with_width(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    tree_members(schema)[0]["__reduce__"]["args"]["content"][0]["content"] = "5000"


def with_narrow_estimator(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    for node in nodes(schema, "ObjectNode"):
        if node["__class__"] == "GradientBoostingClassifier":
            node["content"]["content"]["n_features_in_"]["content"] = "1"


def with_dropped_width(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    for node in nodes(schema, "ObjectNode"):
        if node["__class__"] == "DecisionTreeRegressor":
            del node["content"]["key_types"]["content"][1:]


def with_fewer_scores(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    for node in nodes(schema, "ObjectNode"):
        if node["__class__"] == "GradientBoostingClassifier":
            node["content"]["content"]["n_trees_per_iteration_"]["content"] = "0"


@pytest.mark.parametrize(
    "edit",
    [
        with_dropped_width, with_fewer_scores, with_node("left_child", 0, 10**6), with_node("right_child", 0, 0), with_node("left_child", 0, -7),
        with_node("feature", 0, 12), with_node("feature", 0, -5), with_count, with_width, with_narrow_estimator,
    ],
)  # fmt: skip
def test_a_forged_tree_is_a_problem(edit: Edit) -> None:
    """scikit-learn follows these numbers without looking: out of the array, out of the row, or for ever."""
    found = facts(edited(saved("boosting"), edit))
    assert found.problems and not found.unlisted


def test_a_schema_bomb_is_malformed() -> None:
    deep = json.dumps({"__loader__": "DictNode"})[:-1] + ',"content":' + "[" * 5000 + "]" * 5000 + "}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("schema.json", deep)
    with pytest.raises(MalformedInput):
        facts(buffer.getvalue())


def test_the_list_is_what_its_script_writes_for_the_versions_it_names() -> None:
    from importlib.metadata import version

    from tools.make_skops_types import allowlist

    written = json.loads(TYPES_FILE.read_text("utf-8"))
    if any(version(name) != stated for name, stated in written["made_from"].items()):
        pytest.skip("other versions are installed")
    assert written == allowlist()
