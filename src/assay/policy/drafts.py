"""What one rule came to before the family of rules is looked at: a failure counts only if it survives Holm's method.

Passing needs every rule of a policy, so no rule is corrected for passing. Failing needs one, so the chance that some
rule of a good asset fails grows with their number: among all claims of a policy that can fail by chance, only those are
rejected that Holm's method rejects. Their number is fixed by the policy, before any data.
Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.core.canonical import Json
from assay.core.decisions import Cited, Observed, RuleOutcome
from assay.policy.grammar import Compare, Policy, Threshold
from assay.policy.offered import is_count

INSTALL_ML = "pip install 'assay[ml]'"
INSTALL_CEL = "pip install 'assay[cel]'"


@dataclass(frozen=True)
class Draft:
    """A rule's outcome; `fail_ratio` is p/alpha of its fail claim (None: no such claim), `if_failed` the reason then."""

    outcome: RuleOutcome
    reason: str
    observed: Observed
    needed: str
    baseline: Observed | None = None
    rows_needed: int | None = None
    fix: str = ""
    trace: tuple[tuple[str, Json], ...] = ()
    evidence: tuple[Cited, ...] = ()
    fail_ratio: float | None = None
    if_failed: str = ""


def undecided(reason: str, text: str, needed: str, evidence: tuple[Cited, ...] = (), fix: str = "") -> Draft:
    """A draft that says why nothing could be observed."""
    return Draft(RuleOutcome.UNDECIDED, reason, Observed(text=text), needed, fix=fix, evidence=evidence)


def family_size(policy: Policy) -> int:
    """How many claims of a policy can fail by chance."""
    return sum(_can_fail_by_chance(policy, rule.test) for rule in policy.rules)


def settle(drafts: Sequence[Draft], family: int) -> tuple[Draft, ...]:
    """Turns drafts whose fail claim is rejected into failures; those that pass all the same are marked as drifting."""
    claims = sorted((d.fail_ratio, i) for i, d in enumerate(drafts) if d.fail_ratio is not None)
    rejected: set[int] = set()
    for rank, (ratio, i) in enumerate(claims):
        if ratio * max(1, family - rank) > 1:  # p <= alpha / (K - i + 1); claims without data count as p = 1
            break
        rejected.add(i)
    return tuple(_settled(draft, i in rejected) for i, draft in enumerate(drafts))


def _settled(draft: Draft, is_rejected: bool) -> Draft:
    if not is_rejected:
        return draft
    if draft.outcome is RuleOutcome.PASS:
        return replace(draft, reason="ok-but-worse")
    return replace(draft, outcome=RuleOutcome.FAIL, reason=draft.if_failed, rows_needed=None)


def _can_fail_by_chance(policy: Policy, test: object) -> bool:
    if isinstance(test, Threshold):
        exact = is_count(test.path, policy.evidence[test.alias].type) or test.op == "==" or test.bound == "estimate"
        return not exact
    return isinstance(test, Compare)
