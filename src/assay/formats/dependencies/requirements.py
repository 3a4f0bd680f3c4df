"""Requirements files of pip: pinned lines become dependencies, all else becomes a named problem.

    numpy==2.1.0 --hash=sha256:…      pinned
    torch>=2                          unpinned: whatever is newest on the day of the installation
    -r base.txt                       an include, left to the caller, who knows what may be opened

Environment markers and extras are not evaluated: a package for another platform is listed too.
Source: pip documentation, "Requirements File Format"; PEP 508 (2015) and PEP 440 (2013) for the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.formats.dependencies.ecosystems import PYPI
from assay.formats.dependencies.values import Dependency, Listing, unpinned, unread

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
_PINNED = re.compile(
    rf"({_NAME})\s{{0,20}}(?:\[[A-Za-z0-9._,\s-]{{0,200}}\])?\s{{0,20}}===?\s{{0,20}}([A-Za-z0-9.!+_-]{{1,128}})"
)
_OPTIONS = re.compile(r"\s--(?:hash|global-option|config-settings?|install-option)[=\s].*", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_HARMLESS = (
    "-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--no-binary", "--only-binary",
    "--prefer-binary", "--require-hashes", "--pre", "--trusted-host", "--use-feature",
)  # fmt: skip
MAX_LINE = 4000
MAX_LINES = 100_000


def read_requirements(data: bytes, where: str) -> Listing:
    """Every line of a requirements or constraints file."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Listing("requirements", (unread(where, f"not UTF-8: {error.reason}"),))
    if "\x00" in text:
        return Listing("requirements", (unread(where, "it holds NUL bytes, so it is no text"),))
    found: list[Dependency] = []
    includes: list[tuple[str, str]] = []
    for number, line in _lines(text):
        place = f"{where}:{number}"
        if (included := _include(line)) is not None:
            includes.append((included, place))
        elif not _is_harmless(line):
            found.append(requirement(line, place))
        if len(found) > MAX_LINES:
            return Listing("requirements", (unread(where, f"more than {MAX_LINES} lines"),))
    return Listing("requirements", tuple(found), tuple(includes))


def requirement(line: str, where: str) -> Dependency:
    """One requirement as people write it, such as `torch[opt]==2.1.0; python_version > "3.9"`."""
    line = _OPTIONS.sub("", line).strip()
    if len(line) > MAX_LINE:
        return unread(where, "the line is too long to be a requirement")
    if line.startswith("-"):
        is_editable = line.startswith(("-e", "--editable"))
        return unread(where, "an editable installation has no released version" if is_editable else "an unknown option")
    pinned = _PINNED.fullmatch(line.partition(";")[0].strip())
    if pinned and not pinned[2].endswith((".", "*")):
        return Dependency(PYPI, pinned[1], pinned[2], where)
    return _parsed(line, where)


def _parsed(line: str, where: str) -> Dependency:
    from packaging.requirements import InvalidRequirement, Requirement  # 40 ms, and most lines are pinned plainly

    try:
        said = Requirement(line)
    except (InvalidRequirement, RecursionError):
        return unread(where, "not a requirement that can be understood")
    if said.url:
        return Dependency(
            PYPI, said.name, None, where, "installed from an address, not by a released version", "direct"
        )
    clauses = list(said.specifier)
    if len(clauses) == 1 and clauses[0].operator in ("==", "===") and not clauses[0].version.endswith("*"):
        return Dependency(PYPI, said.name, clauses[0].version, where)
    return unpinned(PYPI, said.name, where, str(said.specifier))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first: continued ones joined, comments and blanks dropped."""
    start, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        start = start or number
        is_comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not is_comment:
            parts.append(raw[:-1])
            continue
        line = _COMMENT.sub("", " ".join([*parts, raw])).strip()
        if line:
            yield start, line
        start, parts = 0, []
    if rest := _COMMENT.sub("", " ".join(parts)).strip():
        yield start, rest


def _include(line: str) -> str | None:
    for option in ("--requirement", "--constraint", "-r", "-c"):
        if line.startswith(option):
            rest = line[len(option) :]
            if option.startswith("--") and rest[:1] not in ("=", " ", "\t"):
                continue
            return rest.lstrip("= \t").strip("\"'")
    return None


def _is_harmless(line: str) -> bool:
    word = re.split(r"[=\s]", line, maxsplit=1)[0]
    return word in _HARMLESS
