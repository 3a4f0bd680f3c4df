"""The door for serving code: hand over a path, get back a private copy that was verified, or an error.

    from assay import guard

    with guard.load("models/scorer", stage="production") as model:          # inside a workspace
        predictor = joblib_or_skops_load(model.path / "model.skops")

    scorer = guard.load("models/scorer", stage="production", loader=my_load,
                        bundle="scorer.bundle", trust="sha256:…")            # offline, on a host without a ledger

The bytes that are loaded are the bytes that were hashed: they are copied while they are hashed, and only the copy is
handed over. Quarantined, retired, denied, stale or undecided: each is an error, never a load.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, overload

from assay.app.guarded import PrivateCopy, guarded_copy, guarded_copy_offline
from assay.app.policies import digests_that_count
from assay.app.project import find_project
from assay.app.verify import DECISION_MAX_AGE, Demand, registered_at
from assay.app.workspace import Workspace, find_folder
from assay.core.assets import Reference
from assay.core.digests import read_digest
from assay.core.errors import Refused, UsageError
from assay.registry.queries import Version

__all__ = ["PrivateCopy", "load"]

T = TypeVar("T")


@overload
def load(path: str | Path, *, stage: str, asset: str | None = None, workspace: str | Path | None = None,
         bundle: str | Path | None = None, trust: str | None = None) -> PrivateCopy: ...  # fmt: skip
@overload
def load(path: str | Path, *, stage: str, loader: Callable[[Path], T], asset: str | None = None,
         workspace: str | Path | None = None, bundle: str | Path | None = None, trust: str | None = None) -> T: ...  # fmt: skip


def load(path: str | Path, *, stage: str, loader: Callable[[Path], T] | None = None, asset: str | None = None,
         workspace: str | Path | None = None, bundle: str | Path | None = None, trust: str | None = None) -> T | PrivateCopy:  # fmt: skip
    """Verifies what lies at `path` for `stage` and hands over a private copy of it.

    Args:
        path: The file or folder.
        stage: Where it is to run; the newest decision of a trusted gate for exactly this stage must allow it.
        loader: Called with the copy's path; its result is returned and the copy removed. Without it the copy is
            returned; close it, or use it in a `with`.
        asset: `NAME@VERSION` or `NAME@ALIAS` that the path must hold; default the version registered from this path.
        workspace: The workspace folder; default the nearest `.assay` upward.
        bundle: An offline bundle (`assay bundle`) to use instead of a workspace; needs `trust`.
        trust: The digest of the first trust policy, as `assay init` printed it.

    Raises:
        Refused: other bytes, quarantined, retired, tainted, denied.
        Undecided: no valid decision, a policy that changed since, evidence or ledger too old.
        LedgerDamaged: the ledger was edited, cut or restored.
        UsageError: nothing there, or `bundle` without `trust`.
    """
    demand = Demand(datetime.now(UTC), stage, None, DECISION_MAX_AGE)
    copy = (
        _offline(Path(path), bundle, trust, demand)
        if bundle is not None
        else _online(Path(path), workspace, asset, demand)
    )
    if loader is None:
        return copy
    with copy:
        return loader(copy.path)


def _offline(path: Path, bundle: str | Path, trust: str | None, demand: Demand) -> PrivateCopy:
    if trust is None:
        raise UsageError(
            "which trust policy?", "an offline bundle brings its own, so it must be pinned", 'pass trust="sha256:…"'
        )
    try:
        data = Path(bundle).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {bundle}", str(error)) from error
    return guarded_copy_offline(data, read_digest(trust), path, demand)


def _online(path: Path, workspace: str | Path | None, asset: str | None, demand: Demand) -> PrivateCopy:
    folder = Path(workspace) if workspace is not None else find_folder(Path.cwd())
    with Workspace(folder) as opened:
        version = opened.registry.resolve(Reference.parse(asset)) if asset else _at(opened, path)
        policies = find_project(folder.absolute().parent).read_policies()
        counted = Demand(demand.now, demand.stage, digests_that_count(opened, demand.stage, policies), demand.max_age)
        return guarded_copy(opened, path, version, counted)


def _at(workspace: Workspace, path: Path) -> Version:
    found = registered_at(workspace, path)
    if found is None:
        raise Refused(f"{path} may not be loaded", "nothing was registered from this path", "name it with asset=NAME@VERSION",
                      reason="unregistered")  # fmt: skip
    return found
