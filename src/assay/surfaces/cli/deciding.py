"""`assay gate`, `assay promote` and `assay rollback`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from assay.app.gate import Gated, gate
from assay.app.history import at_head
from assay.app.promote import Promoted, promote, rollback
from assay.app.view import exported
from assay.core.assets import check_name
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.core.times import instant
from assay.evidence.blobs import write_whole
from assay.policy.grammar import Policy
from assay.registry.queries import Version
from assay.surfaces.cli.output import print_report, write_report_files
from assay.surfaces.cli.session import Session, receipt_json, receipt_text, resolve, typed
from assay.surfaces.reports import FORMATS, DecisionContext, DecisionReport
from assay.surfaces.reports.decision_figures import Tests, figures_of

ABOUT = {
    "gate": "Asks the policies whether an asset may go to a stage, prints every rule with observed and needed, logs the answer.",
    "promote": "Gates an asset and, if it is allowed, points the stage to it.",
    "rollback": "Gates the version that held the stage before and, if it is allowed, points the stage back to it.",
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of one of the commands."""
    if command == "rollback":
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--stage", required=True)
    else:
        parser.add_argument("asset", metavar="ASSET", help="NAME, NAME@2, NAME@production or NAME@sha256:HEX")
        parser.add_argument("--to", required=True, metavar="STAGE", dest="stage", help="such as approved or production")
        parser.add_argument("--baseline", metavar="ASSET", help="compare with this instead of what the policy names")
    parser.add_argument("--policy", metavar="FILE", type=Path, help="this policy instead of those of assay.yaml")
    if command == "gate":
        parser.add_argument("--at", type=int, metavar="SIZE", help="decide as of this ledger size; logs nothing")
        parser.add_argument(
            "--now", metavar="TIME", type=typed(_time), help="decide as of this time (RFC 3339, UTC); logs nothing"
        )
        parser.add_argument(
            "--export-input", metavar="FILE", type=Path, help="write what the policies see, for other engines"
        )


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    session = Session(options, tuple(FORMATS))
    policies = session.project.read_policies(options.policy)
    if not policies:
        raise UsageError(
            "there is no policy to ask", "assay.yaml names none", "add `policies: [FILE]` to it, or pass --policy FILE"
        )
    return {"gate": _gate, "promote": _promote, "rollback": _rollback}[command](session, policies)


def _gate(session: Session, policies: Sequence[Policy]) -> int:
    options = session.options
    is_recomputed = options.at is not None or options.now is not None
    with session.open() as live, at_head(live, options.at, options.now) as workspace:
        version = resolve(workspace, session.project, options.asset)
        baseline = resolve(workspace, session.project, options.baseline) if options.baseline else None
        gated = gate(
            workspace, version, options.stage, policies, baseline=baseline, is_dry=options.dry_run or is_recomputed
        )
        code = 0 if gated.decision.mode == "warn" else gated.decision.answer.exit_code
        report = _report(session, policies, gated, version, code)
    if options.export_input:
        write_whole(options.export_input, json.dumps(exported(gated.view), indent=1).encode())
    return _show(session, report)


def _promote(session: Session, policies: Sequence[Policy]) -> int:
    options = session.options
    with session.open() as workspace:
        version = resolve(workspace, session.project, options.asset)
        baseline = resolve(workspace, session.project, options.baseline) if options.baseline else None
        if options.dry_run:
            gated = gate(workspace, version, options.stage, policies, baseline=baseline, is_dry=True)
            report = _report(session, policies, gated, version, gated.decision.answer.exit_code)
            return _show(session, report, "nothing was moved: --dry-run")
        return _moved(session, policies, promote(workspace, version, options.stage, policies, baseline=baseline))


def _rollback(session: Session, policies: Sequence[Policy]) -> int:
    options = session.options
    if options.dry_run:
        raise UsageError(
            "rollback has no dry run", fix=f"use `assay gate {options.name}@N --to {options.stage} --dry-run`"
        )
    with session.open() as workspace:
        return _moved(session, policies, rollback(workspace, check_name(options.name), options.stage, policies))


def _moved(session: Session, policies: Sequence[Policy], done: Promoted) -> int:
    """Shows a promotion. A policy that only warns moves nothing unless it allows, so its mode does not soften the code."""
    stage, version, decision = session.options.stage, done.version, done.gated.decision
    report = _report(session, policies, done.gated, version, decision.answer.exit_code)
    if session.is_json:
        session.show("promotion", {"decision": str(decision.answer), "alias": stage if done.is_moved else None,
                                   "asset": str(version), "digest": shown(version.digest), "statement": receipt_json(done.receipt),
                                   "decision_statement": receipt_json(done.gated.receipt)}, "")  # fmt: skip
        write_report_files(session, report)
        return report.context.exit_code
    said = (
        f"{version.name}@{stage} is {version} now; {receipt_text(done.receipt)}"
        if done.is_moved
        else f"{stage} was not moved"
    )
    return _show(session, report, said)


def _report(
    session: Session, policies: Sequence[Policy], gated: Gated, version: Version, exit_code: int
) -> DecisionReport:
    decision, page = gated.decision, next((str(path) for name, path in session.reports if name == "html"), "")
    wants_pictures = page or session.options.format == "html"
    context = DecisionContext(
        asset=str(version),
        policy_source=next((policy.source for policy in policies if policy.name in decision.policy_name), None),
        rule_lines={rule.id: rule.line for policy in policies for rule in policy.rules},
        body=gated.decision.digest,
        statement=gated.receipt.digest if gated.receipt else None,
        exit_code=exit_code,
        baseline_name=str(gated.baseline) if gated.baseline else "",
        editions={name: edition for policy in policies for name, edition in policy.frameworks.items()},
        figures=figures_of(decision, _tests(policies), gated.view, str(gated.baseline or "")) if wants_pictures else (),
        page=page,
    )
    return DecisionReport(decision, context)


def _tests(policies: Sequence[Policy]) -> Tests:
    """What each rule asks, under its own id and under the one it has where several policies decide."""
    return {
        name: rule.test
        for policy in policies
        for rule in policy.rules
        for name in (rule.id, f"{policy.name}/{rule.id}")
    }


def _show(session: Session, report: DecisionReport, said: str = "") -> int:
    print_report(session, report)
    if said and session.options.format == "human":
        print(said)
    write_report_files(session, report)
    return report.context.exit_code


def _time(text: str) -> str:
    instant(text)
    return text
