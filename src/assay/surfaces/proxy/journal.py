"""Where events go: verdicts to the ledger in batches, and what others should act on to a file of JSON lines.

    verdict ─► records, spooled to disk ─► every 1,000 of them or 60 seconds one signed statement (needs a workspace with an observer's key)
    refused, abuse, policy ─► `events.jsonl` in the state folder: {"kind", "time", "client", "api", ...}, no text, no key

The file is for monitors to follow; at 16 MB it becomes `events.1.jsonl`, and there is one of those.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.app.firewall_records import MAX_AGE_S, Records
from assay.core.errors import AssayError
from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.watch import Event

MAX_FILE_BYTES = 16 << 20
MAX_WAITING = 100_000
RETRY_S = 5.0  # after the ledger could not be written
PAUSE_S = 0.05  # how long a record may wait to outlive the machine; it outlives the process at once


class Journal:
    """A place for events, with a thread of its own that writes. It may be called from any thread."""

    def __init__(self, folder: Path, records: Records | None, note: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "events.jsonl"
        self._records, self._note = records, note
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._waiting = 0
        self._is_unsynced = False
        for said in records.damaged if records else ():
            note(f"of the verdicts that a killed process left, {said}")
        self._wake, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="firewall-journal", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether so many verdicts wait to be written that no more may be drawn."""
        return self._records is not None and self._waiting >= MAX_WAITING

    def __call__(self, event: Event) -> None:
        """Takes an event. A verdict is in the spool when this returns.

        Raises:
            Refusal: it cannot be written, so the verdict must not be acted on.
        """
        if event.verdict is not None and self._records is None:
            return
        about: dict[str, Any] = {"api": event.api, "client": event.client, **event.about}
        if event.verdict is None:
            with self._lock:
                if len(self._lines) < MAX_WAITING:
                    self._lines.append(json.dumps({"kind": event.kind, "time_s": round(event.time_s, 3), **about}))
        elif self._records is not None:
            self._waiting += 1
            try:
                is_due = self._records.add(event.verdict, about)
            except OSError as error:
                raise Refusal(503, "records_unavailable", "the verdict cannot be recorded", str(error)) from error
            self._is_unsynced = True
            if is_due:
                self._wake.set()

    def close(self) -> None:
        """Writes what waits and ends."""
        self._is_over = True
        self._wake.set()
        self._thread.join(30)
        if self._records is not None:
            self._records.close()

    def _run(self) -> None:
        flushed = -MAX_AGE_S  # what an earlier process left is written at once
        while not self._is_over:
            is_due = self._wake.wait(PAUSE_S)
            self._wake.clear()
            if is_due or time.monotonic() - flushed >= MAX_AGE_S:
                waits_s = 0.0 if self._tried(self._flush) else MAX_AGE_S - RETRY_S
                flushed = time.monotonic() - waits_s
            self._tried(self._sync)
            self._tried(self._write)
        self._tried(self._flush)
        self._tried(self._write)

    def _tried(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except (AssayError, OSError) as error:
            self._note(f"the firewall's events could not be written: {error}")
            return False
        return True

    def _flush(self) -> None:
        if self._records is not None:
            self._records.flush()
            self._waiting = 0

    def _sync(self) -> None:
        if self._records is not None and self._is_unsynced:
            self._is_unsynced = False
            self._records.sync()

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            self._append("\n".join(lines) + "\n")

    def _append(self, text: str) -> None:
        if self._path.exists() and self._path.stat().st_size > MAX_FILE_BYTES:
            self._path.replace(self._path.with_name("events.1.jsonl"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
