"""Small views of a ledger, made by hand: what tests and benchmarks of the policy room decide from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np

from assay.core.assets import Kind
from assay.core.digests import Digest, sha256
from assay.core.times import instant, stamp
from assay.evidence.predicates import Predicate
from assay.policy.view import Evidence, Head, Standing, View
from assay.statistics.tables import row_ids, write_table

NOW = "2026-11-23T12:00:00Z"
CANDIDATE, BASELINE, DATA = (sha256(name) for name in (b"candidate", b"baseline", b"data"))
OWNERS = {"scanner": "scan-bot", "evaluator": "eval-bot", "trainer": "train-bot", "registrar": "reg-bot",
          "approver": "ada", "observer": "watch-bot", "intake": "intake-bot"}  # fmt: skip


def ago(**parts: float) -> str:
    return stamp(instant(NOW) - timedelta(**parts))


@dataclass
class Ledger:
    """Collects statements; every `add` is one index later."""

    evidence: list[Evidence] = field(default_factory=list)
    tables: dict[Digest, bytes] = field(default_factory=dict)
    subject: Standing = field(default_factory=lambda: standing("credit", 2, CANDIDATE, trained_on=(DATA,)))
    baseline: Standing | None = field(default_factory=lambda: standing("credit", 1, BASELINE))
    stage: str = "production"

    def add(
        self, kind: str, predicate: Mapping[str, Any], role: str, about: Digest = CANDIDATE, **other: Any
    ) -> Evidence:
        index = other.pop("index", len(self.evidence))
        owner = other.pop("owner", OWNERS.get(role, role))
        when = other.pop("when", ago(hours=1))
        made = Evidence(
            digest=sha256(repr((kind, predicate, about, owner, index)).encode()), index=index, type=kind, subjects=(about,),
            predicate=predicate, key_id=f"key-{owner}", owner=owner, roles=(role,), signed_at=when, logged_at=when,
        )  # fmt: skip
        self.evidence.append(replace(made, **other))
        return self.evidence[-1]

    def keep(self, data: bytes) -> Digest:
        self.tables[sha256(data)] = data
        return sha256(data)

    def view(self, **changed: Any) -> View:
        made = View(self.stage, self.subject, self.baseline, Head("log.example/test", len(self.evidence) + 50, "00" * 32),
                    tuple(self.evidence), self.tables.get)  # fmt: skip
        return replace(made, **changed)


def standing(name: str, version: int, digest: Digest, trained_on: Sequence[Digest] = (), **other: Any) -> Standing:
    made = Standing(name, version, digest, Kind.MODEL, "candidate", {"risk": "high"}, {"task": "classification"},
                    related={"trained_on": tuple(trained_on)})  # fmt: skip
    return replace(made, **other)


def head(check: str, version: int = 1, **other: Any) -> dict[str, Any]:
    return {"producer": {"name": "assay", "version": "0.1.0"}, "check": {"id": check, "version": version},
            "startedOn": ago(hours=2), "finishedOn": ago(hours=1), **other}  # fmt: skip


def scan(
    check: str = "model_file.pickle", files: Sequence[tuple[str, str]] = (("model.skops", "clean"),), **other: Any
) -> dict[str, Any]:
    listed = [{"path": p, "sha256": "ab" * 32, "format": "skops", "verdict": v} for p, v in files]
    return {"head": head(check), "state": "done", "files": listed, "lookedAt": {"files": len(listed), "bytes": 10},
            "skipped": [], "findings": [], "counts": {"low": 0, "medium": 0, "high": 0, "critical": 0}, **other}  # fmt: skip


def evaluation(check: str, measurements: Sequence[Mapping[str, Any]], **other: Any) -> dict[str, Any]:
    return {"head": head(check), "state": "done", "suite": {"name": "test", "version": 1, "sha256": "cd" * 32},
            "measurements": list(measurements), "outcomes": [], "findings": [], "skipped": [], **other}  # fmt: skip


def observation(check: str, measurements: Sequence[Mapping[str, Any]], **other: Any) -> dict[str, Any]:
    return {"head": head(check), "deployment": "eu-1", "window": {"start": ago(hours=1), "end": NOW},
            "measurements": list(measurements), "eventCounts": {}, **other}  # fmt: skip


def provenance(materials: Sequence[Mapping[str, Any]] = (), **outside: Any) -> dict[str, Any]:
    return {"buildDefinition": {"buildType": "urn:assay:build:train:v1", "externalParameters": dict(outside),
                                "resolvedDependencies": list(materials)},
            "runDetails": {"builder": {"id": "urn:assay:local"}}}  # fmt: skip


def registration(name: str = "credit", kind: str = "model", version: int = 1) -> dict[str, Any]:
    return {"name": name, "version": version, "kind": kind, "hashCache": False,
            "manifest": {"sha256": "ab" * 32, "entries": 1, "sizeBytes": 10, "symlinks": "refuse"}}  # fmt: skip


def number(metric: str, value: float, n: int = 1000, better: str = "higher", **other: Any) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": "share", "better": better, "n": n, **other}


def share(metric: str, hits: int, n: int = 1000, better: str = "higher", **other: Any) -> dict[str, Any]:
    return number(metric, hits / n, n, better, kind="share", limit={"hits": hits, "n": n}, **other)


def rows(n: int, prefix: str = "row") -> Any:
    return row_ids([f"{prefix}-{i}".encode() for i in range(n)])


def outcomes(ok: Sequence[bool] | np.ndarray, prefix: str = "row", **columns: Any) -> bytes:
    ok = np.asarray(ok, dtype=np.uint8)
    return write_table(rows(len(ok), prefix), {"ok": ok, **columns}, {"metric": "accuracy"})


def right(hits: int, n: int = 1000) -> np.ndarray:
    return np.arange(n) < hits


def compared(
    ledger: Ledger, metric: str, check: str, ours: np.ndarray, theirs: np.ndarray, better: str = "higher", **other: Any
) -> None:
    """One share measured on the same rows for baseline and candidate, each with its table."""
    for about, ok in ((BASELINE, theirs), (CANDIDATE, ours)):
        table = ledger.keep(outcomes(ok))
        measured = share(metric, int(ok.sum()), len(ok), better, outcomes=table)
        ledger.add(Predicate.EVAL_RESULT, evaluation(check, [measured], **other), "evaluator", about)


def waiver(policy: Digest, rule: str, **other: Any) -> dict[str, Any]:
    return {"rule": rule, "policySha256": policy, "scope": {"digest": CANDIDATE}, "target": "production",
            "reason": "needed for the release", "ticket": "RISK-1", "compensatingControl": "human review",
            "requestedBy": "bob", "notBefore": ago(days=1), "expires": ago(days=-5), **other}  # fmt: skip


def approval(policy: Digest, **other: Any) -> dict[str, Any]:
    return {"result": "approve", "role": "approver", "policySha256": policy, "target": "production",
            "reason": "looks right", "notBefore": ago(days=1), "expires": ago(days=-5), **other}  # fmt: skip


def changed(view: View, change: Callable[[Evidence], Evidence | None]) -> View:
    """The view with each statement replaced by what `change` makes of it; None drops it."""
    return replace(view, evidence=tuple(e for item in view.evidence if (e := change(item)) is not None))
