"""What readers of code and configuration say: a rule and the place where it applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.core.outcomes import Finding, Severity, Verdict

MAX_PROBLEMS = 200


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong. Ids are stable and never reused; `severity` is what a place has unless its reader says less.

    `shows_intent` marks what only an attacker needs; a file where it applies is malicious.
    """

    id: str
    title: str
    severity: Severity
    remedy: str
    refs: tuple[str, ...]
    shows_intent: bool = False


@dataclass(frozen=True)
class Problem:
    """A rule that applies at one place of one file; `line` counts from 1, `member` names a part such as `cell3`."""

    rule: Rule
    summary: str
    line: int
    severity: Severity
    member: str = ""

    def within(self, member: str) -> Problem:
        """The same problem in a part of a file."""
        return replace(self, member=member)

    def finding(self, path: str) -> Finding:
        """As a finding about a file."""
        place = f"{path}!{self.member}" if self.member else path
        return Finding(
            self.rule.id, self.severity, f"{place}:{self.line}", self.summary, self.rule.remedy, self.rule.refs
        )


def problem(rule: Rule, summary: str, line: int, severity: Severity | None = None) -> Problem:
    """A problem with the rule's own severity unless another is given."""
    return Problem(rule, summary[:400], line, severity or rule.severity)


@dataclass(frozen=True)
class Judged:
    """What one file was found to be; `reason` says why it could not be looked at, or not wholly."""

    format: str
    verdict: Verdict
    problems: tuple[Problem, ...] = ()
    reason: str = ""

    def findings(self, path: str) -> tuple[Finding, ...]:
        """Its problems as findings about the file at `path`."""
        return tuple(found.finding(path) for found in self.problems)


def judged(format: str, problems: Sequence[Problem], reason: str = "") -> Judged:
    """The verdict that follows: malicious where a problem shows intent, unknown where one is high, inconclusive where something
    was not looked at, else clean. All problems count for it; the worst `MAX_PROBLEMS` are kept, in the order of lines.
    """
    worst = max((found.severity.rank for found in problems), default=0)
    kept = sorted(problems, key=lambda found: (-found.rule.shows_intent, -found.severity.rank))[:MAX_PROBLEMS]
    told = tuple(sorted(kept, key=lambda found: (found.member, found.line, found.rule.id)))
    if any(found.rule.shows_intent for found in problems):
        return Judged(format, Verdict.MALICIOUS, told, reason)
    if worst >= Severity.HIGH.rank:
        return Judged(format, Verdict.UNKNOWN, told, reason)
    return Judged(format, Verdict.INCONCLUSIVE if reason else Verdict.CLEAN, told, reason)
