"""Collecting what a policy may see of a candidate and of what it is compared with.

Everything that a decision depends on is read from signed statements whose place in the log was just verified: what an
asset is called and declared to be, its labels, what it was made from, and whether it is quarantined. Only the state of
the lifecycle is taken from the registry's table, where it can make an answer stricter, never kinder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.verify import quarantines
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.decisions import as_json
from assay.core.digests import Digest
from assay.core.errors import EvidenceError
from assay.evidence.predicates import Predicate
from assay.policy.looks import WORN_AFTER
from assay.policy.view import Evidence, Head, Standing, View
from assay.registry.lifecycle import State
from assay.registry.queries import Version

_RELATED = {
    "trainedOn": "trained_on",
    "testedOn": "tested_on",
    "builtBy": "built_by",
    "servedBy": "served_by",
    "base": "base",
}
_MATERIAL_ROLES = {"dataset": "trained_on", "code": "built_by", "base": "base"}
_REGISTRARS = {"registrar", "data-owner"}


def collect(workspace: Workspace, reader: Reader, sound: SoundLedger, version: Version, stage: str,
            baseline: Version | None, anchors: Sequence[Digest] = ()) -> View:  # fmt: skip
    """The view of one candidate at the head of `sound`, read by `reader`; `anchors` are what policies pin besides.

    Raises:
        EvidenceError: no trusted registrar registered the candidate.
    """
    if (kind := workspace.manifest(version.digest).kind) != version.kind:
        raise EvidenceError(f"{version} is registered as {version.kind}, but its manifest is of a {kind}",
                            "rules for another kind would decide", reason="wrong-kind")  # fmt: skip
    head = Head(reader.trust.log.origin, sound.size, sound.root.hex())
    subject = standing_of(reader, version)
    base = standing_of(reader, baseline) if baseline else None
    digests = [subject.digest, *_related_digests(subject), *anchors]
    if base is not None:
        digests += [base.digest, *_related_digests(base)]
    found = {e.index: e for digest in dict.fromkeys(digests) for e in reader.about(digest)}
    evidence = tuple(found[i] for i in sorted(found))
    return View(stage, subject, base, head, evidence, workspace.blobs.get, _wear(reader, sound))


def _wear(reader: Reader, sound: SoundLedger) -> dict[Digest, int]:
    """How many assets were evaluated on each dataset; nothing is read while too few were for anybody to care."""
    leaves = [leaf for leaf in sound.mentioning(Predicate.EVAL_RESULT) if leaf.type == Predicate.EVAL_RESULT]
    assets = {leaf.subjects[0] for leaf in leaves}
    if len(assets) <= WORN_AFTER:
        return {}
    judged = Counter(dataset for asset in sorted(assets) for dataset in _datasets(reader, asset))
    return {dataset: count for dataset, count in judged.items() if count > WORN_AFTER}


def _datasets(reader: Reader, asset: Digest) -> set[Digest]:
    said = (e.predicate.get("dataset") for e in reader.about(asset) if e.type == Predicate.EVAL_RESULT and e.roles)
    return {item["sha256"] for item in said if isinstance(item, dict)}


def standing_of(reader: Reader, version: Version) -> Standing:
    """An asset as its signed statements describe it.

    Raises:
        EvidenceError: no trusted registrar registered it under this name.
    """
    evidence = reader.about(version.digest)
    registered = [e for e in _by_registrars(evidence, Predicate.REGISTRATION) if e.predicate["name"] == version.name]
    if not registered:
        raise EvidenceError(f"{version} is not registered by anybody who may", "no registration by a trusted registrar counts",
                            "register it with a key that has the role `registrar`", reason="unregistered")  # fmt: skip
    said = registered[-1].predicate
    origin = said.get("origin", {})
    labels = dict(said.get("labels", {}))
    for item in _by_registrars(evidence, Predicate.LABEL):
        labels |= item.predicate["labels"] if item.predicate["name"] == version.name else {}
    active, _ = quarantines(reader)
    return Standing(
        name=version.name,
        version=version.n,
        digest=version.digest,
        kind=version.kind,
        state=str(version.state),
        labels=labels,
        declared=said.get("declared", {}),
        origin="external" if origin.get("external") else "internal",
        source={key: str(origin[key]) for key in ("uri", "revision", "licence", "retrievedOn") if key in origin},
        is_quarantined=version.state is State.QUARANTINED
        or bool({("digest", version.digest), ("name", version.name)} & set(active)),
        tainted_by=tuple(sorted(d for d in reader.ancestors(version.digest) if ("digest", d) in active))
        if active
        else (),
        related=_related(said.get("declared", {}), evidence),
    )


def exported(view: View) -> Json:
    """What the policies see, as plain JSON for other engines."""
    names = ("stage", "subject", "baseline", "head", "evidence")
    return {name: as_json(getattr(view, name)) for name in names}


def _by_registrars(evidence: tuple[Evidence, ...], of_type: Predicate) -> list[Evidence]:
    return [e for e in evidence if e.type == of_type and _REGISTRARS & set(e.roles)]


def _related(declared: Json, evidence: tuple[Evidence, ...]) -> dict[str, tuple[Digest, ...]]:
    """What the asset declares to be made from and tested on, and what trusted provenance says it was made from."""
    related: dict[str, list[Digest]] = {}
    for field, role in _RELATED.items():
        said = declared.get(field, [])
        related[role] = [str(item).rpartition("sha256:")[2] for item in ([said] if isinstance(said, str) else said)]
    for item in evidence:
        if item.type == Predicate.PROVENANCE and item.roles:
            for material in item.predicate["buildDefinition"]["resolvedDependencies"]:
                role = material.get("annotations", {}).get("role", "material")
                if isinstance(digest := material.get("digest", {}).get("sha256"), str):
                    related.setdefault(_MATERIAL_ROLES.get(role, role), []).append(digest)
    return {role: tuple(dict.fromkeys(digests)) for role, digests in related.items() if digests}


def _related_digests(standing: Standing) -> list[Digest]:
    return [digest for digests in standing.related.values() for digest in digests]
