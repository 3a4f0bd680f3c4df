"""GitLab code quality: one JSON list of what does not pass.

Source: docs.gitlab.com, "Code Quality", section "Code Quality report format".
"""

from __future__ import annotations

from assay.core.canonical import Json
from assay.core.decisions import RuleOutcome
from assay.core.outcomes import Severity
from assay.surfaces.reports.entries import Entry, entries_of
from assay.surfaces.reports.inert import inert, json_text
from assay.surfaces.reports.results import Report

_SEVERITIES = {
    Severity.LOW: "minor",
    Severity.MEDIUM: "major",
    Severity.HIGH: "critical",
    Severity.CRITICAL: "blocker",
}


def render(report: Report) -> str:
    """Every entry but those that pass. Waived and not looked at are `info`: seen, but no reason to stop."""
    return json_text([_issue(entry) for entry in entries_of(report) if entry.outcome is not RuleOutcome.PASS])


def _issue(entry: Entry) -> dict[str, Json]:
    return {
        "type": "issue",
        "check_name": f"assay/{inert(entry.id)}",
        "description": f"{inert(entry.title, 200)} ({inert(entry.lines[0])})",
        "content": {"body": "\n".join(inert(line) for line in entry.lines)},
        "categories": ["Security"],
        "fingerprint": entry.fingerprint,
        "severity": _SEVERITIES[entry.severity] if entry.is_open else "info",
        "location": {"path": inert(entry.path), "lines": {"begin": entry.line or 1}},
    }
