"""Every command in every format that it has: the same exit code, JSON alone on stdout, nothing changed by a dry run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.surface.shop import ASSAY, Ran, Shop

from assay.surfaces.cli.main import COMMANDS
from assay.surfaces.cli.main import parser_for as parser_for_command
from assay.surfaces.reports import FORMATS

PERSON = ("--key", "grace", "--reason", "seen")
WAIVE = ("--until", "14d", "--ticket", "T-1", "--control", "review", "--requested-by", "bob", *PERSON)

# What a user may type in the folder of the played demo, with the code that it must end with, changing or not.
READING = [
    (0, "log"),
    (0, "log", "loan-scorer@1"),
    (0, "log", "loan-scorer"),
    (0, "checks"),
    (0, "config"),
    (0, "key", "list"),
    (0, "key", "policy"),
    (0, "incident", "list"),
    (0, "ledger", "verify"),
    (0, "policy", "lint"),
    (0, "policy", "explain"),
    (2, "policy", "test"),
    (0, "verify", "models/first", "--stage", "production"),
    (0, "verify", "models/first"),
    (0, "verify", "data/holdout.csv"),
    (0, "verify", "loan-scorer", "--stage", "production"),
    (3, "verify", "models/first", "--stage", "canary"),
    (1, "verify", "models/better", "--stage", "production"),
    (1, "verify", "models/tampered", "--stage", "approved"),
    (1, "verify", "assay.yaml"),
    (1, "verify", "models/better", "--as", "loan-scorer@1"),
    (3, "verify", "models/first", "--stage", "production", "--max-age", "0s"),
]
DECIDING = [
    (0, "gate", "loan-scorer@1", "--to", "production"),
    (1, "gate", "loan-scorer@2", "--to", "approved"),
    (3, "gate", "loan-scorer@1", "--to", "canary"),
    (1, "gate", "loan-scorer@4", "--to", "production"),
]
CHANGING = [
    (0, "register"),
    (0, "promote", "loan-scorer@1", "--to", "production"),
    (1, "promote", "loan-scorer@2", "--to", "production"),
    (0, "train", "--uses", "applications", "--produces", "loan-scorer=models/first", "--", "true"),
    (0, "quarantine", "loan-scorer@3", "--reason", "drift"),
    (0, "lift", "loan-scorer@4", *PERSON),
    (0, "retire", "loan-scorer@3", "--reason", "old"),
    (0, "approve", "loan-scorer@1", "--to", "approved", *PERSON),
    (0, "waive", "group-gap", "--asset", "loan-scorer@3", "--to", "approved", *WAIVE),
    (0, "incident", "open", "loan-scorer@3", "--reason", "slow"),
    (0, "incident", "contain", "loan-scorer@4", "--id", "INC-2026-001"),
    (0, "bundle", "loan-scorer@1", "-o", "b.json"),
    (0, "ledger", "checkpoint"),
    (0, "ledger", "export", "tiles"),
    (0, "key", "new", "zoe", "--no-passphrase"),
    (0, "key", "trust", "grace", "--owner", "grace", "--role", "observer"),
    (0, "key", "revoke", "sam"),
]
WRONG = [
    ("nonsense",),
    ("firewall",),
    ("vex",),
    ("gat",),
    ("gate",),
    ("gate", "loan-scorer@1"),
    ("gate", "loan-scorer@1", "--to", "production", "--format", "xml"),
    ("gate", "loan-scorer@1", "--to", "production", "--report", "xml=f"),
    ("gate", "loan-scorer@1", "--to", "production", "--report", "sarif"),
    ("gate", "loan-scorer@1", "--to", "production", "--nonsense"),
    ("gate", "loan-scorer@1", "--to", "production", "--policy", "absent.yaml"),
    ("gate", "loan-scorer@1", "--to", "production", "--at", "9999"),
    ("gate", "loan-scorer@1", "--to", "production", "--at", "0"),
    ("gate", "loan-scorer@1", "--to", "production", "--at", "x"),
    ("gate", "loan-scorer@1", "--to", "production", "--now", "yesterday"),
    ("gate", "nobody", "--to", "production"),
    ("gate", "loan-scorer@9", "--to", "production"),
    ("gate", "loan-scorer@canary", "--to", "production"),
    ("gate", "Loan Scorer", "--to", "production"),
    ("log", "--format", "sarif"),
    ("log", "--report", "json=f"),
    ("log", "nobody"),
    ("show", "zz"),
    ("show", "000000000000"),
    ("verify", "absent"),
    ("verify", "models/first", "--max-age", "soon"),
    ("verify", "models/first", "--bundle", "assay.yaml"),
    ("verify", "models/first", "--bundle", "absent", "--trust", "sha256:" + "0" * 64),
    ("verify", "models/first", "--bundle", "absent", "--trust", "x"),
    ("register", "absent", "--kind", "model", "--name", "x"),
    ("register", "data", "--kind", "model"),
    ("register", "nobody"),
    ("register", "models/first", "--kind", "model", "--name", "x", "--label", "novalue"),
    ("check", "applications"),
    ("check", "loan-scorer@1", "--only", "nonsense.*"),
    ("check", "loan-scorer@1", "--timeout", "nan"),
    ("check", "loan-scorer@1", "--workers", "0"),
    ("train",),
    ("train", "--", "/absent/program"),
    ("approve", "loan-scorer@1", "--to", "approved", "--key", "nobody", "--reason", "x"),
    ("approve", "loan-scorer@1", "--to", "canary", *PERSON),
    ("approve", "loan-scorer@1", "--to", "approved", *PERSON, "--days", "-1"),
    ("waive", "group-gop", "--asset", "loan-scorer@3", "--to", "approved", *WAIVE),
    ("incident", "open"),
    ("incident", "close", "loan-scorer@4"),
    ("incident", "close", "loan-scorer@4", "--id", "INC-typo"),
    ("ledger", "prove"),
    ("ledger", "prove", "abc"),
    ("ledger", "export"),
    ("ledger", "nonsense"),
    ("key", "new"),
    ("key", "new", "../up", "--no-passphrase"),
    ("key", "new", "ada", "--no-passphrase"),
    ("key", "new", "zoe"),
    ("key", "trust", "grace"),
    ("key", "revoke", "nobody"),
    ("policy", "lint", "absent.yaml"),
    ("policy", "test"),
    ("rollback", "loan-scorer", "--stage", "production", "--dry-run"),
    ("scan",),
    ("scan", "absent"),
    ("sign",),
    ("sign", "absent"),
    ("deps",),
    ("deps", "absent"),
    ("advisories",),
    ("advisories", "import", "absent"),
    ("init", "--no-passphrase"),
    ("demo", "--dry-run"),
    ("--nonsense",),
    ("--format", "xml", "log"),
    ("--workspace", "/absent", "log"),
]  # fmt: skip


def name_of(case: tuple[object, ...]) -> str:
    return " ".join(str(word) for word in case if not isinstance(word, int))[:70]


def parses(name: str, text: str) -> bool:
    """Whether a report is well formed."""
    if name in ("json", "sarif", "gitlab"):
        return json.loads(text) is not None
    return ElementTree.fromstring(text) is not None if name == "junit" else bool(text.strip())


def is_one_json_object(ran: Ran) -> bool:
    return isinstance(ran.json, dict) and bool(
        re.fullmatch(r"(assay|urn:assay:|https?:)[\w/:.+-]+", str(ran.json["schema"]))
    )


@pytest.mark.parametrize("case", READING, ids=name_of)
def test_reading_ends_alike_in_both_formats_and_changes_nothing(case: tuple[int, str], glass: Shop) -> None:
    expected, *words = case
    size = glass.size()
    plain, machine = glass.run(*words), glass.run(*words, "--format", "json")
    assert (plain.code, machine.code) == (expected, expected), plain.said
    assert plain.said.strip()
    if expected != 2:
        assert is_one_json_object(machine) and not machine.err
    assert glass.size() == size


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", DECIDING, ids=name_of)
def test_deciding_ends_alike_in_every_format(case: tuple[int, str], name: str, glass: Shop, tmp_path: Path) -> None:
    expected, *words = case
    size = glass.size()
    ran = glass.run(*words, "--dry-run", "--format", name, "--report", f"{name}={tmp_path / 'report'}")
    assert ran.code == expected, ran.said
    assert parses(name, ran.out) and parses(name, (tmp_path / "report").read_text())
    assert glass.size() == size


@pytest.mark.parametrize("case", CHANGING, ids=name_of)
def test_a_dry_run_changes_nothing_and_the_real_run_does(case: tuple[int, str], shop: Shop) -> None:
    expected, *words = case
    before, files = shop.size(), sorted(shop.folder.rglob("*"))
    dry = shop.run("--dry-run", *words)
    assert dry.code == expected if words[0] != "promote" else dry.code in (0, 1)
    assert shop.size() == before and sorted(shop.folder.rglob("*")) == files
    ran = shop.run("--format", "json", *words)
    assert ran.code == expected, ran.said
    assert is_one_json_object(ran)
    if words[0] not in ("register", "bundle", "ledger") and words[:2] != ["key", "new"]:
        assert shop.size() > before
    assert shop.run("ledger", "verify").code == 0


@pytest.mark.parametrize("words", WRONG, ids=name_of)
def test_wrong_use_ends_with_2_and_says_what_to_do(words: tuple[str, ...], glass: Shop) -> None:
    size = glass.size()
    for more in ((), ("--format", "json"), ("--exit-zero",)):
        if more and ("--format" in words or words[0].startswith("-") or words[0] == "train"):
            continue
        ran = glass.run(*words, *more)
        assert ran.code == 2, ran.said
        assert not ran.out and "  [A-" in ran.err
        assert "  fix   " in ran.err or "  why   " in ran.err
    assert glass.size() == size


def test_a_near_miss_is_answered_with_the_command_that_was_meant(glass: Shop) -> None:
    assert "did you mean `assay gate`?" in glass.run("gat").err
    assert (
        "did you mean group-gap?"
        in glass.run("waive", "group-gop", "--asset", "loan-scorer@3", "--to", "approved", *WAIVE).err
    )


def test_every_command_is_played_here() -> None:
    played = {words[0] for _, *words in [*READING, *DECIDING, *CHANGING]} | {words[0] for words in WRONG}
    assert set(COMMANDS) <= played | {"help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_global_options(command: str, glass: Shop) -> None:
    ran = glass.run(command, "--help")
    assert ran.code == 0
    for option in ("--workspace", "--format", "--report", "--quiet", "--no-color", "--exit-zero", "--dry-run"):
        assert option in ran.out
    assert parser_for_command(command).description


def test_without_a_command_the_overview_is_shown_and_that_is_wrong_use(glass: Shop) -> None:
    bare, asked = glass.run(), glass.run("--help")
    assert (bare.code, asked.code) == (2, 0)
    assert all(command in asked.out for command in COMMANDS)


@pytest.mark.parametrize(("words", "code"), [
    (("gate", "loan-scorer@2", "--to", "approved", "--dry-run"), 1),
    (("gate", "loan-scorer@1", "--to", "canary", "--dry-run"), 3),
    (("verify", "models/better", "--stage", "production"), 1),
    (("verify", "models/first", "--stage", "canary"), 3),
])  # fmt: skip
def test_exit_zero_turns_1_and_3_into_0_and_says_so(words: tuple[str, ...], code: int, glass: Shop) -> None:
    for placed in ((*words, "--exit-zero"), ("--exit-zero", *words)):
        ran = glass.run(*placed)
        assert ran.code == 0
        assert f"exit code {code} turned into 0 by --exit-zero" in ran.err
        assert ran.out == glass.run(*words).out or words[0] == "gate"  # a gate prints the time


def test_exit_zero_behind_a_trained_command_belongs_to_that_command(shop: Shop) -> None:
    assert shop.run("train", "--", "sh", "-c", "exit 1", "--exit-zero").code == 1


def test_a_report_that_cannot_be_written_is_an_internal_error_that_exit_zero_does_not_hide(glass: Shop) -> None:
    for more in ((), ("--exit-zero",)):
        ran = glass.run("gate", "loan-scorer@2", "--to", "approved", "--dry-run", "--report", "sarif=/absent/f", *more)
        assert ran.code == 4 and "[A-REPORT]" in ran.err


def test_several_reports_are_written_at_once_also_by_promote_in_json(shop: Shop) -> None:
    reports = [word for name in FORMATS for word in ("--report", f"{name}=out.{name}")]
    ran = shop.run("promote", "loan-scorer@2", "--to", "production", "--format", "json", *reports)
    assert ran.code == 1 and ran.json["alias"] is None
    assert all(parses(name, (shop.folder / f"out.{name}").read_text()) for name in FORMATS)


def test_a_policy_that_only_warns_ends_alike_in_every_format(shop: Shop) -> None:
    policy = shop.folder / "policies" / "production.yaml"
    policy.write_text(policy.read_text() + "mode: warn\n")
    for command, code in (("gate", 0), ("promote", 1)):  # a promotion that moved nothing is no success
        ran = [
            shop.run(command, "loan-scorer@2", "--to", "approved", "--format", name)
            for name in ("human", "json", "sarif")
        ]
        assert [each.code for each in ran] == [code] * 3, ran[0].said


def test_checking_ends_alike_in_every_format_and_signs_what_it_saw(shop: Shop) -> None:
    size = shop.size()
    ran = shop.run("check", "loan-scorer@1", "--only", "model_file.format", "--only", "quality.accuracy", "--again", "--format",
                   "json", "--report", "sarif=a.sarif", "--report", "junit=a.xml", "--report", "human=a.txt")  # fmt: skip
    assert ran.code == 0 and ran.json["schema"] == "assay/check/v1"
    assert [(r["check"], r["state"]) for r in ran.json["results"]] == [
        ("model_file.format", "done"),
        ("quality.accuracy", "done"),
    ]
    assert shop.size() == size + 2
    shown = shop.run("show", ran.json["results"][1]["statement"], "--format", "json").json
    assert shown["statement"]["predicate"]["head"]["check"]["id"] == "quality.accuracy"
    assert parses("sarif", (shop.folder / "a.sarif").read_text()) and parses(
        "junit", (shop.folder / "a.xml").read_text()
    )


def test_checking_without_names_checks_what_some_check_looks_at(shop: Shop) -> None:
    size = shop.size()
    dry = shop.run("check", "--dry-run", "--format", "json")
    assert dry.code == 0 and shop.size() == size
    named = {r["asset"] for r in dry.json["results"]}
    assert "loan-scorer@1" in named and "holdout@1" not in named  # no check looks at data sets alone
    assert {r["state"] for r in dry.json["results"]} == {"skipped"}
    assert shop.run("check", "--only", "model_file.format", "--again").code == 0
    assert shop.size() == size + 1


def test_a_bare_name_means_the_bytes_that_lie_there_now(shop: Shop) -> None:
    gated = shop.run("gate", "loan-scorer", "--to", "production", "--dry-run", "--format", "json").json
    assert gated["asset"] == "loan-scorer@1"  # version 4 is newer, but assay.yaml points to the first one
    (shop.folder / "models" / "first" / "model.skops").write_bytes(b"other bytes")
    ran = shop.run("gate", "loan-scorer", "--to", "production", "--dry-run")
    assert ran.code == 2 and "assay register loan-scorer" in ran.err


def test_the_exported_input_is_what_the_policies_saw(glass: Shop, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    ran = glass.run(
        "gate", "loan-scorer@2", "--to", "approved", "--dry-run", "--format", "json", "--export-input", file
    )
    seen = json.loads(file.read_text())
    assert seen["subject"]["version"] == 2 and seen["stage"] == "approved"
    assert f"sha256:{seen['baseline']['digest']}" == ran.json["baseline"]  # the one that the policy names
    cited = {cited["index"] for rule in ran.json["rules"] for cited in rule["evidence"]}
    assert cited and cited <= {evidence["index"] for evidence in seen["evidence"]}


def test_a_statement_is_found_by_its_first_characters(glass: Shop) -> None:
    newest = glass.run("log", "loan-scorer@1", "--format", "json").json["statements"][0]
    for text in (newest["digest"], newest["digest"][7:], newest["digest"][7:19]):
        assert glass.run("show", text, "--format", "json").json["digest"] == newest["digest"]
        assert glass.run("ledger", "prove", text, "--format", "json").json["index"] == newest["index"]


def test_approving_with_a_key_that_has_no_such_role_is_refused(shop: Shop) -> None:
    size = shop.size()
    ran = shop.run("approve", "loan-scorer@1", "--to", "approved", "--key", "sam", "--reason", "x")
    assert ran.code == 1 and "no role that may say" in ran.err
    assert shop.size() == size


def test_a_contained_incident_keeps_its_summary_and_severity(shop: Shop) -> None:
    before = shop.run("incident", "list", "--format", "json").json["incidents"][0]
    assert shop.run("incident", "contain", "loan-scorer@4", "--id", before["id"]).code == 0
    after = shop.run("incident", "list", "--format", "json").json["incidents"][0]
    assert after["state"] == "contained"
    assert (after["summary"], after["severity"]) == (before["summary"], before["severity"])


def test_a_key_is_not_made_where_there_is_no_workspace(tmp_path: Path) -> None:
    ran = Shop(tmp_path, tmp_path / "state").run("key", "new", "zoe", "--no-passphrase")
    assert ran.code == 2 and "assay init" in ran.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_no_bug_of_assay(glass: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = glass.run("demo", "--folder", tmp_path / "file" / "below")
    assert ran.code == 3 and "[A-STORAGE]" in ran.err


def test_a_closed_pipe_is_no_traceback(glass: Shop) -> None:
    with subprocess.Popen([*ASSAY, "log", "loan-scorer@1"], cwd=glass.folder, env=glass.child_environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:  # fmt: skip
        assert child.stdout and child.stderr
        child.stdout.close()
        said = child.stderr.read().decode()
    assert "Traceback" not in said and "Exception ignored" not in said
