"""SARIF 2.1.0, for code scanning pages.

What passes or does not apply is no result, because code scanning pages show every result as an alert. Undecided is
one, of kind `fail`: other kinds must have level `none`, which pages hide. It is also a notification of the invocation.
Source: OASIS, SARIF Version 2.1.0 with Errata 01 (2023); sections cited beside the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from assay.core.canonical import Json
from assay.core.decisions import RuleOutcome
from assay.core.digests import digest_of, shown
from assay.core.outcomes import Severity
from assay.surfaces.reports.entries import Entry, entries_of, name_of, summary_of
from assay.surfaces.reports.inert import inert, json_text
from assay.surfaces.reports.results import DecisionReport, Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.LOW: "note", Severity.MEDIUM: "warning", Severity.HIGH: "error", Severity.CRITICAL: "error"}
_SCORES = {Severity.LOW: "2.0", Severity.MEDIUM: "5.0", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}
_REPORTED = frozenset({RuleOutcome.FAIL, RuleOutcome.UNDECIDED, RuleOutcome.WAIVED})


def render(report: Report) -> str:
    """One run in one log."""
    entries = entries_of(report)
    frameworks = sorted({_framework(ref) for entry in entries for ref in entry.refs})
    rules: dict[str, Entry] = {}
    for entry in entries:
        rules.setdefault(inert(entry.id), entry)
    places = {id: i for i, id in enumerate(rules)}
    run = {
        "tool": {"driver": _driver(report, list(rules.values()), frameworks)},
        "automationDetails": {"id": _category(report)},
        "invocations": [_invocation(report, entries)],
        "taxonomies": [_taxonomy(report, name, entries) for name in frameworks],
        "artifacts": _artifacts(report),
        "results": [_result(entry, places[inert(entry.id)]) for entry in entries if entry.outcome in _REPORTED],
        "properties": _summary(report, entries),
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _driver(report: Report, rules: list[Entry], frameworks: list[str]) -> dict[str, Json]:
    return {
        "name": "Assay",
        "version": report.tool_version,
        "semanticVersion": report.tool_version,
        "rules": [_rule(rule, frameworks) for rule in rules],
        "supportedTaxonomies": [{"name": inert(name), "index": i} for i, name in enumerate(frameworks)],
    }


def _rule(entry: Entry, frameworks: list[str]) -> dict[str, Json]:
    """A reportingDescriptor, section 3.49; `security-severity` is what GitHub sorts by."""
    relationships = [
        {
            "target": {
                "id": inert(_item(ref)),
                "toolComponent": {"name": inert(_framework(ref)), "index": frameworks.index(_framework(ref))},
            },
            "kinds": ["relevant"],
        }
        for ref in entry.refs
    ]
    return {
        "id": inert(entry.id),
        "shortDescription": {"text": _message(entry.title)},
        "help": {"text": _message(entry.fix or entry.title)},
        "defaultConfiguration": {"level": _LEVELS[entry.severity]},
        "relationships": _unique(relationships),
        "properties": {"security-severity": _SCORES[entry.severity], "tags": ["security", "mlsecops"]},
    }


def _taxonomy(report: Report, name: str, entries: tuple[Entry, ...]) -> dict[str, Json]:
    """A framework as a toolComponent with the items that are referred to, section 3.19.3."""
    editions: Mapping[str, str] = report.context.editions if isinstance(report, DecisionReport) else {}
    items = dict.fromkeys(inert(_item(ref)) for entry in entries for ref in entry.refs if _framework(ref) == name)
    taxonomy: dict[str, Json] = {"name": inert(name), "taxa": [{"id": item} for item in items]}
    return taxonomy | ({"version": inert(editions[name])} if name in editions else {})


def _result(entry: Entry, index: int) -> dict[str, Json]:
    # Section 3.27.23: if one result of a run has suppressions, all have; an empty list says "not suppressed".
    waived = {"kind": "external", "status": "accepted", "justification": inert(f"waived by {entry.waived_by}")}
    return {
        "ruleId": inert(entry.id),
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[entry.severity],
        "message": {"text": "\n".join(map(_message, entry.lines))},
        "locations": [{"physicalLocation": _location(entry)}],
        # GitHub follows an alert by primaryLocationLineHash alone; everyone else may use the named one.
        "partialFingerprints": {"primaryLocationLineHash": entry.fingerprint, "assay/v1": entry.fingerprint},
        "suppressions": [waived] if entry.outcome is RuleOutcome.WAIVED else [],
        "properties": {"outcome": str(entry.outcome), "severity": str(entry.severity)},
    }


def _location(entry: Entry) -> dict[str, Json]:
    location: dict[str, Json] = {"artifactLocation": {"uri": _uri(entry.path)}}
    if entry.offset is not None:
        return location | {"region": {"byteOffset": entry.offset}}
    return location | {"region": {"startLine": entry.line or 1}}


def _invocation(report: Report, entries: tuple[Entry, ...]) -> dict[str, Json]:
    """Section 3.20. What could not be decided or looked at stands here too; a failed check is no success."""
    unseen = [entry for entry in entries if entry.outcome in (RuleOutcome.UNDECIDED, RuleOutcome.NOT_APPLICABLE)]
    failed = not isinstance(report, DecisionReport) and any(run.state == "failed" for run in report.runs)
    return {
        "executionSuccessful": not failed,
        "exitCode": report.context.exit_code if isinstance(report, DecisionReport) else report.exit_code,
        "toolExecutionNotifications": [
            {
                "level": "warning" if entry.outcome is RuleOutcome.UNDECIDED else "note",
                "message": {"text": _message(f"{entry.id}: {entry.lines[0]}")},
                "descriptor": {"id": f"assay/{entry.outcome}"},
            }
            for entry in unseen
        ],
    }


def _artifacts(report: Report) -> list[Json]:
    files = () if isinstance(report, DecisionReport) else report.files
    return _unique(
        [
            {"location": {"uri": _uri(file.path)}, **({"hashes": {"sha-256": file.sha256}} if file.sha256 else {})}
            for file in files
        ]
    )


def _summary(report: Report, entries: tuple[Entry, ...]) -> dict[str, Json]:
    if not isinstance(report, DecisionReport):
        return {"outcomes": summary_of(entries)}
    decision = report.decision
    return {
        "decision": str(decision.answer),
        "mode": inert(decision.mode),
        "asset": inert(report.context.asset),
        "subject": shown(decision.subject),
        "policyDigest": shown(decision.policy_digest),
        "outcomes": summary_of(entries[1:]),
    }


def _category(report: Report) -> str:
    """Section 3.17: runs of one category replace each other on the page."""
    if isinstance(report, DecisionReport):
        return f"assay/gate/{quote(inert(name_of(report.context.asset)))}/{quote(inert(report.decision.stage))}/"
    return "assay/check/" if report.runs else "assay/scan/"


def _message(text: str) -> str:
    """Plain text of section 3.11: braces are doubled (3.11.5), and nothing can be read as a link (3.11.6)."""
    return inert(text).replace("](", "] (").replace("{", "{{").replace("}", "}}")


def _uri(path: str) -> str:
    """A path as a URI reference; file names that are not UTF-8 keep their bytes."""
    try:
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = path.encode("utf-8", "backslashreplace")
    encoded = quote(data, safe="/")
    return f"file://{encoded}" if encoded.startswith("/") else encoded


def _unique(items: list[Json]) -> list[Json]:
    """The schema refuses lists that say one thing twice."""
    return list({digest_of(item): item for item in items}.values())


def _framework(ref: str) -> str:
    return ref.partition(":")[0]


def _item(ref: str) -> str:
    return ref.partition(":")[2] or ref
