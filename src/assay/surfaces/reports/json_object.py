"""One JSON object, as `cli.md` promises it to scripts: `assay/decision/v1`, `assay/scan/v1` or `assay/check/v1`."""

from __future__ import annotations

from collections import Counter

from assay.core.canonical import Json
from assay.core.decisions import Cited, RuleResult, as_json
from assay.core.digests import Digest, shown
from assay.core.outcomes import Verdict
from assay.surfaces.reports.entries import outcome_of
from assay.surfaces.reports.inert import json_text
from assay.surfaces.reports.results import CheckRun, DecisionReport, Found, Report, ScanReport


def render(report: Report) -> str:
    """Every value as it is: text is escaped by JSON, never shortened."""
    if isinstance(report, DecisionReport):
        return json_text(_decision(report))
    return json_text(_check(report) if report.runs else _scan(report))


def _decision(report: DecisionReport) -> dict[str, Json]:
    decision, context = report.decision, report.context
    return {
        "schema": "assay/decision/v1",
        "decision": str(decision.answer),
        "raw_decision": str(decision.raw_answer),
        "mode": decision.mode,
        "asset": context.asset,
        "subject": shown(decision.subject),
        "stage": decision.stage,
        "rules": [_rule(rule) for rule in decision.rules],
        "reasons": list(decision.reasons),
        "approvals": {"needed": decision.approvals_needed, "given": list(decision.approvals_given)},
        "policy": decision.policy_name,
        "policy_digest": shown(decision.policy_digest),
        "baseline": _named(decision.baseline),
        "statement": _named(context.statement),
        "ledger": {
            "origin": decision.ledger_origin,
            "size": decision.ledger_size,
            "root": decision.ledger_root,
        },
        "now": decision.now,
        "body_digest": shown(context.body) if context.body else None,
        "exit_code": context.exit_code,
        "version": report.tool_version,
    }


def _rule(rule: RuleResult) -> dict[str, Json]:
    plain = as_json(rule)
    plain["evidence"] = [_cited(cited) for cited in rule.evidence]
    return {**plain, "waiver": shown(rule.waiver)} if rule.waiver else dict(plain)


def _cited(cited: Cited) -> Json:
    return {**as_json(cited), "digest": shown(cited.digest)}


def _scan(report: ScanReport) -> dict[str, Json]:
    paths = {file.path for file in report.files}
    by_path = report.findings_by_path
    verdicts = Counter(file.verdict for file in report.files)
    return {
        "schema": "assay/scan/v1",
        "files": [
            {"path": file.path, "sha256": file.sha256}
            | as_json(file)
            | {"findings": [_finding(found) for found in by_path.get(file.path, ())]}
            for file in report.files
        ],
        "findings": [_finding(found) | {"path": found.path} for found in report.findings if found.path not in paths],
        "summary": {str(verdict): verdicts[verdict] for verdict in Verdict},
        "outcome": str(outcome_of(report)),
        "skipped": as_json(report.skipped),
        "waived": [
            {**_finding(one.found), "path": one.found.path, "reason": one.reason, "expires": one.expires}
            for one in report.waived
        ],
        "exit_code": report.exit_code,
        "version": report.tool_version,
    }


def _check(report: ScanReport) -> dict[str, Json]:
    """Beside the results stands what a scan says of the files, for checks that read files."""
    results = [_run(run, report) for run in report.runs]
    return {**_scan(report), "schema": "assay/check/v1", "results": results}


def _run(run: CheckRun, report: ScanReport) -> dict[str, Json]:
    mine = [found for found in report.findings if (found.check, found.asset) == (run.check, run.asset)]
    return {
        "check": run.check,
        "asset": run.asset,
        "state": run.state,
        "reason": run.reason,
        "findings": [_finding(found) | {"path": found.path} for found in mine],
        "measurements": as_json(run.measurements),
        "statement": _named(run.statement),
        **({"vulnerabilities": _named(run.match)} if run.match else {}),
        "recorded": run.is_recorded,
    }


def _finding(found: Found) -> dict[str, Json]:
    return {**as_json(found.finding), "check": found.check}


def _named(digest: Digest | None) -> str | None:
    return shown(digest) if digest else None
