"""Which versions of serving software are known to be vulnerable: a small dated list that comes with the package.

A version that is not understood is said to be so and never counts as fixed. The list is no advisory database: see `assay deps`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from assay.core.canonical import Json
from assay.core.outcomes import Severity
from assay.formats.code.facts import Problem, problem
from assay.formats.configuration import rules

_VERSION = re.compile(
    r"v?(\d{1,6}(?:\.\d{1,6}){0,4})(?:[-_.]?(a|b|rc|alpha|beta|dev|pre)[-_.]?\d*)?(?=$|[-_+.])", re.IGNORECASE
)
_PINNED = re.compile(r"(?<![\w.-])([A-Za-z@][\w./-]{0,80})(?:\[[\w,]{0,60}\])?==\s{0,3}([\w.!+-]{1,40})")


@dataclass(frozen=True)
class Judgement:
    """Problems of one version, or that it was not understood."""

    problems: tuple[Problem, ...] = ()
    unknown: str = ""


@cache
def _products() -> Mapping[str, Json]:
    found: dict[str, Json] = json.loads((files(__package__) / "known_vulnerable.json").read_text())["products"]
    return found


def product_of_image(repository: str) -> str:
    """The listed product whose image this is, also from a mirror; "" for any other."""
    return next(
        (
            name
            for name, product in _products().items()
            if any(repository == i or repository.endswith(f"/{i}") for i in product["images"])
        ),
        "",
    )


def product_of_package(package: str) -> str:
    """The listed product that a package installs; "" for any other."""
    return next((name for name, product in _products().items() if package.lower() in product["packages"]), "")


def judge_version(product: str, version: str, line: int) -> Judgement:
    """What is known of one version; advisories that no release fixes are left to the rules about exposure."""
    parsed = _parse(version)
    if parsed is None:
        return Judgement(
            (), f"line {line}: the version {version[:40]!r} of {product} is not understood, so it may be vulnerable"
        )
    found = []
    for advisory in _products()[product]["advisories"]:
        fixed, introduced = _parse(advisory["fixed"] or ""), _parse(advisory.get("introduced", "0"))
        if fixed and introduced and introduced <= parsed < fixed:
            text = f"{product} {version[:40]}: {advisory['id']}, fixed in {advisory['fixed']}"
            found.append(problem(rules.VULNERABLE, text, line, Severity(advisory["severity"])))
    return Judgement(tuple(found))


def pinned_packages(text: str, line: int) -> Iterator[Judgement]:
    """Exact pins of listed packages in a command such as `pip install vllm==0.6.0`."""
    for name, version in _PINNED.findall(text):
        if product := product_of_package(name):
            yield judge_version(product, version, line)


def _parse(version: str) -> tuple[tuple[int, ...], int] | None:
    """Numbers, and 0 for a pre-release or 1, so that `0.11.0rc1` comes before `0.11.0`."""
    found = _VERSION.match(version)
    if not found:
        return None
    numbers = tuple(int(part) for part in found.group(1).split("."))
    return numbers + (0,) * (5 - len(numbers)), 0 if found.group(2) else 1
