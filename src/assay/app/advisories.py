"""`assay advisories import`: OSV records become the database that `assay deps` and the checks match against.

The new file is built beside the old one, synced, registered in the ledger (where there is a workspace) and then moved
into its place: whoever is killed on the way leaves the old database. A record that cannot be read is counted and named;
as long as there is one that could be about any package, nothing is clean, unless it was left out on purpose.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay.app.advisory_sources import Item, files_in
from assay.app.register import Description, Registered, record
from assay.app.workspace import Workspace
from assay.core.assets import Entry, Kind, Manifest
from assay.core.digests import Digest, shown
from assay.core.errors import MalformedInput, StorageError, UsageError
from assay.core.times import stamp
from assay.formats.dependencies.database import Database, Facts, Writer
from assay.formats.dependencies.osv import NotARecord, packages_named, read_record

NAME = "advisories"
MAX_TOLD = 200


@dataclass(frozen=True)
class Unreadable:
    """A record that could not be read; `packages` are those that it surely names."""

    path: str
    reason: str
    packages: int


@dataclass(frozen=True)
class Imported:
    """What an import did. `others` are files that are no records; of `unreadable` the first 200 are listed."""

    facts: Facts
    unreadable: tuple[Unreadable, ...]
    unreadable_count: int
    others: int
    superseded: int
    registered: Registered | None = None


def import_advisories(sources: Sequence[Path], target: Path, now: datetime, *, workspace: Workspace | None = None,
                      leave_unreadable: bool = False, progress: Callable[[int], None] = lambda _: None) -> Imported:  # fmt: skip
    """Replaces the database at `target` by the records of `sources`.

    Raises:
        UsageError: a source is missing, or no record was found at all.
        MalformedInput: an archive is broken or too large.
        StorageError: the disk is full, or another import is running.
    """
    with _alone(target):
        part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        try:
            made = _built(sources, part, now, leave_unreadable, progress)
            registered = _registered(workspace, part, target.name, made.facts) if workspace else None
            part.replace(target)
            _sync(target.parent)
        except sqlite3.Error as error:
            raise StorageError("the advisory database could not be written", str(error), "free some space") from error
        except OSError as error:
            raise StorageError("the advisory database could not be written", str(error)) from error
        finally:
            with suppress(OSError):
                part.unlink()
    if workspace and registered:
        workspace.keep_location(registered.manifest.digest, target)
    return Imported(made.facts, made.unreadable, made.unreadable_count, made.others, made.superseded, registered)


def _built(sources: Sequence[Path], part: Path, now: datetime, leave_unreadable: bool,
           progress: Callable[[int], None]) -> Imported:  # fmt: skip
    writer = Writer(part)
    tally = _Tally(writer)
    try:
        for number, item in enumerate(item for source in sources for item in files_in(source)):
            tally.take(item)
            if number % 500 == 0:
                progress(number)
        if not tally.read:
            raise UsageError("no advisory was found", f"{tally.others} other files and {tally.count} unreadable ones were seen",
                             "name a folder or archive of OSV records in JSON or YAML")  # fmt: skip
        writer.finish(stamp(now), leave_unreadable=leave_unreadable)
    finally:
        writer.abandon()
    database = Database(part)
    try:
        return Imported(database.facts, tuple(tally.unreadable), tally.count, tally.others, writer.superseded)
    finally:
        database.close()


class _Tally:
    """Takes files one by one and keeps count."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.read = self.others = self.count = 0
        self.unreadable: list[Unreadable] = []

    def take(self, item: Item) -> None:
        """Adds the record of a file, or notes why there is none."""
        if item.problem:
            self._note(item.path, item.problem, ())
            return
        try:
            self._writer.add(read_record(item.data, item.path), hashlib.sha256(item.data).hexdigest())
            self.read += 1
        except NotARecord:
            self.others += 1
        except MalformedInput as error:
            self._note(item.path, f"{error.what}: {error.why}", packages_named(item.data, item.path))

    def _note(self, path: str, reason: str, packages: tuple[tuple[str, str], ...]) -> None:
        self.count += 1
        self._writer.add_problem(path, reason[:400].encode("utf-8", "replace").decode(), packages)
        if len(self.unreadable) < MAX_TOLD:
            self.unreadable.append(Unreadable(path, reason[:400], len(packages)))


def _registered(workspace: Workspace, part: Path, name: str, facts: Facts) -> Registered:
    """The file as a dataset of one file; its labels say what it holds and how old it is."""
    hasher = hashlib.sha256()
    with part.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    digest: Digest = hasher.hexdigest()
    manifest = Manifest.of(Kind.DATASET, [Entry(name, digest, part.stat().st_size)])
    labels = {"newest-record": facts.newest, "records": str(facts.records), "records-digest": shown(facts.digest)}
    about = Description(NAME, Kind.DATASET, origin={"uri": "urn:assay:advisories", "external": True}, labels=labels)
    return record(workspace, manifest, about)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One import at a time; leftovers of a killed one are removed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write to {target.parent}", str(error), "check the folder's permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError("another import is running", str(error), "wait for it to finish") from error
        for left in target.parent.glob(f".{target.name}.*.part"):
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
