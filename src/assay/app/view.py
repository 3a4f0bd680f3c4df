"""Collecting what a policy may see of a candidate and of what it is compared with."""

from __future__ import annotations

from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.decisions import as_json
from assay.core.digests import Digest
from assay.policy.view import Head, Standing, View
from assay.registry.lifecycle import State
from assay.registry.queries import Version

_RELATED = {"trainedOn": "trained_on", "testedOn": "tested_on", "builtBy": "built_by", "base": "base"}
_MATERIAL_ROLES = {"dataset": "trained_on", "code": "built_by", "base": "base"}


def collect(workspace: Workspace, version: Version, stage: str, baseline: Version | None) -> View:
    """The view of one candidate at the newest ledger head.

    Raises:
        LedgerDamaged: the log does not hash to its root, or is not the one seen before.
    """
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.trust)
    head = Head(reader.trust.log.origin, sound.size, sound.root.hex())
    subject = standing_of(workspace, version)
    base = standing_of(workspace, baseline) if baseline else None
    digests = [subject.digest, *_related_digests(subject)]
    if base is not None:
        digests += [base.digest, *_related_digests(base)]
    found = {e.index: e for digest in dict.fromkeys(digests) for e in reader.about(digest)}
    return View(stage, subject, base, head, tuple(found[i] for i in sorted(found)), workspace.blobs.get)


def standing_of(workspace: Workspace, version: Version) -> Standing:
    """An asset as the registry knows it, with what it was made from and tested on."""
    related: dict[str, tuple[Digest, ...]] = {}
    for field, role in _RELATED.items():
        said = version.declared.get(field, [])
        related[role] = tuple(_digest_in(item) for item in ([said] if isinstance(said, str) else said))
    for role, parent in workspace.registry.parents(version.digest):
        name = _MATERIAL_ROLES.get(role, role)
        related[name] = tuple(dict.fromkeys((*related.get(name, ()), parent)))
    return Standing(
        name=version.name,
        version=version.n,
        digest=version.digest,
        kind=version.kind,
        state=str(version.state),
        labels=version.labels,
        declared=version.declared,
        origin="external" if version.origin.get("external") else "internal",
        is_quarantined=version.state is State.QUARANTINED
        or bool(workspace.registry.denials(version.digest, version.name)),
        tainted_by=workspace.registry.tainted_by(version.digest),
        related={role: digests for role, digests in related.items() if digests},
    )


def exported(view: View) -> Json:
    """What the policies see, as plain JSON for other engines."""
    names = ("stage", "subject", "baseline", "head", "evidence")
    return {name: as_json(getattr(view, name)) for name in names}


def _related_digests(standing: Standing) -> list[Digest]:
    return [digest for digests in standing.related.values() for digest in digests]


def _digest_in(reference: Json) -> Digest:
    return str(reference).rpartition("sha256:")[2]
