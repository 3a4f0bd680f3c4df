"""A made-up history of a ledger: signed statements by their number, the same for the same seed.

One block of twenty is a version of a name (registration, label, scan, decision: they change the registry), four
evaluations and twelve observations of its deployment. So every fifth entry has to be folded by an audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.core.assets import Entry, Kind, Manifest
from assay.core.canonical import Json
from assay.core.digests import Digest, sha256
from assay.core.statements import Statement, Subject
from assay.evidence.envelope import sign
from assay.evidence.keys import PrivateKey, load_key
from assay.evidence.ledger import Item
from assay.evidence.predicates import Predicate

BLOCK = 20
VERSIONS_OF_A_NAME = 10
_WHEN = "2026-11-22T18:00:00Z"


@dataclass(frozen=True)
class Made:
    """A signed statement and the blobs that it names."""

    item: Item
    attachments: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Signers:
    """The two keys of a workspace made by `assay init`: of the person and of the machine."""

    person: PrivateKey
    runner: PrivateKey

    @classmethod
    def of(cls, workspace: Path) -> Signers:
        """Opens the key files of a workspace folder."""
        return cls(*(load_key(workspace / "keys" / f"{name}.pem", bytes) for name in ("person", "runner")))


def made(number: int, seed: int, signers: Signers) -> Made:
    """Statement `number` of the history."""
    block, place = divmod(number, BLOCK)
    name, n = f"bench/model-{seed}-{block // VERSIONS_OF_A_NAME}", block % VERSIONS_OF_A_NAME + 1
    manifest = manifest_of(block, seed)
    subjects = (Subject(f"assay:{name}@{n}", manifest.digest),)
    if place == 0:
        file = Subject(manifest.entries[0].path, manifest.entries[0].sha256)
        statement = Statement((*subjects, file), Predicate.REGISTRATION, _registration(name, n, manifest))
        return Made(Item.of(sign(statement, signers.person)), (manifest.canonical_bytes,))
    if place == 1:
        labels = {"labels": {"run": str(block), "team": "risk"}, "name": name, "version": n}
        return Made(Item.of(sign(Statement(subjects, Predicate.LABEL, labels), signers.person)))
    kind, predicate = _by_machine(place, number, manifest)
    return Made(Item.of(sign(Statement(subjects, kind, predicate), signers.runner)))


def history(first: int, end: int, seed: int, folder: Path) -> list[Made]:
    """Statements `first` to below `end`, signed by the keys of workspace `folder`; for worker processes."""
    signers = Signers.of(folder)
    return [made(number, seed, signers) for number in range(first, end)]


def observations(count: int, seed: int, signers: Signers, start: int = 0) -> Iterator[Item]:
    """Statements that change nothing in the registry, for writers that only append."""
    manifest = manifest_of(0, seed)
    for number in range(start, start + count):
        subject = Subject("assay:bench/deployed@1", manifest.digest)
        yield Item.of(sign(Statement((subject,), Predicate.OBSERVATION, _observation(number)), signers.runner))


def manifest_of(number: int, seed: int) -> Manifest:
    """A model of one file that nobody has."""
    entry = Entry("model.safetensors", sha256(b"bench %d %d" % (seed, number)), 1_000_000 + number)
    return Manifest.of(Kind.MODEL, [entry])


def history_changes(count: int) -> int:
    """How many of the first `count` statements change the registry."""
    whole, rest = divmod(count, BLOCK)
    return 4 * whole + min(rest, 4)


def _registration(name: str, n: int, manifest: Manifest) -> Json:
    said = {"entries": 1, "sha256": manifest.digest, "sizeBytes": manifest.size_bytes, "symlinks": "refuse"}
    origin = {"uri": "https://models.example/scorer", "revision": manifest.digest[:40], "licence": "Apache-2.0"}
    return {"hashCache": False, "kind": "model", "manifest": said, "name": name, "origin": origin, "version": n}


def _by_machine(place: int, number: int, manifest: Manifest) -> tuple[Predicate, Json]:
    if place == 2:
        return Predicate.SCAN_RESULT, _scan(manifest)
    if place == 3:
        return Predicate.DECISION, decision(manifest.digest)
    if place < 8:
        return Predicate.EVAL_RESULT, _evaluation(number)
    return Predicate.OBSERVATION, _observation(number)


def _head(check: str) -> Json:
    return {
        "check": {"codeSha256": sha256(check.encode()), "id": check, "version": 1},
        "environment": {"platform": "linux", "python": "3.11.7"},
        "finishedOn": _WHEN, "producer": {"name": "assay", "version": "0.1.0"}, "seed": 0, "startedOn": _WHEN,
    }  # fmt: skip


def _scan(manifest: Manifest) -> Json:
    entry = manifest.entries[0]
    file = {"format": "safetensors", "path": entry.path, "sha256": entry.sha256, "verdict": "clean"}
    return {
        "counts": {"critical": 0, "high": 0, "low": 0, "medium": 0}, "files": [file], "findings": [],
        "head": _head("model-file.names"), "lookedAt": {"bytes": entry.size, "files": 1}, "skipped": [], "state": "done",
    }  # fmt: skip


def decision(digest: Digest) -> Json:
    """What a gate says of an asset that it allows for production."""
    return {
        "assay_decision": "allow", "assay_mode": "enforce", "assay_rules": [{"id": "accuracy", "outcome": "pass", "reason": ""}],
        "assay_target": "production", "policy": {"digest": {"sha256": sha256(b"policy")}, "uri": "policies/production.yaml"},
        "resourceUri": f"sha256:{digest}", "timeVerified": _WHEN, "verificationResult": "PASSED",
        "verifier": {"id": "https://assay.example/gate"},
    }  # fmt: skip


def _evaluation(number: int) -> Json:
    return {
        "findings": [], "head": _head("quality.accuracy"), "measurements": _measurements(number), "outcomes": [],
        "skipped": [], "state": "done", "suite": {"name": "applications", "sha256": sha256(b"suite"), "version": 1},
    }  # fmt: skip


def _observation(number: int) -> Json:
    window = {"end": _WHEN, "start": _WHEN}
    return {"deployment": "eu-1", "eventCounts": {"requests": number}, "head": _head("drift.scores"),
            "measurements": _measurements(number), "window": window}  # fmt: skip


def _measurements(number: int) -> Json:
    value = 0.5 + number % 4999 / 10_000
    return [{"better": "higher", "high": value + 0.01, "level": 0.95, "low": value - 0.01, "method": "wilson",
             "metric": "accuracy", "n": 5000 + number, "unit": "share", "value": value}]  # fmt: skip
