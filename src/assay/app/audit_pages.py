"""One page of a ledger, read and checked without looking at any other: the part of an audit that many can do at once.

    leaves       in order, canonical, hashed, time not backwards, every subject in the index
    statements   the bundle is there, carries what its leaf names, follows its schema, and its signature holds
    blobs        what a statement names is there and is its digest

`Readers` keeps a few of us busy: threads for a small ledger, processes of their own for a large one, because parsing
holds the interpreter. A process is a plain Python told what to import, so the program that asked is not imported again.
What must be done in the order of the log (the tree, and folding what changes the registry) is left to `app/audit`.
"""

from __future__ import annotations

import binascii
import gc
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import AssayError, LedgerDamaged
from assay.core.statements import Statement
from assay.evidence.blobs import Blobs
from assay.evidence.envelope import BUNDLE_TYPE, STATEMENT_PAYLOAD, Envelope, read_bundle
from assay.evidence.keys import PublicKey
from assay.evidence.ledger import Item, Leaf, subjects_in_leaf
from assay.evidence.merkle import leaf_hash
from assay.evidence.predicates import Predicate, check_predicate
from assay.evidence.store import Store
from assay.evidence.trust import TRUST_PAYLOAD, read_trust_envelope

PAGE = 2048
IN_THREADS = 50_000
_AT_ONCE = 400  # placeholders of one query
# What the registry surely does not fold. Any other type, an unknown one too, is left to the projection.
_NOT_FOLDED: Final = frozenset({
    Predicate.EVAL_RESULT, Predicate.OBSERVATION, Predicate.APPROVAL, Predicate.WAIVER, Predicate.WAIVER_REVOCATION,
    Predicate.INCIDENT, Predicate.COMPLIANCE, Predicate.DEPLOYMENT, Predicate.VULNERABILITIES,
})  # fmt: skip
_HEX64: Final = re.compile(rb"[0-9a-f]{64}")
_FRAME: Final = (
    b'{"dsseEnvelope":{"payload":"',
    b'","payloadType":"%b","signatures":[{"keyid":"' % STATEMENT_PAYLOAD.encode(),
    b'"}]},"mediaType":"%b","verificationMaterial":{"publicKey":{"hint":"' % BUNDLE_TYPE.encode(),
)
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[2]); from assay.app.audit_pages import serve; serve(int(sys.argv[1]))"
)


@dataclass(frozen=True)
class Problem:
    """Something that does not fit; `index` is the ledger entry, None where it is not one entry's."""

    code: str
    text: str
    index: int | None = None


@dataclass(frozen=True)
class Listed:
    """A key that a trust policy lists, and the entry that brought it: what comes after may be signed by it."""

    since: int
    key: PublicKey


@dataclass(frozen=True)
class Orders:
    """What a reader has to know: where the ledger is, which keys count, and whether to check signatures."""

    database: Path
    blobs: Path
    keys: Mapping[str, Listed]
    with_signatures: bool


@dataclass(frozen=True)
class Change:
    """An entry that may change the registry, and the columns of its row."""

    leaf: Leaf
    item: Item
    statement: bytes
    key: bytes


@dataclass
class Page:
    """What was found in the entries from `start`; `hashes` is empty where they are not in order without a gap."""

    start: int
    hashes: list[bytes] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    subjects: int = 0
    blobs: int = 0
    signatures: int = 0
    unverified: int = 0


class Readers(AbstractContextManager["Readers"]):
    """Reads pages at once and hands them out in order, a few pages ahead of whoever takes them."""

    def __init__(self, orders: Orders, size: int) -> None:
        self._orders = orders
        self._size = size
        self._count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._count)
        self._mine = threading.local()
        self._children: list[_Child] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.close()
        self._pool.shutdown(cancel_futures=True)

    def pages(self) -> Iterator[Page]:
        """Every page, in order."""
        starts = deque(range(0, self._size, PAGE))
        ahead: deque[Future[Page]] = deque()
        while starts or ahead:
            while starts and len(ahead) <= 2 * self._count:
                ahead.append(self._pool.submit(self._page, starts.popleft()))
            yield ahead.popleft().result()

    def _page(self, start: int) -> Page:
        if self._size <= IN_THREADS:
            return read_page(self._orders, start)
        if (child := getattr(self._mine, "child", None)) is None:
            child = self._mine.child = _Child(self._orders)
            self._children.append(child)
        return child.page(start)


def read_page(orders: Orders, start: int) -> Page:
    """Reads the entries from `start` to below `start + PAGE`, or to the end."""
    store = Store(orders.database)
    with closing(store), store.snapshot() as db:
        query = (
            "SELECT idx, CAST(leaf AS BLOB), CAST(leaf_hash AS BLOB), CAST(statement AS BLOB), CAST(key AS BLOB)"
            " FROM entry WHERE idx>=? AND idx<? ORDER BY idx"
        )
        rows = db.execute(query, (start, start + PAGE)).fetchall()
        if [row[0] for row in rows] != list(range(start, start + len(rows))) or not rows:
            return Page(start, problems=[Problem("gap", f"entries from {start} are not in order without a gap", start)])
        reader = _PageReader(orders, db, Blobs(store, orders.blobs), Page(start))
        reader.read(rows)
        return reader.page


