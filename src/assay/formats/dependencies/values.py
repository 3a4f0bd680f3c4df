"""A package that something depends on, and the names by which two writers mean the same package.

What a reader could not understand is a dependency too, with a `problem`: it is matched as `unknown` and never lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_FILE_BYTES = 16 << 20
MAX_TEXT = 256

PYPI, NPM, CRATES, CONDA = "PyPI", "npm", "crates.io", "conda"
_RUNS = re.compile(r"[-_.]+")
_ECOSYSTEMS = {
    name.lower(): name
    for name in (
        "PyPI", "npm", "Go", "crates.io", "RubyGems", "Maven", "NuGet", "Packagist", "Hex", "Pub", "ConanCenter", "CRAN",
        "Bioconductor", "Hackage", "SwiftURL", "GHC", "OSS-Fuzz", "GIT", "Linux", "Android",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Dependency:
    """One package as one source names it; `where` is `path` or `path:line`.

    `ecosystem` is the name that OSV uses, or "" where it is not known. `version` is None where none is pinned. `problem`
    says why it cannot be cleared; with a version beside it, advisories that hit still count. `rule` names the problem.
    """

    ecosystem: str
    name: str
    version: str | None
    where: str
    problem: str = ""
    rule: str = ""

    @property
    def purl(self) -> str:
        """Its package URL, or a URN where its ecosystem has no type."""
        from assay.formats.dependencies.purl import purl_of

        return purl_of(self.ecosystem, self.name, self.version)


@dataclass(frozen=True)
class Listing:
    """What one file lists. `includes` are files that it reads beside itself; `left_out` is the project itself."""

    format: str
    dependencies: tuple[Dependency, ...] = ()
    includes: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


def unread(where: str, reason: str) -> Dependency:
    """A source, or a line of it, that could not be understood."""
    return Dependency("", where, None, where, reason, "unread")


def unpinned(ecosystem: str, name: str, where: str, said: str = "") -> Dependency:
    """A package that may be any of several versions; `said` is the requirement as written."""
    reason = f"no exact version is pinned{f' ({said[:80]})' if said else ''}"
    return Dependency(ecosystem, name, None, where, reason, "unpinned")


def ecosystem_name(text: str) -> str:
    """OSV's spelling of an ecosystem; a suffix such as `:11` of `Debian:11` stays."""
    base, colon, rest = text.partition(":")
    return _ECOSYSTEMS.get(base.lower(), base) + colon + rest


def normalised(ecosystem: str, name: str) -> str:
    """The form in which a package's name is compared within its ecosystem.

    Source: PEP 503 (2015) for PyPI; cargo and NuGet treat case, and cargo `-` and `_`, as equal.
    """
    base = ecosystem.partition(":")[0]
    if base in (PYPI, CONDA):
        return _RUNS.sub("-", name).lower()
    if base == CRATES:
        return name.lower().replace("_", "-")
    if base in ("NuGet", "Packagist", "Hex", "Pub"):
        return name.lower()
    return name


def plain_text(value: object, limit: int = MAX_TEXT) -> str:
    """`value` if it is printable text of at most `limit` letters, otherwise ""."""
    return value if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() else ""
