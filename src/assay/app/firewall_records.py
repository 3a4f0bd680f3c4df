"""Verdicts in the ledger: one canonical record each, gathered in batches whose Merkle root is the subject of one statement.

    add(verdict) ─► a batch of up to 1,000 records or 60 seconds ─► records as a blob, root as a signed observation

A record holds digests, rules, actions and times, and no text. Whoever has the blob can recompute the root, and prove that one
verdict was in it. What was added and not yet flushed is lost when the process is killed; `flush` is the acknowledgement.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from assay import __version__
from assay.app.workspace import Workspace
from assay.core.canonical import Json, canonical
from assay.core.digests import sha256
from assay.core.statements import Statement, Subject
from assay.core.times import stamp, stamp_ms
from assay.evidence.ledger import Receipt
from assay.evidence.merkle import RootBuilder, leaf_hash
from assay.evidence.predicates import Predicate
from assay.runtime.firewall.values import Verdict

MAX_RECORDS = 1000
MAX_AGE_S = 60.0


@dataclass(frozen=True)
class Batch:
    """Records in the order in which they came, as canonical JSON lines."""

    records: tuple[bytes, ...]
    counts: tuple[tuple[str, int], ...]
    first: datetime
    last: datetime

    @property
    def root(self) -> str:
        """The Merkle root over the records, in hex. Source: RFC 6962, section 2.1."""
        builder = RootBuilder()
        for record in self.records:
            builder.add(leaf_hash(record))
        return builder.root().hex()

    @property
    def blob(self) -> bytes:
        """The records, one a line."""
        return b"\n".join(self.records) + b"\n"


class Records:
    """Gathers verdicts and writes them to a workspace's ledger. Safe for many threads; `add` never touches the disk."""

    def __init__(self, workspace: Workspace, deployment: str) -> None:
        self._workspace, self._deployment = workspace, deployment
        self._lock = threading.Lock()
        self._waiting: list[tuple[datetime, bytes, str]] = []

    def add(self, verdict: Verdict, about: Json = None) -> bool:
        """Keeps a verdict for the next batch; `about` is what the caller adds, such as a request id, and no text of it.

        Returns:
            Whether a batch is full or old enough and `flush` should be called.
        """
        now = self._workspace.clock()
        record = canonical({"about": about, "time": stamp_ms(now), "verdict": verdict.json()})
        with self._lock:
            self._waiting.append((now, record, str(verdict.action)))
            return len(self._waiting) >= MAX_RECORDS or (now - self._waiting[0][0]).total_seconds() >= MAX_AGE_S

    def flush(self) -> tuple[Receipt, ...]:
        """Writes everything that waits, `MAX_RECORDS` a statement; what cannot be written waits on.

        Raises:
            EvidenceError: no key here has the role `observer`.
            StorageError: the disk is full or the database locked.
        """
        receipts = []
        while (batch := self._next()) is not None:
            receipts.append(self._write(batch))
            with self._lock:
                del self._waiting[: len(batch.records)]
        return tuple(receipts)

    def _next(self) -> Batch | None:
        with self._lock:
            taken = self._waiting[:MAX_RECORDS]
        if not taken:
            return None
        counts = Counter(action for _, _, action in taken)
        return Batch(tuple(record for _, record, _ in taken), tuple(sorted(counts.items())), taken[0][0], taken[-1][0])

    def _write(self, batch: Batch) -> Receipt:
        statement = statement_of(batch, self._deployment)
        return self._workspace.sign_and_log(statement, "observer", [batch.blob])


def statement_of(batch: Batch, deployment: str) -> Statement:
    """What is signed about a batch: its root, its counts by action, and the digest of the records."""
    head = {"check": {"id": "firewall.verdicts", "version": 1}, "startedOn": stamp(batch.first), "finishedOn": stamp(batch.last),
            "producer": {"name": "assay", "version": __version__}}  # fmt: skip
    return Statement((Subject("firewall-records", batch.root),), Predicate.OBSERVATION, {
        "bundle": {"sha256": sha256(batch.blob)}, "deployment": deployment, "eventCounts": dict(batch.counts), "head": head,
        "measurements": [], "window": {"start": stamp(batch.first), "end": stamp(batch.last)},
    })  # fmt: skip


def root_of(blob: bytes) -> str:
    """The root that the records of a blob have, for whoever checks a statement against them."""
    return Batch(tuple(blob.splitlines()), (), datetime.min, datetime.min).root
