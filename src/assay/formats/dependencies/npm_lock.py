"""`package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.

Source: npm documentation 11, "package-lock.json".
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.dependencies.ecosystems import NPM
from assay.formats.dependencies.values import Dependency, Listing, plain_text, unpinned, unread

_FOLDER = "node_modules/"
_MAX_NESTED = 100_000


def read_npm_lock(value: Json, where: str) -> Listing:
    """The packages of a lock file that was parsed already.

    Raises:
        MalformedInput: it has neither `packages` nor `dependencies`.
    """
    packages, dependencies = value.get("packages"), value.get("dependencies")
    if isinstance(packages, dict):
        own = tuple(path or "." for path, item in packages.items() if _is_own(path, item))
        found = tuple(_package(path, item, where) for path, item in packages.items() if not _is_own(path, item))
        return Listing("npm", found, left_out=own)
    if isinstance(dependencies, dict):
        return Listing("npm", tuple(_nested(dependencies, where)))
    if packages is None and dependencies is None and "lockfileVersion" in value:
        return Listing("npm")
    raise MalformedInput(f"{where} is no npm lock file", "it has neither `packages` nor `dependencies`")


def _is_own(path: str, item: Json) -> bool:
    """The project, its workspaces, and links to them."""
    return _FOLDER not in path or (isinstance(item, dict) and item.get("link") is True)


def _package(path: str, item: Json, where: str) -> Dependency:
    if not isinstance(item, dict):
        return unread(where, f"the entry {path[:80]!r} is no object")
    name = plain_text(item.get("name")) or path.rpartition(_FOLDER)[2]
    return _dependency(name, item, where)


def _nested(top: Json, where: str) -> Iterator[Dependency]:
    """Version 1 nests; walked with a list, so that depth costs no stack."""
    waiting = [top]
    for _ in range(_MAX_NESTED):
        if not waiting:
            return
        for name, item in waiting.pop().items():
            if not isinstance(item, dict):
                yield unread(where, f"the entry {name[:80]!r} is no object")
                continue
            yield _dependency(name, item, where)
            if isinstance(item.get("dependencies"), dict):
                waiting.append(item["dependencies"])
    yield unread(where, "too many nested dependencies")


def _dependency(name: str, item: Json, where: str) -> Dependency:
    version = plain_text(item.get("version"))
    if not plain_text(name):
        return unread(where, "a package has no name")
    if version.startswith("npm:"):
        name, _, version = version[4:].rpartition("@")
    resolved = item.get("resolved")
    if ":" in version or (isinstance(resolved, str) and resolved.startswith(("git", "file:"))):
        kept = None if ":" in version else version or None
        return Dependency(NPM, name, kept, where, "comes from a repository, file or address", "direct")
    return Dependency(NPM, name, version, where) if version else unpinned(NPM, name, where)
