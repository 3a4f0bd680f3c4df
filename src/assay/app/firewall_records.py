"""Verdicts in the ledger: one canonical record each, gathered in batches whose Merkle root is the subject of one statement.

    add(verdict) ─► a batch of up to 1,000 records or 60 seconds ─► records as a blob, root as a signed observation

A record holds digests, rules, actions and times, and no text. Whoever has the blob can recompute the root, and prove that one
verdict was in it. With a spool a record is on disk when `add` returns, and what a killed process left is taken in by the next;
without one, what was added and not flushed is lost with the process.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from assay import __version__
from assay.app.firewall_spool import Spool, SpoolFile
from assay.app.workspace import Workspace
from assay.core.canonical import Json, canonical, parse
from assay.core.digests import sha256
from assay.core.errors import MalformedInput
from assay.core.statements import Statement, Subject
from assay.core.times import instant, stamp, stamp_ms
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


@dataclass
class _Gathering:
    """A batch while it grows, and the file that holds the same records."""

    file: SpoolFile | None
    records: list[tuple[datetime, bytes, str]] = field(default_factory=list)

    def batch(self) -> Batch:
        counts = Counter(action for _, _, action in self.records)
        said = tuple(record for _, record, _ in self.records)
        return Batch(said, tuple(sorted(counts.items())), self.records[0][0], self.records[-1][0])


class Records:
    """Gathers verdicts and writes them to a workspace's ledger. Safe for many threads."""

    def __init__(self, workspace: Workspace, deployment: str, spool: Spool | None = None) -> None:
        """Makes it; with a spool the records that dead processes left there wait for the next `flush`."""
        self._workspace, self._deployment, self._spool = workspace, deployment, spool
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._full: list[_Gathering] = []
        self.damaged: list[str] = []
        for file in spool.left() if spool else ():
            self._take_in(file)
        self._current = self._begun()

    def add(self, verdict: Verdict, about: Json = None) -> bool:
        """Keeps a verdict for the next batch; `about` is what the caller adds, such as a request id, and no text of it.

        Returns:
            Whether a batch is full or old enough and `flush` should be called.

        Raises:
            OSError: the spool cannot be written.
        """
        now = self._workspace.clock()
        record = canonical({"about": about, "time": stamp_ms(now), "verdict": verdict.json()})
        with self._lock:
            current = self._current
            if current.file:
                current.file.append(record)
            current.records.append((now, record, str(verdict.action)))
            if len(current.records) >= MAX_RECORDS:
                self._turn_over()
            return bool(self._full) or (now - current.records[0][0]).total_seconds() >= MAX_AGE_S

    def sync(self) -> None:
        """Waits until every record is on the disk, where there is a spool."""
        with self._flushing:  # so that nobody removes one meanwhile
            with self._lock:
                files = [gathering.file for gathering in (*self._full, self._current) if gathering.file]
            for file in files:
                file.sync()

    def flush(self) -> tuple[Receipt, ...]:
        """Writes everything that waits, `MAX_RECORDS` a statement; what cannot be written waits on.

        Raises:
            EvidenceError: no key here has the role `observer`.
            StorageError: the disk is full or the database locked.
        """
        receipts = []
        with self._flushing:
            with self._lock:
                self._turn_over()
            while self._full:
                gathering = self._full[0]
                receipts.append(self._write(gathering.batch()))
                if gathering.file:
                    gathering.file.remove()
                with self._lock:
                    del self._full[0]
        return tuple(receipts)

    def _begun(self) -> _Gathering:
        return _Gathering(self._spool.begin() if self._spool else None)

    def _turn_over(self) -> None:
        if self._current.records:
            following = self._begun()  # before anything changes, since the disk may refuse
            self._full.append(self._current)
            self._current = following

    def close(self) -> None:
        """Lets go of the spool, whose last file is empty after a `flush`."""
        with self._lock:
            if self._current.file and not self._current.records:
                self._current.file.remove()

    def _write(self, batch: Batch) -> Receipt:
        statement = statement_of(batch, self._deployment)
        return self._workspace.sign_and_log(statement, "observer", [batch.blob])

    def _take_in(self, file: SpoolFile) -> None:
        """What a dead process left, unless its batch is in the ledger already; lines that are no records are told."""
        lines, is_torn = file.records()
        records = [record for line in lines if (record := _read(line)) is not None]
        if is_torn or len(records) < len(lines):
            self.damaged.append(f"{file.path.name}: {len(lines) - len(records) + is_torn} damaged")
        gathering = _Gathering(file, records)
        if not records or self._workspace.ledger.about(gathering.batch().root):
            file.remove()
        else:
            self._full.append(gathering)


def _read(line: bytes) -> tuple[datetime, bytes, str] | None:
    """A record from its line; None where it is none."""
    try:
        said = parse(line, what="a record of the spool")
        return instant(said["time"]), line, str(said["verdict"]["action"])
    except (MalformedInput, KeyError, TypeError, ValueError):
        return None


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
