"""Which checks there are: those below `assay.checks`, and those that other packages bring by an entry point.

    [project.entry-points."assay.checks"]
    ours = "our_package.our_checks"          # a module, all of whose checks count, or `module:ONE_CHECK`

Nothing is registered by hand: every module-level `Check` of every module counts. What cannot be imported is a problem
in the catalogue, with its error; it is never dropped in silence. Two checks of one id are an error.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType

import assay.checks
from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.checks import Check
from assay.core.errors import UsageError

GROUP = "assay.checks"
_DECLARED = re.compile(rb"^\s*\[\s*assay\.checks\s*\]\s*[^\s\[]", re.MULTILINE)


@dataclass(frozen=True)
class Problem:
    """A source of checks that could not be used, and why."""

    source: str
    error: str


@dataclass(frozen=True)
class Catalogue:
    """All checks by id, in order of id, and what could not be imported."""

    checks: Mapping[str, Check] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def discover() -> Catalogue:
    """Imports every module below `assay.checks` and every entry point of the group `assay.checks`.

    Raises:
        UsageError: two different checks have one id.
    """
    problems: list[Problem] = []
    found = [*_built_in(assay.checks, problems), *_brought_by_others(problems)]
    checks: dict[str, Check] = {}
    for check in found:
        known = checks.setdefault(check.id, check)
        if known is not check:
            raise UsageError(
                f"two checks are called {check.id}",
                f"one is in {known.body.__module__}, the other in {check.body.__module__}",
                "rename one of them, or uninstall the package that brings it",
            )
    return Catalogue(MappingProxyType(dict(sorted(checks.items()))), tuple(problems))


def select(
    catalogue: Catalogue, kind: Kind, only: Sequence[str] = (), declared: Mapping[str, Json] | None = None
) -> tuple[Check, ...]:
    """The checks that look at assets of `kind`, in order of id; `only` holds ids or patterns such as `privacy.*`.

    A check that does not suit what is `declared` of the asset is left out, unless `only` holds its very id: then it says itself why
    it has nothing to look at.

    Raises:
        UsageError: a pattern that no check of any kind matches, so that a typing error never reads as "nothing to do".
    """
    for pattern in only:
        if not fnmatch.filter(catalogue.checks, pattern):
            near = difflib.get_close_matches(pattern, catalogue.checks, 1, cutoff=0.4)
            broken = "; ".join(f"{problem.source}: {problem.error}" for problem in catalogue.problems[:3])
            raise UsageError(
                f"no check is called {pattern[:80]!r}",
                f"could not be imported: {broken}" if broken else f"there are {len(catalogue.checks)} checks",
                f"did you mean {near[0]!r}?" if near else "see `assay checks`",
            )
    return tuple(
        check
        for check in catalogue.checks.values()
        if kind in check.kinds
        and (not only or any(fnmatch.fnmatchcase(check.id, pattern) for pattern in only))
        and (declared is None or check.suits(declared) or check.id in only)
    )


def checks_in(module: ModuleType) -> tuple[Check, ...]:
    """The distinct checks at the top of a module."""
    return tuple({id(value): value for value in vars(module).values() if isinstance(value, Check)}.values())


def _built_in(package: ModuleType, problems: list[Problem]) -> Iterator[Check]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        try:
            module = importlib.import_module(found.name)
        except Exception as error:  # noqa: BLE001 - any error of an import is listed, and the other checks still run
            problems.append(_problem(found.name, error))
            continue
        yield from (check for check in checks_in(module) if check.body.__module__ == module.__name__)
        if found.ispkg:
            yield from _built_in(module, problems)


def _brought_by_others(problems: list[Problem]) -> Iterator[Check]:
    if not _is_anything_declared():
        return
    from importlib.metadata import entry_points  # 30 ms, so only where a package declares checks

    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        source = f"{point.dist.name if point.dist else 'unknown package'}: {point.name} = {point.value}"
        try:
            value = point.load()
        except Exception as error:  # noqa: BLE001 - other people's code may raise anything; it is listed
            problems.append(_problem(source, error))
            continue
        checks = checks_in(value) if isinstance(value, ModuleType) else (value,) if isinstance(value, Check) else ()
        if not checks:
            problems.append(Problem(source, "it names neither a check nor a module that holds one"))
        yield from checks


def _is_anything_declared() -> bool:
    """Whether some installed package may declare checks; a fifth of the price of asking `importlib.metadata`."""
    for folder in map(Path, sys.path):
        if folder.suffix in (".zip", ".egg", ".whl") and folder.is_file():
            return True
        for pattern in ("*.dist-info/entry_points.txt", "*.egg-info/entry_points.txt"):
            if any(_DECLARED.search(declared.read_bytes()) for declared in folder.glob(pattern)):
                return True
    return False


def _problem(source: str, error: Exception) -> Problem:
    return Problem(source, f"{type(error).__name__}: {error}"[:500])
