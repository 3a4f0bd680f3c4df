"""The sentences that all forms share: what was observed, why a rule does not pass, on whose evidence it rests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from assay.core.decisions import Cited, Decision, Observed, RuleOutcome, RuleResult
from assay.core.digests import short
from assay.core.times import age_text
from assay.surfaces.reports.results import DecisionReport

MARKS = {
    RuleOutcome.FAIL: "FAIL",
    RuleOutcome.UNDECIDED: "?",
    RuleOutcome.WAIVED: "waived",
    RuleOutcome.PASS: "pass",
    RuleOutcome.NOT_APPLICABLE: "n/a",
}
WORST_FIRST = tuple(MARKS)

# Units that a reader expects not to see: a share and a count are plain numbers, as the policy writes them.
_SILENT_UNITS = frozenset({"", "1", "share", "count", "ratio"})

# Reason codes as sentences; a code that is not here is shown as its own words.
_WHY = {
    "missing": "there is no such statement about exactly this digest",
    "stale": "the evidence is older than the policy accepts",
    "unsigned": "the statement is not signed",
    "wrong-signer": "the signer is not trusted to say this",
    "wrong-subject": "the statement is about other bytes",
    "malformed": "the statement does not follow its schema",
    "failed-run": "the newest run of this check failed",
    "future": "the statement is dated in the future",
    "revoked": "the statement was revoked",
    "bound-misses": "the end of the interval that counts misses what is needed",
    "straddles": "the interval reaches across the limit, so neither side is shown",
    "too-few-rows": "too few rows to tell",
    "shown-worse": "it is shown to be worse than the baseline",
    "no-baseline": "there is no baseline to compare with",
}


def in_reading_order(rules: Iterable[RuleResult]) -> list[RuleResult]:
    """What blocks first; within one outcome the order of the policy."""
    return sorted(rules, key=lambda rule: WORST_FIRST.index(rule.outcome))


def counts(outcomes: Iterable[RuleOutcome]) -> str:
    """`1 fail, 2 undecided, 6 pass`, worst first."""
    found = Counter(outcomes)
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in WORST_FIRST if found[outcome]) or "no rules"


def observed(seen: Observed) -> str:
    """`-0.8 pt [-3.9, +2.3] n=180`: the numbers in their own unit, never converted; an exact one has no interval."""
    numbers = [number for number in (seen.estimate, seen.low, seen.high) if number is not None]
    show = _Decimals(numbers)
    parts = []
    if seen.estimate is not None:
        parts.append(show(seen.estimate) + ("" if seen.unit in _SILENT_UNITS else f" {seen.unit}"))
    is_exact = seen.estimate is not None and seen.low == seen.high == seen.estimate
    if (seen.low is not None or seen.high is not None) and not is_exact:
        low = "-inf" if seen.low is None else show(seen.low)
        parts.append(f"[{low}, {'inf' if seen.high is None else show(seen.high)}]")
    parts += [f"n={seen.n:,}"] if seen.n is not None else []
    return " ".join([*parts, seen.text] if seen.text else parts)


def why(rule: RuleResult) -> str:
    """Why a rule does not simply pass; empty where it does."""
    sentence = _WHY.get(rule.reason, "" if rule.reason == "ok" else rule.reason.replace("-", " "))
    if rule.rows_needed is not None:
        had = f"{rule.observed.n:,} rows cannot show it" if rule.observed.n is not None else sentence
        more = rule.rows_needed - (rule.observed.n or 0)
        sentence = f"{had}, about {max(more, 1):,} more would decide ({rule.rows_needed:,} in all)"
    if rule.outcome is RuleOutcome.WAIVED:
        return f"{rule.raw_outcome} without the waiver{f', {sentence}' if sentence else ''}"
    return sentence


def fix(rule: RuleResult) -> str:
    """What to do about it: the policy's own words, or more rows where those would decide."""
    if rule.fix or rule.rows_needed is None:
        return rule.fix
    return f"evaluate on {rule.rows_needed:,} rows or more"


def signer(cited: Cited) -> str:
    """`alice (ci, key 5ab1c2d3e4f5)`."""
    inside = ", ".join([*([cited.role] if cited.role else []), f"key {cited.key_id[:12]}"])
    return f"{cited.owner} ({inside})" if cited.owner else inside


def age(cited: Cited) -> str:
    """`3 d old, limit 30 d`."""
    limit = "" if cited.max_age_s is None else f", limit {age_text(cited.max_age_s)}"
    return f"{age_text(cited.age_s)} old{limit}"


def evidence(cited: Cited) -> str:
    """One statement in a line: what it is, who signed it, how old it is, and how often the check was run."""
    runs = f", {cited.attempts} attempts" if cited.attempts > 1 else ""
    return f"{cited.alias} {short(cited.digest)} by {signer(cited)}, {age(cited)}{runs}"


def circumstances(report: DecisionReport) -> list[str]:
    """What bears on the answer beside the rules: reasons, approvals, a policy that only warns, an answer waived."""
    decision = report.decision
    lines = [f"because {reason}" for reason in decision.reasons]
    if decision.approvals_needed:
        given = f" ({', '.join(decision.approvals_given)})" if decision.approvals_given else ""
        lines.append(f"approvals {len(decision.approvals_given)} of {decision.approvals_needed}{given}")
    if decision.raw_answer != decision.answer:
        lines.append(f"{decision.raw_answer} without waivers")
    if decision.mode == "warn":
        lines.append("the policy only warns: nothing is blocked by this answer")
    return lines


def cited_once(decision: Decision) -> list[Cited]:
    """Every statement that the decision rests on, once, in ledger order."""
    found = {(item.alias, item.digest): item for rule in decision.rules for item in rule.evidence}
    return sorted(found.values(), key=lambda item: (item.index, item.alias))


class _Decimals:
    """Shows numbers with one number of decimals: three figures of the largest, no zeros that all end with."""

    def __init__(self, numbers: list[float]) -> None:
        largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
        places = 2 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 9)
        while places and all(f"{number:.{places}f}".endswith("0") for number in numbers if math.isfinite(number)):
            places -= 1
        self._places = places
        self._sign = "+" if any(number < 0 for number in numbers) else ""

    def __call__(self, number: float) -> str:
        if not math.isfinite(number):
            return str(number)
        return f"{number:{self._sign if round(number, self._places) else ''},.{self._places}f}"
