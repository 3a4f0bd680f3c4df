"""Names and texts from outside reach the terminal without a control character, in every command that shows them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from tests.surface.shop import Ran, Shop

from assay.surfaces.cli.visible import visible

RED, CSI, BELL, FLIP, LINE = "\x1b[31mred", "\x9b2J", "\x07", "\u202eevil", "one\r\ntwo"
NASTY = f"x{RED}{CSI}{BELL}{FLIP}{LINE}"


def assert_inert(ran: Ran) -> None:
    bad = [c for c in ran.said if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not bad, (bad, ran.said)
    assert "[A-INTERNAL]" not in ran.err and "Traceback" not in ran.err


WORDS = [
    (NASTY,),
    ("--" + NASTY,),
    ("log", NASTY),
    ("show", NASTY),
    ("verify", NASTY),
    ("verify", "models/first", "--stage", NASTY),
    ("verify", "models/first", "--bundle", NASTY, "--trust", "sha256:" + "0" * 64),
    ("gate", NASTY, "--to", "production"),
    ("gate", "loan-scorer@1", "--to", NASTY, "--dry-run"),
    ("gate", "loan-scorer@1", "--to", "production", "--policy", NASTY),
    ("gate", "loan-scorer@1", "--to", "production", "--now", NASTY),
    ("gate", "loan-scorer@1", "--to", "production", "--report", f"json=/absent/{NASTY}", "--dry-run"),
    ("register", NASTY, "--kind", "model", "--name", "x"),
    ("register", "data", "--kind", "model", "--name", NASTY),
    ("quarantine", "loan-scorer@1", "--reason", NASTY, "--dry-run"),
    ("train", "--dry-run", "--uses", "applications", "--", NASTY),
    ("train", "--uses", "applications", "--", NASTY),
    ("--workspace", NASTY, "log"),
    ("ledger", "prove", NASTY),
    ("key", "new", NASTY, "--no-passphrase"),
    ("policy", "lint", NASTY),
    ("checks", "--format", NASTY),
]


@pytest.mark.parametrize(
    "words", WORDS, ids=lambda words: " ".join(words).encode("ascii", "backslashreplace").decode()[:40]
)
def test_no_argument_is_echoed_as_it_came(words: tuple[str, ...], glass: Shop) -> None:
    assert_inert(glass.run(*words))


def test_nothing_that_was_logged_is_shown_as_it_came(shop: Shop) -> None:
    assert shop.run("quarantine", "loan-scorer@1", "--reason", NASTY).code == 0
    assert shop.run("incident", "open", "loan-scorer@1", "--reason", NASTY, "--id", "INC-1").code == 0
    assert shop.run("approve", "loan-scorer@3", "--to", "approved", "--key", "grace", "--reason", NASTY).code == 0
    for words in (("log", "loan-scorer@1"), ("log", "loan-scorer@3"), ("incident", "list"), ("verify", "models/first", "--stage", "production"),
                  ("gate", "loan-scorer@1", "--to", "production", "--dry-run"), ("promote", "loan-scorer@1", "--to", "production")):  # fmt: skip
        for name in ("human", "json"):
            ran = shop.run(*words, "--format", name)
            assert_inert(ran)
            assert "red" in ran.said or words[0] == "gate" or words[1] == "loan-scorer@3" or name == "json"
    digest = shop.run("log", "loan-scorer@1", "--format", "json").json["statements"][0]["digest"]
    assert_inert(shop.run("show", digest))
    assert_inert(shop.run("show", digest, "--format", "json"))


def test_files_with_such_names_are_shown_harmlessly(shop: Shop) -> None:
    (shop.folder / "models" / "first" / "a\x1b[31m.txt").write_text("")
    (shop.folder / "models" / "first" / "b\u202e.txt").write_text("")
    for words in (
        ("verify", "models/first", "--stage", "production"),
        ("register", "loan-scorer"),
        ("check", "loan-scorer@1"),
    ):
        ran = shop.run(*words)
        assert ran.code != 0
        assert_inert(ran)


def test_output_of_a_trained_command_is_shown_harmlessly(shop: Shop) -> None:
    ran = shop.run("train", "--", "sh", "-c", "printf 'x\\033[31mred\\007\\n'; exit 1")
    assert ran.code == 1 and "red" in ran.err
    assert_inert(ran)


def test_colors_appear_on_a_terminal_only(glass: Shop) -> None:
    assert "\x1b" not in glass.run("gate", "loan-scorer@1", "--to", "production", "--dry-run").out


def test_visible_keeps_lines_and_letters() -> None:
    assert visible("Straße\n  naïve — ✓") == "Straße\n  naïve — ✓"
    assert visible("a\tb\x00c\u202e\U000e0041") == "a\\x09b\\x00c\\u202e\\ue0041"


def test_a_quiet_command_writes_nothing_to_stderr(shop: Shop, tmp_path: Path) -> None:
    assert shop.run("--quiet", "check", "loan-scorer@1", "--only", "model_file.*").err == ""
    assert shop.run("--quiet", "incident", "open", "loan-scorer@1", "--reason", "x").err == ""
