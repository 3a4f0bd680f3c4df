"""What a scan concludes of one file, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.checks.model_file.rules import RULES, Rule
from assay.core.outcomes import Severity, Verdict

MAX_PROBLEMS = 20
_WORST_FIRST = (Verdict.MALICIOUS, Verdict.UNKNOWN, Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file is not clean: the id of a rule, what was seen in one sentence, and the byte where, if there is one."""

    rule: str
    summary: str
    offset: int | None = None
    member: str = ""

    @property
    def meaning(self) -> Rule:
        """The rule itself."""
        return RULES[self.rule]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one file was found to be."""

    format: str
    verdict: Verdict
    problems: tuple[Problem, ...] = ()


def verdict_of(problems: Iterable[Problem]) -> Verdict:
    """The worst that a problem decides; clean if nothing does."""
    decided = {RULES[problem.rule].decides for problem in problems}
    return next((verdict for verdict in _WORST_FIRST if verdict in decided), Verdict.CLEAN)


def concluded(format: str, problems: Iterable[Problem]) -> Judgement:
    """A judgement from its problems, the worst first, each once."""
    unique = sorted(dict.fromkeys(problems), key=_order)
    return Judgement(format, verdict_of(unique), tuple(unique))


def _order(problem: Problem) -> tuple[int, int, str, int]:
    decides = RULES[problem.rule].decides
    rank = _WORST_FIRST.index(decides) if decides in _WORST_FIRST else 3
    return rank, -problem.severity.rank, problem.member, problem.offset or 0
