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
from assay.core.statements import Statement
from assay.core.times import instant
from assay.evidence.envelope import read_bundle
from assay.evidence.ledger import Item, Leaf
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
        moving = [moment]
        (Path(folder) / "trust.pin").write_text(workspace.pin, "ascii")
        past = Workspace(Path(folder), clock=lambda: moving[0], state=Path(folder) / "state")
        try:
            for leaf in workspace.ledger.leaves(0, end):
                moving[0] = instant(leaf.time)
                past.ledger.append([_logged(workspace, leaf)])
            moving[0], past.blobs = moment, workspace.blobs
            yield past
        finally:
            past.store.close()


def _logged(workspace: Workspace, leaf: Leaf) -> Item:
    """What an entry holds, by whatever key signed it: whether that key counts is decided by who reads it."""
    bundle = workspace.ledger.bundle(leaf)
    if leaf.type == TRUST_PAYLOAD:
        return Item.of_trust(bundle)
    statement = Statement.parse(read_bundle(bundle).payload)
    return Item(leaf.statement, leaf.key_id, leaf.type, leaf.subjects, bundle, statement)