def serve(descriptor: int) -> None:
    """What a process of `Readers` does: takes orders, then start after start, until the other end is closed."""
    gc.set_threshold(50_000)  # pages make no cycles to speak of
    with Connection(descriptor) as line:
        try:
            orders: Orders = line.recv()
            while True:
                line.send(_answer(orders, line.recv()))
        except (EOFError, OSError):
            return


def _answer(orders: Orders, start: int) -> Page | AssayError:
    try:
        return read_page(orders, start)
    except AssayError as error:
        return error


class _Child:
    """A process that reads pages."""

    def __init__(self, orders: Orders) -> None:
        self._line, theirs = Pipe()
        with theirs:
            home = str(Path(__file__).parents[2])
            command = [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), home]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._line.send(orders)

    def page(self, start: int) -> Page:
        try:
            self._line.send(start)
            answer = self._line.recv()
        except (EOFError, OSError) as error:
            raise LedgerDamaged("the audit could not finish", "one of its processes ended", "run again") from error
        if isinstance(answer, AssayError):
            raise answer
        page: Page = answer
        return page

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._line.close()


class _PageReader:
    def __init__(self, orders: Orders, db: sqlite3.Connection, blobs: Blobs, page: Page) -> None:
        self._orders = orders
        self._db = db
        self._blobs = blobs
        self.page = page
        self._last_time = _time_before(db, page.start)

    def read(self, rows: Sequence[tuple[int, bytes, bytes, bytes, bytes]]) -> None:
        leaves: list[tuple[Leaf, bytes, bytes]] = []
        for index, data, stored, statement, key in rows:
            hashed = leaf_hash(data)
            self.page.hashes.append(hashed)
            if hashed != stored:
                self._say("leaf-hash", "the stored hash is not that of the leaf", index)
            try:
                leaves.append((self._leaf(index, data, statement, key), statement, key))
            except AssayError as error:
                self._note(error, index)
        for at in range(0, len(leaves), _AT_ONCE):
            some = leaves[at : at + _AT_ONCE]
            bundles = self._bodies([leaf.bundle for leaf, _, _ in some])
            indexed = self._indexed([leaf for leaf, _, _ in some])
            for leaf, statement, key in some:
                try:
                    self._subject_rows(leaf, indexed)
                    self._entry(leaf, self._bundle(leaf, bundles), statement, key)
                except AssayError as error:
                    self._note(error, leaf.index)
        self.page.problems.sort(key=lambda problem: problem.index or 0)

    def _leaf(self, index: int, data: bytes, statement: bytes, key: bytes) -> Leaf:
        leaf = Leaf.parse(index, data)
        if not leaf.is_canonical:
            raise LedgerDamaged("the leaf is not canonical", reason="leaf")
        if (leaf.statement, leaf.key_id) != (statement.hex(), key.hex()):
            raise LedgerDamaged("the row names another statement or key than its leaf", reason="leaf")
        if leaf.time < self._last_time:
            raise LedgerDamaged("time runs backwards", f"{leaf.time} after {self._last_time}", reason="backdated")
        self._last_time = leaf.time
        return leaf

    def _entry(self, leaf: Leaf, bundle: bytes, statement: bytes, key: bytes) -> None:
        if leaf.type == TRUST_PAYLOAD:
            _, trust = read_trust_envelope(bundle)
            item = Item(trust.digest, leaf.key_id, TRUST_PAYLOAD, leaf.subjects, bundle, None)
            self.page.changes.append(Change(leaf, item, statement, key))
            return
        envelope = _as_signed(bundle) or read_bundle(bundle)
        item = _item(leaf, envelope)
        assert item.statement is not None
        check_predicate(item.statement)
        self._named_blobs(item.statement)
        if leaf.type not in _NOT_FOLDED:
            self.page.changes.append(Change(leaf, item, statement, key))
        self._signature(leaf, envelope)

    def _signature(self, leaf: Leaf, envelope: Envelope) -> None:
        listed = self._orders.keys.get(leaf.key_id)
        if listed is None or leaf.index < listed.since:
            self.page.unverified += 1
        elif self._orders.with_signatures:
            self.page.signatures += 1
            if not listed.key.verifies(envelope.signatures[0][1], envelope.pae):
                self._say("signature", "the signature does not hold", leaf.index)

    def _subject_rows(self, leaf: Leaf, indexed: set[tuple[bytes, int]]) -> None:
        self.page.subjects += len(leaf.subjects)
        for subject in leaf.subjects:
            if (bytes.fromhex(subject), leaf.index) not in indexed:
                raise LedgerDamaged("the index of subjects misses it", subject[:16], reason="subject-index")

    def _bundle(self, leaf: Leaf, bundles: Mapping[Digest, bytes]) -> bytes:
        data = bundles.get(leaf.bundle)
        if data is None:
            data = self._blobs.get(leaf.bundle)
        elif hashlib.sha256(data).hexdigest() != leaf.bundle:
            raise LedgerDamaged("its bundle has other bytes", leaf.bundle[:16], reason="blob-damaged")
        if data is None:
            raise LedgerDamaged("its bundle is missing", leaf.bundle[:16], reason="blob-missing")
        self.page.blobs += 1
        return data

    def _named_blobs(self, statement: Statement) -> None:
        for digest in _attachments(statement):
            query = "SELECT CAST(body AS BLOB) FROM small_blob WHERE sha256=?"
            body = self._db.execute(query, (bytes.fromhex(digest),)).fetchone()
            if body and hashlib.sha256(body[0]).hexdigest() != digest:
                raise LedgerDamaged("a blob that it names has other bytes", digest[:16], reason="blob-damaged")
            if not body and self._blobs.get(digest) is None:
                raise LedgerDamaged("a blob that it names is missing", digest[:16], reason="blob-missing")
            self.page.blobs += 1

    def _bodies(self, digests: Sequence[Digest]) -> Mapping[Digest, bytes]:
        marks = ",".join("?" * len(digests))
        query = f"SELECT sha256, CAST(body AS BLOB) FROM small_blob WHERE sha256 IN ({marks})"  # noqa: S608
        return {key.hex(): body for key, body in self._db.execute(query, [bytes.fromhex(d) for d in digests])}

    def _indexed(self, leaves: Sequence[Leaf]) -> set[tuple[bytes, int]]:
        """Those rows of the index of subjects that the leaves should have."""
        wanted = [(bytes.fromhex(subject), leaf.index) for leaf in leaves for subject in leaf.subjects]
        found: set[tuple[bytes, int]] = set()
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            marks = ",".join(["(?,?)"] * len(some))
            rows = f"WITH wanted(s, i) AS (VALUES {marks})"
            query = f"{rows} SELECT sha256, idx FROM wanted CROSS JOIN subject ON sha256=s AND idx=i"  # noqa: S608
            found.update(self._db.execute(query, [value for pair in some for value in pair]))
        return found

    def _note(self, error: AssayError, index: int) -> None:
        self._say(error.reason or "entry", f"{error.what}: {error.why}" if error.why else error.what, index)

    def _say(self, code: str, text: str, index: int) -> None:
        self.page.problems.append(Problem(code, text, index))


