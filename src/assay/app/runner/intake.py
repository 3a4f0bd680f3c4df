"""Reads what one worker says: bytes in, outcomes out. The worker is not trusted, and every bound is kept here.

Verdicts must be about files of the asset, and measurements may name only tables that came with them.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.app.runner.jobs import Failure, FailureKind, Job, Kept
from assay.app.runner.messages import HEADER, MAX_JSON_BYTES, TABLE_HEADER, End, read
from assay.core.digests import Digest, sha256
from assay.core.errors import MalformedInput
from assay.core.outcomes import Facts, FileVerdict, Measurement, Progress, Table, Verdict


class TooMuch(Exception):
    """A worker said more than its limits allow; the text says which."""


class Intake:
    """What a job has said so far. `feed` raises once it says something wrong; what was heard before that is kept."""

    def __init__(self, job: Job) -> None:
        self._limits = job.limits
        self._files = {(entry.path, entry.sha256) for entry in job.asset.manifest.entries}
        self._buffer = bytearray()
        self._json_bytes = self._table_bytes = 0
        self.outcomes: list[Kept] = []
        self.tables: dict[Digest, Table] = {}
        self.facts: Facts | None = None
        self.end: End | None = None

    def feed(self, data: bytes) -> Iterator[Progress]:
        """Takes bytes as they come and yields progress; all else is kept.

        Raises:
            MalformedInput: what came is no message, or not one that this job may send.
            TooMuch: a bound was passed.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            self._reserve(kind, length)
            if len(self._buffer) < HEADER.size + length:
                return
            payload = bytes(self._buffer[HEADER.size : HEADER.size + length])
            del self._buffer[: HEADER.size + length]
            if (progress := self._take(kind, payload)) is not None:
                yield progress

    @property
    def failure(self) -> Failure | None:
        """What is wrong with the whole, once the worker has ended; None where it is a complete, honest answer."""
        if self.end is None or self._buffer:
            return Failure(FailureKind.CRASH, "the worker ended without a result")
        if self.end.failure:
            return self.end.failure
        if not self.outcomes:
            return Failure(FailureKind.SILENT, "the check yielded nothing: no finding, measurement, verdict or skip")
        for outcome in self.outcomes:
            if isinstance(outcome, Measurement) and outcome.table and outcome.table not in self.tables:
                return Failure(FailureKind.MALFORMED, f"{outcome.metric} names a table that was not yielded")
        return None

    @property
    def bad_news(self) -> tuple[Kept, ...]:
        """What may be kept of a failed job: nothing that could read as clean."""
        return tuple(
            outcome
            for outcome in self.outcomes
            if not isinstance(outcome, Measurement)
            and not (isinstance(outcome, FileVerdict) and outcome.verdict is Verdict.CLEAN)
        )

    def _reserve(self, kind: bytes, length: int) -> None:
        """Refuses a frame by its header, before its bytes are waited for."""
        limits = self._limits
        if kind == b"T" and self._table_bytes + length > limits.table_bytes + TABLE_HEADER.size * limits.tables:
            raise TooMuch(f"tables of more than {limits.table_bytes} bytes")
        if kind == b"J" and length > MAX_JSON_BYTES:
            raise MalformedInput("message is too large", f"{length} bytes")
        if kind == b"J" and self._json_bytes + length > limits.output_bytes:
            raise TooMuch(f"more than {limits.output_bytes} bytes of outcomes")
        if kind == b"F" and length > limits.facts_bytes:
            raise TooMuch(f"more than {limits.facts_bytes} bytes of facts")
        if kind not in (b"J", b"T", b"F"):
            raise MalformedInput("message is malformed", f"there is no frame of kind {kind!r}")

    def _take(self, kind: bytes, payload: bytes) -> Progress | None:
        if self.end is not None:
            raise MalformedInput("message is malformed", "it came after the end")
        message = read(kind, payload)
        if isinstance(message, Table):
            self._table_bytes += len(payload)
            self._keep_table(message)
            return None
        if isinstance(message, Facts):
            if self.facts is not None:
                raise TooMuch("facts twice")
            self.facts = message
            return None
        self._json_bytes += len(payload)
        if isinstance(message, End):
            self.end = message
        elif isinstance(message, Progress):
            return message
        else:
            self._keep(message)
        return None

    def _keep_table(self, table: Table) -> None:
        if len(self.tables) >= self._limits.tables:
            raise TooMuch(f"more than {self._limits.tables} tables")
        self.tables[sha256(table.data)] = table

    def _keep(self, outcome: Kept) -> None:
        if len(self.outcomes) >= self._limits.outcomes:
            raise TooMuch(f"more than {self._limits.outcomes} outcomes")
        if isinstance(outcome, FileVerdict) and (outcome.path, outcome.sha256) not in self._files:
            raise MalformedInput(
                "a verdict is refused", f"{outcome.path[:120]!r} with that digest is no file of the asset"
            )
        self.outcomes.append(outcome)
