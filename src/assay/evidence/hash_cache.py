"""Digests of unchanged files, so that registering a large folder again costs only what changed.

A file is the same if path, device, inode, size, mtime and ctime are. A digest is kept only if the file had been still
for two seconds before it was hashed, because a write within the clock's grain would leave the times as they are. Never
used by verify, gate or guard, and never on network file systems. A damaged cache is dropped, not repaired.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from pathlib import Path

from assay.core.digests import Digest, is_digest

_STILL_NS = 2_000_000_000
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes a blank in a mount point
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse", "fuseblk", "9p", "virtiofs"})


class HashCache:
    """A cache file; `is_used` tells whether any digest of this run came from it."""

    def __init__(self, path: Path, root: Path) -> None:
        """`root` is the folder that will be hashed; on a network file system the cache stays off."""
        self._lock = threading.Lock()
        self._fresh: list[tuple[str, str, str]] = []
        self.is_used = False
        self._known: dict[str, tuple[str, str]] = {}
        self._db = None if _is_network(root) else _opened(path)
        if self._db is not None:
            prefix = str(root.absolute())
            query = "SELECT path, stamp, sha256 FROM hash WHERE path=? OR (path>=? AND path<?)"
            with contextlib.suppress(sqlite3.Error):
                for name, stamp, digest in self._db.execute(query, (prefix, prefix + "/", prefix + "0")):
                    self._known[name] = (stamp, digest)

    def recall(self, path: Path, info: os.stat_result) -> Digest | None:
        """The digest that exactly this file had."""
        stamp, digest = self._known.get(str(path.absolute()), ("", ""))
        if stamp != _stamp(info) or not is_digest(digest):
            return None
        self.is_used = True
        return digest

    def keep(self, path: Path, info: os.stat_result, digest: Digest, started_ns: int) -> None:
        """Remembers a digest until `close` writes it down."""
        if max(info.st_mtime_ns, info.st_ctime_ns) + _STILL_NS <= started_ns:
            with self._lock:
                self._fresh.append((str(path.absolute()), _stamp(info), digest))

    def close(self) -> None:
        """Writes new digests; a cache that cannot be written is no error."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.executemany("INSERT OR REPLACE INTO hash VALUES(?,?,?)", self._fresh)
                self._db.commit()
            self._db.close()


def _opened(path: Path) -> sqlite3.Connection | None:
    for attempt in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path, timeout=5, check_same_thread=False)
            db.execute("PRAGMA synchronous=OFF")
            db.execute(
                "CREATE TABLE IF NOT EXISTS hash(path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID"
            )
            db.execute("SELECT 1 FROM hash LIMIT 1").fetchone()
            return db
        except sqlite3.DatabaseError:
            if attempt == 0:
                with contextlib.suppress(OSError):
                    path.unlink()
        except OSError:
            return None
    return None


def _stamp(info: os.stat_result) -> str:
    return f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"


def _is_network(root: Path) -> bool:
    """Whether the longest mount that holds `root` is a network or FUSE file system; unknown systems count as local."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    where, best, kind = os.path.realpath(root), "", ""
    for line in lines:
        _, mount, name, *_ = (_OCTAL.sub(lambda found: chr(int(found[1], 8)), part) for part in line.split(" "))
        inside = where == mount or where.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, name
    return kind.split(".")[0] in _NETWORK
