"""`assay ledger verify`: rebuilds everything from the leaves and says what does not fit.

    leaves       in order without a gap, canonical, hashed right, time never backwards
    statements   every bundle is there, carries the statement that its leaf names, and its signature holds
    blobs        manifests, outcome tables and decision bodies that statements name are there and are their digest
    tree         every stored node, and the root of every signed checkpoint, follow from the leaves
    projections  the registry folded anew from nothing equals the registry as stored
    memory       the log extends the head that this user saw before

Nothing is repaired. What an entry says alone is checked in `app/audit_pages`, many pages at once; what needs the order
of the log is done here, page after page.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.app.audit_pages import Change, Listed, Orders, Page, Problem, Readers
from assay.app.sound import read_checkpoint
from assay.app.workspace import Workspace
from assay.core.errors import AssayError
from assay.evidence.ledger import Leaf
from assay.evidence.merkle import Node, RootBuilder, completed_nodes
from assay.evidence.store import Store
from assay.evidence.trust import TRUST_PAYLOAD, read_trust_envelope, verified_chain
from assay.registry.projection import Projection
from assay.registry.rows import TABLES, rebuilt_tables

MAX_PROBLEMS = 100

__all__ = ["AuditReport", "Problem", "audit"]


@dataclass(frozen=True)
class AuditReport:
    """What an audit found. `unverified` counts statements by keys that no trust policy lists: logged, counting nothing."""

    size: int
    root: bytes
    problems: tuple[Problem, ...]
    signatures: int
    unverified: int
    checkpoints: int
    blobs: int

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not self.problems


def audit(
    workspace: Workspace, *, with_signatures: bool = True, progress: Callable[[int, int], None] = lambda *_: None
) -> AuditReport:
    """Rebuilds the whole ledger; `progress` gets entries done and in all.

    Raises:
        LedgerError: the database itself cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="assay-audit-") as scratch:
        run = _Audit(workspace, with_signatures, Path(scratch))
        try:
            return run.report(progress)
        finally:
            run.close()


class _Audit:
    def __init__(self, workspace: Workspace, with_signatures: bool, scratch: Path) -> None:
        self._workspace = workspace
        self._with_signatures = with_signatures
        self._problems: list[Problem] = []
        self._tree = _Tree()
        self._subjects = self._signatures = self._unverified = self._blobs = 0
        self._projection = Projection(workspace.pin)
        self._replayed = Store(scratch / "replay.sqlite", extra_tables=TABLES)

    def close(self) -> None:
        self._replayed.close()

    def report(self, progress: Callable[[int, int], None]) -> AuditReport:
        """Walks the ledger under one snapshot and compares the rest at its end."""
        with self._workspace.store.snapshot() as db, self._replayed.writing() as replay:
            size = db.execute("SELECT count(*) FROM entry").fetchone()[0]
            self._tree.wanted(self._sizes(db))
            orders = Orders(self._workspace.store.path, self._workspace.folder / "blobs", self._keys(db), self._with_signatures)  # fmt: skip
            with Readers(orders, size) as readers:
                for page in readers.pages():
                    self._page(db, replay, page)
                    progress(min(page.start + len(page.hashes), size), size)
            self._compare_tree(db)
            count = self._compare_checkpoints(db)
            self._compare_projections(db, replay)
            self._compare_memory()
        return AuditReport(self._tree.size, self._tree.root(), tuple(self._problems[:MAX_PROBLEMS]),
                           self._signatures, self._unverified, count, self._blobs)  # fmt: skip

    def _page(self, db: sqlite3.Connection, replay: sqlite3.Connection, page: Page) -> None:
        """Adds up one page and does what needs the order: folding its changes and growing the tree."""
        refused = [problem for change in page.changes if (problem := self._fold(replay, change))]
        for problem in sorted([*page.problems, *refused], key=lambda found: found.index or 0):
            self._say(problem.code, problem.text, problem.index)
        self._subjects += page.subjects
        self._blobs += page.blobs
        self._signatures += page.signatures
        self._unverified += page.unverified
        for level, index in self._tree.grow(db, page):
            self._say("tree", f"node {level}/{index} does not follow from the leaves")

    def _fold(self, replay: sqlite3.Connection, change: Change) -> Problem | None:
        leaf = change.leaf
        try:
            self._projection.fold(replay, leaf, change.item)
        except AssayError as error:
            text = f"{error.what}: {error.why}" if error.why else error.what
            return Problem(error.reason or "entry", text, leaf.index)
        row = (
            leaf.index,
            leaf.data,
            b"",
            change.statement,
            change.key,
        )  # where two must sign, the fold looks for the other
        replay.execute("INSERT INTO entry VALUES(?,?,?,?,?)", row)
        return None

    def _keys(self, db: sqlite3.Connection) -> dict[str, Listed]:
        """Every key of every trust policy in the log. Whether a policy may stand is found when it is folded."""
        keys: dict[str, Listed] = {}
        query = "SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE instr(leaf, ?) ORDER BY idx"
        for index, data in db.execute(query, (TRUST_PAYLOAD.encode(),)).fetchall():
            try:
                leaf = Leaf.parse(index, data)
                envelope = self._workspace.blobs.get(leaf.bundle) if leaf.type == TRUST_PAYLOAD else None
                listed = read_trust_envelope(envelope)[1].public_keys if envelope else ()
            except AssayError:  # the page that holds it says so
                continue
            keys = {key.key_id: Listed(index, key) for key in listed} | keys
        return keys

    def _sizes(self, db: sqlite3.Connection) -> Iterable[int]:
        seen = self._workspace.seen.recall() if self._workspace.seen else None
        yield from (size for (size,) in db.execute("SELECT DISTINCT size FROM checkpoint"))
        yield from [seen.size] if seen else []

    def _compare_tree(self, db: sqlite3.Connection) -> None:
        stored = db.execute("SELECT count(*) FROM node").fetchone()[0]
        if stored != self._tree.nodes:
            self._say("tree", f"{stored} nodes are stored, {self._tree.nodes} follow from the leaves")
        rows = db.execute("SELECT count(*) FROM subject").fetchone()[0]
        if rows != self._subjects:
            self._say("subject-index", f"{rows} subjects are indexed, {self._subjects} follow from the leaves")

    def _compare_checkpoints(self, db: sqlite3.Connection) -> int:
        notes = db.execute("SELECT size, CAST(root AS BLOB), CAST(note AS BLOB) FROM checkpoint ORDER BY n").fetchall()
        try:
            chain = verified_chain(self._workspace.trust_chain(), self._workspace.pin)
        except AssayError as error:
            self._say("trust", f"{error.what}: {error.why}")
            return 0
        for size, root, note in notes:
            try:
                signed = read_checkpoint(note, chain)
            except AssayError as error:
                self._say("checkpoint", f"the checkpoint of size {size} does not hold: {error.why}")
                continue
            if (signed.size, signed.root) != (size, root) or self._tree.roots.get(size) != root:
                self._say(
                    "checkpoint", f"the checkpoint of size {size} is over another history, or entries are missing"
                )
        return len(notes)

    def _compare_projections(self, db: sqlite3.Connection, replay: sqlite3.Connection) -> None:
        stored, rebuilt = rebuilt_tables(db), rebuilt_tables(replay)
        for table, rows in stored.items():
            if rows != rebuilt[table]:
                changed = len(set(rows) ^ set(rebuilt[table]))
                self._say("projection", f"{changed} rows of {table} do not follow from the ledger")

    def _compare_memory(self) -> None:
        seen = self._workspace.seen.recall() if self._workspace.seen else None
        if seen is not None and self._tree.roots.get(seen.size) != seen.root:
            self._say("rollback", f"the ledger does not extend the {seen.size} entries that were seen before")

    def _say(self, code: str, text: str, index: int | None = None) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(code, text, index))


