"""A ledger whose leaves were hashed again just now: what verify and gate read instead of tables.

The root is rebuilt from the bytes of every leaf and held against the newest signed checkpoint and against the head that
this user saw before; a row that was edited, cut or put back from a backup shows. Costs about two microseconds an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from assay.app.workspace import Workspace
from assay.core.errors import EvidenceError, LedgerDamaged, MalformedInput, TrustError
from assay.core.times import instant
from assay.evidence.keys import PublicKey
from assay.evidence.ledger import Leaf, Ledger
from assay.evidence.merkle import RootBuilder, leaf_hash
from assay.evidence.note import Checkpoint, NoteError, verified_cosignatures, verify_checkpoint
from assay.evidence.trust import TRUST_PAYLOAD, Trust, TrustedKey, verified_chain

MAX_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class SoundLedger:
    """A `Source` over a workspace. `signed` is the newest checkpoint that holds, or None.

    `chain` are the trust policies, oldest first, read from the entries of the log, link by link from the pin, and never
    from the registry's table.
    """

    size: int
    root: bytes
    chain: tuple[Trust, ...]
    signed: Checkpoint | None
    _ledger: Ledger = field(repr=False)

    @classmethod
    def of(cls, workspace: Workspace) -> SoundLedger:
        """Rehashes the ledger of a workspace.

        Raises:
            LedgerDamaged: leaves, tree, checkpoint and memory do not agree.
        """
        seen = workspace.seen.recall() if workspace.seen else None
        note = workspace.ledger.newest_checkpoint()
        chain = _logged_trust(workspace)
        signed = read_checkpoint(note, chain) if note else None
        wanted = {point.size: point.root for point in (seen, signed) if point is not None}
        builder = RootBuilder()
        with workspace.store.reading() as db:
            for index, (idx, leaf) in enumerate(db.execute("SELECT idx, CAST(leaf AS BLOB) FROM entry ORDER BY idx")):
                if idx != index:
                    raise LedgerDamaged(
                        "the ledger has a gap", f"entry {index} is missing", "run `assay ledger verify`"
                    )
                _compare(wanted, builder)
                builder.add(leaf_hash(leaf))
        _compare(wanted, builder)
        if longest := max((size for size in wanted if size > builder.size), default=0):
            raise LedgerDamaged("the ledger was cut or restored from an older copy",
                                f"it holds {builder.size} entries, {longest} were signed or seen before",
                                "bring back the newer copy", reason="ledger-rollback")  # fmt: skip
        root = builder.root()
        if workspace.ledger.root_at(builder.size) != root:
            raise LedgerDamaged(
                "the tree does not fit its entries", "a node or entry was edited", "run `assay ledger verify`"
            )
        return cls(builder.size, root, chain, signed, workspace.ledger)

    @property
    def trust(self) -> Trust:
        """The policy in force."""
        return self.chain[-1]

    def mentioning(self, text: str) -> Sequence[Leaf]:
        """Every entry whose leaf holds `text`, found in the leaves themselves."""
        with self._ledger.store.reading() as db:
            query = "SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE idx<? AND instr(leaf, ?) ORDER BY idx"
            rows = db.execute(query, (self.size, text.encode())).fetchall()
        return [Leaf.parse(index, data) for index, data in rows]

    def bundle(self, leaf: Leaf) -> bytes:
        """The signed bundle of an entry."""
        return self._ledger.bundle(leaf)


def read_checkpoint(note: bytes, chain: Sequence[Trust]) -> Checkpoint:
    """Verifies a checkpoint by a log key of any version of the trust policy, so that a rotated key's stay valid.

    Raises:
        LedgerDamaged: no log key signed it for this origin.
    """
    problem = "no log key"
    for trust in reversed(chain):
        for key_id in trust.log.keys:
            try:
                signed = verify_checkpoint(note, trust.log.origin, trust.keys[key_id].key.raw, _verifies)
            except NoteError as error:
                problem = error.why
                continue
            if (problem := _key_problem(chain[-1].keys.get(key_id), signed.size)) == "":
                return signed
    raise LedgerDamaged("the checkpoint is not signed by the ledger's key", problem, reason="checkpoint-unsigned")


def _key_problem(key: TrustedKey | None, size: int) -> str:
    """Why a log key does not count for a checkpoint of `size`; a key that the newest policy left out only rotated."""
    if key is not None and key.is_compromised:
        return "its key was compromised"
    if key is not None and key.revoked_at is not None and size > key.revoked_at:
        return "its key was revoked before"
    return ""


def witness_problem(note: bytes, trust: Trust) -> str:
    """Why too few witnesses of the trust policy stand behind a checkpoint; "" if enough do.

    A witness is named by its owner. Whoever keeps the log needs none; everybody else relies on them.
    """
    if trust.log.witness_threshold == 0:
        return ""
    witnesses = {trust.keys[key_id].owner: trust.keys[key_id].key.raw for key_id in trust.log.witnesses}
    try:
        found = verified_cosignatures(note, witnesses, _verifies)
    except NoteError as error:
        return error.why
    if len(found) < trust.log.witness_threshold:
        return f"{len(found)} of {trust.log.witness_threshold} witnesses cosigned the checkpoint"
    return ""


def age_problem(signed: Checkpoint | None, trust: Trust, now: datetime) -> str:
    """Why a checkpoint is too old to speak for the present; "" if it is fresh."""
    if signed is None:
        return "there is no signed checkpoint"
    stamps = [line[5:] for line in signed.extensions if line.startswith("time ")]
    try:
        age = now - instant(stamps[0])
    except (IndexError, MalformedInput):
        return "the checkpoint carries no time"
    if age < -MAX_CLOCK_SKEW:
        return "the checkpoint is from the future"
    if age > trust.log.max_checkpoint_age:
        return f"the checkpoint is {age} old, at most {trust.log.max_checkpoint_age} is accepted"
    return ""


def trust_problem(trust: Trust, now: datetime) -> str:
    """Why the trust policy cannot be relied on now; "" if it can."""
    try:
        trust.check_current(now)
    except TrustError as error:
        return str(error.why)
    return ""


def holds_log_key(workspace: Workspace) -> bool:
    """Whether this machine keeps the log, so that its own reading of it is the present."""
    try:
        workspace.signer("ledger")
    except EvidenceError:
        return False
    return True


def _logged_trust(workspace: Workspace) -> tuple[Trust, ...]:
    with workspace.store.reading() as db:
        query = "SELECT idx, CAST(leaf AS BLOB) FROM entry WHERE instr(leaf, ?) ORDER BY idx"
        rows = db.execute(query, (TRUST_PAYLOAD.encode(),)).fetchall()
    leaves = [leaf for leaf in (Leaf.parse(*row) for row in rows) if leaf.type == TRUST_PAYLOAD]
    return verified_chain([workspace.ledger.bundle(leaf) for leaf in leaves], workspace.pin)


def _compare(wanted: dict[int, bytes], builder: RootBuilder) -> None:
    root = wanted.pop(builder.size, None)
    if root is not None and builder.root() != root:
        raise LedgerDamaged("the ledger shows another history than was signed or seen before",
                            f"its first {builder.size} entries have another root", "run `assay ledger verify`",
                            reason="split-view")  # fmt: skip


def _verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    return PublicKey("ed25519", public.hex()).verifies(signature, message)
