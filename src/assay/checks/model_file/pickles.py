"""Judges one pickle stream by the names and instructions in it."""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.model_file.judgement import MAX_PROBLEMS, Judgement, Problem
from assay.checks.model_file.names import is_dangerous, is_harmless
from assay.core.outcomes import Severity, Verdict
from assay.formats.pickle_globals import PickleFacts


def judged_pickle(facts: PickleFacts, size: int, member: str = "", format: str = "pickle") -> Judgement:
    """What the names and instructions of one stream amount to."""
    problems = list(_pickle_problems(facts, size, member))
    verdict = Verdict.CLEAN
    if any(problem.severity is Severity.CRITICAL for problem in problems):
        verdict = Verdict.MALICIOUS
    elif any(problem.rule != "unfinished-pickle" for problem in problems):
        verdict = Verdict.UNKNOWN
    elif problems:
        verdict = Verdict.INCONCLUSIVE
    return Judgement(format, verdict, tuple(problems[:MAX_PROBLEMS]))


def _pickle_problems(facts: PickleFacts, size: int, member: str) -> Iterator[Problem]:
    seen = set()
    for used in sorted(facts.globals, key=lambda g: (not is_dangerous(g.qualified), g.offset)):
        name = used.qualified
        if name in seen or is_harmless(name):
            continue
        seen.add(name)
        if used.module is None or used.name is None:
            yield Problem(
                "computed-global", Severity.CRITICAL, "imports a name put together while loading", used.offset, member
            )
        elif is_dangerous(name):
            yield Problem("dangerous-global", Severity.CRITICAL, f"names {name[:200]}", used.offset, member)
        else:
            yield Problem(
                "unlisted-global", Severity.HIGH, f"names {name[:200]}, which is not listed", used.offset, member
            )
    if facts.builds:
        yield Problem(
            "sets-state", Severity.HIGH, "sets the state of an object (BUILD), which may be any object", None, member
        )
    if facts.opaque:
        yield Problem(
            "opaque-instruction", Severity.HIGH, f"uses {', '.join(facts.opaque)}, which hide a name", None, member
        )
    if not facts.is_complete:
        yield Problem("unfinished-pickle", Severity.MEDIUM, f"the stream {facts.problem}", facts.end, member)
    elif facts.end != size:
        yield Problem(
            "trailing-bytes", Severity.MEDIUM, f"{size - facts.end} bytes follow the pickle", facts.end, member
        )


def acts_as_pickle(data: bytes, facts: PickleFacts) -> bool:
    """Whether a loader of pickles would do something with these bytes: a declared stream, a whole one, or one that acts."""
    if data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5:
        return True
    return facts.is_complete or (facts.calls > 0 and bool(facts.globals))
