"""Exceptions: a suppression file counts for `assay scan` alone; a gate honours only what an approver signed, and only while it lasts."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.surface.shop import Ran, Shop

from assay.surfaces.reports import FORMATS

MODEL = b"\x80\x02cunknown_library\nThing\n)R."
PROJECT = """\
project: small
assets:
  m: {kind: model, path: m, origin: {uri: "https://example.org/m"}}
checks:
  model_file.*: {}
policies: [policy.yaml]
"""
POLICY = """\
policy: assay/policy/v1
name: small
applies_to: {kind: model, stage: [approved]}
evidence:
  scan: {type: scan-result, checks: ["model_file.*"], max_age: 30d, signed_by: [scanner]}
waivers: {severities: [high], max_duration: 30d, roles: [approver]}
rules:
  - {id: files-clean, severity: high, threshold: {metric: scan.files_not_clean, op: "==", value: 0}}
"""
WAIVE = (
    "waive",
    "files-clean",
    "--asset",
    "m@1",
    "--to",
    "approved",
    "--ticket",
    "T-1",
    "--control",
    "runs in a sandbox",
    "--reason",
    "read by us",
)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A model that scans as unknown, checked, in a project whose policy accepts waivers of approvers."""
    made = Shop(tmp_path / "shop", tmp_path / "state")
    (made.folder / "m").mkdir(parents=True)
    (made.folder / "m" / "model.pkl").write_bytes(MODEL)
    (made.folder / "assay.yaml").write_text(PROJECT)
    (made.folder / "policy.yaml").write_text(POLICY)
    for words in (("init", "--no-passphrase"), ("key", "new", "grace", "--no-passphrase"),
                  ("key", "trust", "grace", "--owner", "grace", "--role", "approver"), ("register",)):  # fmt: skip
        ran = made.run(*words)
        assert ran.code == 0, ran.said
    return made


def suppressed(shop: Shop, *, rule: str = "ASY-PKL-002", days: int = 1, data: bytes = MODEL) -> Path:
    row = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "rule": rule,
        "reason": "read by us",
        "expires": str(date.today() + timedelta(days)),
    }
    path = shop.folder / "suppressions.yaml"
    path.write_text(json.dumps([row]))
    return path


def gated(shop: Shop) -> Ran:
    return shop.run("gate", "m@1", "--to", "approved", "--format", "json")


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_suppressed_finding_is_shown_as_waived_in_every_format(form: str, shop: Shop) -> None:
    ran = shop.run("scan", "m", "--suppressions", suppressed(shop), "--format", form)
    assert ran.code == 0 and "ASY-PKL-002" in ran.out
    assert "waived" in ran.out and ("read by us" in ran.out or form in ("gitlab", "github", "markdown"))


def test_sarif_and_json_carry_the_reason_and_the_day(shop: Shop) -> None:
    path = suppressed(shop)
    (result,) = shop.run("scan", "m", "--suppressions", path, "--format", "sarif").json["runs"][0]["results"]
    assert (
        result["suppressions"][0]["status"] == "accepted" and "read by us" in result["suppressions"][0]["justification"]
    )
    said = shop.run("scan", "m", "--suppressions", path, "--format", "json").json
    assert said["waived"][0]["rule"] == "ASY-PKL-002" and said["waived"][0]["expires"] == str(
        date.today() + timedelta(1)
    )
    assert said["files"][0]["verdict"] == "clean" and said["files"][0]["findings"] == []


@pytest.mark.parametrize(
    "change",
    [{"days": -1}, {"rule": "ASY-PKL-001"}, {"data": MODEL + b" "}],
    ids=["expired", "another rule", "another content"],
)
def test_a_suppression_of_something_else_takes_nothing_away(change: dict[str, object], shop: Shop) -> None:
    ran = shop.run("scan", "m", "--suppressions", suppressed(shop, **change))  # type: ignore[arg-type]  # one case each
    assert ran.code == 1 and "unknown" in ran.out
    assert ("expired on" in ran.out) == ("days" in change)


