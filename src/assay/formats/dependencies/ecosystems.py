"""Ecosystems as OSV spells them, and the form in which two writers' names of one package are equal."""

from __future__ import annotations

import re

PYPI, NPM, CRATES, CONDA = "PyPI", "npm", "crates.io", "conda"
_RUNS = re.compile(r"[-_.]+")
_ECOSYSTEMS = {
    name.lower(): name
    for name in (
        "PyPI", "npm", "Go", "crates.io", "RubyGems", "Maven", "NuGet", "Packagist", "Hex", "Pub", "ConanCenter", "CRAN",
        "Bioconductor", "Hackage", "SwiftURL", "GHC", "OSS-Fuzz", "GIT", "Linux", "Android",
    )
}  # fmt: skip


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
