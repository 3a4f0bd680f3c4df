"""Names that look like a popular package but are not it, and packages without an exact version.

A typing error in a requirement installs whatever somebody registered under the mistyped name. The list of popular
names is short and our own: packages of machine learning in Python that many people type.
Source: Vu et al., Typosquatting and Combosquatting Attacks on the Python Ecosystem, 2020 (edit distance 1, separators).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

from assay.checks.dependency.listing import listings
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.outcomes import FileVerdict, Finding, Outcome, Severity, Skipped, Verdict
from assay.formats.dependencies.ecosystems import CONDA, NPM, PYPI, normalised
from assay.formats.dependencies.values import Dependency

ID = "dependency.names"
LIST_FILE = "popular_names.json"
_LEAST_LETTERS = 4  # three letters have too many neighbours that are packages of their own
_MAX_LETTERS = 64
_MAX_FINDINGS = 800
_DIGITS = re.compile(r"\d+")  # `nvidia-cudnn-cu13` is a release line beside `…-cu12`, no typing error


@check(ID, kinds={Kind.CODE, Kind.INFRASTRUCTURE}, version=1, family=Family.SCAN,
       maps_to=("cwe:1357", "mitre-atlas:AML.T0010.001", "owasp-ml:ML06:2023"))  # fmt: skip
def names(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Whether a dependency has a misleading name or no exact version.

    One verdict for each file that lists dependencies, and one finding for each name and each package without a pin.

    Limits: the list of popular names is short, and says nothing of what a package does.
    """
    told, seen = 0, False
    for path, found in listings(asset, context):
        seen = True
        dependencies = [dependency for one in found for dependency in one.dependencies]
        is_read = not any(dependency.rule == "unread" for dependency in dependencies)
        wrong = [finding for dependency in dependencies for finding in findings_about(dependency)]
        for finding in wrong:
            told += 1
            if told <= _MAX_FINDINGS:
                yield finding
        verdict = Verdict.UNKNOWN if wrong else Verdict.CLEAN if is_read else Verdict.INCONCLUSIVE
        yield FileVerdict(path, asset.manifest.by_path()[path].sha256, found[0].format, verdict)
    if not seen:
        yield Skipped(str(asset), "none of its files is a lock file or bill of materials that is known")
    if told > _MAX_FINDINGS:
        yield Skipped(f"{told - _MAX_FINDINGS} findings", f"only the first {_MAX_FINDINGS} are listed")


def findings_about(dependency: Dependency) -> Iterator[Finding]:
    """What is wrong with the name or the pin of one dependency."""
    if popular := mistaken_for(dependency):
        yield Finding(
            "dependency.lookalike-name", Severity.HIGH, dependency.where,
            f"{dependency.name[:80]} is one letter or separator away from the popular package {popular}",
            f"check the spelling; if {dependency.name[:80]} is meant, waive this finding", ("cwe:1357",),
        )  # fmt: skip
    if dependency.rule == "unpinned":
        yield Finding(
            "dependency.unpinned", Severity.MEDIUM, dependency.where,
            f"{dependency.name[:80]}: {dependency.problem}", "pin an exact version, better with its hash", ("cwe:1357",),
        )  # fmt: skip


def mistaken_for(dependency: Dependency) -> str:
    """The popular package that this one could be taken for; "" if it is popular itself or like none."""
    ecosystem = PYPI if dependency.ecosystem == CONDA else dependency.ecosystem
    known = popular_names().get(ecosystem)
    name = normalised(ecosystem, dependency.name)
    if (
        known is None
        or name in known
        or name in _established().get(ecosystem, ())
        or not _LEAST_LETTERS <= len(name) <= _MAX_LETTERS
    ):
        return ""
    for mark in sorted(_neighbourhood(name)):
        for popular in _by_mark(ecosystem).get(mark, ()):
            if _is_near(name, popular) and _DIGITS.sub("0", name) != _DIGITS.sub("0", popular):
                return popular
    return ""


@cache
def _established() -> Mapping[str, frozenset[str]]:
    """Names that many people use though they lie near a popular one."""
    text = resources.files("assay.checks.dependency").joinpath(LIST_FILE).read_text("utf-8")
    return {
        e: frozenset(normalised(e, name) for name in names.split())
        for e, names in json.loads(text)["established"].items()
    }


@cache
def popular_names() -> Mapping[str, frozenset[str]]:
    """Normalised names by ecosystem."""
    text = resources.files("assay.checks.dependency").joinpath(LIST_FILE).read_text("utf-8")
    listed = json.loads(text)["names"]
    return {e: frozenset(normalised(e, name) for name in listed[e].split()) for e in (PYPI, NPM)}


@cache
def _by_mark(ecosystem: str) -> Mapping[str, tuple[str, ...]]:
    """Popular names by every form with at most one letter dropped: near names share such a form."""
    found: dict[str, list[str]] = {}
    for name in sorted(popular_names()[ecosystem]):
        if len(name) >= _LEAST_LETTERS:
            for mark in _neighbourhood(name):
                found.setdefault(mark, []).append(name)
    return {mark: tuple(names) for mark, names in found.items()}


def _neighbourhood(name: str) -> set[str]:
    """The name without separators, the name itself, and each with one letter dropped."""
    return {name, _bare(name)} | {name[:i] + name[i + 1 :] for i in range(len(name))}


def _is_near(name: str, popular: str) -> bool:
    """One letter added, dropped, changed or swapped with its neighbour; or the same letters with other separators."""
    return _bare(name) == _bare(popular) or _is_one_edit(name, popular)


def _is_one_edit(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, also = one[start:], other[start:]
    if len(rest) == len(also):
        return rest[1:] == also[1:] or (rest[:2] == also[:2][::-1] and rest[2:] == also[2:])
    return rest[1:] == also or rest == also[1:]


def _bare(name: str) -> str:
    return name.replace("-", "").replace("_", "").replace(".", "")
