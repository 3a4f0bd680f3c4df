"""Judges graph operators against `allow/operators.json`, made by `tools/make_operator_lists.py`. Pure.

An operator is listed by library, domain and exact name. Those that are refused have a reason; any other is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from assay.checks.model_file.judgement import Problem
from assay.checks.model_file.lists import FOLDER
from assay.core.canonical import Json
from assay.formats.facts import Fact

SCHEMA = "urn:assay:operator-list:v1"


def operator(fact: Fact) -> Iterator[Problem]:
    """One operator by (library, domain, name)."""
    library, domain, name = fact.data
    if name in _names(library, domain):
        return
    told = f"{name[:80] or '?'}" + (f" of the domain {domain[:80]!r}" if domain else "")
    why = _libraries().get(library, {}).get("refused", {}).get(domain, {}).get(name)
    if why:
        yield Problem("ASY-GRA-001", f"the operator {told} {why}", fact.offset, fact.member)
    else:
        yield Problem("ASY-GRA-002", f"the {library} operator {told}", fact.offset, fact.member)


def fixed_path(fact: Fact) -> Iterator[Problem]:
    """An operator that touches files and whose path stands in the graph instead of being fed by the program."""
    name, path = fact.data
    yield Problem("ASY-GRA-001", f"the operator {name} has the path {path!r}", fact.offset, fact.member)


@cache
def _libraries() -> dict[str, Json]:
    found: dict[str, Json] = json.loads((FOLDER / "operators.json").read_bytes())["libraries"]
    return found


@cache
def _names(library: str, domain: str) -> frozenset[str]:
    return frozenset(_libraries().get(library, {}).get("domains", {}).get(domain, ()))
