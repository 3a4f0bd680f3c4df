"""The dependency files of an asset, read through the context of a check."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Asset
from assay.core.checks import Context
from assay.formats.dependencies.includes import listings_of
from assay.formats.dependencies.recognise import is_dependency_file
from assay.formats.dependencies.values import MAX_FILE_BYTES, Listing


def files_of(asset: Asset) -> list[str]:
    """Paths that list dependencies: by their names, and the one that the project file declares as `lock`."""
    declared = asset.declared.get("lock")
    paths = [entry.path for entry in asset.manifest.entries]
    return [path for path in paths if is_dependency_file(path) or path == declared]


def listings(asset: Asset, context: Context) -> Iterator[tuple[str, list[Listing]]]:
    """Each dependency file with what it and its includes list."""
    entries = asset.manifest.by_path()

    def read(path: str) -> bytes | None:
        if path not in entries:
            return None
        with context.open(asset, path) as handle:
            return handle.read(min(entries[path].size, MAX_FILE_BYTES) + 1)

    for path in files_of(asset):
        yield path, listings_of(path, read, set())
