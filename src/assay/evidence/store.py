"""The SQLite file behind ledger and registry: connections, transactions, and errors that say what to do.

Plain DB-API instead of a toolkit: importing SQLAlchemy 2.1 costs three times the start-up budget of a command (see
`docs/decisions/0002-plain-sql.md`). Statements are portable SQL; what is SQLite's own stands in this file only.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.core.errors import AssayError, LedgerDamaged, LedgerError, StorageError

SCHEMA_VERSION = 2
_BUSY_S = 30.0
_PAUSE_S = 0.0005
_TABLES = """
CREATE TABLE entry(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, leaf_hash BLOB NOT NULL,
                   statement BLOB NOT NULL, key BLOB NOT NULL, UNIQUE(statement, key));
CREATE TABLE node(level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(level, idx)) WITHOUT ROWID;
CREATE TABLE checkpoint(n INTEGER PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, time TEXT NOT NULL, note BLOB NOT NULL);
CREATE TABLE small_blob(sha256 BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE subject(sha256 BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY(sha256, idx)) WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# NOTE: readers say CAST(column AS BLOB), because whoever edits the file can put text where bytes belong.
_APPEND_ONLY = ("entry", "node", "checkpoint")


class Store:
    """One SQLite file: a single writing connection behind a lock, and a reading connection for each thread."""

    def __init__(self, path: Path, *, extra_tables: str = "") -> None:
        """Opens the file and creates the tables if it is new; `extra_tables` are the projections of upper layers.

        Raises:
            LedgerError: the file cannot be opened or is of another version.
        """
        self.path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        with translated():
            self._writer = self._connect()
            self._create(extra_tables)
            self._writer.execute("PRAGMA busy_timeout=0")  # from now on `_begin` waits

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction: committed and synced when the block ends, rolled back if it raises."""
        with self._lock, translated():
            self._begin()
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection; each statement sees the newest commit."""
        with translated():
            found = getattr(self._local, "connection", None)
            if found is None:
                found = self._local.connection = self._connect()
            yield found

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """As `reading`, but every statement of the block sees the same commit."""
        with self.reading() as db:
            if db.in_transaction:
                yield db
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("COMMIT")

    def close(self) -> None:
        """Closes this thread's connections."""
        self._writer.close()
        if (found := getattr(self._local, "connection", None)) is not None:
            found.close()
            del self._local.connection

    def _begin(self) -> None:
        """Takes the write lock. SQLite's own waiting sleeps up to 100 ms at a time, so that many writers would idle."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE_S)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("PRAGMA cache_size=-32768")
        return db

    def _create(self, extra_tables: str) -> None:
        db = self._writer
        if self._version() == 0:
            db.execute("PRAGMA journal_mode=WAL")
            with self.writing():
                if self._version() == 0:  # another process may have been first
                    for statement in _statements(_TABLES + extra_tables + _triggers()):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        if (found := self._version()) != SCHEMA_VERSION:
            raise LedgerError(f"ledger {self.path} has another layout", f"version {found}, this release reads {SCHEMA_VERSION}",
                              "use the release of Assay that wrote it")  # fmt: skip

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error) from error


def _ours(error: sqlite3.Error) -> AssayError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return StorageError(
            "the disk is full", "nothing was acknowledged and nothing was lost", "free some space and run again"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerDamaged(
            "the ledger file is damaged", str(error), "restore the newest copy, then `assay ledger verify`"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            "the ledger is locked by another process", str(error), "wait for it to finish and run again"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM")):
        return StorageError(
            "the ledger cannot be read or written", str(error), "check the folder's permissions and the disk"
        )
    if "append-only" in str(error):
        return LedgerDamaged("the ledger is append-only", str(error))
    return LedgerError("the ledger failed", f"{name} {error}".strip())


def _statements(sql: str) -> Iterator[str]:
    """Splits a script at complete statements, so that triggers stay whole."""
    buffer = ""
    for line in sql.splitlines():
        buffer += line + "\n"
        if sqlite3.complete_statement(buffer):
            yield buffer
            buffer = ""


def _triggers() -> str:
    return "".join(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
        for table in _APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    )
