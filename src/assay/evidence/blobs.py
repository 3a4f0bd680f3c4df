"""Blobs by digest: small ones are rows beside the ledger, larger ones files that exist whole or not at all.

A blob is written and synced before any leaf that names it. Reading verifies: a blob that is not its digest is damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from assay.core.digests import Digest, is_digest, sha256
from assay.core.errors import LedgerDamaged, StorageError
from assay.evidence.store import Store

SMALL_BYTES = 64 << 10
MAX_BLOB_BYTES = 1 << 30


class Blobs:
    """The blob store of a workspace: rows of `store` and files below `folder`."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def get(self, digest: Digest) -> bytes | None:
        """The bytes of a blob, or None if it is not here.

        Raises:
            LedgerDamaged: what is stored under the digest has another digest.
        """
        with self._store.reading() as db:
            query = "SELECT CAST(body AS BLOB) FROM small_blob WHERE sha256=?"
            row = db.execute(query, (bytes.fromhex(digest),)).fetchone()
        data: bytes | None = row[0] if row else self._read_file(digest)
        if data is not None and sha256(data) != digest:
            raise LedgerDamaged(
                f"blob {digest[:16]}… is damaged", "its bytes have another digest", "restore it from a copy"
            )
        return data

    def put_large(self, blobs: Iterable[bytes]) -> None:
        """Writes the blobs that are too large for rows, each synced before this returns.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        for data in blobs:
            if len(data) > SMALL_BYTES:
                write_whole(self._path(sha256(data)), data)

    def files(self) -> Iterable[Path]:
        """Every blob file, for audits and exports."""
        found = self._folder.glob("sha256/??/*") if self._folder.is_dir() else ()
        return sorted(path for path in found if is_digest(path.name))  # a kill may leave a temporary file

    def _read_file(self, digest: Digest) -> bytes | None:
        try:
            with self._path(digest).open("rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_BLOB_BYTES:
                    raise LedgerDamaged(f"blob {digest[:16]}… is too large", f"at most {MAX_BLOB_BYTES} bytes are kept")
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read blob {digest[:16]}…", str(error)) from error
        return data

    def _path(self, digest: Digest) -> Path:
        return self._folder / "sha256" / digest[:2] / digest


def put_small(db: sqlite3.Connection, blobs: Iterable[bytes]) -> None:
    """Writes the small ones of `blobs` as rows of the caller's transaction."""
    rows = [(hashlib.sha256(data).digest(), data) for data in blobs if len(data) <= SMALL_BYTES]
    db.executemany("INSERT OR IGNORE INTO small_blob(sha256, body) VALUES(?,?)", rows)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, and durably: temporary name, sync, rename, sync of the folder.

    Raises:
        StorageError: the disk is full or the folder cannot be written; no part of the file is left.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    try:
        made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        for folder in (path.parent, *(new.parent for new in made)):
            _sync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"cannot write {path.name}", str(error), "free some space or check the permissions"
        ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
