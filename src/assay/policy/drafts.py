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
class FailClaim:
    """What speaks for fail: `ratio` is its p/alpha, `reason` the word if it is rejected.

    A final claim fails a rule that passes otherwise, as a limit and the ratchet do; any other then only marks a drift.
    """

    ratio: float
    reason: str
    is_final: bool = False


@dataclass(frozen=True)
class Draft:
    """A rule's outcome before the family of rules is looked at, with the claims that may still fail it."""

    outcome: RuleOutcome
    reason: str
    observed: Observed
    needed: str
    baseline: Observed | None = None
    rows_needed: int | None = None
    fix: str = ""
    trace: tuple[tuple[str, Json], ...] = ()
    evidence: tuple[Cited, ...] = ()
    claims: tuple[FailClaim, ...] = ()


def undecided(reason: str, text: str, needed: str, evidence: tuple[Cited, ...] = (), fix: str = "") -> Draft:
    """A draft that says why nothing could be observed."""
    return Draft(RuleOutcome.UNDECIDED, reason, Observed(text=text), needed, fix=fix, evidence=evidence)


def family_size(policy: Policy) -> int:
    """How many claims of a policy can fail by chance: one a limit, one a comparison, one more where an anchor is pinned."""
    return sum(_claims_of(policy, rule.test) for rule in policy.rules)


def settle(drafts: Sequence[Draft], family: int) -> tuple[Draft, ...]:
    """Turns drafts whose fail claim is rejected into failures; those that pass all the same are marked as drifting."""
    claims = sorted((c.ratio, i, j) for i, d in enumerate(drafts) for j, c in enumerate(d.claims))
    rejected: set[tuple[int, int]] = set()
    for rank, (ratio, i, j) in enumerate(claims):
        if ratio * max(1, family - rank) > 1:  # p <= alpha / (K - i + 1); claims without data count as p = 1
            break
        rejected.add((i, j))
    return tuple(
        _settled(draft, [c for j, c in enumerate(draft.claims) if (i, j) in rejected]) for i, draft in enumerate(drafts)
    )


def _settled(draft: Draft, rejected: Sequence[FailClaim]) -> Draft:
    if not rejected:
        return draft
    final = next((claim for claim in rejected if claim.is_final), None)
    if draft.outcome is RuleOutcome.PASS and final is None:
        return replace(draft, reason="ok-but-worse")
    return replace(draft, outcome=RuleOutcome.FAIL, reason=(final or rejected[0]).reason, rows_needed=None)


def _claims_of(policy: Policy, test: object) -> int:
    if isinstance(test, Threshold):
        exact = is_count(test.path, policy.evidence[test.alias].type) or test.op == "==" or test.bound == "estimate"
        return int(not exact)
    return 1 + (policy.anchor is not None) if isinstance(test, Compare) else 0
