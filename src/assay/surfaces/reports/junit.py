"""JUnit XML, as Jenkins, GitLab and Azure read it: a rule, file or finding is a test case.

fail is a `failure`, undecided an `error`, waived and not-applicable are `skipped`. The decision is a test case of its
own, so a missing approval is red although every rule passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from assay.core.decisions import RuleOutcome
from assay.core.digests import shown
from assay.surfaces.reports.entries import Entry, entries_of
from assay.surfaces.reports.inert import inert
from assay.surfaces.reports.results import DecisionReport, Report

_ELEMENTS = {
    RuleOutcome.FAIL: "failure",
    RuleOutcome.UNDECIDED: "error",
    RuleOutcome.WAIVED: "skipped",
    RuleOutcome.NOT_APPLICABLE: "skipped",
}


def render(report: Report) -> str:
    """An XML document. XML 1.0 has no way to write most control characters, so they are made visible first."""
    entries = entries_of(report)
    root = ElementTree.Element("testsuites", {"name": "assay", **_sums(entries)})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _suite(report), **_sums(entries), "time": "0"})
    if isinstance(report, DecisionReport):
        suite.set("timestamp", report.decision.now.removesuffix("Z"))
        _properties(suite, report)
    for entry in entries:
        _case(suite, entry, _suite(report))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report) -> str:
    if isinstance(report, DecisionReport):
        return f"assay.gate.{inert(report.context.asset)}.{inert(report.decision.stage)}"
    return "assay.check" if report.runs else "assay.scan"


def _sums(entries: Sequence[Entry]) -> dict[str, str]:
    elements = [_ELEMENTS.get(entry.outcome) for entry in entries]
    return {
        "tests": str(len(entries)),
        "failures": str(elements.count("failure")),
        "errors": str(elements.count("error")),
        "skipped": str(elements.count("skipped")),
    }


def _properties(suite: ElementTree.Element, report: DecisionReport) -> None:
    decision, context = report.decision, report.context
    facts = {
        "decision": str(decision.answer),
        "mode": decision.mode,
        "subject": shown(decision.subject),
        "policy": decision.policy_name,
        "policy_digest": shown(decision.policy_digest),
        "baseline": shown(decision.baseline) if decision.baseline else "",
        "statement": shown(context.statement) if context.statement else "",
        "ledger_size": str(decision.ledger_size),
        "exit_code": str(context.exit_code),
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": inert(value)})


def _case(suite: ElementTree.Element, entry: Entry, group: str) -> None:
    name = inert(f"{entry.id} {entry.about}")
    case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": name, "time": "0"})
    text = "\n".join(inert(line) for line in entry.lines)
    kind = _ELEMENTS.get(entry.outcome)
    if kind is None:
        ElementTree.SubElement(case, "system-out").text = text
        return
    message = inert(f"waived by {entry.waived_by}" if entry.waived_by else entry.lines[0])
    element = ElementTree.SubElement(case, kind, {"message": message})
    if kind != "skipped":
        element.set("type", str(entry.severity))
    element.text = text
