"""The tables of the registry's projection, and the questions and moves that the fold makes on their rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Final

from assay.core.canonical import Json, canonical
from assay.core.digests import Digest
from assay.core.errors import LedgerError, StateError
from assay.registry.lifecycle import State

TABLES: Final = """
CREATE TABLE trust(version INTEGER PRIMARY KEY, idx INTEGER NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL);
CREATE TABLE version(name TEXT NOT NULL, n INTEGER NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
                     idx INTEGER NOT NULL, statement TEXT NOT NULL, labels TEXT NOT NULL, declared TEXT NOT NULL,
                     origin TEXT NOT NULL, symlinks TEXT NOT NULL, files INTEGER NOT NULL, PRIMARY KEY(name, n), UNIQUE(name, digest)) WITHOUT ROWID;
CREATE INDEX version_digest ON version(digest);
CREATE TABLE alias(name TEXT NOT NULL, alias TEXT NOT NULL, digest TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY(name, alias)) WITHOUT ROWID;
CREATE TABLE decision(digest TEXT NOT NULL, target TEXT NOT NULL, idx INTEGER NOT NULL, statement TEXT NOT NULL, answer TEXT NOT NULL,
                      policy TEXT NOT NULL, mode TEXT NOT NULL, time TEXT NOT NULL, PRIMARY KEY(digest, target)) WITHOUT ROWID;
CREATE TABLE denial(scope TEXT NOT NULL, value TEXT NOT NULL, idx INTEGER NOT NULL, reason TEXT NOT NULL, severity TEXT NOT NULL,
                    incident TEXT NOT NULL, PRIMARY KEY(scope, value)) WITHOUT ROWID;
CREATE TABLE lift(scope TEXT NOT NULL, value TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY(scope, value)) WITHOUT ROWID;
CREATE TABLE scan(digest TEXT NOT NULL, check_id TEXT NOT NULL, idx INTEGER NOT NULL, is_clean INTEGER NOT NULL, PRIMARY KEY(digest, check_id)) WITHOUT ROWID;
CREATE TABLE lineage(child TEXT NOT NULL, parent TEXT NOT NULL, role TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY(child, parent, role)) WITHOUT ROWID;
CREATE INDEX lineage_parent ON lineage(parent);
"""
PROJECTED: Final = ("trust", "version", "alias", "decision", "denial", "lift", "scan", "lineage")


def allowed_by(db: sqlite3.Connection, digest: Digest, target: str) -> str:
    """The decision that allows an asset for a target; StateError if the newest is no allow."""
    row = db.execute("SELECT statement, answer FROM decision WHERE digest=? AND target=?", (digest, target)).fetchone()
    if row is None or row[1] != "allow":
        raise StateError(f"there is no allow for {target}", f"the newest decision is {row[1] if row else 'absent'}",
                         f"run `assay gate ASSET --to {target}`", reason="not-allowed")  # fmt: skip
    return str(row[0])


def check_cleared(db: sqlite3.Connection, digest: Digest, row: sqlite3.Row) -> None:
    """What a candidate needs: models scanned clean by every scan, and an origin or provenance statement."""
    if row["kind"] == "model":
        scans = [clean for (clean,) in db.execute("SELECT is_clean FROM scan WHERE digest=?", (digest,))]
        if not scans or not all(scans):
            raise StateError("the model is not cleared", "a scan found something" if scans else "no trusted scan looked at it",
                             "run `assay check` and look at the findings", reason="not-clean")  # fmt: skip
    has_origin = json.loads(row["origin"]) != {}
    if not has_origin and not db.execute("SELECT 1 FROM lineage WHERE child=?", (digest,)).fetchone():
        raise StateError("nobody says where the asset comes from", "there is no origin and no provenance statement",
                         "register it with an origin, or make it with `assay train`", reason="no-origin")  # fmt: skip


def state_after_lift(db: sqlite3.Connection, name: str, digest: Digest) -> State:
    """Candidate if the asset would be one today, else sourced."""
    try:
        check_cleared(db, digest, version_row(db, name, digest))
    except StateError:
        return State.SOURCED
    return State.CANDIDATE


def lifted_at(db: sqlite3.Connection, name: str, digest: Digest) -> int:
    """The index of the last lift of these bytes or of the name; -1 if there was none."""
    query = "SELECT coalesce(max(idx), -1) FROM lift WHERE (scope='digest' AND value=?) OR (scope='name' AND value=?)"
    return int(db.execute(query, (digest, name)).fetchone()[0])


def files_of(db: sqlite3.Connection, name: str, digest: Digest) -> int:
    """How many files the manifest of a version has; at least one."""
    row = db.execute("SELECT files FROM version WHERE name=? AND digest=?", (name, digest)).fetchone()
    return max(1, int(row[0]))


def stand_down(db: sqlite3.Connection, name: str, digest: Digest) -> None:
    """A version that lost its last alias goes back to approved, unless it is quarantined or retired."""
    if not db.execute("SELECT 1 FROM alias WHERE name=? AND digest=?", (name, digest)).fetchone():
        query = "UPDATE version SET state=? WHERE name=? AND digest=? AND state=?"
        db.execute(query, (State.APPROVED, name, digest, State.PRODUCTION))


def move(db: sqlite3.Connection, name: str, digest: Digest, state: State) -> None:
    """Sets the state of a version."""
    db.execute("UPDATE version SET state=? WHERE name=? AND digest=?", (state, name, digest))


def is_denied(db: sqlite3.Connection, name: str, digest: Digest) -> bool:
    """Whether a quarantine of these bytes or of the name is active."""
    query = "SELECT 1 FROM denial WHERE (scope='digest' AND value=?) OR (scope='name' AND value=?)"
    return db.execute(query, (digest, name)).fetchone() is not None


def quarantined_at(db: sqlite3.Connection, scope: str, value: str) -> int:
    row = db.execute("SELECT idx FROM denial WHERE scope=? AND value=?", (scope, value)).fetchone()
    if row is None:
        raise StateError(
            f"{scope} {value[:40]} is not quarantined", "there is nothing to lift", reason="not-quarantined"
        )
    return int(row[0])


def names_of(db: sqlite3.Connection, digest: Digest) -> list[tuple[str, str]]:
    """(name, kind) under which these bytes are registered."""
    return db.execute("SELECT name, kind FROM version WHERE digest=? ORDER BY name", (digest,)).fetchall()


def version_row(db: sqlite3.Connection, name: str, digest: Digest) -> sqlite3.Row:
    """The row of a version; StateError if it was never registered."""
    cursor = db.execute("SELECT * FROM version WHERE name=? AND digest=?", (name, digest))
    cursor.row_factory = sqlite3.Row
    row: sqlite3.Row | None = cursor.fetchone()
    if row is None:
        raise StateError(
            f"{name} has no version with digest {digest[:16]}…", "it was never registered", "run `assay register`"
        )
    return row


def text_of(value: Mapping[str, Json]) -> str:
    """Canonical JSON as text, the way that rows hold it."""
    return canonical(value).decode()


def rebuilt_tables(db: sqlite3.Connection) -> Mapping[str, list[tuple[Json, ...]]]:
    """The rows of every projection in a fixed order; audits compare them with a rebuild.

    Raises:
        LedgerError: a table is missing.
    """
    try:
        return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in PROJECTED}  # noqa: S608
    except sqlite3.Error as error:
        raise LedgerError("a projection cannot be read", str(error)) from error
