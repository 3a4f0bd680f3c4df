"""How versions of an ecosystem are ordered, and when two texts are one version. What is not understood is not guessed.

PyPI follows PEP 440 through `packaging`, its reference implementation; npm, crates.io, Go, Hex and Pub follow Semantic
Versioning, whose precedence is short enough to stand here. Other ecosystems have no ordering: only listed versions hit.
Source: PEP 440 (2013); Semantic Versioning 2.0.0, section 11.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from assay.formats.dependencies.ecosystems import CONDA, PYPI

MAX_VERSION = 128
Key = Any  # whatever compares with its like: a PEP 440 version or a tuple
Ordering = Callable[[str], Key]

_SEMVER_ECOSYSTEMS = frozenset({"npm", "crates.io", "Go", "Hex", "Pub"})
_SEMVER = re.compile(
    r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)


def ordering_of(ecosystem: str, range_type: str = "ECOSYSTEM") -> Ordering | None:
    """A function that gives sort keys and raises ValueError for what it cannot read; None where nothing is known."""
    base = ecosystem.partition(":")[0]
    if range_type == "SEMVER" or base in _SEMVER_ECOSYSTEMS:
        return semver_key
    return pep440_key if base in (PYPI, CONDA) else None


def is_understood(ecosystem: str, version: str) -> bool:
    """Whether this text is a version of its ecosystem."""
    try:
        ordering = ordering_of(ecosystem)
        return ordering is not None and ordering(version) is not None
    except ValueError:
        return False


def readings(ecosystem: str, version: str) -> tuple[str, ...]:
    """The versions that a dependency may stand for: `2.0+cu118` is 2.0 built locally, so both count."""
    public, plus, _ = version.partition("+")
    return (version, public) if plus and ecosystem.partition(":")[0] in (PYPI, CONDA) else (version,)


def same_version(ecosystem: str, version: str) -> str:
    """A text that two spellings of one version share; unreadable ones are their own."""
    base = ecosystem.partition(":")[0]
    try:
        if base in (PYPI, CONDA):
            return _pep440_text(version)
        if base in _SEMVER_ECOSYSTEMS:
            return version.strip().removeprefix("v").partition("+")[0]
    except ValueError:
        pass
    return version.strip()


def pep440_key(text: str) -> Key:
    """A PEP 440 version."""
    from packaging.version import Version

    if len(text) > MAX_VERSION:
        raise ValueError("too long to be a version")
    return Version(text)


def semver_key(text: str) -> Key:
    """Precedence of Semantic Versioning; missing minor and patch count as 0, build metadata do not count."""
    found = _SEMVER.fullmatch(text.strip()) if len(text) <= MAX_VERSION else None
    if not found:
        raise ValueError(f"{text[:40]!r} is no semantic version")
    core = tuple(int(part or 0) for part in found.group(1, 2, 3))
    if found[4] is None:
        return (core, 1, ())
    parts = found[4].split(".")
    return (core, 0, tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts))


def _pep440_text(text: str) -> str:
    """The normal form without trailing zeros of the release, since 1.0 is 1.0.0."""
    version = pep440_key(text)
    release = ".".join(map(str, version.release))
    short = re.sub(r"(\.0)+$", "", release)
    epoch, mark, rest = str(version).rpartition("!")
    return f"{epoch}{mark}{short}{rest[len(release) :]}"
