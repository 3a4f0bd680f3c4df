"""The last ledger head that this user saw, kept outside the workspace.

A ledger that was restored from an older copy, cut, or rewritten agrees with itself; only somebody who remembers can
tell. The memory is per origin, moves forward only, and lies in the user's state folder, so that restoring the whole
workspace does not restore it too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from assay.core.digests import is_digest, sha256
from assay.core.errors import LedgerDamaged, StorageError
from assay.evidence.blobs import write_whole
from assay.evidence.ledger import Ledger, LedgerHead


class SeenHeads:
    """The memory of one origin below `folder`."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.path = folder / "seen" / f"{sha256(origin.encode())[:32]}.json"
        self._origin = origin

    def recall(self) -> LedgerHead | None:
        """The newest head that was seen, or None. A memory that cannot be read counts as none only if it is absent.

        Raises:
            StorageError: the file is there but damaged or not readable.
        """
        try:
            value = json.loads(self.path.read_bytes())
            size, root = value["size"], value["root"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(
                "the memory of the last seen ledger is damaged", str(self.path), "remove the file if that is meant"
            ) from error
        if type(size) is not int or not is_digest(root):
            raise StorageError(
                "the memory of the last seen ledger is damaged", str(self.path), "remove the file if that is meant"
            )
        return LedgerHead(size, bytes.fromhex(root))

    def check(self, ledger: Ledger) -> None:
        """Refuses a ledger that does not extend what was seen before.

        Raises:
            LedgerDamaged: it is shorter (rolled back) or holds another history (split view).
        """
        seen = self.recall()
        if seen is None:
            return
        size = ledger.size()
        fix = f"bring back the newer copy; if the loss is meant, tell whoever relies on it and remove {self.path}"
        if size < seen.size:
            raise LedgerDamaged("the ledger was cut or restored from an older copy",
                                f"it holds {size} entries, {seen.size} were seen before", fix, reason="ledger-rollback")  # fmt: skip
        if ledger.root_at(seen.size) != seen.root:
            raise LedgerDamaged("the ledger shows another history than before",
                                f"its first {seen.size} entries have another root than those seen", fix, reason="split-view")  # fmt: skip

    def remember(self, head: LedgerHead) -> None:
        """Moves the memory forward; never backward."""
        seen = self.recall()
        if seen is None or head.size > seen.size:
            value = {"origin": self._origin, "root": head.root.hex(), "size": head.size}
            write_whole(self.path, json.dumps(value, sort_keys=True).encode())


def state_folder() -> Path:
    """Where this user's memory lies: `ASSAY_STATE`, else the state folder of the XDG base directories."""
    if found := os.environ.get("ASSAY_STATE"):
        return Path(found)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "assay"