def test_a_suppression_of_no_rule_is_wrong_use_and_names_the_nearest(shop: Shop) -> None:
    ran = shop.run("scan", "m", "--suppressions", suppressed(shop, rule="ASY-PKL-0002"))
    assert ran.code == 2 and "did you mean ASY-PKL-002" in ran.said


def test_a_suppression_file_means_nothing_to_check_and_gate(shop: Shop) -> None:
    path = suppressed(shop)
    assert shop.run("check", "m", "--suppressions", path).code == 2
    assert shop.run("check", "m").code == 1
    assert gated(shop).json["decision"] == "deny"
    assert shop.run("gate", "m@1", "--to", "approved", "--suppressions", path).code == 2


def test_a_gate_honours_a_waiver_of_an_approver_and_says_so(shop: Shop) -> None:
    shop.run("check", "m")
    assert gated(shop).json["decision"] == "deny"
    asked = shop.run(*WAIVE, "--until", "14d", "--requested-by", "bob", "--key", "grace", "--format", "json")
    assert asked.code == 0, asked.said
    said = gated(shop)
    rule = next(rule for rule in said.json["rules"] if rule["id"] == "files-clean")
    assert (said.code, said.json["decision"], said.json["raw_decision"]) == (0, "allow", "deny")
    assert (rule["outcome"], rule["raw_outcome"], rule["waiver"]) == ("waived", "fail", asked.json["statement"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--until", "14d", "--requested-by", "grace"), "the person who asked approved it too"),
        (("--until", "90d", "--requested-by", "bob"), "lasts longer than the policy accepts"),
    ],
)
def test_a_waiver_that_does_not_hold_is_refused_with_its_reason(words: tuple[str, ...], why: str, shop: Shop) -> None:
    shop.run("check", "m")
    shop.run(*WAIVE, *words, "--key", "grace")
    said = gated(shop).json
    assert said["decision"] == "deny" and any(why in reason for reason in said["reasons"]), said["reasons"]


def test_a_key_without_the_role_cannot_waive(shop: Shop) -> None:
    shop.run("check", "m")
    shop.run("key", "new", "mallory", "--no-passphrase")
    ran = shop.run(*WAIVE, "--until", "14d", "--requested-by", "bob", "--key", "mallory")
    assert ran.code == 1 and gated(shop).json["decision"] == "deny"


def test_facts_judged_again_need_no_file_and_a_worse_verdict_blocks(shop: Shop) -> None:
    entries = {"unknown_library": {"Thing": {"role": "type", "args": []}}}
    data = json.dumps({"schema": "urn:assay:allow-list:v1", "entries": entries}).encode()
    (shop.folder / "ours.json").write_bytes(data)
    named = f"lists: [{{file: ours.json, sha256: {hashlib.sha256(data).hexdigest()}}}]\n"
    (shop.folder / "assay.yaml").write_text(PROJECT + named)
    assert shop.run("check", "m").code == 0 and gated(shop).json["decision"] == "allow"
    (shop.folder / "m" / "model.pkl").unlink()
    ran = shop.run("check", "m", "--rejudge")
    assert ran.code == 0 and "none got worse" in ran.out, ran.said
    (shop.folder / "assay.yaml").write_text(PROJECT)
    ran = shop.run("check", "m", "--rejudge", "--format", "json")
    assert ran.code == 1 and "model.pkl was clean, is unknown" in ran.json["results"][0]["reason"]
    assert gated(shop).json["decision"] == "deny"
    assert shop.run("check", "--rejudge", "--lists", "ours.json").code == 0 and gated(shop).json["decision"] == "allow"
    assert shop.run("ledger", "verify").code == 0
    (shop.folder / "assay.yaml").write_text(PROJECT + named.replace("ours", "gone"))
    assert shop.run("check", "m", "--rejudge").code == 2
