"""Files of conda: `environment.yml`, explicit lists, exported lists and `conda-lock.yml`.

OSV has no ecosystem for conda; the matcher tries the name on PyPI and never clears such a package by that.
Source: conda documentation 25, "Managing environments"; conda-lock 3, file format version 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.dependencies.ecosystems import CONDA, PYPI
from assay.formats.dependencies.requirements import requirement
from assay.formats.dependencies.values import Dependency, Listing, plain_text, unpinned, unread

_SPEC = re.compile(r"(?:[A-Za-z0-9_./:-]{1,200}::)?([A-Za-z0-9_.-]{1,128})\s*(.{0,200})")
_EXACT = re.compile(r"(?:==|=)\s*([A-Za-z0-9_.!+]{1,128})=[A-Za-z0-9_.]{1,128}|==\s*([A-Za-z0-9_.!+]{1,128})")
_SUFFIXES = (".conda", ".tar.bz2")


def read_environment(value: Json, where: str) -> Listing:
    """An `environment.yml` that was parsed already.

    Raises:
        MalformedInput: it has no list of dependencies.
    """
    listed = value.get("dependencies") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise MalformedInput(f"{where} is no conda environment", "it has no list `dependencies`")
    return Listing("conda-environment", tuple(_environment(listed, where)))


def read_conda_lock(value: Json, where: str) -> Listing:
    """A `conda-lock.yml` that was parsed already.

    Raises:
        MalformedInput: it has no list of packages.
    """
    listed = value.get("package") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise MalformedInput(f"{where} is no conda-lock file", "it has no list `package`")
    found = []
    for number, item in enumerate(listed, 1):
        said = item if isinstance(item, dict) else {}
        name, version = plain_text(said.get("name")), plain_text(said.get("version"))
        ecosystem = PYPI if said.get("manager") == "pip" else CONDA
        place = f"{where}#{number}"
        found.append(
            Dependency(ecosystem, name, version, place) if name and version else unread(place, "no name or version")
        )
    return Listing("conda-lock", tuple(found))


def read_explicit(text: str, where: str) -> Listing:
    """Addresses after `@EXPLICIT`, or lines `name=version=build` of `conda list --export`."""
    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line and not line.startswith(("#", "@")):
            found.append(_explicit(line, f"{where}:{number}"))
    return Listing("conda-explicit", tuple(found))


def _explicit(line: str, where: str) -> Dependency:
    if "://" not in line:
        return conda_spec(line, where)
    file = line.partition("#")[0].rpartition("/")[2]
    for suffix in _SUFFIXES:
        parts = file.removesuffix(suffix).rsplit("-", 2)
        if file.endswith(suffix) and len(parts) == 3 and all(map(plain_text, parts)):
            return Dependency(CONDA, parts[0], parts[1], where)
    return unread(where, "not the address of a conda package")


def _environment(listed: list[Json], where: str) -> Iterator[Dependency]:
    for item in listed:
        if isinstance(item, str):
            yield conda_spec(item, where)
        elif isinstance(item, dict) and set(item) == {"pip"} and isinstance(item["pip"], list):
            for line in item["pip"]:
                yield requirement(line, where) if isinstance(line, str) else unread(where, "a dependency is no text")
        else:
            yield unread(where, "an entry is neither a package nor a list for pip")


def conda_spec(text: str, where: str) -> Dependency:
    """`numpy=1.26.4=py311_0` and `numpy==1.26.4` are exact; `numpy=1.26` is any 1.26."""
    spec = _SPEC.fullmatch(text.strip())
    if not spec:
        return unread(where, "not a conda package that can be understood")
    exact = _EXACT.fullmatch(spec[2].strip())
    if exact:
        return Dependency(CONDA, spec[1], exact[1] or exact[2], where)
    return unpinned(CONDA, spec[1], where, spec[2])
