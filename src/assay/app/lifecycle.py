"""Moving assets through their life: candidate, quarantine, lift, retire, approve, waive. Each is one signed statement.

What may happen twice carries `ledgerSize`, the length of the ledger that its signer saw: a second quarantine for the
same reason would otherwise be the first statement again, which the ledger rightly keeps only once.
"""

from __future__ import annotations

from datetime import timedelta

from assay.app.register import subject_of
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import EvidenceError
from assay.core.outcomes import Severity
from assay.core.statements import Statement
from assay.core.times import stamp
from assay.evidence.envelope import sign
from assay.evidence.keys import Signer
from assay.evidence.ledger import Item, Receipt
from assay.evidence.predicates import Predicate
from assay.registry.lifecycle import State
from assay.registry.queries import Version


def move(workspace: Workspace, version: Version, state: State, reason: str) -> Receipt:
    """A lifecycle statement: candidate, approved or retired.

    Raises:
        StateError: the lifecycle or what it needs does not allow the move.
    """
    predicate: Json = {"from": str(version.state), "name": version.name, "reason": reason, "to": str(state),
                       "ledgerSize": workspace.ledger.size()}  # fmt: skip
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.LIFECYCLE, predicate), "releaser")


def quarantine(workspace: Workspace, version: Version, reason: str, *, severity: Severity = Severity.HIGH,
               incident: str = "", whole_name: bool = False) -> Receipt:  # fmt: skip
    """Denies the bytes of a version, or a whole name, everywhere; effective when this returns."""
    predicate = _quarantine_predicate(workspace, version, "quarantine", reason, severity, incident, whole_name)
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.QUARANTINE, predicate), "incident")


def lift(
    workspace: Workspace, version: Version, reason: str, second: Signer, *, whole_name: bool = False
) -> tuple[Receipt, ...]:
    """Lifts a quarantine: the incident key of this machine and an approver's key `second` sign the same statement.

    Raises:
        EvidenceError: both keys belong to one owner, or one lacks its role.
    """
    trust, first = workspace.trust(), workspace.signer("incident")
    if trust.owner_of(first.public.key_id) == trust.owner_of(second.public.key_id):
        raise EvidenceError(
            "a lift needs two persons",
            "both keys belong to the same owner",
            "let an approver sign too",
            reason="separation",
        )
    predicate = _quarantine_predicate(workspace, version, "lift", reason, Severity.LOW, "", whole_name)
    statement = Statement((subject_of(version),), Predicate.QUARANTINE, predicate)
    return workspace.log([Item.of(sign(statement, signer)) for signer in (first, second)])


def approve(workspace: Workspace, version: Version, *, stage: str, policy: Digest, role: str, reason: str, signer: Signer,
            result: str = "approve", days: int = 14, body: Digest | None = None) -> Receipt:  # fmt: skip
    """A person's approval or rejection for one stage under one policy; it expires."""
    now = workspace.clock()
    predicate: dict[str, Json] = {
        "expires": stamp(now + timedelta(days=days)), "notBefore": stamp(now), "policySha256": policy,
        "reason": reason, "result": result, "role": role, "target": stage,
    }  # fmt: skip
    if body:
        predicate["bodySha256"] = body
    return workspace.log([Item.of(sign(Statement((subject_of(version),), Predicate.APPROVAL, predicate), signer))])[0]


def waive(workspace: Workspace, version: Version, *, rule: str, stage: str, policy: Digest, until: timedelta, reason: str,
          ticket: str, control: str, requested_by: str, signer: Signer) -> Receipt:  # fmt: skip
    """A waiver of one rule for one asset and stage; every field is needed and it expires."""
    now = workspace.clock()
    predicate: Json = {
        "compensatingControl": control, "expires": stamp(now + until), "notBefore": stamp(now), "policySha256": policy,
        "reason": reason, "requestedBy": requested_by, "rule": rule, "scope": {"digest": version.digest},
        "target": stage, "ticket": ticket,
    }  # fmt: skip
    return workspace.log([Item.of(sign(Statement((subject_of(version),), Predicate.WAIVER, predicate), signer))])[0]


def open_incident(workspace: Workspace, version: Version, incident: str, summary: str, severity: Severity, *,
                  state: str = "open", events: tuple[str, ...] = (), actions: tuple[str, ...] = ()) -> Receipt:  # fmt: skip
    """Records an incident or its new state."""
    owner = workspace.trust().owner_of(workspace.signer("incident").public.key_id)
    predicate: Json = {"actions": list(actions), "events": list(events), "id": incident, "owner": owner,
                       "ledgerSize": workspace.ledger.size(), "severity": str(severity), "state": state, "summary": summary}  # fmt: skip
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.INCIDENT, predicate), "incident")


def _quarantine_predicate(workspace: Workspace, version: Version, action: str, reason: str, severity: Severity,
                          incident: str, whole_name: bool) -> Json:  # fmt: skip
    requested_by = workspace.trust().owner_of(workspace.signer("incident").public.key_id)
    scope = {"name": version.name} if whole_name else {"digest": version.digest}
    predicate: dict[str, Json] = {
        "action": action,
        "ledgerSize": workspace.ledger.size(),
        "reason": reason,
        "requestedBy": requested_by,
        "scope": scope,
        "severity": str(severity),
    }
    return predicate | ({"incident": incident} if incident else {})