class _Tree:
    """The Merkle tree built anew from the leaves, of which only the right edge is kept in memory."""

    def __init__(self) -> None:
        self.nodes = 0
        self.roots: dict[int, bytes] = {}
        self._builder = RootBuilder()
        self._edge: dict[tuple[int, int], bytes] = {}
        self._is_whole = True

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._builder.size

    def root(self) -> bytes:
        """The root over them."""
        return self._builder.root()

    def wanted(self, sizes: Iterable[int]) -> None:
        """The sizes whose roots are noted in `roots` as the tree passes them."""
        self.roots = dict.fromkeys(sizes, b"")
        self._note()

    def grow(self, db: sqlite3.Connection, page: Page) -> list[tuple[int, int]]:
        """Adds the leaves of a page and returns the places where the stored nodes differ. After a gap nothing can follow."""
        self._is_whole = self._is_whole and bool(page.hashes)
        if not self._is_whole:
            return []
        made = completed_nodes(page.start, page.hashes, lambda level, index: self._edge[level, index])
        for hashed in page.hashes:
            self._builder.add(hashed)
            if self._builder.size in self.roots:
                self._note()
        self.nodes += len(made)
        known = (
            self._edge | {(0, page.start + i): h for i, h in enumerate(page.hashes)} | {(lv, i): h for lv, i, h in made}
        )
        places = (
            (level, (self.size >> level) - 1) for level in range(self.size.bit_length()) if self.size >> level & 1
        )
        self._edge = {place: known[place] for place in places}
        return _differing(db, made)

    def _note(self) -> None:
        if self.size in self.roots:
            self.roots[self.size] = self._builder.root()


def _differing(db: sqlite3.Connection, made: list[Node]) -> list[tuple[int, int]]:
    """Places of `made`, which come in runs of one level, where the store has another hash or none."""
    runs: dict[int, dict[int, bytes]] = {}
    for level, index, hashed in made:
        runs.setdefault(level, {})[index] = hashed
    query = "SELECT idx, CAST(hash AS BLOB) FROM node WHERE level=? AND idx>=? AND idx<=?"
    differ = []
    for level, run in runs.items():
        stored = dict(db.execute(query, (level, min(run), max(run))).fetchall())
        differ += [(level, index) for index, hashed in run.items() if stored.get(index) != hashed]
    return differ
