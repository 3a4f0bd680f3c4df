"""Lock files in TOML: `pylock.toml`, `uv.lock`, `poetry.lock`, `pdm.lock`, `Cargo.lock`; and `pyproject.toml`.

Each lists exact versions under `[[package]]` or `[[packages]]`. What comes from a folder, a repository or an address
carries a problem: its version is a claim of its own metadata. The project itself is left out.
Source: PEP 751 (2025) for pylock.toml; the files that uv 0.9, Poetry 2 and Cargo 1.90 write.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.dependencies.ecosystems import CRATES, PYPI
from assay.formats.dependencies.requirements import requirement
from assay.formats.dependencies.values import Dependency, Listing, plain_text, unpinned, unread

_OTHER_SOURCES = ("git", "url", "path", "directory", "editable", "virtual", "vcs", "archive", "file")
_OWN_PATHS = (".", "./", "")
# NOTE: `a.a.a.a…=1` makes tomllib build tables and flags in quadratic memory: 400 KiB of it take all that a machine has.
MAX_TOML_BYTES = 8 << 20
_MAX_DOTS, _MAX_DOTS_IN_A_KEY = 100_000, 16
_STRING = re.compile(rb""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_KEY = re.compile(rb"[\w.\-\"' \t]+")


def read_toml(data: bytes, where: str) -> Json:
    """The value of a TOML file.

    Raises:
        MalformedInput: not UTF-8, not TOML, too large, or nested too deeply.
    """
    is_plain = len(data) <= MAX_TOML_BYTES and b'"""' not in data and b"'''" not in data
    bare = _STRING.sub(b'""', data) if is_plain else data  # strings of several lines could hide keys from the pattern
    if len(data) > MAX_TOML_BYTES or bare.count(b".") > _MAX_DOTS:
        raise MalformedInput(f"{where} is too large", f"at most {MAX_TOML_BYTES} bytes and {_MAX_DOTS} dots are read")
    if any(key.count(b".") > _MAX_DOTS_IN_A_KEY for key in _keys(bare)):
        raise MalformedInput(f"{where} is nested too deeply", f"a key has more than {_MAX_DOTS_IN_A_KEY} dots")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedInput(f"{where} is not TOML", str(error)[:200]) from error


def _keys(bare: bytes) -> list[bytes]:
    """Runs of letters, digits, quotes, blanks and dots: every dotted key is one."""
    return _KEY.findall(bare)


def read_lock(data: bytes, where: str, format: str) -> Listing:
    """The packages of a lock file; `format` is `pylock`, `uv`, `poetry`, `pdm` or `cargo`."""
    value = read_toml(data, where)
    key = "packages" if format == "pylock" else "package"
    if key not in value and not _names_its_format(value, format):
        raise MalformedInput(f"{where} is no {format} lock file", f"it has no [[{key}]]")
    packages = value.get(key, [])
    if not isinstance(packages, list):
        raise MalformedInput(f"{where} is no {format} lock file", f"`{key}` is no list of tables")
    found: list[Dependency] = []
    own: list[str] = []
    for number, package in enumerate(packages, 1):
        place = f"{where}#{number}"
        if isinstance(package, dict) and _is_own(package, format):
            own.append(plain_text(package.get("name")) or place)
        else:
            found.append(_package(package, place, CRATES if format == "cargo" else PYPI))
    return Listing(format, tuple(found), left_out=tuple(own))


def read_pyproject(data: bytes, where: str) -> Listing:
    """What a `pyproject.toml` asks for; seldom pinned, hence seldom clear."""
    project = read_toml(data, where).get("project", {})
    if not isinstance(project, dict):
        raise MalformedInput(f"{where} is malformed", "`project` is no table")
    return Listing("pyproject", tuple(_asked(project, where)))


def _asked(project: Json, where: str) -> Iterator[Dependency]:
    extras = project.get("optional-dependencies", {})
    groups = [project.get("dependencies", []), *(extras.values() if isinstance(extras, dict) else [None])]
    for group in groups:
        if not isinstance(group, list):
            yield unread(where, "a list of dependencies is malformed")
            continue
        for line in group:
            yield requirement(line, where) if isinstance(line, str) else unread(where, "a dependency is no text")
    if "dependencies" in project.get("dynamic", []):
        yield unread(where, "its dependencies are computed when it is built")


def _names_its_format(value: Json, format: str) -> bool:
    """An empty lock still says what it is."""
    return "lock-version" in value if format == "pylock" else "version" in value or "metadata" in value


def _is_own(package: Json, format: str) -> bool:
    """Whether the entry is the project itself."""
    if format == "cargo":
        return "source" not in package
    source = package.get("source") if format != "pylock" else package.get("directory")
    if not isinstance(source, dict):
        return False
    paths = [source.get(key) for key in ("editable", "virtual", "path") if key in source]
    return any(path in _OWN_PATHS for path in paths)


def _package(package: Json, where: str, ecosystem: str) -> Dependency:
    name = plain_text(package.get("name")) if isinstance(package, dict) else ""
    if not name:
        return unread(where, "a package has no name")
    version = plain_text(package.get("version"))
    source = package.get("source")
    kinds = [kind for kind in _OTHER_SOURCES if kind in package]
    if isinstance(source, dict):
        kinds += [kind for kind in _OTHER_SOURCES if kind in source or source.get("type") == kind]
    if isinstance(source, str) and not source.startswith(("registry+", "sparse+")):
        kinds.append("git")
    if kinds:
        reason = f"comes from a {kinds[0]} source, so its version is only a claim"
        return Dependency(ecosystem, name, version or None, where, reason, "direct")
    return Dependency(ecosystem, name, version, where) if version else unpinned(ecosystem, name, where)
