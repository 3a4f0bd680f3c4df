"""Decisions: allow, deny or undecided, and the outcome of every rule that led there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from assay.core.canonical import Json, canonical
from assay.core.digests import Digest, sha256
from assay.core.outcomes import Severity


class Answer(StrEnum):
    """What a policy says. Only ALLOW lets anything happen; `exit_code` is what a command ends with."""

    ALLOW = "allow"
    DENY = "deny"
    UNDECIDED = "undecided"

    @property
    def exit_code(self) -> int:
        """0 allow, 1 deny, 3 undecided."""
        return {"allow": 0, "deny": 1, "undecided": 3}[self.value]


class RuleOutcome(StrEnum):
    """What one rule says."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    FAIL = "fail"
    UNDECIDED = "undecided"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True)
class Observed:
    """What was seen: an estimate with its bounds, or a text where there is no number."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""
    text: str = ""


@dataclass(frozen=True)
class Cited:
    """One statement that a rule rests on. `attempts` counts runs of that check on that digest."""

    alias: str
    digest: Digest
    type: str
    index: int
    role: str
    key_id: str
    owner: str
    signed_at: str
    age_s: int
    max_age_s: int | None
    attempts: int


@dataclass(frozen=True)
class RuleResult:
    """One rule of a decision.

    `reason` is a stable word (`ok`, `missing`, `stale`, `bound-misses`, `too-few-rows`, `shown-worse` ...); `needed`
    says in words what would pass; `rows_needed` is the number of rows that would decide, where more rows would.
    """

    id: str
    severity: Severity
    outcome: RuleOutcome
    raw_outcome: RuleOutcome
    reason: str
    observed: Observed
    needed: str
    title: str = ""
    fix: str = ""
    refs: tuple[str, ...] = ()
    baseline: Observed | None = None
    rows_needed: int | None = None
    trace: tuple[tuple[str, Json], ...] = ()
    waiver: Digest | None = None
    evidence: tuple[Cited, ...] = ()


@dataclass(frozen=True)
class Decision:
    """The answer for one asset, stage and policy at one ledger head and time. `body` is its canonical form."""

    answer: Answer
    raw_answer: Answer
    mode: str
    subject: Digest
    stage: str
    policy_name: str
    policy_digest: Digest
    baseline: Digest | None
    ledger_origin: str
    ledger_size: int
    ledger_root: str
    now: str
    rules: tuple[RuleResult, ...]
    approvals_needed: int = 0
    approvals_given: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    engines: Mapping[str, str] | None = None

    @property
    def body(self) -> bytes:
        """RFC 8785 bytes: the same ledger head, policy, time and version give the same bytes."""
        return canonical(as_json(self))

    @property
    def digest(self) -> Digest:
        """The digest of `body`."""
        return sha256(self.body)


def outcome_digest(rules: tuple[RuleResult, ...]) -> Digest:
    """Names what the rules came to, without times and numbers: what an approver saw, and what voids it if it changes."""
    return sha256(canonical([[rule.id, str(rule.outcome), str(rule.raw_outcome), rule.reason] for rule in rules]))


def as_json(value: object) -> Json:
    """Dataclasses as plain JSON with snake_case keys; absent optional values are left out, never null."""
    if hasattr(value, "__dataclass_fields__"):
        found = {name: as_json(getattr(value, name)) for name in value.__dataclass_fields__}
        return {name: item for name, item in found.items() if item is not None}
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    return value
