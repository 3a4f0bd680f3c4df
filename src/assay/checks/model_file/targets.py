"""Judges classes that a configuration has built by name (`_target_`) against `allow/targets.json`. Pure.

The list is made by `tools/make_target_list.py`; a name that can act on the system is malicious, any other unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from assay.checks.model_file.judgement import Problem
from assay.checks.model_file.lists import FOLDER
from assay.checks.model_file.names import is_dangerous
from assay.formats.facts import Fact


def target(fact: Fact) -> Iterator[Problem]:
    """One dotted name that a loader would import and call with what stands beside it."""
    (name,) = fact.data
    if name not in _listed():
        rule = "ASY-COD-003" if is_dangerous(name) else "ASY-COD-002"
        yield Problem(rule, f"_target_ names {name[:160] or 'nothing'}", fact.offset, fact.member)


@cache
def _listed() -> frozenset[str]:
    return frozenset(json.loads((FOLDER / "targets.json").read_bytes())["targets"])
