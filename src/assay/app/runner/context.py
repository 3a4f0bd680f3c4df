"""What a check gets besides its asset: files, options, related assets and a seed. See `core.checks.Context`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from assay.app.runner.jobs import Located
from assay.core.assets import Asset, Entry
from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import ChangedMeanwhile, UsageError


class WorkerContext:
    """The context of one job: opens only files that a manifest names, in the folder where they were hashed."""

    def __init__(
        self, subject: Located, related: Mapping[str, tuple[Located, ...]], options: Mapping[str, Json], seed: int
    ) -> None:
        self._related = related
        self._options = options
        self._seed = seed
        everyone = [one for those in related.values() for one in those]
        self._roots: dict[Digest, Path] = {one.asset.digest: one.root for one in [*everyone, subject]}
        self._entries: dict[Digest, Mapping[str, Entry]] = {}

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        return self._seed

    @property
    def options(self) -> Mapping[str, Json]:
        """The check's defaults with what was given over them."""
        return self._options

    def folder(self, asset: Asset) -> Path:
        """Where the files of an asset lie.

        Raises:
            UsageError: an asset that this job does not have.
        """
        try:
            return self._roots[asset.digest]
        except KeyError:
            raise UsageError(
                f"{asset} is no asset of this job", "a check sees its subject and what that names"
            ) from None

    def related(self, role: str) -> tuple[Asset, ...]:
        """Assets that the subject names by that role; () where none is declared."""
        return tuple(one.asset for one in self._related.get(role, ()))

    def open(self, asset: Asset, path: str) -> IO[bytes]:
        """One file of an asset for reading; no link is followed on the way and its size is the registered one.

        Raises:
            UsageError: the manifest has no such file.
            ChangedMeanwhile: it is gone, became a link or a folder, or has another size.
        """
        root = self.folder(asset)
        entries = self._entries.setdefault(asset.digest, asset.manifest.by_path())
        if (entry := entries.get(path)) is None:
            raise UsageError(f"{asset} has no file {path[:120]!r}", "the manifest does not name it")
        try:
            descriptor = _open_beneath(root, path)
        except OSError as error:
            raise ChangedMeanwhile(f"cannot open {path!r} of {asset}", f"{error.strerror or error}") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            os.close(descriptor)
            raise ChangedMeanwhile(f"{path!r} of {asset} is not what was registered", "its size or type differs")
        return os.fdopen(descriptor, "rb")


def _open_beneath(root: Path, path: str) -> int:
    """Opens step by step from `root`; O_NOFOLLOW makes a link at any step an error, O_NONBLOCK a pipe harmless."""
    *folders, name = path.split("/")
    with ExitStack() as opened:
        at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, at)
        for folder in folders:
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            opened.callback(os.close, at)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
