"""Which reader a file is for: by its name where a tool fixes the name, otherwise by what it holds.

A file that a known tool writes but that no reader here understands is listed as unknown, never passed over.
"""

from __future__ import annotations

import re

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.dependencies.bills import is_spdx3, read_bill
from assay.formats.dependencies.conda_files import read_conda_lock, read_environment, read_explicit
from assay.formats.dependencies.ecosystems import PYPI
from assay.formats.dependencies.installed import read_metadata
from assay.formats.dependencies.npm_lock import read_npm_lock
from assay.formats.dependencies.requirements import read_requirements
from assay.formats.dependencies.text_yaml import read_text_yaml
from assay.formats.dependencies.toml_locks import read_lock, read_pyproject, read_toml
from assay.formats.dependencies.values import MAX_FILE_BYTES, Dependency, Listing, plain_text, unpinned, unread

_TOML_LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Cargo.lock": "cargo"}
_NOT_READ = frozenset({
    "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "pixi.lock", "Gemfile.lock", "composer.lock", "go.sum", "mix.lock",
    "packages.lock.json", "gradle.lockfile", "Podfile.lock", "pubspec.lock", "renv.lock", "sbom.xml", "bom.xml",
})  # fmt: skip
_EXACT = frozenset({
    *_TOML_LOCKS, *_NOT_READ, "package-lock.json", "npm-shrinkwrap.json", "Pipfile.lock", "environment.yml",
    "environment.yaml", "conda-lock.yml", "conda-lock.yaml", "bom.json", "sbom.json",
})  # fmt: skip
_PATTERNS = re.compile(
    r"[\w.-]*requirements[\w.-]*\.(txt|lock)|requirements/[\w.-]+\.txt|constraints[\w.-]*\.txt|pylock(\.[\w-]+)?\.toml"
    r"|[\w.-]+\.(cdx|spdx)\.json|[\w.-]*conda[\w.-]*\.txt|[\w.-]+\.(cdx|spdx)\.xml|[\w.-]+\.spdx"
)


def is_dependency_file(path: str) -> bool:
    """Whether a file of this relative path lists dependencies, as far as its name tells."""
    name = path.rpartition("/")[2]
    near = "/".join(path.rsplit("/", 2)[-2:])
    return name in _EXACT or bool(_PATTERNS.fullmatch(name) or _PATTERNS.fullmatch(near))


def read_listing(data: bytes, path: str) -> Listing:
    """Reads a file of any supported kind; what breaks its format is listed as unknown, never raised."""
    if len(data) > MAX_FILE_BYTES:
        return Listing("unread", (unread(path, f"larger than {MAX_FILE_BYTES} bytes"),))
    try:
        return _read(data, path, path.rpartition("/")[2])
    except MalformedInput as error:
        return Listing("unread", (unread(path, f"{error.what}: {error.why}"[:300]),))


def _read(data: bytes, path: str, name: str) -> Listing:
    if name in _NOT_READ or name.endswith((".xml", ".spdx")):
        return Listing("unread", (unread(path, "files of this kind are not read by this release"),))
    if name in _TOML_LOCKS:
        return read_lock(data, path, _TOML_LOCKS[name])
    if name == "pyproject.toml":
        return read_pyproject(data, path)
    if name in ("METADATA", "PKG-INFO"):
        return read_metadata(data, path)
    if name.endswith(".toml"):
        return _other_toml(data, path)
    if name.endswith(".lock") and not data.lstrip().startswith(b"{"):
        try:
            return _other_toml(data, path)
        except MalformedInput:
            return _lines(data, path)  # pip-compile and others write requirements under this name
    if name.endswith((".yml", ".yaml")):
        value = read_text_yaml(data, path)
        is_lock = isinstance(value, dict) and "package" in value
        return read_conda_lock(value, path) if is_lock else read_environment(value, path)
    if name.endswith(".json") or data.lstrip()[:1] == b"{":
        return _json(parse(data, what=path, max_bytes=MAX_FILE_BYTES), path)
    return _lines(data, path)


def _other_toml(data: bytes, path: str) -> Listing:
    """A lock file of another name: PEP 751 locks carry `lock-version`, uv's a `[manifest]` or `requires-python`."""
    value = read_toml(data, path)
    if "lock-version" in value:
        return read_lock(data, path, "pylock")
    if "package" in value:
        return read_lock(data, path, "poetry")
    raise MalformedInput(f"{path} is no lock file", "it names no packages")


def _json(value: Json, path: str) -> Listing:
    if not isinstance(value, dict):
        raise MalformedInput(f"{path} lists no dependencies", "it is no object")
    if "bomFormat" in value or "spdxVersion" in value or is_spdx3(value):
        return read_bill(value, path)
    if "lockfileVersion" in value or isinstance(value.get("packages"), dict):
        return read_npm_lock(value, path)
    if "_meta" in value and ("default" in value or "develop" in value):
        return _pipfile_lock(value, path)
    raise MalformedInput(f"{path} lists no dependencies", "it is no lock file or bill of materials that is known")


def _pipfile_lock(value: Json, path: str) -> Listing:
    found = []
    for group in ("default", "develop"):
        part = value.get(group, {})
        if not isinstance(part, dict):
            raise MalformedInput(f"{path} is no Pipfile.lock", f"`{group}` is no object")
        for name, item in part.items():
            version = plain_text(item.get("version") if isinstance(item, dict) else None)
            is_exact = version.startswith("==") and plain_text(name)
            found.append(Dependency(PYPI, name, version[2:], path) if is_exact else unpinned(PYPI, name[:200], path))
    return Listing("pipfile", tuple(found))


def _lines(data: bytes, path: str) -> Listing:
    start = data[:65536]
    if b"@EXPLICIT" in start or (b"# platform:" in start and b"=" in start):
        try:
            return read_explicit(data.decode("utf-8"), path)
        except UnicodeDecodeError as error:
            raise MalformedInput(f"{path} is not UTF-8", error.reason) from error
    return read_requirements(data, path)
