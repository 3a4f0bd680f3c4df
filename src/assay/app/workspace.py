"""A workspace: ledger, registry, blobs, keys and trust of one project, opened together.

.assay/ledger.sqlite   entries, tree, checkpoints, small blobs, projections
.assay/blobs/          larger blobs by digest
.assay/keys/           private keys of this machine, one file each, 0600
.assay/trust.pin       digest of the first trust policy
.assay/locations/      where the bytes of an asset were last seen here; a hint, verified at each use
.assay/hashes.sqlite   cache of file digests; may be removed at any time
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

from assay.core.assets import Manifest
from assay.core.digests import Digest, read_digest
from assay.core.errors import EvidenceError, LedgerDamaged, StorageError, UsageError
from assay.core.statements import Statement
from assay.evidence.blobs import Blobs, write_whole
from assay.evidence.envelope import sign
from assay.evidence.keys import PrivateKey, Signer, check_key_name, load_key
from assay.evidence.ledger import Clock, Item, Ledger, Receipt
from assay.evidence.seen import SeenHeads, state_folder
from assay.evidence.store import Store
from assay.evidence.trust import Trust
from assay.registry.projection import Projection
from assay.registry.queries import Registry
from assay.registry.rows import TABLES

FOLDER = ".assay"
Passphrase = Callable[[str], bytes]


def utc_now() -> datetime:
    """The clock of a workspace unless another is passed in."""
    return datetime.now(UTC)


def no_passphrase(name: str) -> bytes:
    """Refuses to open an encrypted key where nobody can be asked.

    Raises:
        EvidenceError: always.
    """
    raise EvidenceError(
        f"key {name} is encrypted", "there is nobody to ask for its passphrase", "pass it with ASSAY_PASSPHRASE_FD"
    )


class Workspace(AbstractContextManager["Workspace"]):
    """An open workspace. Closing it signs a checkpoint if anything was logged, and remembers the head."""

    def __init__(self, folder: Path, *, clock: Clock = utc_now, passphrase: Passphrase = no_passphrase,
                 state: Path | None = None, pin: Digest | None = None) -> None:  # fmt: skip
        """Opens an existing workspace; `state` is where the last seen head is remembered.

        `pin` is for `create` alone, which writes the pin's file last.

        Raises:
            UsageError: there is none in `folder`.
            LedgerDamaged: the ledger is older or other than the one seen before.
        """
        try:
            self._pin = pin or read_digest((folder / "trust.pin").read_text("ascii").strip())
        except FileNotFoundError as error:
            raise UsageError(
                f"there is no workspace at {folder}", fix="run `assay init` in the project's folder"
            ) from error
        except OSError as error:
            raise StorageError(f"cannot read {folder / 'trust.pin'}", str(error)) from error
        self.folder = folder
        self.clock = clock
        self._passphrase = passphrase
        self._signers: dict[str, PrivateKey] = {}
        self._is_changed = False
        self.projection = Projection(self._pin)
        self.store = Store(folder / "ledger.sqlite", extra_tables=TABLES)
        self.blobs = Blobs(self.store, folder / "blobs")
        self.ledger = Ledger(self.store, self.blobs, clock, self.projection.fold)
        self.registry = Registry(self.store)
        self._state = state or state_folder()
        self.seen = self._memory()

    @classmethod
    def create(cls, folder: Path, first_trust: bytes, digest: Digest, *, clock: Clock = utc_now,
               passphrase: Passphrase = no_passphrase, state: Path | None = None) -> Workspace:  # fmt: skip
        """Makes a workspace whose first ledger entry is the trust envelope with policy `digest`.

        Raises:
            UsageError: there is one already.
        """
        if (folder / "trust.pin").exists():
            raise UsageError(f"there is a workspace at {folder} already", fix="remove the folder to begin anew")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ".gitignore", b"*\n")
        for rest in folder.glob("ledger.sqlite*"):  # of a creation that was killed before it wrote the pin
            rest.unlink()
        made = cls(folder, clock=clock, passphrase=passphrase, state=state, pin=digest)
        made.append_trust(first_trust)
        write_whole(folder / "trust.pin", f"{digest}\n".encode())
        made.seen = made._memory()
        return made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Signs a checkpoint if something was logged and a ledger key is here, remembers the head, closes the files."""
        try:
            if self._is_changed:
                self.sign_checkpoint()
            if self.seen is not None:
                self.seen.check(self.ledger)
                self.seen.remember(self.ledger.head())
                if (marker := SeenHeads(self._state, self._pin)).recall() is None:
                    marker.remember(self.ledger.head())
        finally:
            self.store.close()

    def trust(self) -> Trust:
        """The trust policy in force. Whether it is expired is the business of whoever relies on it."""
        with self.store.reading() as db:
            return self.projection.trust(db)

    def trust_chain(self) -> list[bytes]:
        """All trust envelopes, oldest first."""
        with self.store.reading() as db:
            return [row[0] for row in db.execute("SELECT envelope FROM trust ORDER BY version").fetchall()]

    @property
    def pin(self) -> Digest:
        """The digest of the first trust policy."""
        return self._pin

    def sign_and_log(self, statement: Statement, role: str, attachments: Sequence[bytes] = ()) -> Receipt:
        """Signs a statement in a role with a key of this machine and logs it with the blobs that it names.

        Raises:
            EvidenceError: no key here has the role, or the registry refuses the signer.
            StateError: the lifecycle does not allow it.
        """
        return self.log([Item.of(sign(statement, self.signer(role)))], attachments)[0]

    def log(self, items: Sequence[Item], attachments: Sequence[bytes] = ()) -> tuple[Receipt, ...]:
        """Appends to the ledger."""
        receipts = self.ledger.append(items, attachments)
        self._is_changed = self._is_changed or any(receipt.is_new for receipt in receipts)
        return receipts

    def append_trust(self, envelope: bytes) -> Receipt:
        """Adopts the first or next trust policy.

        Raises:
            TrustError: it does not follow the one in force.
        """
        return self.log([Item.of_trust(envelope)])[0]

    def signer(self, role: str) -> Signer:
        """A key of this machine that has `role`.

        Raises:
            EvidenceError: there is none, or the trust policy is expired.
        """
        trust = self.trust()
        trust.check_current(self.clock())
        members = trust.log.keys if role == "ledger" else trust.roles[role].members if role in trust.roles else ()
        now, size = self.clock(), self.ledger.size()
        for path in self.key_files():
            key_id = public_id(path)
            if key_id in members and trust.keys[key_id].is_valid(size, now):
                return self._opened(path)
        raise EvidenceError(f"no key on this machine has the role {role}", f"looked in {self.folder / 'keys'}",
                            f"ask somebody who has it, or add a key to role {role} with `assay key trust`", reason="no-key")  # fmt: skip

    def key_files(self) -> list[Path]:
        """The private keys of this workspace."""
        return sorted((self.folder / "keys").glob("*.pem"))

    def key(self, name: str) -> PrivateKey:
        """The key in file `name`."""
        return self._opened(self.folder / "keys" / f"{check_key_name(name)}.pem")

    def sign_checkpoint(self) -> bytes | None:
        """A note over the current head; None if no ledger key is on this machine.

        Raises:
            LedgerDamaged: the ledger does not extend what was seen; nothing is signed over that.
        """
        if self.seen is not None:
            self.seen.check(self.ledger)
        try:
            signer = self.signer("ledger")
        except EvidenceError:
            return None
        self._is_changed = False
        return self.ledger.checkpoint(self.trust().log.origin, signer)

    def manifest(self, digest: Digest) -> Manifest:
        """The manifest of a registered asset.

        Raises:
            LedgerDamaged: its blob is gone.
        """
        data = self.blobs.get(digest)
        if data is None:
            raise LedgerDamaged(
                f"the manifest of {digest[:16]}… is gone", "its blob is missing", "restore the blobs folder"
            )
        return Manifest.parse(data)

    def keep_location(self, digest: Digest, path: Path) -> None:
        """Remembers where the bytes of an asset lie on this machine; a mere hint, so it is not synced to disk."""
        target, where = self.folder / "locations" / digest, os.fsencode(path.absolute())
        if self.location(digest) != path.absolute():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(where)

    def location(self, digest: Digest) -> Path | None:
        """Where the bytes of an asset were last seen; they may have changed since."""
        try:
            return Path(os.fsdecode((self.folder / "locations" / digest).read_bytes()))
        except FileNotFoundError:
            return None

    def _opened(self, path: Path) -> PrivateKey:
        if path.stem not in self._signers:
            self._signers[path.stem] = load_key(path, lambda: self._passphrase(path.stem))
        return self._signers[path.stem]

    def _memory(self) -> SeenHeads | None:
        """None only while the very first trust policy is not logged yet.

        An emptied ledger cannot even say its origin, so that it once held something is remembered under the pin too.
        """
        if self.ledger.size() == 0:
            SeenHeads(self._state, self._pin).check(self.ledger)
            return None
        memory = SeenHeads(self._state, self.trust().log.origin)
        memory.check(self.ledger)
        return memory


