"""Turns facts and lists into a judgement. Pure, so that newer lists judge old evidence without the file.

judge(read_facts(data, "m.pkl"), default_lists())      # the scan of a file
judge(read_stored(blob)["m.pkl"].facts, newer_lists)   # the same question asked again, years later
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.checks.model_file.judgement import Judgement, Problem, concluded
from assay.checks.model_file.keras import keras_call, keras_function, keras_object, keras_path
from assay.checks.model_file.lists import Lists, default_lists
from assay.checks.model_file.names import is_dangerous
from assay.checks.model_file.operators import fixed_path, operator
from assay.checks.model_file.pickles import PickleJudge
from assay.checks.model_file.targets import target
from assay.core.outcomes import Verdict
from assay.formats.facts import Fact, FileFacts
from assay.formats.skops_file import allowed_types

# facts that mean one rule whatever they say; their data are the words
RULE_OF = {
    "anomaly": "ASY-PKL-009", "broken": "ASY-PKL-008", "extension": "ASY-PKL-006", "trailing": "ASY-PKL-010", "limit": "ASY-LIM-001",
    "polyglot": "ASY-SEQ-001", "headers-disagree": "ASY-ZIP-001", "duplicate": "ASY-ZIP-002", "gap": "ASY-ZIP-003",
    "checksum": "ASY-ZIP-004", "slip": "ASY-ZIP-005", "special": "ASY-ZIP-006", "unreadable-member": "ASY-ZIP-007",
    "malformed": "ASY-FMT-001", "unrecognised": "ASY-FMT-002", "needs": "ASY-FMT-003", "misnamed": "ASY-FMT-004",
    "tensors": "ASY-FMT-005", "unexamined": "ASY-FMT-006", "code": "ASY-COD-001", "remote-code": "ASY-COD-002",
    "python-tag": "ASY-COD-003", "acting-code": "ASY-COD-004", "template-escape": "ASY-TPL-001", "template-name": "ASY-TPL-002",
    "template-broken": "ASY-TPL-003", "other-file": "ASY-HDF-001", "operator-acts": "ASY-GRA-001",
    "outside-data": "ASY-GRA-003", "xml-entity": "ASY-XML-001", "secret": "ASY-CRD-001", "r-code": "ASY-RDS-001",
    "r-promise": "ASY-RDS-002", "impossible": "ASY-FMT-007", "bomb": "ASY-LIM-002", "forged": "ASY-TRE-001", "unchecked": "ASY-TRE-002",
}  # fmt: skip


def judge(found: FileFacts, lists: Lists | None = None) -> Judgement:
    """What the facts of one file amount to."""
    if not found.facts:
        return Judgement(found.format, Verdict.CLEAN)
    pickles = PickleJudge(lists or default_lists())
    kinds: dict[str, Callable[[Fact], Iterator[Problem]]] = {
        "global": pickles.named, "use": pickles.used, "swept": _swept, "skops-type": _skops_type, "hidden": _hidden(pickles),
        "keras-object": keras_object, "keras-function": keras_function, "keras-call": keras_call, "keras-path": keras_path,
        "operator": operator, "fixed-path": fixed_path, "target": target,
    }  # fmt: skip
    problems: list[Problem] = []
    for fact in found.facts:
        if fact.kind in RULE_OF:
            problems.append(Problem(RULE_OF[fact.kind], _words(fact), fact.offset, fact.member))
        elif fact.kind in kinds:
            problems += kinds[fact.kind](fact)
        elif fact.kind != "note":
            problems.append(
                Problem("ASY-FMT-006", f"a fact of kind {fact.kind[:40]!r}, which this version does not know")
            )
    return concluded(found.format, problems)


def _words(fact: Fact) -> str:
    return " ".join(str(part) for part in fact.data)[:300]


def _swept(fact: Fact) -> Iterator[Problem]:
    """A name found by pattern beyond a budget; only what can act is told."""
    name = ".".join(fact.data)
    if is_dangerous(name):
        yield Problem("ASY-PKL-001", f"names {name[:200]} beyond a bound", fact.offset, fact.member)


def _hidden(pickles: PickleJudge) -> Callable[[Fact], Iterator[Problem]]:
    """A stream where none is expected, such as behind the end of another: it counts if loading it would act."""

    def judged(fact: Fact) -> Iterator[Problem]:
        kind, *data = fact.data
        inner = Fact(kind, fact.member, fact.offset, tuple(data))
        for problem in pickles.named(inner) if kind == "global" else pickles.used(inner):
            if problem.rule in ("ASY-PKL-001", "ASY-PKL-003"):
                yield Problem("ASY-SEQ-002", problem.summary, fact.offset, fact.member)

    return judged


def _skops_type(fact: Fact) -> Iterator[Problem]:
    """A name in the role that a loader of skops gives it."""
    loader, name = fact.data
    if name not in allowed_types().get(loader, ()):
        rule = "ASY-PKL-001" if is_dangerous(name) else "ASY-PKL-002"
        yield Problem(rule, f"{loader} names {name[:200]}", fact.offset, fact.member)
