"""The ledger: an append-only Merkle log of signed statements, durable at every acknowledgement.

    append   requests queue up; whoever gets the lock commits all that wait in one transaction (group commit)
    leaf     canonical JSON of {bundle, key, statement, subjects, time, type, v}; bundles are blobs beside it
    tree     RFC 6962; complete subtrees are rows, so a root or proof reads O(log n) of them
    fold     upper layers pass in a function that sees each entry inside the transaction and may refuse it

A statement by the same key is one entry, however often it is appended. Time never runs backwards.
Source: RFC 6962 section 2; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest, sha256
from assay.core.errors import AssayError, LedgerDamaged, LedgerError, MalformedInput, TrustError
from assay.core.statements import Statement
from assay.core.times import stamp_ms
from assay.evidence import merkle
from assay.evidence.blobs import Blobs, put_small
from assay.evidence.envelope import Signed
from assay.evidence.keys import Signer
from assay.evidence.note import Checkpoint, sign_checkpoint
from assay.evidence.store import Store
from assay.evidence.trust import TRUST_PAYLOAD, read_trust_envelope

MAX_SUBJECTS_IN_LEAF = 32
MAX_LEAF_BYTES = 4096
MAX_BATCH = 512
_WRITTEN = re.compile(
    rb'\{"bundle":"[0-9a-f]{64}","key":"[0-9a-f]{64}","statement":"[0-9a-f]{64}",'
    rb'"subjects":\[("[0-9a-f]{64}"(,"[0-9a-f]{64}")*)?\],"time":"[0-9TZ:.-]{1,40}","type":"[!#-\[\]-~]{1,1024}","v":1\}'
)
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Item:
    """Something to log: a signed statement or a trust policy. `statement` is None for a trust policy."""

    digest: Digest
    key_id: str
    type: str
    subjects: tuple[Digest, ...]
    bundle: bytes
    statement: Statement | None

    @classmethod
    def of(cls, signed: Signed) -> Item:
        """The item of a signed statement."""
        statement = signed.statement
        return cls(signed.digest, signed.key_id, statement.type, subjects_in_leaf(statement), signed.bundle, statement)

    @classmethod
    def of_trust(cls, envelope: bytes) -> Item:
        """The item of a trust policy, under the first of its own root keys that signed it.

        Raises:
            TrustError: none did.
        """
        read, trust = read_trust_envelope(envelope)
        signers = read.signers([trust.keys[key_id].key for key_id in trust.root_keys])
        if not signers:
            raise TrustError("trust policy is not signed by its root", f"version {trust.version}",
                             reason="trust-threshold")  # fmt: skip
        return cls(trust.digest, signers[0].key_id, TRUST_PAYLOAD, (trust.digest,), envelope, None)


@dataclass(frozen=True)
class Leaf:
    """What the log itself says of an entry; `data` are its canonical bytes."""

    index: int
    statement: Digest
    key_id: str
    bundle: Digest
    type: str
    subjects: tuple[Digest, ...]
    time: str
    data: bytes = field(repr=False)

    @classmethod
    def parse(cls, index: int, data: bytes) -> Leaf:
        """Reads leaf bytes.

        Raises:
            LedgerDamaged: they are not a leaf.
        """
        try:
            value = parse(data, what=f"ledger entry {index}", max_bytes=MAX_LEAF_BYTES, max_depth=3)
            return cls(index, value["statement"], value["key"], value["bundle"], value["type"],
                       tuple(value["subjects"]), value["time"], data)  # fmt: skip
        except (AssayError, KeyError, TypeError) as error:
            raise LedgerDamaged(f"ledger entry {index} is damaged", str(error)) from error

    @property
    def is_canonical(self) -> bool:
        """Whether `data` are the canonical form of what they say; leaves as `append` writes them are seen to be at a glance."""
        return _WRITTEN.fullmatch(self.data) is not None or canonical(parse(self.data, what="leaf")) == self.data


@dataclass(frozen=True)
class Receipt:
    """The acknowledgement of an append: it is on disk and will stay. `is_new` is false for a repeat."""

    index: int
    digest: Digest
    time: str
    is_new: bool


@dataclass(frozen=True)
class LedgerHead:
    """The size of the log and the root over that many leaves."""

    size: int
    root: bytes


Fold = Callable[[sqlite3.Connection, Leaf, Item], None]


@dataclass
class _Request:
    items: Sequence[Item]
    attachments: Sequence[bytes]
    receipts: tuple[Receipt, ...] = ()
    error: AssayError | None = None
    is_done: bool = False
    is_durable: bool = False


class Ledger:
    """The log in a store. Safe for many threads and processes; one writer commits at a time."""

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, fold: Fold) -> None:
        self.store = store
        self.blobs = blobs
        self._clock = clock
        self._fold = fold
        self._waiting: deque[_Request] = deque()
        self._commit_lock = threading.Lock()

    def append(self, items: Sequence[Item], attachments: Sequence[bytes] = ()) -> tuple[Receipt, ...]:
        """Logs all of `items`, or none; returns when they are durable. `attachments` are blobs that they name.

        Raises:
            AssayError: the fold refused an item; nothing of this call was logged.
            StorageError: the disk is full or the database locked; nothing was logged.
        """
        bundles = [item.bundle for item in items]
        self.blobs.put_large([*bundles, *attachments])
        request = _Request(items, [*bundles, *attachments])
        self._waiting.append(request)
        with self._commit_lock:
            while not request.is_done:
                self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))])
        if request.error is not None:
            raise request.error
        if not request.is_durable:
            raise LedgerError("the commit was interrupted", "nothing of it was logged", "run again")
        return request.receipts

    def head(self) -> LedgerHead:
        """The current size and root."""
        with self.store.snapshot() as db:
            size = _size(db)
            return LedgerHead(size, merkle.root(size, _reader(db)))

    def size(self) -> int:
        """The number of entries."""
        with self.store.reading() as db:
            return _size(db)

    def root_at(self, size: int) -> bytes:
        """The root that the log had when it held `size` entries.

        Raises:
            LedgerError: the log is shorter.
        """
        with self.store.snapshot() as db:
            if not 0 <= size <= _size(db):
                raise LedgerError(f"the ledger has no size {size}", f"it holds {_size(db)} entries")
            return merkle.root(size, _reader(db))

    def leaf(self, index: int) -> Leaf:
        """One entry.

        Raises:
            LedgerError: there is none at `index`.
        """
        with self.store.reading() as db:
            row = db.execute("SELECT CAST(leaf AS BLOB) FROM entry WHERE idx=?", (index,)).fetchone()
        if row is None:
            raise LedgerError(f"the ledger has no entry {index}")
        return Leaf.parse(index, row[0])

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[Leaf]:
        """Entries in order, from `start` to below `end`."""
        with self.store.reading() as db:
            stop = _size(db) if end is None else end
            for low in range(start, stop, 1000):
                query = "SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE idx>=? AND idx<? ORDER BY idx"
                yield from (
                    Leaf.parse(i, data) for i, data in db.execute(query, (low, min(low + 1000, stop))).fetchall()
                )

    def about(self, digest: Digest, below: int | None = None) -> tuple[Leaf, ...]:
        """Every entry that names `digest` as a subject, oldest first, only those below index `below` if given."""
        query = ("SELECT e.idx, CAST(e.leaf AS BLOB) FROM subject s JOIN entry e ON e.idx = s.idx"
                 " WHERE s.sha256=? AND s.idx<? ORDER BY s.idx")  # fmt: skip
        with self.store.reading() as db:
            rows = db.execute(query, (bytes.fromhex(digest), 1 << 62 if below is None else below)).fetchall()
        return tuple(Leaf.parse(i, data) for i, data in rows)

    def find(self, statement: Digest) -> tuple[Leaf, ...]:
        """The entries of one statement, one for each key that signed it."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE statement=? ORDER BY idx", (bytes.fromhex(statement),)
            ).fetchall()
        return tuple(Leaf.parse(i, data) for i, data in rows)

    def bundle(self, leaf: Leaf) -> bytes:
        """The bundle that an entry names.

        Raises:
            LedgerDamaged: it is gone or has other bytes.
        """
        data = self.blobs.get(leaf.bundle)
        if data is None:
            raise LedgerDamaged(
                f"the bundle of ledger entry {leaf.index} is gone", f"blob {leaf.bundle[:16]}… is missing"
            )
        return data

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that entry `index` is in the log of `size` entries."""
        with self.store.snapshot() as db:
            return merkle.inclusion_proof(index, size, _reader(db))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the log of `new` entries extends the log of `old`."""
        with self.store.snapshot() as db:
            return merkle.consistency_proof(old, new, _reader(db))

    def checkpoint(self, origin: str, signer: Signer) -> bytes:
        """Signs the current head as a note and keeps it. The note carries its time in an extension line."""
        with self.store.writing() as db:
            size, time = _size(db), stamp_ms(self._clock())
            root = merkle.root(size, _reader(db))
            value = Checkpoint(origin, size, root, (f"time {time}",))
            note = sign_checkpoint(value, origin, signer.sign, signer.public.raw)
            db.execute("INSERT INTO checkpoint(size, root, time, note) VALUES(?,?,?,?)", (size, root, time, note))
        return note

    def newest_checkpoint(self) -> bytes | None:
        """The last note that was signed here."""
        with self.store.reading() as db:
            row = db.execute("SELECT CAST(note AS BLOB) FROM checkpoint ORDER BY n DESC LIMIT 1").fetchone()
        return row[0] if row else None

    def _commit(self, batch: list[_Request]) -> None:
        """One transaction for all requests of `batch`; a refused request leaves no trace, the others stand."""
        try:
            with self.store.writing() as db:
                start, last_time = _end(db)
                hashes: list[bytes] = []
                time = max(last_time, stamp_ms(self._clock()))
                for request in batch:
                    self._try(db, request, start, hashes, time)
                nodes = merkle.completed_nodes(start, hashes, _reader(db))
                db.executemany("INSERT INTO node(level, idx, hash) VALUES(?,?,?)", nodes)
            for request in batch:
                request.is_durable = request.error is None
        except AssayError as error:
            for request in batch:
                request.error = request.error or error
        finally:
            for request in batch:
                request.is_done = True

    def _try(self, db: sqlite3.Connection, request: _Request, start: int, hashes: list[bytes], time: str) -> None:
        kept = len(hashes)
        db.execute("SAVEPOINT request")
        try:
            put_small(db, request.attachments)
            request.receipts = tuple(self._add(db, item, start, hashes, time) for item in request.items)
        except AssayError as error:
            db.execute("ROLLBACK TO request")
            del hashes[kept:]
            request.error = error
        db.execute("RELEASE request")

    def _add(self, db: sqlite3.Connection, item: Item, start: int, hashes: list[bytes], time: str) -> Receipt:
        named = (bytes.fromhex(item.digest), bytes.fromhex(item.key_id))
        if row := db.execute("SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE statement=? AND key=?", named).fetchone():
            return Receipt(row[0], item.digest, Leaf.parse(*row).time, False)
        index, bundle = start + len(hashes), sha256(item.bundle)
        data = canonical(_leaf_json(item, bundle, time))
        if len(data) > MAX_LEAF_BYTES:  # nobody could read it again, this ledger included
            raise MalformedInput("statement does not fit into a ledger entry", f"its type has {len(item.type)} characters",
                                 "use a shorter predicate type")  # fmt: skip
        leaf = Leaf(index, item.digest, item.key_id, bundle, item.type, item.subjects, time, data)
        self._fold(db, leaf, item)
        hashed = merkle.leaf_hash(data)
        db.execute(
            "INSERT INTO entry(idx, leaf, leaf_hash, statement, key) VALUES(?,?,?,?,?)", (index, data, hashed, *named)
        )
        db.executemany(
            "INSERT INTO subject(sha256, idx) VALUES(?,?)", [(bytes.fromhex(s), index) for s in item.subjects]
        )
        hashes.append(hashed)
        return Receipt(index, item.digest, time, True)


