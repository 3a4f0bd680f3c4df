"""Networks of PyTorch that misbehave, through `assay check`: each is a failed or undecided check with its reason, never a number."""

from __future__ import annotations

import pytest
from tests.surface.shop import Shop
from tests.surface.test_bad_models import some_rows

torch = pytest.importorskip("torch")
FORWARD = {
    "good": "return self.last(x)",
    "hangs": "time.sleep(600)",
    "exits": "os._exit(0)",
    "raises": "raise OutOfPaper('tray 2')",
    "nan": "return self.last(x) * float('nan')",
    "seldom_nan": "return torch.where(x[:, :1] == 7, float('nan'), self.last(x))",
    "too_few": "return self.last(x)[:-1]",
    "a_class_more": "return torch.cat([self.last(x), self.last(x)[:, :1]], dim=1)",
    "no_tensor": "return 'yes'",
    "changing": "return self.last(x) + torch.randn(len(x), 2)",
}
MISBEHAVING = {
    "hangs": "failed: took longer than 3 s",
    "exits": "failed: the worker ended without a result",
    "raises": "skipped: the model refuses the rows: OutOfPaper: tray 2",
    "nan": "NaN",
    "seldom_nan": "NaN",
    "too_few": "something else than numbers",
    "a_class_more": "something else than",
    "no_tensor": "something else than numbers",
}
CODE = """\
import os, time
import torch

class OutOfPaper(Exception):
    pass

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(2, 2)
"""
MODEL = """\
  {name}:
    kind: model
    path: {name}
    predictor: torch
    features: [a, b]
    interface: {{classes: [0, 1], factory: "python:nets:{name}"}}
    tested_on: [rows]
    built_by: code
"""
PROJECT = """\
project: nets
assets:
  rows: {kind: dataset, path: rows.csv, target: label, sensitive: [group], origin: {uri: "file:rows.csv"}}
  code: {kind: code, path: nets.py, origin: {uri: "file:nets.py"}}
"""
ASKING = ("quality.accuracy", "quality.calibration")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A network for each way to behave, all registered."""
    made = Shop(folder := tmp_path_factory.mktemp("nets") / "shop", folder.parent / "state")
    folder.mkdir()
    classes = (f"class {name}(Net):\n    def forward(self, x):\n        {body}\n" for name, body in FORWARD.items())
    (folder / "nets.py").write_text("\n".join((CODE, *classes)))
    (folder / "rows.csv").write_text("\n".join(["a,b,group,label", *some_rows(210)]) + "\n")
    (folder / "assay.yaml").write_text(PROJECT + "".join(MODEL.format(name=name) for name in FORWARD))
    for place, name in enumerate(FORWARD):
        (folder / name).mkdir()
        weights = {"last.weight": torch.tensor([[-0.1 - place / 100, 0.0], [0.1, 0.0]]), "last.bias": torch.zeros(2)}
        torch.save(weights, folder / name / "weights.pth")
    for words in (("init", "--no-passphrase"), ("register",)):
        ran = made.run(*words)
        assert ran.code == 0, ran.said
    return made


def asked(shop: Shop, name: str, *more: str) -> dict[str, dict[str, object]]:
    """What each check that asks the network says."""
    only = [word for check in ("model_file.*", *ASKING) for word in ("--only", check)]
    ran = shop.run("check", name, *only, *more, "--format", "json")
    found = {one["check"]: one for one in ran.json["results"] if one["check"] in ASKING}
    assert len(found) == len(ASKING) and ran.code == (3 if name in MISBEHAVING else 0), ran.said
    return found


def test_a_good_network_is_measured(shop: Shop) -> None:
    for one in asked(shop, "good").values():
        assert one["state"] == "done" and one["measurements"]


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_misbehaving_network_gives_a_reason_and_no_number(name: str, shop: Shop) -> None:
    for one in asked(shop, name, *(("--timeout", "3") if name == "hangs" else ())).values():
        assert MISBEHAVING[name] in f"{one['state']}: {one['reason']}" and not one["measurements"]


def test_a_network_that_changes_its_answers_is_measured_but_not_believed(shop: Shop) -> None:
    for one in asked(shop, "changing").values():
        assert "equal queries give different answers" in one["reason"]
        assert one["measurements"] and not any(number["valid"] for number in one["measurements"])
