"""A check that was killed goes on where it ended: finished checks stand, and only the rest runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.surface.shop import ASSAY, Ran, Shop

CHECK = ("check", "loan-scorer@1", "--seed", "7", "--only", "quality.*", "--only", "robustness.tabular")
SLOW = "robustness.tabular"


def recorded(ran: Ran) -> dict[str, bool]:
    return {result["check"]: result["recorded"] for result in ran.json["results"]}


def statements(shop: Shop, check: str) -> list[str]:
    """Digests of the statements of one check with our seed, oldest first."""
    logged = shop.run("log", "loan-scorer@1", "--format", "json").json["statements"]
    shown: list[Any] = [shop.run("show", item["digest"], "--format", "json").json for item in logged]
    heads = [(str(item), _head(item)) for item in shown]
    return [name for name, head in heads[::-1] if head.get("seed") == 7 and head.get("check", {}).get("id") == check]


def _head(shown: Any) -> dict[str, Any]:  # Any: a JSON value
    predicate = shown.get("statement", shown).get("predicate", {})
    head = predicate.get("head", {})
    return head if isinstance(head, dict) else {}


def test_a_killed_run_repeats_no_finished_check(shop: Shop) -> None:
    child = subprocess.Popen([*ASSAY, *CHECK, "--workers", "1"], cwd=shop.folder, env=shop.child_environment(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    before, patience = shop.size(), time.monotonic() + 60
    while shop.size() == before and time.monotonic() < patience:  # until the first check has been signed
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    finished = shop.size() - before
    assert finished >= 1
    resumed = shop.run(*CHECK, "--format", "json")
    assert resumed.code == 0, resumed.said
    assert sum(recorded(resumed).values()) >= finished
    assert shop.size() >= before + len(recorded(resumed))  # each check stands once, and the checkpoint beside them
    for check in recorded(resumed):
        assert len(statements(shop, check)) == 1, check
    assert shop.run("ledger", "verify").code == 0


def test_what_is_recorded_is_said_and_not_run_again_unless_asked(shop: Shop) -> None:
    words = ("check", "loan-scorer@1", "--seed", "7", "--only", "quality.accuracy", "--format", "json")
    first, second = shop.run(*words), shop.run(*words)
    assert recorded(first) == {"quality.accuracy": False} and recorded(second) == {"quality.accuracy": True}
    mine, theirs = first.json["results"][0], second.json["results"][0]
    assert {**mine, "recorded": None} == {**theirs, "recorded": None}
    assert "recorded before" in shop.run(*words[:-2]).out
    time.sleep(1.1)  # within one second the second statement would be the first, byte for byte, and stand once
    assert recorded(shop.run(*words, "--again")) == {"quality.accuracy": False}
    assert len(statements(shop, "quality.accuracy")) == 2


def test_another_seed_or_option_runs_again(shop: Shop) -> None:
    words = ("check", "loan-scorer@1", "--only", "privacy.membership", "--format", "json", "--seed")
    shop.run(*words, "7")
    assert recorded(shop.run(*words, "8")) == {"privacy.membership": False}
    assert recorded(shop.run(*words, "8")) == {"privacy.membership": True}
    config = shop.folder / "assay.yaml"
    config.write_text(config.read_text().replace("{shadows: 8}", "{shadows: 4}", 1))
    assert recorded(shop.run(*words, "8")) == {"privacy.membership": False}


def test_what_is_older_than_half_of_what_a_policy_accepts_runs_again(shop: Shop) -> None:
    words = ("check", "loan-scorer@1", "--seed", "7", "--only", "quality.accuracy", "--format", "json")
    shop.run(*words)
    for policy in shop.folder.glob("policies/*.yaml"):
        policy.write_text(policy.read_text().replace("max_age: 30d", "max_age: 1s"))
    time.sleep(1)
    assert recorded(shop.run(*words)) == {"quality.accuracy": False}


def test_production_is_not_run_again_and_the_page_shows_what_was_compared(shop: Shop, tmp_path: Path) -> None:
    for version in ("1", "2"):
        assert shop.run("check", f"loan-scorer@{version}", "--seed", "7", "--only", "quality.*").code == 0
    size, page, comment = shop.size(), tmp_path / "gate.html", tmp_path / "gate.md"
    words = (
        "gate",
        "loan-scorer@2",
        "--to",
        "production",
        "--baseline",
        "loan-scorer@1",
        "--dry-run",
        "--format",
        "json",
    )
    ran = shop.run(*words, "--report", f"html={page}", "--report", f"markdown={comment}")
    rule = next(rule for rule in ran.json["rules"] if rule["id"] == "accuracy-kept")
    assert {cited["alias"] for cited in rule["evidence"]} == {"quality", "quality@baseline"} and shop.size() == size
    text = page.read_text()
    assert "Changes against what is compared with" in text and "Values against their limits" in text
    assert "Reliability of the probabilities" in text and "<script" not in text and "gate.html" in comment.read_text()
    shop.run("check", "loan-scorer@2", "--seed", "8", "--only", "quality.*")
    again = next(rule for rule in shop.run(*words).json["rules"] if rule["id"] == "accuracy-kept")
    assert (again["outcome"], again["reason"]) == ("undecided", "not-same") and "seed" in again["observed"]["text"]


def test_a_policy_that_cannot_be_read_keeps_no_check_from_running(shop: Shop) -> None:
    words = ("check", "loan-scorer@1", "--seed", "7", "--only", "quality.accuracy", "--format", "json")
    shop.run(*words)
    for policy in shop.folder.glob("policies/*.yaml"):
        policy.write_text("policy: nonsense")
    ran = shop.run(*words)
    assert ran.code == 0 and recorded(ran) == {"quality.accuracy": False}
