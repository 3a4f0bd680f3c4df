"""`assay gate`: asks the policies about a candidate and logs the answer as a signed verification summary.

Source: SLSA Verification Summary Attestation v1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay import __version__
from assay.app.reader import Reader
from assay.app.register import subject_of
from assay.app.sound import SoundLedger
from assay.app.view import collect, standing_of
from assay.app.workspace import Workspace
from assay.core.assets import Reference
from assay.core.canonical import Json
from assay.core.decisions import Answer, Decision
from assay.core.statements import Statement
from assay.core.times import stamp
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.policy.evaluate import decide
from assay.policy.grammar import Policy
from assay.policy.view import View
from assay.registry.queries import Version

VERIFIER = "urn:assay:gate"


@dataclass(frozen=True)
class Gated:
    """A decision and the receipt of its statement."""

    decision: Decision
    receipt: Receipt | None
    baseline: Version | None
    view: View


def gate(workspace: Workspace, version: Version, stage: str, policies: Sequence[Policy], *,
         baseline: Version | None = None, is_dry: bool = False) -> Gated:  # fmt: skip
    """Decides whether `version` may go to `stage`; compares with `baseline` or what the policies name.

    Raises:
        LedgerDamaged: the ledger cannot be relied on.
        EvidenceError: no key here has the role `gate`.
    """
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.chain)
    compared = baseline or _baseline(workspace, reader, version, stage, policies)
    anchors = [policy.anchor for policy in policies if policy.anchor]
    view = collect(workspace, reader, sound, version, stage, compared, anchors)
    decision = decide(view, policies, stamp(workspace.clock()))
    if is_dry:
        return Gated(decision, None, compared, view)
    statement = Statement((subject_of(version),), Predicate.DECISION, summary_of(decision, version))
    return Gated(decision, workspace.sign_and_log(statement, "gate", [decision.body]), compared, view)


def _baseline(
    workspace: Workspace, reader: Reader, version: Version, stage: str, policies: Sequence[Policy]
) -> Version | None:
    """What runs now where the policies say to compare: the holder of their baseline stage, else of `stage`.

    A quarantined holder is no standard: then there is no baseline, and the policy says what that means.
    """
    named = next((policy.baseline.stage for policy in policies if policy.baseline), stage)
    digest = reader.holder(version.name, named)
    if digest is None or digest == version.digest:
        return None
    holder = workspace.registry.resolve(Reference(version.name, digest=digest))
    return None if standing_of(reader, holder).is_quarantined else holder


def summary_of(decision: Decision, version: Version) -> Json:
    """The verification summary of a decision: PASSED only for allow."""
    cited = sorted({c.digest for rule in decision.rules for c in rule.evidence})
    is_allowed = decision.answer is Answer.ALLOW
    return {
        "assay_body": decision.digest,
        "assay_decision": str(decision.answer),
        "assay_ledgerSize": decision.ledger_size,
        "assay_mode": decision.mode,
        "assay_rules": [
            {"id": rule.id, "outcome": str(rule.outcome), "reason": rule.reason, "severity": str(rule.severity)}
            for rule in decision.rules
        ],
        "assay_target": decision.stage,
        "inputAttestations": [{"digest": {"sha256": digest}} for digest in cited],
        "policy": {"digest": {"sha256": decision.policy_digest}, "uri": f"urn:assay:policy:{decision.policy_name}"},
        "resourceUri": f"urn:assay:asset:{version}",
        "timeVerified": decision.now,
        "verificationResult": "PASSED" if is_allowed else "FAILED",
        "verifiedLevels": [f"ASSAY_{decision.stage.upper().replace('-', '_')}"] if is_allowed else [],
        "verifier": {"id": VERIFIER, "version": {"assay": __version__}},
    }
