"""Records on their way to the ledger, on disk from the moment they are made, so that killing the process loses none.

    append(record) ─► verdicts-….jsonl ─► turned over when its batch is taken ─► signed and logged ─► removed
                                      └─► left by a process that died ─► taken in by the next that starts

One file holds one batch. `append` hands each record to the system before it returns: it outlives the process; `sync`, called
every few milliseconds, makes it outlive the machine. A file whose process lives is locked by it. Where a process died between
logging a batch and removing its file, the next finds the batch's root in the ledger and only removes the file.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class SpoolFile:
    """One file and the lock on it, which ends with the process or with `remove`."""

    path: Path
    descriptor: int

    def append(self, record: bytes) -> None:
        """Hands one record to the system, or nothing of it; it holds no line break.

        Raises:
            OSError: the disk is full or gone.
        """
        line, written = record + b"\n", 0
        try:
            while written < len(line):
                written += os.write(self.descriptor, line[written:])
        except OSError:
            if written:  # or the next record would go on in the line of this one
                os.ftruncate(self.descriptor, os.fstat(self.descriptor).st_size - written)
            raise

    def sync(self) -> None:
        """Waits until what was appended is on the disk."""
        os.fsync(self.descriptor)

    def records(self) -> tuple[list[bytes], bool]:
        """The whole lines, and whether something else stands behind them: a record that was being written."""
        data = self.path.read_bytes()[: MAX_FILE_BYTES + 1]
        lines = data.split(b"\n")
        return [line for line in lines[:-1] if line], bool(lines[-1])

    def remove(self) -> None:
        """Removes the file and lets go of it."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class Spool:
    """The files of one folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def begin(self) -> SpoolFile:
        """A new file that is locked by this process and by nobody else can be taken for one that was left."""
        while True:
            path = self._folder / f"verdicts-{os.getpid()}-{secrets.token_hex(6)}.jsonl"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
            if _is_ours(descriptor, path):
                return SpoolFile(path, descriptor)
            os.close(descriptor)

    def left(self) -> Iterator[SpoolFile]:
        """Files whose process is gone; each is this process's from then on."""
        for path in sorted(self._folder.glob("verdicts-*.jsonl")):
            try:
                descriptor = os.open(path, os.O_APPEND | os.O_WRONLY)
            except FileNotFoundError:
                continue
            if _is_ours(descriptor, path):
                yield SpoolFile(path, descriptor)
            else:
                os.close(descriptor)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Locks the file, unless another holds it or has removed it meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino
