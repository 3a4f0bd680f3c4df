"""Writing report files, and what stays the same from run to run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.reports.samples import GATE, REPORTS, SCANNED

from assay.core.decisions import Observed
from assay.core.errors import StorageError
from assay.surfaces.reports import FORMATS, CheckRun, ScanReport, markdown, write_report
from assay.surfaces.reports.entries import entries_of


def test_a_report_replaces_an_older_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "gate.sarif"
    path.write_text("old and longer")
    write_report(path, "new\udc80")
    assert path.read_bytes() == b"new\\udc80"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["missing/gate.json", "folder", "nul\0"])
def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot write the report"):
        write_report(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_failed_flush_keeps_the_older_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "gate.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        write_report(path, "new")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("gate.json", "old")]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_rendering_twice_gives_the_same_text(form: str, report: object) -> None:
    assert FORMATS[form](report) == FORMATS[form](report)  # type: ignore[arg-type]


def test_fingerprints_survive_a_new_version_and_new_numbers() -> None:
    rules = tuple(replace(rule, observed=Observed(0.5)) for rule in GATE.decision.rules)
    later = replace(
        GATE,
        decision=replace(GATE.decision, rules=rules, now="2026-12-01T00:00:00Z"),
        context=replace(GATE.context, asset="scorer@4"),
    )
    assert [e.fingerprint for e in entries_of(later)] == [e.fingerprint for e in entries_of(GATE)]
    assert markdown.marker(later) == markdown.marker(GATE)


def test_fingerprints_tell_findings_apart_and_ignore_what_was_found() -> None:
    prints = [entry.fingerprint for entry in entries_of(SCANNED)]
    assert len(set(prints)) == len(prints)
    other = tuple(replace(f, finding=replace(f.finding, summary="another value")) for f in SCANNED.findings)
    assert [entry.fingerprint for entry in entries_of(replace(SCANNED, findings=other))] == prints


def test_the_json_of_a_decision_has_the_promised_keys() -> None:
    found = json.loads(FORMATS["json"](GATE))
    assert found["schema"] == "assay/decision/v1"
    assert {"decision", "rules", "policy_digest", "baseline", "statement"} <= found.keys()
    for rule in found["rules"]:
        assert {"id", "outcome", "severity", "observed", "needed", "evidence", "refs"} <= rule.keys()


def test_the_json_of_a_scan_has_the_promised_keys() -> None:
    found = json.loads(FORMATS["json"](SCANNED))
    assert found["summary"] == {"clean": 1, "malicious": 1, "unknown": 0, "inconclusive": 1}
    assert {"path", "sha256", "format", "verdict", "findings"} <= found["files"][0].keys()
    assert {"rule", "severity", "summary", "location", "refs"} <= found["files"][0]["findings"][0].keys()
    assert [item["path"] for item in found["findings"]] == ["train.py"]


def test_a_run_that_could_not_look_says_so_and_never_that_it_passed() -> None:
    skipped = ScanReport(runs=(CheckRun("quality.accuracy", "scorer@3", "skipped", "no test rows"),), exit_code=3)
    assert json.loads(FORMATS["json"](skipped))["outcome"] == "undecided"
    assert FORMATS["human"](skipped).startswith("INCONCLUSIVE")
    done = ScanReport(runs=(CheckRun("quality.accuracy", "scorer@3", "done"),))
    assert json.loads(FORMATS["json"](done))["outcome"] == "pass"
