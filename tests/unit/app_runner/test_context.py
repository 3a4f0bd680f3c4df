"""Does a check get the files of its assets, and no others?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.app_runner import trial_checks
from tests.unit.app_runner.conftest import located

from assay.app.runner.context import WorkerContext
from assay.app.runner.jobs import Located, merged_options
from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.errors import ChangedMeanwhile, UsageError


@pytest.fixture
def context(model: Located) -> WorkerContext:
    return WorkerContext(model, {}, {}, 0)


@pytest.mark.parametrize(("path", "data"), [("weights.bin", b"weights"), ("sub/vocabulary.txt", b"words")])
def test_a_file_of_the_manifest_opens(context: WorkerContext, model: Located, path: str, data: bytes) -> None:
    with context.open(model.asset, path) as file:
        assert file.read() == data


@pytest.mark.parametrize("path", ["", "other", "../weights.bin", "/etc/passwd", "sub/../weights.bin", "sub"])
def test_what_the_manifest_does_not_name_is_refused(context: WorkerContext, model: Located, path: str) -> None:
    with pytest.raises(UsageError):
        context.open(model.asset, path)


def test_a_file_that_became_a_link_is_refused(context: WorkerContext, model: Located, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (model.root / "weights.bin").unlink()
    (model.root / "weights.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ChangedMeanwhile):
        context.open(model.asset, "weights.bin")


def test_a_folder_that_became_a_link_is_refused(context: WorkerContext, model: Located, tmp_path: Path) -> None:
    (model.root / "sub").rename(tmp_path / "moved")
    (model.root / "sub").symlink_to(tmp_path / "moved")
    with pytest.raises(ChangedMeanwhile):
        context.open(model.asset, "sub/vocabulary.txt")


def test_a_pipe_in_place_of_a_file_does_not_hang(context: WorkerContext, model: Located) -> None:
    (model.root / "weights.bin").unlink()
    os.mkfifo(model.root / "weights.bin")
    with pytest.raises(ChangedMeanwhile):
        context.open(model.asset, "weights.bin")


def test_another_size_than_registered_is_refused(context: WorkerContext, model: Located) -> None:
    (model.root / "weights.bin").write_bytes(b"weights and more")
    with pytest.raises(ChangedMeanwhile):
        context.open(model.asset, "weights.bin")


def test_related_assets_open_and_strangers_do_not(model: Located, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.csv").write_bytes(b"a,b")
    rows = located(tmp_path / "rows", "applications")
    context = WorkerContext(model, {"trained_on": (rows,)}, {}, 0)
    assert context.related("trained_on") == (rows.asset,)
    assert context.related("base") == ()
    with context.open(rows.asset, "rows.csv") as file:
        assert file.read() == b"a,b"
    with pytest.raises(UsageError):
        context.folder(Asset("other", 1, Manifest.of(Kind.MODEL, [Entry("x", "ab" * 32, 1)])))


def test_given_options_lie_over_the_defaults() -> None:
    check = trial_checks.by_name()["everything"]
    assert merged_options(check, {"depth": 5, "rate": 1})["depth"] == 5
    assert merged_options(check, {})["rate"] == 0.5


@pytest.mark.parametrize("given", [{"dept": 1}, {"depth": "3"}, {"depth": True}, {"strict": 1}, {"names": "a"}])
def test_options_that_are_unknown_or_of_another_type_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        merged_options(trial_checks.by_name()["everything"], given)


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'depth'"):
        merged_options(trial_checks.by_name()["everything"], {"dept": 1})
