"""What a scan concludes of one file, and why."""

from __future__ import annotations

from dataclasses import dataclass

from assay.core.outcomes import Severity, Verdict

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Problem:
    """Why a file is not clean: a rule, how bad, what in one sentence, and the byte where it was seen if there is one."""

    rule: str
    severity: Severity
    summary: str
    offset: int | None = None
    member: str = ""


@dataclass(frozen=True)
class Judgement:
    """What one file was found to be."""

    format: str
    verdict: Verdict
    problems: tuple[Problem, ...] = ()


def unknown(name: str, why: str) -> Judgement:
    return Judgement(name, Verdict.UNKNOWN, (Problem("unexamined-format", Severity.MEDIUM, why),))


def cannot_look(name: str, why: str) -> Judgement:
    return Judgement(name, Verdict.INCONCLUSIVE, (Problem("unreadable-file", Severity.MEDIUM, why),))
