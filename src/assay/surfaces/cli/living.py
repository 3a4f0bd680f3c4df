"""`assay quarantine`, `lift`, `retire`, `approve`, `waive` and `incident`: lifecycle statements by persons."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from assay.app.incidents import newest_incidents
from assay.app.lifecycle import approve, lift, move, open_incident, quarantine, waive
from assay.app.policies import applicable
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.errors import EvidenceError, UsageError
from assay.core.outcomes import Severity
from assay.core.times import duration
from assay.evidence.keys import Signer
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate, short_type
from assay.policy.grammar import Policy
from assay.registry.lifecycle import State
from assay.registry.queries import Version
from assay.surfaces.cli.session import Session, count, receipt_json, receipt_text, resolve, table, typed

ABOUT = {
    "quarantine": "Denies an asset everywhere, from the moment this returns.",
    "lift": "Lifts a quarantine: your incident key and an approver's key of another person sign the same statement.",
    "retire": "Ends an asset's life: it verifies nowhere and cannot be registered again under its name.",
    "approve": "Approves or rejects an asset for a stage under the current policy; it expires.",
    "waive": "Waives one rule for one asset and stage, for a time, with a reason and a ticket.",
    "incident": "Opens, contains, closes or lists incidents.",
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of one of the commands."""
    if command == "waive":
        parser.add_argument("rule", metavar="RULE")
        parser.add_argument("--asset", required=True)
        parser.add_argument("--until", required=True, metavar="DURATION", type=typed(duration), help="such as 14d")
        parser.add_argument("--ticket", required=True)
        parser.add_argument("--control", required=True, help="what protects meanwhile")
        parser.add_argument("--requested-by", required=True, metavar="PERSON")
    elif command == "incident":
        parser.add_argument("action", choices=("open", "contain", "close", "list"))
        parser.add_argument("asset", nargs="?", metavar="ASSET")
        parser.add_argument("--id", help="incident id; made up when opening")
    else:
        parser.add_argument("asset", metavar="ASSET")
    if command in ("quarantine", "lift"):
        parser.add_argument("--whole-name", action="store_true", help="every version of the name")
    if command in ("quarantine", "incident"):
        default = "high" if command == "quarantine" else None  # an incident keeps the one that it has
        parser.add_argument("--severity", choices=[str(s) for s in Severity], default=default)
    if command == "quarantine":
        parser.add_argument("--incident", default="", help="the incident that this answers")
    if command == "waive":
        parser.add_argument("--to", required=True, metavar="STAGE", dest="stage")
    if command in ("approve", "waive"):
        parser.add_argument("--policy", type=Path, metavar="FILE")
    if command == "approve":
        parser.add_argument(
            "--to", required=True, metavar="STAGE", dest="stages", action="append", help="may be repeated"
        )
        parser.add_argument("--role", default="approver", help="the role in which you approve")
        parser.add_argument("--reject", action="store_true")
        parser.add_argument("--days", type=count, default=14)
    if command in ("approve", "waive", "lift"):
        parser.add_argument(
            "--key", required=True, metavar="NAME", help="the key of this machine that signs as approver"
        )
    parser.add_argument("--reason", required=command != "incident", default="")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    session = Session(options)
    if command == "incident" and options.action == "list":
        return _list_incidents(session)
    if not options.asset:
        raise UsageError("which asset?", "an incident is about one", "add NAME@VERSION")
    with session.open() as workspace:
        version = resolve(workspace, session.project, options.asset)
        if options.dry_run:
            session.show(
                command, {"asset": str(version), "statement": None}, f"would {command} {version} ({version.state})"
            )
            return 0
        receipts = _ACTIONS[command](session, workspace, version)
        state = workspace.registry.with_digest(version.digest)[0].state
    session.show(command, {"asset": str(version), "state": str(state), "statement": receipt_json(receipts[-1])},
                 f"{version} is {state}; {receipt_text(receipts[-1])}")  # fmt: skip
    return 0


