"""Reading the registry: versions, aliases, decisions and what denies an asset. Nothing here changes anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from assay.core.assets import Kind, Reference
from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.evidence.store import Store
from assay.registry.lifecycle import State


@dataclass(frozen=True)
class Version:
    """One registered version of a name. `statement` is its registration."""

    name: str
    n: int
    digest: Digest
    kind: Kind
    state: State
    index: int
    statement: Digest
    labels: Mapping[str, str]
    declared: Mapping[str, Json]
    origin: Mapping[str, Json]
    symlinks: str

    def __str__(self) -> str:
        return f"{self.name}@{self.n}"


@dataclass(frozen=True)
class RecordedDecision:
    """The newest decision of a trusted gate for one asset and target."""

    target: str
    statement: Digest
    answer: str
    policy: Digest
    mode: str
    time: str
    index: int


@dataclass(frozen=True)
class Denial:
    """An active quarantine of a digest or a whole name."""

    scope: str
    value: str
    reason: str
    severity: str
    incident: str


_VERSION = "SELECT name, n, digest, kind, state, idx, statement, labels, declared, origin, symlinks FROM version"


class Registry:
    """The registry of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, reference: Reference) -> Version:
        """The version that `reference` names; a bare name means its newest version.

        Raises:
            UsageError: there is no such name, version, alias or digest.
        """
        with self._store.reading() as db:
            if reference.alias is not None:
                where = " WHERE name=? AND digest=(SELECT digest FROM alias WHERE name=? AND alias=?)"
                row = db.execute(_VERSION + where, (reference.name, reference.name, reference.alias)).fetchone()
            elif reference.digest is not None:
                row = db.execute(_VERSION + " WHERE name=? AND digest=?", (reference.name, reference.digest)).fetchone()
            elif reference.version is not None:
                row = db.execute(_VERSION + " WHERE name=? AND n=?", (reference.name, reference.version)).fetchone()
            else:
                row = db.execute(_VERSION + " WHERE name=? ORDER BY n DESC LIMIT 1", (reference.name,)).fetchone()
        if row is None:
            raise UsageError(
                f"{_said(reference)} is not registered", fix="see `assay log` for names, or run `assay register`"
            )
        return _version(row)

    def find(self, reference: Reference) -> Version | None:
        """As `resolve`, but None where there is none."""
        try:
            return self.resolve(reference)
        except UsageError:
            return None

    def with_digest(self, digest: Digest) -> tuple[Version, ...]:
        """Every name and version under which these bytes are registered."""
        with self._store.reading() as db:
            return tuple(map(_version, db.execute(_VERSION + " WHERE digest=? ORDER BY name", (digest,)).fetchall()))

    def versions(self, name: str | None = None) -> tuple[Version, ...]:
        """All versions, or those of one name, oldest first within a name."""
        with self._store.reading() as db:
            if name is None:
                return tuple(map(_version, db.execute(_VERSION + " ORDER BY name, n").fetchall()))
            return tuple(map(_version, db.execute(_VERSION + " WHERE name=? ORDER BY n", (name,)).fetchall()))

    def next_version(self, name: str) -> int:
        """The number that the next registration under `name` takes."""
        with self._store.reading() as db:
            return int(db.execute("SELECT coalesce(max(n), 0) + 1 FROM version WHERE name=?", (name,)).fetchone()[0])

    def aliases(self, name: str) -> Mapping[str, Digest]:
        """Alias to digest."""
        with self._store.reading() as db:
            return dict(db.execute("SELECT alias, digest FROM alias WHERE name=? ORDER BY alias", (name,)).fetchall())

    def previous_holders(self, name: str, alias: str) -> tuple[Digest, ...]:
        """Digests that had a decision for `alias` and are approved now, newest decision first; for rollbacks."""
        query = ("SELECT v.digest FROM version v JOIN decision d ON d.digest=v.digest AND d.target=?"
                 " WHERE v.name=? AND v.state=? ORDER BY d.idx DESC")  # fmt: skip
        with self._store.reading() as db:
            return tuple(row[0] for row in db.execute(query, (alias, name, State.APPROVED)).fetchall())

    def decision(self, digest: Digest, target: str) -> RecordedDecision | None:
        """The newest decision for an asset and target, or None."""
        query = "SELECT target, statement, answer, policy, mode, time, idx FROM decision WHERE digest=? AND target=?"
        with self._store.reading() as db:
            row = db.execute(query, (digest, target)).fetchone()
        return RecordedDecision(*row) if row else None

    def denials(self, digest: Digest, name: str = "") -> tuple[Denial, ...]:
        """Active quarantines of these bytes, or of the name."""
        query = ("SELECT scope, value, reason, severity, incident FROM denial"
                 " WHERE (scope='digest' AND value=?) OR (scope='name' AND value=?) ORDER BY scope, value")  # fmt: skip
        with self._store.reading() as db:
            return tuple(Denial(*row) for row in db.execute(query, (digest, name)).fetchall())


def _version(row: tuple[Json, ...]) -> Version:
    name, n, digest, kind, state, index, statement, labels, declared, origin, symlinks = row
    return Version(name, n, digest, Kind(kind), State(state), index, statement,
                   json.loads(labels), json.loads(declared), json.loads(origin), symlinks)  # fmt: skip


def _said(reference: Reference) -> str:
    part = reference.version or reference.alias or (reference.digest and f"sha256:{reference.digest[:12]}…")
    return f"{reference.name}@{part}" if part else reference.name
