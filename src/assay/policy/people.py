"""Who had a part in making an asset: they may not approve it, nor accept an exception for it.

Any readable statement counts here, trusted or not: excluding a person too many only asks for another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from assay.evidence.predicates import Predicate
from assay.policy.case import Case, person

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "author": (Predicate.REGISTRATION,),
    "builder": (Predicate.PROVENANCE,),
    "evaluator": (Predicate.EVAL_RESULT, Predicate.SCAN_RESULT),
}


def people_who(case: Case, parts: Iterable[str]) -> frozenset[str]:
    """The persons who signed as author, builder or evaluator of the candidate."""
    types = {kind for part in parts for kind in _PARTS[part]}
    about = case.by_subject.get(case.view.subject.digest, ())
    return frozenset(person(e.owner) for e in about if e.type in types and e.owner and e.problem != "unsigned")