def save_key(folder: Path, name: str, key: PrivateKey, passphrase: bytes | None) -> None:
    """Writes a key file with its public half beside it, so that finding a key needs no passphrase."""
    path = folder / "keys" / f"{check_key_name(name)}.pem"
    key.save(path, passphrase)
    write_whole(path.with_suffix(".pub"), f"{key.public.keytype} {key.public.public} {key.public.key_id}\n".encode())


def new_origin() -> str:
    """A ledger origin that no other workspace has."""
    return f"assay.local/{secrets.token_hex(8)}"


def find_folder(start: Path) -> Path:
    """The nearest workspace upward from `start`, else where `assay init` would make one."""
    for folder in (start, *start.parents):
        if (folder / FOLDER / "trust.pin").exists():
            return folder / FOLDER
        if (folder / "assay.yaml").exists():
            return folder / FOLDER
    return start / FOLDER


def passphrase_from_fd() -> Passphrase | None:
    """A passphrase source that reads the descriptor named by ASSAY_PASSPHRASE_FD, or None."""
    number = os.environ.get("ASSAY_PASSPHRASE_FD")
    if number is None:
        return None
    if not number.isdigit():
        raise UsageError("ASSAY_PASSPHRASE_FD is no number", f"it is {number[:20]!r}")
    secret = _read_once(int(number))
    return lambda _: secret


@cache
def _read_once(descriptor: int) -> bytes:
    """A pipe gives its passphrase once, but a command may need it for an old key and a new one."""
    try:
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            return file.read(4096).strip()
    except OSError as error:
        raise UsageError(
            "ASSAY_PASSPHRASE_FD cannot be read", str(error), "open it, as in: ASSAY_PASSPHRASE_FD=3 assay … 3<FILE"
        ) from error


def public_id(path: Path) -> str:
    """The key id beside a private key file; "" if it is not there."""
    try:
        return path.with_suffix(".pub").read_text("ascii").split()[-1]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
