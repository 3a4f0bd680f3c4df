"""A package that something depends on, and what one file lists.

What a reader could not understand is a dependency too, with a `problem`: it is matched as `unknown` and never lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.formats.dependencies.purl import purl_of

MAX_FILE_BYTES = 16 << 20
MAX_TEXT = 256


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


def plain_text(value: object, limit: int = MAX_TEXT) -> str:
    """`value` if it is printable text of at most `limit` letters, otherwise ""."""
    return value if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() else ""
