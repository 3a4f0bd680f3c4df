"""`assay deps`: collects what files, folders and environments depend on, and matches it against the database.

Works without a workspace. A missing, damaged, locked or stale database makes dependencies unknown, never clean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from assay.app.workspace import Workspace
from assay.checks.dependency.matching import DEFAULT_MAX_AGE, Match, Matcher, State
from assay.core.assets import differences
from assay.core.digests import Digest
from assay.core.errors import StorageError, UsageError
from assay.evidence.files import manifest_of
from assay.formats.dependencies.database import Database, Facts
from assay.formats.dependencies.includes import listings_of
from assay.formats.dependencies.installed import read_metadata
from assay.formats.dependencies.recognise import is_dependency_file
from assay.formats.dependencies.values import MAX_FILE_BYTES, Dependency, Listing, unread
from assay.formats.dependencies.vex import Claim
from assay.registry.queries import Version

MAX_ENTRIES = 1_000_000
_NOT_ENTERED = ("node_modules",)


@dataclass(frozen=True)
class Collected:
    """What was found: dependencies, the files they are from, own projects and folders that were left out."""

    dependencies: tuple[Dependency, ...] = ()
    sources: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The matches, the database they rest on (None if there is none that can be used) and why not."""

    matches: tuple[Match, ...]
    facts: Facts | None
    problem: str
    collected: Collected

    @property
    def exit_code(self) -> int:
        """1 vulnerable, 3 unknown or nothing looked at, 0 all clean."""
        states = {match.state for match in self.matches}
        if State.VULNERABLE in states:
            return 1
        return 0 if states == {State.CLEAN} else 3


def look_up(collected: Collected, database: Path, now: datetime, *, max_age: timedelta = DEFAULT_MAX_AGE,
            claims: Sequence[Claim] = (), subject: Digest | None = None) -> Answer:  # fmt: skip
    """Matches everything; the same package twice is one match that names both places."""
    opened, problem = open_database(database)
    try:
        matcher = Matcher(opened, now, max_age=max_age, problem=problem, claims=claims)
        unique = _unique(collected.dependencies)
        try:
            matches = tuple(matcher.match(dependency, subject) for dependency in unique)
        except StorageError as error:  # damaged under our hands: nothing of it counts
            problem = f"{error.what}: {error.why}"
            matcher = Matcher(None, now, problem=problem)
            return Answer(tuple(matcher.match(dependency) for dependency in unique), None, problem, collected)
        return Answer(matches, opened.facts if opened else None, problem, collected)
    finally:
        if opened is not None:
            opened.close()


def asset_dependencies(workspace: Workspace, version: Version) -> Collected:
    """What a registered asset lists, read from where its bytes lie and hashed after reading.

    Raises:
        UsageError: the bytes are not on this machine, or are not those registered.
    """
    place = workspace.location(version.digest)
    if place is None or not place.exists():
        raise UsageError(f"the bytes of {version} are not on this machine", fix=f"run `assay register {version.name}`")
    collected = collect([place])
    expected = workspace.manifest(version.digest)
    found = manifest_of(place, expected.kind, ignored=expected.ignored, symlinks=version.symlinks)
    if found.digest != expected.digest:
        raise UsageError(
            f"{place} no longer holds {version}", str(differences(expected, found)), "register what lies there"
        )
    return collected


def open_database(path: Path) -> tuple[Database | None, str]:
    """The database, or why it cannot be used."""
    try:
        return Database(path), ""
    except StorageError as error:
        return None, f"{error.what}: {error.why}"


def collect(paths: Sequence[Path]) -> Collected:
    """Everything that the paths list.

    Raises:
        UsageError: there is nothing at a path.
    """
    found: list[Listing] = []
    sources: list[str] = []
    left_out: list[str] = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(f"there is nothing at {path}", str(error.strerror or error), "check the path") from error
        if stat.S_ISDIR(mode):
            _collect_folder(path, found, sources, left_out)
        elif stat.S_ISREG(mode):
            found += _file(path.absolute().parent, path.name, set(), _shown(path.parent))
            sources.append(_shown(path))
        else:
            raise UsageError(f"{path} is no file or folder", "devices and pipes are refused")
    own = [name for listing in found for name in listing.left_out]
    dependencies = tuple(dependency for listing in found for dependency in listing.dependencies)
    return Collected(dependencies, tuple(sources), (*left_out, *dict.fromkeys(own)))


def _collect_folder(root: Path, found: list[Listing], sources: list[str], left_out: list[str]) -> None:
    seen: set[str] = set()
    prefix = _shown(root)
    for relative, kind in _walk(root, left_out):
        if kind == "distribution":
            found.append(_distribution(root / relative, f"{prefix}/{_printable(relative)}"))
        elif kind == "problem":
            found.append(Listing("unread", (unread(f"{prefix}/{_printable(relative)}", "it cannot be read"),)))
        elif relative not in seen:
            found += _file(root, relative, seen, prefix)
            sources.append(f"{prefix}/{_printable(relative)}")


def _walk(root: Path, left_out: list[str]) -> Iterator[tuple[str, str]]:
    """(relative path, `file`, `distribution` or `problem`), in order of name; hidden folders are named, not entered."""
    waiting = [""]
    count = 0
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(root / prefix) as listed:
                items = sorted(listed, key=lambda item: item.name)
        except OSError:
            yield prefix, "problem"
            continue
        for item in items:
            count += 1
            path = f"{prefix}{item.name}"
            if count > MAX_ENTRIES:
                yield path, "problem"
                return
            if item.is_dir(follow_symlinks=False):
                if item.name.endswith((".dist-info", ".egg-info")):
                    yield path, "distribution"
                elif item.name == "__pycache__":
                    continue
                elif item.name.startswith(".") or item.name in _NOT_ENTERED:
                    left_out.append(f"{_printable(path)}/ (not entered)")
                else:
                    waiting.append(f"{path}/")
            elif item.name.endswith(".egg-info"):
                yield path, "distribution"
            elif is_dependency_file(_printable(path)):
                yield path, "file" if item.is_file(follow_symlinks=False) else "problem"


def _distribution(folder: Path, where: str) -> Listing:
    names = ("METADATA", "PKG-INFO") if folder.is_dir() else ("",)
    for name in names:
        data = _bytes(folder / name if name else folder)
        if data is not None:
            direct = _bytes(folder / "direct_url.json") if name and (folder / "direct_url.json").exists() else None
            return read_metadata(data, where, direct)
    return Listing("installed", (unread(where, "its metadata cannot be read"),))


def _file(root: Path, relative: str, seen: set[str], prefix: str) -> list[Listing]:
    found = listings_of(relative, lambda path: _bytes(root / path), seen)
    shown = "" if prefix in ("", ".") else f"{prefix}/"
    return [
        replace(one, dependencies=tuple(replace(d, where=_printable(f"{shown}{d.where}")) for d in one.dependencies))
        for one in found
    ]


def _bytes(path: Path) -> bytes | None:
    """A regular file up to the limit of a listing, which then refuses what is longer; None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None


def _unique(dependencies: Sequence[Dependency]) -> list[Dependency]:
    found: dict[tuple[str, str, str | None, str], Dependency] = {}
    for one in dependencies:
        key = (one.ecosystem, one.name, one.version, one.problem)
        known = found.get(key)
        if known is None:
            found[key] = one
        elif one.where not in known.where.split(", ") and known.where.count(", ") < 4:
            found[key] = replace(known, where=f"{known.where}, {one.where}")
    return list(found.values())


def _shown(path: Path) -> str:
    return _printable(str(path))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