def subjects_in_leaf(statement: Statement) -> tuple[Digest, ...]:
    """The digests that an entry names, sorted: the asset always, and as many of its aliases as fit."""
    aliases = sorted({s.sha256 for s in statement.subjects} - {statement.subject})
    return tuple(sorted([statement.subject, *aliases[: MAX_SUBJECTS_IN_LEAF - 1]]))


def _leaf_json(item: Item, bundle: Digest, time: str) -> Json:
    return {"bundle": bundle, "key": item.key_id, "statement": item.digest, "subjects": list(item.subjects),
            "time": time, "type": item.type, "v": 1}  # fmt: skip


def _size(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(idx) + 1, 0) FROM entry").fetchone()[0])


def _end(db: sqlite3.Connection) -> tuple[int, str]:
    """The size of the log and the time of its last entry, "" if there is none."""
    row = db.execute("SELECT idx, CAST(leaf AS BLOB) FROM entry ORDER BY idx DESC LIMIT 1").fetchone()
    return (row[0] + 1, Leaf.parse(*row).time) if row else (0, "")


def _reader(db: sqlite3.Connection) -> merkle.NodeReader:
    def read(level: int, index: int) -> bytes:
        if level == 0:
            row = db.execute("SELECT CAST(leaf_hash AS BLOB) FROM entry WHERE idx=?", (index,)).fetchone()
        else:
            row = db.execute("SELECT CAST(hash AS BLOB) FROM node WHERE level=? AND idx=?", (level, index)).fetchone()
        if row is None:
            raise LedgerDamaged(
                "the ledger is cut or damaged", f"node {level}/{index} is missing", "run `assay ledger verify`"
            )
        found: bytes = row[0]
        return found

    return read
