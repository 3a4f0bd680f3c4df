"""Package URLs: `pkg:pypi/torch@2.1.0`, read and written.

Source: Package URL specification (ECMA-427, 2025), sections on components and percent-encoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from assay.formats.dependencies.ecosystems import CONDA, PYPI, normalised

MAX_PURL = 1024
_ECOSYSTEMS = {
    "pypi": PYPI, "npm": "npm", "golang": "Go", "cargo": "crates.io", "gem": "RubyGems", "maven": "Maven", "nuget": "NuGet",
    "composer": "Packagist", "hex": "Hex", "pub": "Pub", "conan": "ConanCenter", "cran": "CRAN", "hackage": "Hackage",
    "conda": CONDA,
}  # fmt: skip
_TYPES = {ecosystem: kind for kind, ecosystem in _ECOSYSTEMS.items()}
# Models and data: no registry of packages publishes advisories about them, so they are no dependency to be matched.
NOT_PACKAGES = frozenset({"huggingface", "mlflow"})


@dataclass(frozen=True)
class PackageUrl:
    """The parts that matter here. `ecosystem` is "" for a type that has no ecosystem of OSV."""

    type: str
    ecosystem: str
    name: str
    version: str | None


def read_purl(text: object) -> PackageUrl | None:
    """The parts of a package URL, or None if it is none."""
    if not isinstance(text, str) or not text.startswith("pkg:") or len(text) > MAX_PURL:
        return None
    rest = text[4:].lstrip("/").partition("#")[0].partition("?")[0]
    path, at, version = rest.rpartition("@")
    if not at or not path or "/" in version:  # an `@` that opens an npm scope is no version
        path, version = rest, ""
    kind, slash, name = path.partition("/")
    steps = [unquote(step) for step in name.strip("/").split("/") if step]
    if not slash or not steps or not all(step.isprintable() for step in steps):
        return None
    kind = kind.lower()
    separator = ":" if kind == "maven" else "/"
    wanted = steps if kind in ("npm", "golang", "maven", "composer") else steps[-1:]
    found = unquote(version)
    if not found.isprintable():
        return None
    return PackageUrl(kind, _ECOSYSTEMS.get(kind, ""), separator.join(wanted), found or None)


def purl_of(ecosystem: str, name: str, version: str | None) -> str:
    """The package URL of a dependency; what has no type is `pkg:generic`."""
    kind = _TYPES.get(ecosystem.partition(":")[0], "generic")
    steps = normalised(ecosystem, name).replace(":", "/" if kind == "maven" else ":").split("/")
    path = "/".join(quote(step, safe=".-_~") for step in steps if step)
    return f"pkg:{kind}/{path}" + (f"@{quote(version, safe='.-_~')}" if version else "")
