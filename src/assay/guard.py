"""The door for serving code: hand over a path, get back what may be loaded, or an error. It has two uses.

**What a gate allowed.** With `stage`, the bytes must be registered, allowed for that stage by the newest decision of a trusted gate, and
neither quarantined nor retired. A private copy of exactly those bytes is handed over:

    from assay import guard

    with guard.load("models/scorer", stage="production") as model:          # inside a workspace
        predictor = joblib_or_skops_load(model.path / "model.skops")

    scorer = guard.load("models/scorer", stage="production", loader=my_load,
                        bundle="scorer.bundle", trust="sha256:…")            # offline, on a host without a ledger

**What a scan calls clean.** Without `stage` no gate is asked: the bytes are scanned now, and the object in them is handed over. Pickles,
joblib, NumPy, torch, safetensors and skops are loaded by built-in loaders that import only what the same lists name:

    model = guard.load("downloads/model.joblib")                             # no workspace needed
    model = guard.load("downloads/model.pkl", lists=["ours.json@sha256:…"])  # with a list of your own
    model = guard.load("downloads/model", loader=my_load)                    # a folder: my_load gets the path of a copy

Both at once: `guard.load("models/scorer/model.joblib", stage="production", loader=guard.load)`.

The bytes that are loaded are the bytes that were hashed and judged: they are held in memory, or copied while they are hashed.
Malicious, unknown, inconclusive, quarantined, denied, stale or undecided: each is an error, never a load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from assay.app.guarded import PrivateCopy, check, guarded_copy, guarded_copy_offline
from assay.app.held import Held
from assay.app.load import NotClean, load_copy, load_file, load_judged
from assay.app.policies import digests_that_count
from assay.app.project import find_project
from assay.app.verify import DECISION_MAX_AGE, Demand, registered_at, verify_digest
from assay.app.workspace import Workspace, find_folder
from assay.checks.model_file.lists import Lists, read_list
from assay.core.assets import Entry, Kind, Manifest, Reference
from assay.core.digests import read_digest
from assay.core.errors import Refused, UsageError
from assay.registry.queries import Version

__all__ = ["NotClean", "PrivateCopy", "load"]

T = TypeVar("T")
Paths = Sequence[str | Path]


@overload
def load(path: str | Path, *, stage: str, asset: str | None = None, workspace: str | Path | None = None,
         bundle: str | Path | None = None, trust: str | None = None) -> PrivateCopy: ...  # fmt: skip
@overload
def load(path: str | Path, *, loader: Callable[[Path], T], stage: str | None = None, lists: Paths | None = None, asset: str | None = None,
         workspace: str | Path | None = None, bundle: str | Path | None = None, trust: str | None = None) -> T: ...  # fmt: skip
@overload
def load(path: str | Path, *, lists: Paths | None = None, asset: str | None = None, workspace: str | Path | None = None) -> Any: ...  # fmt: skip


def load(path: str | Path, *, stage: str | None = None, lists: Paths | None = None, loader: Callable[[Path], T] | None = None,
         asset: str | None = None, workspace: str | Path | None = None, bundle: str | Path | None = None,
         trust: str | None = None) -> T | PrivateCopy | Any:  # fmt: skip
    """Verifies or scans what lies at `path`, and hands over what may be loaded.

    Args:
        path: The file or folder. No link is followed at the last step.
        stage: Where it is to run; the newest decision of a trusted gate for exactly this stage must allow it. Without it the
            bytes are scanned instead.
        lists: Allow-lists beside those that ship with Assay, each `FILE` or `FILE@sha256:HEX`; for the scan, so not with `stage`.
        loader: Called with the path of a private copy; its result is returned and the copy removed. Without it a copy is returned
            where `stage` is given (close it, or use it in a `with`), else the object in the file.
        asset: `NAME@VERSION` or `NAME@ALIAS` that the path must hold; default the version registered from this path.
        workspace: The workspace folder; default the nearest `.assay` upward. Without `stage` a workspace is asked only whether it
            knows these bytes, and refuses them if they are quarantined, retired or not those that were registered.
        bundle: An offline bundle (`assay bundle`) to use instead of a workspace; needs `stage` and `trust`.
        trust: The digest of the first trust policy, as `assay init` printed it.

    Raises:
        NotClean: the scan found something, which its `findings` tell, or could not come to an end.
        Refused: other bytes, quarantined, retired, tainted, denied.
        Undecided: no valid decision, a policy that changed since, evidence or ledger too old.
        LedgerDamaged: the ledger was edited, cut or restored.
        MalformedInput: a link, a device, or a file that its library cannot load.
        MissingExtra: the library that loads it is not installed.
        ChangedMeanwhile: somebody wrote to the file meanwhile.
        UsageError: nothing there, arguments that do not belong together, or no built-in loader for what is clean.
    """
    if stage is None:
        if bundle is not None or trust is not None:
            raise UsageError("for which stage?", "a bundle holds decisions of a gate", 'pass stage="production"')
        return _scanned(Path(path), Lists(read_list(str(one)) for one in lists or ()), loader, asset, workspace)
    if lists is not None:
        raise UsageError("`lists` and `stage` do not belong together", "the lists of a gate are those of its evidence",
                         "scan what the gate allowed with loader=lambda copy: guard.load(copy, lists=…)")  # fmt: skip
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


def _scanned(path: Path, lists: Lists, loader: Callable[[Path], T] | None, asset: str | None,
             workspace: str | Path | None) -> T | Any:  # fmt: skip
    """Loads what is clean; a workspace that is named or lies above says first whether these bytes are denied."""
    folder = Path(workspace) if workspace is not None else find_folder(Path.cwd())
    demand = Demand(datetime.now(UTC))
    if workspace is None and asset is None and not (folder / "trust.pin").exists():
        return load_file(path, lists) if loader is None else load_copy(path, lists, loader)
    with Workspace(folder) as opened:
        version, root = (opened.registry.resolve(Reference.parse(asset)), path) if asset else _above(opened, path)
        if version is not None:
            with guarded_copy(opened, root, version, demand) as copy:
                inside = copy.path / path.absolute().relative_to(root.absolute())
                return load_file(inside, lists) if loader is None else load_judged(inside, str(path), lists, loader)
        if loader is not None:
            return load_copy(path, lists, loader)
        return load_file(path, lists, lambda held: _refuse_if_denied(opened, held, demand))


def _above(workspace: Workspace, path: Path) -> tuple[Version | None, Path]:
    """The version that was registered from this path, or from a folder around it, and where that lies."""
    for root in (path, *path.absolute().parents):
        if (found := registered_at(workspace, root)) is not None:
            return found, root
    return None, path


def _refuse_if_denied(workspace: Workspace, held: Held, demand: Demand) -> None:
    """Whether a workspace that knows these bytes under some name denies them; bytes that it does not know pass on to the scan."""
    for kind in Kind:
        digest = Manifest.of(kind, [Entry(held.name, held.sha256, len(held.data))]).digest
        if workspace.registry.with_digest(digest):
            check(verify_digest(workspace, digest, demand, held.name))


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
