"""What a policy can say: the values that a policy document becomes. `documents` reads them, `evaluate` follows them.

    policy: assay/policy/v1     name: KEBAB     applies_to: {kind: K, stage: S}     rules: [RULE]
    RULE = id, severity, exactly one of threshold | compare | expr; optional when, waivable, refs, remedy, title

Durations are kept in seconds. Each class below is one part of the grammar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.core.digests import Digest
from assay.core.outcomes import Severity
from assay.policy.view import Standing

# The roles of a workspace's trust file. A policy that speaks of one of them narrows it; other role names are its own.
WORKSPACE_ROLES = (
    "registrar", "data-owner", "trainer", "scanner", "evaluator", "approver",
    "releaser", "gate", "observer", "incident", "ledger",
)  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """`applies_to` or `when`: every part that is given must match; an empty part matches all."""

    kinds: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    origin: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def matches(self, subject: Standing, stage: str) -> bool:
        """Whether an asset on its way to `stage` is meant."""
        return (
            (not self.kinds or str(subject.kind) in self.kinds)
            and (not self.stages or stage in self.stages)
            and (not self.tasks or subject.declared.get("task") in self.tasks)
            and (not self.origin or subject.origin == self.origin)
            and all(subject.labels.get(key) in values for key, values in self.labels.items())
        )


@dataclass(frozen=True)
class Identity:
    """Who a keyless signer is: the issuer of the certificate and its exact subject."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class TrustedRole:
    """Who of the workspace's trusted signers may speak in a role here; `threshold` counts distinct owners."""

    keys: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    threshold: int = 1


@dataclass(frozen=True)
class EvidenceSpec:
    """An alias: which statements it stands for. `checks` () means every check, `signed_by` () every trusted role."""

    alias: str
    type: str
    checks: tuple[str, ...] = ()
    max_age_s: int | None = None
    signed_by: tuple[str, ...] = ()
    about: str = "asset"
    database_max_age_s: int | None = None
    line: int = 1


@dataclass(frozen=True)
class Baseline:
    """The stage whose asset the candidate is compared with, and what follows if nothing is there yet.

    `anchor` pins one asset besides, so that many small losses cannot add up; it moves only with the policy.
    """

    stage: str
    if_absent: str = "undecided"
    anchor: Digest | None = None


@dataclass(frozen=True)
class Threshold:
    """A limit that one number must keep to, by its worst bound unless `bound` is `estimate`."""

    alias: str
    path: str
    op: str
    value: float
    bound: str = "worst"
    level: float = 0.95
    min_n: int = 0
    min_per_group: int = 0
    looks: int = 1

    @property
    def metric(self) -> str:
        """`ALIAS.PATH`, as written."""
        return f"{self.alias}.{self.path}"


@dataclass(frozen=True)
class Compare:
    """The candidate must not be worse than the baseline by `margin`, on the same rows.

    `total_margin` is the loss since the anchor that is accepted in all; None means twice the margin. `claim` says what is
    compared: this very `artifact`, or the `recipe` that made it, by several seeds. `looks` is how many different results
    about one asset on one dataset may be tried.
    """

    alias: str
    path: str
    better: str
    margin: float
    scale: str = "absolute"
    level: float = 0.95
    min_n: int = 0
    same: tuple[str, ...] = ()
    total_margin: float | None = None
    claim: str = "artifact"
    looks: int = 1

    @property
    def ratchet(self) -> float:
        """The loss since the anchor that is accepted in all."""
        return 2 * self.margin if self.total_margin is None else self.total_margin

    @property
    def metric(self) -> str:
        """`ALIAS.PATH`, as written."""
        return f"{self.alias}.{self.path}"


@dataclass(frozen=True)
class Expr:
    """A CEL expression; lists in `nonempty` must hold something, lists in `may_be_empty` need not."""

    text: str
    nonempty: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One demand of a policy."""

    id: str
    severity: Severity
    test: Threshold | Compare | Expr
    when: Scope = Scope()
    is_waivable: bool = True
    refs: tuple[str, ...] = ()
    remedy: str = ""
    title: str = ""
    line: int = 1


@dataclass(frozen=True)
class Approvals:
    """How many persons in which roles must have agreed."""

    count: int
    roles: tuple[str, ...]
    not_by: tuple[str, ...] = ()
    max_age_s: int | None = None


@dataclass(frozen=True)
class Waivers:
    """Which exceptions are accepted, for how long and from whom."""

    severities: tuple[str, ...]
    roles: tuple[str, ...]
    max_duration_s: int | None = None
    not_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnFail:
    """What follows when something that runs no longer passes."""

    open_incident: str = ""
    quarantine_after_s: int | None = None


@dataclass(frozen=True)
class Policy:
    """One policy document. `digest` names its parsed value, so comments and layout are not part of it."""

    name: str
    digest: Digest
    applies_to: Scope
    rules: tuple[Rule, ...]
    evidence: Mapping[str, EvidenceSpec]
    description: str = ""
    mode: str = "enforce"
    frameworks: Mapping[str, str] = field(default_factory=dict)
    trust: Mapping[str, TrustedRole] = field(default_factory=dict)
    baseline: Baseline | None = None
    approvals: Approvals | None = None
    waivers: Waivers | None = None
    on_fail: OnFail | None = None
    source: str = ""

    @property
    def anchor(self) -> Digest | None:
        """The asset that the ratchet is held against."""
        return self.baseline.anchor if self.baseline else None
