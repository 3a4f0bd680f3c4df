"""Serving configuration: attack cases with their benign twins, bounds, and what is not understood."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.material import MemoryContext, asset
from tests.unit.dependencies.advice import ARCHIVE

from assay.app.advisory_sources import files_in
from assay.checks.infrastructure.settings import settings as check
from assay.core.assets import Kind
from assay.core.outcomes import FileVerdict, Severity, Skipped, Verdict
from assay.formats.code.rules import ALL as CODE_RULES
from assay.formats.configuration.judge import judged_configuration
from assay.formats.configuration.rules import ALL
from assay.formats.configuration.versions import judge_version
from assay.formats.dependencies.osv import read_record

ROOT = Path(__file__).parents[3]
CASES: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/corpus/infrastructure/cases.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case_is_told_by_its_rules_and_its_twin_by_none(case: dict[str, Any]) -> None:
    found = judged_configuration(case["text"].encode(), case["path"])
    assert str(found.verdict) == case["verdict"]
    assert set(case["rules"]) <= {problem.rule.id for problem in found.problems}
    if not case["rules"]:
        assert all(problem.severity.rank < Severity.HIGH.rank for problem in found.problems)


@pytest.mark.parametrize("version", ["latest", "nightly", "main-cuda", "", "$TAG", "sha-1a2b3c"])
def test_a_version_that_is_not_understood_is_never_clean(version: str) -> None:
    assert judge_version("vllm", version, 1).unknown


def test_a_prerelease_comes_before_its_release() -> None:
    ids = [p.summary.split()[2].rstrip(",") for p in judge_version("vllm", "0.11.0rc1", 1).problems]
    assert "CVE-2025-59425" in ids
    assert not [p for p in judge_version("vllm", "0.11.0", 1).problems if "CVE-2025-59425" in p.summary]


def test_the_list_of_versions_is_dated_and_well_formed() -> None:
    known = json.loads((ROOT / "src/assay/formats/configuration/known_vulnerable.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", known["dated"])
    for product in known["products"].values():
        for advisory in product["advisories"]:
            assert re.fullmatch(r"CVE-\d{4}-\d{4,7}", advisory["id"])
            assert advisory["seen"] in ("pypa", "pages", "advisory") and advisory["severity"] in list(Severity)


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the shared snapshot of the PyPA advisory database is not here")
def test_versions_said_to_be_read_in_the_pypa_database_are_those_of_its_records() -> None:
    known = json.loads((ROOT / "src/assay/formats/configuration/known_vulnerable.json").read_text())["products"]
    said = {a["id"]: a["fixed"] for p in known.values() for a in p["advisories"] if a["seen"] == "pypa"}
    found: dict[str, set[str]] = {}
    for item in files_in(ARCHIVE):
        if any(name.encode() in item.data for name in said):
            record = read_record(item.data, item.path)
            fixes = {
                v for a in record.affected for r in a.ranges if r.type != "GIT" for e, v in r.events if e == "fixed"
            }
            found |= {name: fixes for name in said if name in (record.id, *record.aliases)}
    assert {name: {fixed} for name, fixed in said.items()} == found


@pytest.mark.parametrize(
    "path",
    [
        "Dockerfile",
        "compose.yaml",
        "mcp.json",
        "config.properties",
        "jupyter_config.py",
        "config.pbtxt",
        "a.sh",
        "a.py",
    ],
)
@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_is_answered(path: str, text: str) -> None:
    assert judged_configuration(text.encode("utf-8", "surrogatepass"), path).verdict in list(Verdict)


@pytest.mark.parametrize("case", [c for c in CASES if c["verdict"] == "unknown"], ids=lambda case: case["name"])
def test_a_file_cut_short_is_answered(case: dict[str, Any]) -> None:
    for size in range(0, len(case["text"]), 17):
        judged_configuration(case["text"][:size].encode(), case["path"])


@pytest.mark.parametrize(
    "data", [b"a: [" * 300, b"{" * 9000, b"- " * 20_000 + b"x", b"a: *nowhere", b"\x00", b"a: b: c"]
)
def test_broken_yaml_is_inconclusive(data: bytes) -> None:
    assert judged_configuration(data, "x.yaml").verdict is Verdict.INCONCLUSIVE


def test_the_check_gives_a_verdict_for_every_file_and_says_what_it_did_not_understand() -> None:
    files = {
        case["name"].replace(" ", "-").replace(":", "") + "/" + case["path"]: case["text"].encode() for case in CASES
    }
    subject = asset(Kind.INFRASTRUCTURE, files)
    found = list(check.body(subject, MemoryContext({subject.digest: files})))
    verdicts = {o.path: o.verdict for o in found if isinstance(o, FileVerdict)}
    assert set(verdicts) == set(files)
    inconclusive = {path for path, verdict in verdicts.items() if verdict is Verdict.INCONCLUSIVE}
    assert inconclusive <= {o.what for o in found if isinstance(o, Skipped)}


def test_rules_are_unique_and_refer_to_something() -> None:
    assert len({rule.id for rule in (*ALL, *CODE_RULES)}) == len(ALL) + len(CODE_RULES)
    assert all(rule.remedy and any(ref.startswith("cwe:") for ref in rule.refs) for rule in (*ALL, *CODE_RULES))


def test_the_reference_of_rules_is_what_the_tables_say() -> None:
    made = subprocess.run([sys.executable, ROOT / "tools/make_rules_reference.py", "--check"], check=False)
    assert made.returncode == 0
