"""`assay deps` and `assay advisories`: exit codes, JSON and text, with a workspace and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dependencies.advice import record, write

from assay.app.init import create_workspace
from assay.surfaces.cli.main import main

TODAY = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")
V = [{"introduced": "0"}, {"fixed": "2.0"}]
RECORDS = [
    record(events=V, aliases=["CVE-1"], modified=TODAY),
    record("GHSA-n", "left-pad", ecosystem="npm", versions=["1.0.0"], modified=TODAY),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "osv", RECORDS)
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def load(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "advisories", "import", "osv", "--database", "a.sqlite")[0] == 0


@pytest.mark.parametrize(
    ("text", "code"), [("acme==1.0\nfine==1\n", 1), ("fine==1\n", 0), ("fine\n", 3), ("", 3), ("acme==1.0\nfine\n", 1)]
)
def test_exit_codes_are_the_same_in_both_formats(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, code: int
) -> None:
    load(capsys)
    (here / "requirements.txt").write_text(text)
    assert asked(capsys, "deps", "requirements.txt", "--database", "a.sqlite")[0] == code
    assert main(["deps", "requirements.txt", "--database", "a.sqlite"]) == code
    assert main(["deps", ".", "--database", "a.sqlite", "--exit-zero"]) == 0


def test_json_is_what_scripts_rely_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(capsys)
    (here / "requirements.txt").write_text("acme==1.0\nfine==1\n-r gone.txt\n")
    _, said = asked(capsys, "deps", "requirements.txt", "--database", "a.sqlite")
    assert said["schema"] == "assay/deps/v1"
    assert [(d["name"], d["ecosystem"], d["version"], d["state"]) for d in said["dependencies"]] == [
        ("acme", "PyPI", "1.0", "vulnerable"), ("fine", "PyPI", "1", "clean"), ("requirements.txt:3", "", None, "unknown"),
    ]  # fmt: skip
    assert said["dependencies"][0]["advisories"][0]["id"] == "PYSEC-1"
    assert (
        said["database"]["digest"].startswith("sha256:")
        and said["database"]["newest_record"] == TODAY
        and said["database"]["records"] == 2
    )


def test_without_a_database_everything_is_unknown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "requirements.txt").write_text("fine==1\n")
    code, said = asked(capsys, "deps", "requirements.txt")
    assert code == 3 and said["database"]["digest"] is None and said["dependencies"][0]["state"] == "unknown"


def test_a_stale_database_is_unknown_until_the_user_accepts_its_age(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "osv", [one | {"modified": "2024-10-10T00:00:00Z"} for one in RECORDS])
    load(capsys)
    (here / "requirements.txt").write_text("fine==1\n")
    arguments = ["deps", "requirements.txt", "--database", "a.sqlite"]
    assert asked(capsys, *arguments)[0] == 3
    assert asked(capsys, *arguments, "--max-age", "9999d")[0] == 0
    monkeypatch.setenv("ASSAY_ADVISORIES_MAX_AGE", "9999d")
    assert asked(capsys, *arguments)[0] == 0


def test_folders_environments_and_hidden_places(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(capsys)
    site = here / "env" / "lib" / "site-packages"
    for name, version in (("acme", "1.0"), ("fine", "1.0")):
        (site / f"{name}-{version}.dist-info").mkdir(parents=True)
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    (site / "broken-1.dist-info").mkdir()
    (here / "env" / ".git").mkdir()
    (here / "env" / "package-lock.json").write_text(
        json.dumps({"lockfileVersion": 3, "packages": {"node_modules/left-pad": {"version": "1.0.0"}}})
    )
    (here / "env" / "uv.lock").symlink_to("/dev/zero")
    code, said = asked(capsys, "deps", "env", "--database", "a.sqlite")
    states = {d["name"]: d["state"] for d in said["dependencies"]}
    assert code == 1 and states["acme"] == states["left-pad"] == "vulnerable" and states["fine"] == "clean"
    assert sorted(d["where"] for d in said["dependencies"] if d["state"] == "unknown") == [
        "env/lib/site-packages/broken-1.dist-info",
        "env/uv.lock",
    ]
    assert said["left_out"] == [".git/ (not entered)"]


def test_wrong_use_is_2_and_names_what_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deps", "gone.txt"]) == 2
    assert main(["advisories", "import", "osv"]) == 2
    assert main(["advisories", "import", "gone", "--database", "a.sqlite"]) == 2
    assert main(["deps"]) == 2
    assert main(["deps", "osv", "--asset", "x"]) == 2
    assert "assay init" in capsys.readouterr().err


def test_unreadable_records_end_with_3_and_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "osv" / "bad.json").write_text("{")
    code, said = asked(capsys, "advisories", "import", "osv", "--database", "a.sqlite")
    assert code == 3 and said["unreadable"][0]["path"] == "bad.json" and said["unreadable_count"] == 1
    assert main(["advisories", "import", "osv", "--database", "a.sqlite", "--leave-unreadable"]) == 0


def test_names_from_outside_cannot_move_the_cursor(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(capsys)
    write(here / "osv", [record("PYSEC-1", "acme", events=V, summary="\x1b[2Jboo", modified=TODAY)])
    load(capsys)
    (here / "a\x1b[31m.requirements.txt").write_text("acme==1.0\nx\x1b[2J\n")
    main(["deps", "a\x1b[31m.requirements.txt", ".", "--database", "a.sqlite"])
    assert "\x1b" not in capsys.readouterr().out


def test_in_a_workspace_the_database_is_an_asset(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    create_workspace(here / ".assay", owner="ada", state=here / "state").close()
    code, said = asked(capsys, "advisories", "import", "osv")
    assert code == 0 and said["statement"].startswith("sha256:") and said["asset"].startswith("sha256:")
    assert asked(capsys, "advisories", "import", "osv", "--dry-run")[1] == {
        "schema": "assay/advisories/v1",
        "would_write": str(here / ".assay" / "advisories.sqlite"),
    }
    (here / "requirements.txt").write_text("acme==1.0\n")
    assert asked(capsys, "deps", "requirements.txt")[0] == 1


def test_the_match_of_an_asset_is_signed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    create_workspace(here / ".assay", owner="ada", state=here / "state").close()
    assert main(["advisories", "import", "osv"]) == 0
    (here / "app").mkdir()
    (here / "app" / "requirements.txt").write_text("acme==1.0\n")
    assert main(["register", "app", "--kind", "code", "--name", "app"]) == 0
    capsys.readouterr()
    code, said = asked(capsys, "deps", "--asset", "app")
    assert code == 1 and said["asset"] == "app@1" and said["statement"].startswith("sha256:")
    assert asked(capsys, "deps", "--asset", "app", "--dry-run")[1]["statement"] is None
    (here / "app" / "requirements.txt").write_text("fine==1.0\n")
    assert main(["deps", "--asset", "app"]) == 2


def test_starting_the_command_imports_nothing_heavy(here: Path) -> None:
    code = (
        "import sys; from assay.surfaces.cli.main import main; main(['deps', 'osv'])\n"
        "print([m for m in ('numpy', 'scipy', 'sklearn', 'pandas', 'requests', 'packaging.requirements', 'assay.app.rematch') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.splitlines()[-1] == "[]"
