"""The workspace as it was: the registry folded again up to an earlier ledger head, at an earlier time.

A decision made there is recomputed from the same ledger head, policy and time, and so has the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.app.workspace import Workspace
from assay.core.errors import UsageError
from assay.core.times import instant
from assay.evidence.envelope import open_bundle
from assay.evidence.ledger import Item
from assay.evidence.trust import TRUST_PAYLOAD


@contextmanager
def at_head(workspace: Workspace, size: int | None, now: str | None) -> Iterator[Workspace]:
    """The workspace at ledger `size` and time `now`; the workspace itself where neither is given.

    The copy has no keys, so nothing can be signed in it.

    Raises:
        UsageError: the ledger is shorter than `size`.
        MalformedInput: `now` is no time.
    """
    if size is None and now is None:
        yield workspace
        return
    moment = instant(now) if now else workspace.clock()
    end = workspace.ledger.size() if size is None else size
    if not 1 <= end <= workspace.ledger.size():
        raise UsageError(f"the ledger has no size {end}", f"it holds {workspace.ledger.size()} entries")
    with tempfile.TemporaryDirectory(prefix="assay-history-") as folder:
        past = _replayed(workspace, Path(folder), end)
        past.clock = lambda: moment
        try:
            yield past
        finally:
            past.store.close()


def _replayed(workspace: Workspace, folder: Path, end: int) -> Workspace:
    """A second workspace with the first `end` entries, logged at their own times."""
    (folder / "trust.pin").write_text(workspace.pin, "ascii")
    times = [instant(leaf.time) for leaf in workspace.ledger.leaves(0, end)]
    position = [0]
    past = Workspace(folder, clock=lambda: times[position[0]], state=folder / "state")
    for leaf in workspace.ledger.leaves(0, end):
        position[0] = leaf.index
        bundle = workspace.ledger.bundle(leaf)
        is_trust = leaf.type == TRUST_PAYLOAD
        past.ledger.append(
            [Item.of_trust(bundle) if is_trust else Item.of(open_bundle(bundle, workspace.trust().public_keys))]
        )
    past.blobs = workspace.blobs
    return past
