"""`assay promote` and `assay rollback`: gate, then move an alias; refused without an allow for exactly these bytes.

A promotion walks the lifecycle: sourced to candidate (the scan and the origin are there), candidate to approved and
approved to production (each with its own decision). Every step is a statement; a step that is refused ends the walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.app.gate import Gated, gate
from assay.app.lifecycle import move
from assay.app.register import subject_of
from assay.app.workspace import Workspace
from assay.core.assets import Reference, check_alias
from assay.core.canonical import Json
from assay.core.decisions import Answer
from assay.core.errors import Refused, StateError
from assay.core.statements import Statement
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.policy.grammar import Policy
from assay.registry.lifecycle import State
from assay.registry.queries import Version

APPROVED = "approved"


@dataclass(frozen=True)
class Promoted:
    """How far a promotion came: the last decision, and the receipt of the alias move if it was allowed."""

    gated: Gated
    version: Version
    receipt: Receipt | None

    @property
    def is_moved(self) -> bool:
        """Whether the alias points to the version now."""
        return self.receipt is not None


def promote(workspace: Workspace, version: Version, stage: str, policies: Sequence[Policy], *, action: str = "promote",
            baseline: Version | None = None) -> Promoted:  # fmt: skip
    """Gates `version` for `stage` and moves the alias if every step is allowed.

    Raises:
        Refused: it is quarantined or retired.
        StateError: the lifecycle does not allow it, such as a model that no scan cleared.
    """
    check_alias(stage)
    version = _as_candidate(workspace, version)
    if stage == "candidate":
        raise StateError(
            "candidate is no stage to promote to",
            f"{version} is {version.state}",
            "use --to approved or --to production",
        )
    if version.state is State.CANDIDATE:
        gated = gate(workspace, version, APPROVED, policies, baseline=baseline)
        if gated.decision.answer is not Answer.ALLOW:
            return Promoted(gated, version, None)
        receipt = move(workspace, version, State.APPROVED, f"allowed for {APPROVED} by {gated.decision.policy_name}")
        version = _fresh(workspace, version)
        if stage == APPROVED:
            return Promoted(gated, version, receipt)
    gated = gate(workspace, version, stage, policies, baseline=baseline)
    if gated.decision.answer is not Answer.ALLOW or gated.receipt is None or stage == APPROVED:
        return Promoted(
            gated, version, gated.receipt if stage == APPROVED and gated.decision.answer is Answer.ALLOW else None
        )
    receipt = _point(workspace, version, stage, action, gated.receipt.digest)
    return Promoted(gated, _fresh(workspace, version), receipt)


def rollback(workspace: Workspace, name: str, stage: str, policies: Sequence[Policy]) -> Promoted:
    """Gates the approved version that held `stage` most recently before, and points the alias back to it.

    Raises:
        StateError: there is no such version.
    """
    current = workspace.registry.aliases(name).get(check_alias(stage))
    former = next((d for d in workspace.registry.previous_holders(name, stage) if d != current), None)
    if former is None:
        raise StateError(f"{name} has no version to go back to", f"no other approved version was decided for {stage}",
                         "promote another version")  # fmt: skip
    version = workspace.registry.resolve(Reference(name, digest=former))
    return promote(workspace, version, stage, policies, action="rollback")


def withdraw(workspace: Workspace, name: str, stage: str) -> Receipt:
    """Removes an alias; the version stays approved."""
    version = workspace.registry.resolve(Reference(name, alias=stage))
    predicate: Json = {
        "action": "remove",
        "alias": stage,
        "digest": version.digest,
        "ledgerSize": workspace.ledger.size(),
        "name": name,
        "previous": version.digest,
    }
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.PROMOTION, predicate), "releaser")


def _as_candidate(workspace: Workspace, version: Version) -> Version:
    if version.state in (State.QUARANTINED, State.RETIRED):
        denials = workspace.registry.denials(version.digest, version.name)
        why = "; ".join(denial.reason for denial in denials) or "its life has ended; it verifies nowhere"
        fix = "use another version" + (", or have the quarantine lifted" if denials else "")
        raise Refused(f"{version} is {version.state}", why, fix, reason=str(version.state))
    if version.state is State.SOURCED:
        move(workspace, version, State.CANDIDATE, "scanned clean, origin known")
        return _fresh(workspace, version)
    return version


def _point(workspace: Workspace, version: Version, stage: str, action: str, decision: str) -> Receipt:
    held = workspace.registry.aliases(version.name).get(stage)
    predicate: dict[str, Json] = {
        "action": action,
        "alias": stage,
        "decision": decision,
        "digest": version.digest,
        "name": version.name,
    }
    if held is not None:
        predicate["previous"] = held
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.PROMOTION, predicate), "releaser")


def _fresh(workspace: Workspace, version: Version) -> Version:
    return workspace.registry.resolve(Reference(version.name, digest=version.digest))
