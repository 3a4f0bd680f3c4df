"""Loading only what may run: bytes are hashed while they are copied to a private place, and only the copy is handed out.

Between the hash and the load nobody can swap a file, because what is loaded is the copy that was hashed: files 0444
in a folder 0700 that only this process's user can enter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from assay.app.offline import open_offline, verify_offline
from assay.app.verify import Demand, Verification, bytes_differ, verify_digest
from assay.app.workspace import Workspace
from assay.core.assets import Entry, Kind, Manifest, differences
from assay.core.digests import Digest
from assay.core.errors import AssayError, Refused, StorageError, Undecided
from assay.evidence.files import FoundFile, find_files, hash_open, open_file
from assay.registry.queries import Version


@dataclass(frozen=True)
class PrivateCopy:
    """A copy whose bytes are exactly `manifest`; `path` is the file or folder to load. Close it to remove it."""

    path: Path
    manifest: Manifest
    _folder: Path

    def close(self) -> None:
        """Removes the copy."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> PrivateCopy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_hashing(path: Path, kind: Kind, *, ignored: Sequence[str] = (), symlinks: str = "refuse") -> PrivateCopy:
    """Copies a file or folder, hashing the very bytes that are written.

    Raises:
        MalformedInput: a refused name, link or device.
        StorageError: the copy could not be written; nothing of it is left.
    """
    folder = Path(tempfile.mkdtemp(prefix="assay-guard-"))
    try:
        files = list(find_files(path, ignored=ignored, symlinks=symlinks))
        target = folder / "asset"
        entries = [_copy_one(file, target, symlinks) for file in files]
        manifest = Manifest.of(kind, entries, ignored)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(
            "cannot make a private copy", str(error), "free some space in the temporary folder"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return PrivateCopy(target if path.is_dir() else target / path.name, manifest, folder)


def guarded_copy(workspace: Workspace, path: Path, version: Version, demand: Demand) -> PrivateCopy:
    """A private copy of `path` if exactly `version` may run at the stage that is asked for.

    Raises:
        Refused: other bytes, quarantined, retired, denied.
        Undecided: no valid decision, or evidence too old.
    """
    expected = workspace.manifest(version.digest)
    copy = copy_hashing(path, expected.kind, ignored=expected.ignored, symlinks=version.symlinks)
    return _admitted(copy, lambda: _verify(workspace, copy, expected, version, demand))


def guarded_copy_offline(bundle: bytes, pin: Digest | None, path: Path, demand: Demand) -> PrivateCopy:
    """As `guarded_copy`, from an offline bundle.

    Raises:
        Refused: other bytes, quarantined, retired, denied, or a bundle that does not hold.
        Undecided: no valid decision, or the bundle is too old.
    """
    try:
        read = open_offline(bundle, pin)
    except AssayError as error:
        raise Refused(
            f"{path} may not be loaded", f"{error.what}: {error.why}", error.fix, reason=error.reason
        ) from error
    copy = copy_hashing(path, read.manifest.kind, ignored=read.manifest.ignored, symlinks=read.symlinks)
    return _admitted(copy, lambda: verify_offline(bundle, pin, demand, copy.manifest))


def check(answer: Verification) -> None:
    """Raises what the reasons of an answer say; returns only for a yes.

    Raises:
        Refused: at least one reason denies.
        Undecided: every reason is something that is not known.
    """
    if answer.ok:
        return
    kind = Undecided if answer.exit_code == 3 else Refused
    first = next((r for r in answer.reasons if not r.is_undecided), answer.reasons[0])
    why = "; ".join(reason.text for reason in answer.reasons)
    raise kind(
        f"{answer.name or 'asset'} may not run{f' at {answer.stage}' if answer.stage else ''}",
        why,
        first.fix,
        reason=first.code,
    )


def _admitted(copy: PrivateCopy, verify: Callable[[], Verification]) -> PrivateCopy:
    try:
        check(verify())
    except BaseException:
        copy.close()
        raise
    return copy


def _verify(
    workspace: Workspace, copy: PrivateCopy, expected: Manifest, version: Version, demand: Demand
) -> Verification:
    if copy.manifest.digest != expected.digest:
        changed = str(differences(expected, copy.manifest))
        return Verification(copy.manifest.digest, version.name, demand.stage, (bytes_differ(str(version), changed),))
    return verify_digest(workspace, expected.digest, demand, version.name, as_name=version.name)


def _copy_one(file: FoundFile, folder: Path, symlinks: str) -> Entry:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_file(file.where, symlinks)
    try:
        with target.open("xb") as written:
            digest, size = hash_open(descriptor, written.write)
    finally:
        os.close(descriptor)
    target.chmod(0o444)
    return Entry(file.path, digest, size)