def _as_signed(bundle: bytes) -> Envelope | None:
    """The envelope of a bundle whose bytes are what `sign` writes, found by writing it again; None for any other."""
    head, middle, tail = _FRAME
    payload = bundle[len(head) : bundle.find(b'"', len(head))]
    at = len(head) + len(payload) + len(middle)
    key_id, sig = bundle[at : at + 64], bundle[at + 64 + 9 : at + 64 + 9 + 88]
    try:
        signature, said = binascii.a2b_base64(sig), binascii.a2b_base64(payload)
    except binascii.Error:
        return None
    parts = (head, binascii.b2a_base64(said, newline=False), middle, key_id, b'","sig":"',
             binascii.b2a_base64(signature, newline=False), tail, key_id, b'"},"tlogEntries":[]}}')  # fmt: skip
    if b"".join(parts) != bundle or not _HEX64.fullmatch(key_id):
        return None
    return Envelope(STATEMENT_PAYLOAD, said, ((key_id.decode("ascii"), signature),))


def _time_before(db: sqlite3.Connection, start: int) -> str:
    row = db.execute("SELECT CAST(leaf AS BLOB) FROM entry WHERE idx=?", (start - 1,)).fetchone()
    try:
        return Leaf.parse(start - 1, row[0]).time if row else ""
    except AssayError:
        return ""


def _item(leaf: Leaf, envelope: Envelope) -> Item:
    """The item of a leaf, without its bundle, which no fold of a statement reads."""
    statement = Statement.parse(envelope.payload)
    expected = subjects_in_leaf(statement)
    if (statement.digest, statement.type, expected) != (leaf.statement, leaf.type, leaf.subjects):
        raise LedgerDamaged("the leaf names another statement than its bundle carries", reason="leaf")
    return Item(statement.digest, leaf.key_id, statement.type, leaf.subjects, b"", statement)


def _attachments(statement: Statement) -> Iterable[Digest]:
    """The blobs that a statement names and that this ledger must hold."""
    said: Json = statement.predicate
    if statement.type == Predicate.REGISTRATION:
        return (said["manifest"]["sha256"],)
    if statement.type == Predicate.EVAL_RESULT:
        return [table["sha256"] for table in said["outcomes"]]
    if statement.type == Predicate.SCAN_RESULT and "facts" in said:
        return (said["facts"]["sha256"],)
    if statement.type == Predicate.DECISION and "assay_body" in said:
        return (said["assay_body"],)
    return ()
