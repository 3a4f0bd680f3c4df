"""What a finished check becomes: the predicate of a scan-result or eval-result statement."""

from __future__ import annotations

import hashlib
import inspect
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from assay import __version__
from assay.app.runner.jobs import Job, JobResult, State
from assay.core.assets import Asset, Manifest
from assay.core.canonical import Json
from assay.core.checks import Check
from assay.core.digests import Digest, digest_of, sha256
from assay.core.outcomes import FileVerdict, Finding, Measurement, Severity, Skipped, Verdict
from assay.core.times import stamp
from assay.evidence.ledger import Receipt
from assay.registry.queries import Version

MAX_FINDINGS = 1_000
MAX_SKIPS = 10_000
LIBRARIES = ("numpy", "scipy", "scikit-learn", "skops", "torch", "onnxruntime", "tokenizers", "transformers")
TABLE_TYPE = "application/vnd.assay.outcomes.v1+npz"


@dataclass(frozen=True)
class Examination:
    """One check that ran and the statement that was logged for it; `receipt` is None for what could not start.

    `match` is the vulns statement that stands beside a match of dependencies.

    `is_recorded` says that it was not run now: its statement stood in the ledger and is current.
    `note` is what people should know of how it came about.
    """

    check: Check
    version: Version
    state: str
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[FileVerdict, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    failure: str = ""
    receipt: Receipt | None = None
    is_recorded: bool = False
    note: str = ""
    match: Receipt | None = None


def scan_predicate(made: Examination, result: JobResult) -> Json:
    """What a scan says, with the facts that it judged and the lists that judged them."""
    predicate = files_predicate(made, result.job.asset.manifest, _head_of(result))
    if (facts := result.facts) is not None:
        predicate |= facts_json(facts.schema, facts.data, facts.lists)
    return predicate


def files_predicate(made: Examination, manifest: Manifest, head: Json) -> dict[str, Json]:
    """What was found in every file of an asset; a run that did not end clears none."""
    entries = manifest.by_path()
    files = {
        v.path: {"format": v.format, "path": v.path, "sha256": v.sha256, "verdict": str(v.verdict)}
        for v in made.verdicts
    }
    for path, entry in entries.items():  # what no verdict names was not looked at, and that is never clean
        files.setdefault(
            path, {"format": "unknown", "path": path, "sha256": entry.sha256, "verdict": str(Verdict.INCONCLUSIVE)}
        )
    if made.state != State.DONE:
        files = {
            path: item | {"verdict": str(Verdict.INCONCLUSIVE)} if item["verdict"] == "clean" else item
            for path, item in files.items()
        }
    looked = [entries[v.path] for v in made.verdicts if v.path in entries]
    return _common(made, head) | {
        "counts": {str(s): sum(f.severity is s for f in made.findings) for s in Severity},
        "files": [files[path] for path in sorted(files)],
        "lookedAt": {"bytes": sum(e.size for e in looked), "files": len(looked)},
    }


def facts_json(schema: str, data: bytes, lists: Sequence[tuple[str, Digest]]) -> dict[str, Json]:
    """How a statement names stored facts, and the allow-lists that judged them."""
    return {
        "facts": {"schema": schema, "sha256": sha256(data), "size": len(data)},
        "lists": [{"name": name, "sha256": digest} for name, digest in lists],
    }


def eval_predicate(made: Examination, result: JobResult) -> Json:
    job = result.job
    tested = [place.asset for place in job.related.get("tested_on", ())]
    predicate = _common(made, _head_of(result)) | {
        "measurements": [_measurement(m) for m in made.measurements],
        "outcomes": [
            {"mediaType": TABLE_TYPE, "merkleRoot": t.row_root, "rows": t.rows, "sha256": digest}
            for digest, t in result.tables.items()
        ],
        "suite": {"name": made.check.id, "sha256": _suite(job, tested), "version": made.check.version},
    }
    if tested:
        predicate["dataset"] = {"name": str(tested[0]), "sha256": tested[0].digest}
    if models := sorted({m.threat_model for m in made.measurements if m.threat_model}):
        predicate["threatModel"] = ", ".join(models)
    return predicate


def _common(made: Examination, head: Json) -> dict[str, Json]:
    predicate: dict[str, Json] = {
        "findings": [_finding(f) for f in made.findings[:MAX_FINDINGS]],
        "head": head,
        "skipped": [{"reason": s.reason, "what": s.what} for s in _kept_skips(made)],
        "state": made.state,
    }
    return predicate | ({"failure": made.failure[:4096]} if made.failure else {})


def _kept_skips(made: Examination) -> list[Skipped]:
    """The skips that fit into a statement; what does not fit is itself said as a skip."""
    kept = list(made.skipped[: MAX_SKIPS - 2])
    for what, found, room in (("findings", made.findings, MAX_FINDINGS), ("skips", made.skipped, MAX_SKIPS - 2)):
        if len(found) > room:
            kept.append(Skipped(what, f"{len(found) - room} more than a statement keeps"))
    return kept


def _head_of(result: JobResult) -> Json:
    job = result.job
    made = head(job.check, job.merged_options, job.seed, result.started, result.finished)
    return made | {"inputsSha256": inputs_digest(job)}


def head(
    check: Check, options: Mapping[str, Json], seed: int, started: datetime, finished: datetime
) -> dict[str, Json]:
    """Who looked, with which code and options, and when."""
    return {
        "check": {"codeSha256": code_digest(check), "id": check.id, "version": check.version},
        "environment": environment(),
        "finishedOn": stamp(finished),
        "optionsSha256": digest_of(dict(options)),
        "producer": {"name": "assay", "version": __version__},
        "seed": seed,
        "startedOn": stamp(started),
    }


def inputs_digest(job: Job) -> Digest:
    """Names every asset that a job may read beside its subject, by role."""
    return digest_of({role: [place.asset.digest for place in places] for role, places in job.related.items()})


@cache
def environment() -> Json:
    """What a number may depend on beside code and data: interpreter, platform, and the libraries that compute."""
    found = {name: version for name in LIBRARIES if (version := _installed(name))}
    return {"packages": found, "platform": platform.platform(), "python": platform.python_version()}


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _suite(job: Job, tested: Sequence[Asset]) -> Digest:
    """What must be equal for two runs to be comparable: the check, its options, the seed and the test data."""
    return digest_of({
        "check": job.check.id, "datasets": [a.digest for a in tested], "options": dict(job.merged_options),
        "seed": job.seed, "version": job.check.version,
    })  # fmt: skip


def code_digest(check: Check) -> Digest:
    source = inspect.getsourcefile(inspect.unwrap(check.body)) or sys.modules[check.body.__module__].__file__
    return sha256(Path(source).read_bytes()) if source else hashlib.sha256(check.id.encode()).hexdigest()


def _measurement(m: Measurement) -> Json:
    value: dict[str, Json] = {
        "better": m.better,
        "kind": m.kind,
        "metric": m.metric,
        "n": m.n,
        "unit": m.unit,
        "value": m.value,
    }
    optional = {"group": m.group, "high": m.high, "level": m.level if m.low is not None else None, "limit": m.limit, "low": m.low,
                "method": m.method or None, "outcomes": m.table, "slice": m.slice, "threatModel": m.threat_model,
                "valid": None if m.valid else False}  # fmt: skip
    return value | {key: item for key, item in optional.items() if item is not None}


def _finding(f: Finding) -> Json:
    value: dict[str, Json] = {
        "location": f.location[:4096],
        "rule": f.rule,
        "severity": str(f.severity),
        "summary": f.summary[:4096],
    }
    return value | ({"remedy": f.remedy} if f.remedy else {}) | ({"refs": list(f.refs)} if f.refs else {})
