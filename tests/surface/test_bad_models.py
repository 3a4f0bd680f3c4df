"""Models and data that misbehave, through `assay check`: each is a failed or undecided check with its reason, and the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.surface.shop import Ran, Shop

BEHAVIOUR = {
    "good": "return [int(row[0] > 0) for row in rows]",
    "hangs": "time.sleep(600)",
    "crashes": "os.kill(os.getpid(), signal.SIGSEGV)",
    "exits": "os._exit(0)",
    "raises": "raise ValueError('out of paper')",
    "not_numbers": "return [float('nan')] * len(rows)",
    "too_few": "return [0] * (len(rows) - 1)",
    "a_matrix": "return [[0, 1, 2]] * len(rows)",
    "nothing": "return None",
    "changing": "return [random.Random(os.urandom(8)).randrange(2) for row in rows]",
    "other_classes": "return ['maybe'] * len(rows)",
}
TIME_S = "4"
ASKING = ("quality.accuracy", "robustness.tabular", "fairness.group_gaps")
MISBEHAVING = [
    ("hangs", "labels", "failed: took longer than 4 s"),
    ("crashes", "labels", "failed: the worker was killed by SIGSEGV"),
    ("exits", "labels", "failed: the worker ended without a result"),
    ("raises", "labels", "skipped: the model refuses the rows: ValueError: out of paper"),
    ("not_numbers", "labels", "NaN"),
    ("not_numbers", "scores", "NaN"),
    ("too_few", "labels", "something else than labels: shape"),
    ("a_matrix", "labels", "something else than labels: shape"),
    ("a_matrix", "scores", "something else than"),
    ("nothing", "labels", "something else than labels"),
    ("other_classes", "labels", "none of its classes"),
]
CONFIG = """\
project: bad
assets:
  rows: {{kind: dataset, path: rows.csv, target: label, sensitive: [group], origin: {{uri: "file:rows.csv"}}}}
  code: {{kind: code, path: bad.py, origin: {{uri: "file:bad.py"}}}}
  model:
    kind: model
    path: model
    predictor: "python:bad:{function}"
    features: [a, b]
    interface: {interface}
    tested_on: [rows]
    built_by: code
checks:
  quality.accuracy: {{}}
  robustness.tabular: {{rows: 20, budget: 10}}
  fairness.group_gaps: {{}}
"""


def project(folder: Path, function: str, rows: list[str], output: str = "labels") -> Shop:
    """A registered model whose answers `function` gives; it lies in one file that every scan finds clean."""
    shop = Shop(folder / "shop", folder / "state")
    (shop.folder / "model").mkdir(parents=True)
    (shop.folder / "model" / "notes.json").write_text("{}")
    functions = "\n\n".join(f"def {name}(rows):\n    {body}" for name, body in BEHAVIOUR.items())
    (shop.folder / "bad.py").write_text(f"import os, random, signal, time\n\n{functions}\n")
    (shop.folder / "rows.csv").write_text("\n".join(["a,b,group,label", *rows]) + "\n")
    interface = f"{{classes: [0, 1], output: {output}}}"
    (shop.folder / "assay.yaml").write_text(CONFIG.format(function=function, interface=interface))
    assert shop.run("init", "--no-passphrase").code == 0
    registered = shop.run("register")
    assert registered.code == 0, registered.said
    return shop


def some_rows(count: int = 80, group: str = "xy") -> list[str]:
    return [f"{(-1) ** at * (1 + at % 7)},{at % 5},{group[at // 2 % len(group)]},{1 - at % 2}" for at in range(count)]


ROWS: list[tuple[str, list[str], dict[str, str]]] = [
    ("too few rows", some_rows(4), {"fairness.group_gaps": "fewer than 30"}),
    ("one class", [row[:-1] + "1" for row in some_rows()], {"quality.accuracy": "one class only", "robustness.tabular": "one class only"}),
    ("other labels", [row[:-1] + "no" for row in some_rows()], dict.fromkeys(ASKING, "no label of the data is a class of the model")),
    ("one group", some_rows(group="x"), {"fairness.group_gaps": "there is one group only"}),
    ("a small group", [*some_rows(group="x"), "1,1,y,1"], {"fairness.group_gaps": "only 1 rows, fewer than 30"}),
    ("no rows", [], dict.fromkeys(ASKING, "there are no rows to evaluate on")),
]  # fmt: skip


def checked(shop: Shop) -> Ran:
    return shop.run("check", "model", "--only", "model_file.*", "--only", "quality.accuracy", "--only", "robustness.tabular", "--only",
                    "fairness.group_gaps", "--timeout", TIME_S, "--format", "json")  # fmt: skip


def said_by(ran: Ran) -> dict[str, str]:
    """State and reason of each check that asks the model."""
    return {one["check"]: f"{one['state']}: {one['reason']}" for one in ran.json["results"] if one["check"] in ASKING}


def test_a_good_function_is_measured_by_every_check(tmp_path: Path) -> None:
    ran = checked(project(tmp_path, "good", some_rows()))
    assert ran.code == 0, ran.said
    assert {said.partition(":")[0] for said in said_by(ran).values()} == {"done"} and len(said_by(ran)) == len(ASKING)


@pytest.mark.parametrize(("function", "output", "reason"), MISBEHAVING)
def test_a_misbehaving_model_ends_its_checks_and_nothing_else(
    function: str, output: str, reason: str, tmp_path: Path
) -> None:
    ran = checked(project(tmp_path, function, some_rows(), output))
    assert ran.code == 3, ran.said
    said = said_by(ran)
    assert len(said) == len(ASKING) and all(reason in one for one in said.values()), said
    assert all(not one["measurements"] for one in ran.json["results"] if one["check"] in ASKING)
    assert "done" in {one["state"] for one in ran.json["results"]}  # the scan of its files


def test_a_model_that_changes_its_answers_is_measured_but_not_believed(tmp_path: Path) -> None:
    ran = checked(project(tmp_path, "changing", some_rows()))
    said = said_by(ran)
    assert all("equal queries give different answers" in one for one in said.values()), said
    values = [
        one
        for result in ran.json["results"]
        for one in result["measurements"]
        if "group" not in one or not one["group"]
    ]
    assert values and not any(
        one["valid"] for one in values if one["metric"] in ("accuracy", "tabular.robust_accuracy")
    )


@pytest.mark.parametrize(("what", "rows", "reasons"), ROWS, ids=[name for name, _, _ in ROWS])
def test_rows_that_cannot_say_are_named(what: str, rows: list[str], reasons: dict[str, str], tmp_path: Path) -> None:
    ran = checked(project(tmp_path, "good", rows))
    said = said_by(ran)
    assert len(said) == len(ASKING) and all(reason in said[check] for check, reason in reasons.items()), said
    assert ran.code == (3 if any("skipped" in one for one in said.values()) else 0)