def _quarantine(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    o = session.options
    return (
        quarantine(
            workspace, version, o.reason, severity=Severity(o.severity), incident=o.incident, whole_name=o.whole_name
        ),
    )


def _lift(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    o = session.options
    return lift(workspace, version, o.reason, workspace.key(o.key), whole_name=o.whole_name)


def _retire(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    return (move(workspace, version, State.RETIRED, session.options.reason),)


def _approve(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    o = session.options
    result = "reject" if o.reject else "approve"
    signer = signer_for(workspace, o.key, Predicate.APPROVAL, o.role)
    return tuple(
        approve(
            workspace,
            version,
            stage=stage,
            policy=policy.digest,
            role=o.role,
            reason=o.reason,
            signer=signer,
            result=result,
            days=o.days,
        )
        for stage in o.stages
        for policy in _policies(session, workspace, version, stage)
    )


def _waive(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    o = session.options
    signer = signer_for(workspace, o.key, Predicate.WAIVER)
    return tuple(
        waive(workspace, version, rule=o.rule, stage=o.stage, policy=policy.digest, until=o.until, reason=o.reason,
              ticket=o.ticket, control=o.control, requested_by=o.requested_by, signer=signer)
        for policy in _with_rule(_policies(session, workspace, version, o.stage), o.rule)
    )  # fmt: skip


def _with_rule(policies: Sequence[Policy], rule: str) -> list[Policy]:
    """The policies that have the rule; a typing error must not read as a waiver.

    Raises:
        UsageError: none has it.
    """
    found = [policy for policy in policies if rule in _rule_ids(policy)]
    if not found:
        near = get_close_matches(rule, [known for policy in policies for known in _rule_ids(policy)], 1)
        fix = f"did you mean {near[0]}?" if near else "see `assay policy explain`"
        raise UsageError(f"no policy has a rule {rule[:80]!r}", fix=fix)
    return found


def _rule_ids(policy: Policy) -> list[str]:
    return [rule.id for rule in policy.rules] + [f"evidence.{alias}" for alias in policy.evidence]


def signer_for(workspace: Workspace, name: str, predicate: str, role: str = "") -> Signer:
    """A key whose word counts: without the role the statement would be logged and count nothing."""
    key = workspace.key(name)
    named = [r for each, r in workspace.trust().roles.items() if role in ("", each) and predicate in r.predicates]
    if not any(key.public.key_id in r.members for r in named):
        raise EvidenceError(f"key {name} may not say this", f"it is in no role that may say {short_type(predicate)}"
                            + (f" as {role}" if role else ""), f"assay key trust {name} --owner PERSON --role {role or 'approver'}",
                            reason="no-role")  # fmt: skip
    return key


def _incident(session: Session, workspace: Workspace, version: Version) -> tuple[Receipt, ...]:
    o = session.options
    if o.action != "open" and not o.id:
        raise UsageError("which incident?", fix="add --id INC-…, see `assay incident list`")
    name = o.id or f"INC-{secrets.token_hex(4)}"
    state = {"open": "open", "contain": "contained", "close": "closed"}[o.action]
    known: dict[str, Json] = next((found for found in newest_incidents(workspace) if found["id"] == name), {})
    if o.action != "open" and not known:
        raise UsageError(f"there is no incident {name[:80]!r}", fix="see `assay incident list`")
    session.note(f"incident {name}")
    summary, severity = o.reason or known.get("summary", o.action), o.severity or known.get("severity", "high")
    return (open_incident(workspace, version, name, summary, Severity(severity), state=state),)


_ACTIONS = {
    "quarantine": _quarantine,
    "lift": _lift,
    "retire": _retire,
    "approve": _approve,
    "waive": _waive,
    "incident": _incident,
}


def _policies(session: Session, workspace: Workspace, version: Version, stage: str) -> tuple[Policy, ...]:
    """The policies that a person's word is about: each that applies to the asset and stage."""
    found = applicable(workspace, version, stage, session.project.read_policies(session.options.policy))
    if not found:
        raise UsageError(
            f"no policy speaks about {version} at {stage}",
            fix="check `applies_to`, or pass --policy FILE",
        )
    return found


def _list_incidents(session: Session) -> int:
    with session.open() as workspace:
        found: list[Json] = newest_incidents(workspace)
    rows = [(i["id"], i["state"], i["severity"], i["asset"], i["opened_at"], i["summary"]) for i in found]
    session.show(
        "incidents",
        {"incidents": found},
        lambda: table(rows, ("incident", "state", "severity", "asset", "opened", "summary")),
    )
    return 0
