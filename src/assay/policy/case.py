"""One policy asked about one view at one time: the statements in ledger order, and who may speak in which role.

Untrusted statements neither satisfy nor mask: they are kept aside and only explain why nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.core.times import instant
from assay.policy.grammar import WORKSPACE_ROLES, Policy, TrustedRole
from assay.policy.view import Evidence, View

MAX_AHEAD_S = 300


@dataclass(frozen=True)
class Case:
    """What a decision is made from. Statements at or beyond the head were not looked at and are left out."""

    view: View
    policy: Policy
    now: datetime

    @cached_property
    def statements(self) -> tuple[Evidence, ...]:
        """Every statement below the head, by index; the order of the view does not matter."""
        below = (e for e in self.view.evidence if 0 <= e.index < self.view.head.size)
        return tuple(sorted(below, key=lambda e: (e.index, e.digest, e.key_id)))

    @cached_property
    def by_subject(self) -> Mapping[Digest, tuple[Evidence, ...]]:
        """Statements by the asset that they are about, which is their first subject."""
        found: dict[Digest, list[Evidence]] = {}
        for evidence in self.statements:
            if evidence.subjects:
                found.setdefault(evidence.subjects[0], []).append(evidence)
        return {digest: tuple(items) for digest, items in found.items()}

    @cached_property
    def by_digest(self) -> Mapping[Digest, tuple[Evidence, ...]]:
        """Ledger entries of one statement; several if several keys signed it."""
        found: dict[Digest, list[Evidence]] = {}
        for evidence in self.statements:
            found.setdefault(evidence.digest, []).append(evidence)
        return {digest: tuple(items) for digest, items in found.items()}

    def role_of(self, evidence: Evidence, wanted: Iterable[str] = ()) -> str:
        """The first of the `wanted` roles in which the signer speaks here; "" if none. Without `wanted`, any role."""
        return next((role for role in sorted(set(wanted) or set(evidence.roles)) if self.speaks(evidence, role)), "")

    def speaks(self, evidence: Evidence, role: str) -> bool:
        """Whether the signer of a statement speaks in `role`.

        The workspace must trust the signer with this statement at all (`roles`). A role that the policy describes is
        narrowed to the signers listed there; it is never wider than the workspace's role of that name.
        """
        if not evidence.roles:
            return False
        narrowed = self.policy.trust.get(role)
        if narrowed is None:
            return role in evidence.roles
        if (role in WORKSPACE_ROLES and role not in evidence.roles) or not _listed(evidence, narrowed):
            return False
        signed = (e for e in self.by_digest[evidence.digest] if e.roles and not e.problem and _listed(e, narrowed))
        return narrowed.threshold == 1 or len({person(e.owner) for e in signed if e.owner}) >= narrowed.threshold

    def is_trusted(self, evidence: Evidence) -> bool:
        """Whether the workspace lets the signer say this, in whatever role."""
        return not evidence.problem and bool(evidence.roles)

    def age_s(self, evidence: Evidence) -> int:
        """Whole seconds since the older of the signed and the logged time.

        Raises:
            MalformedInput: a time cannot be read.
        """
        older = min(instant(evidence.signed_at), instant(evidence.logged_at))
        return max(0, int((self.now - older).total_seconds()))

    def is_ahead(self, evidence: Evidence) -> bool:
        """Whether it is dated more than five minutes ahead of now.

        Raises:
            MalformedInput: a time cannot be read.
        """
        newer = max(instant(evidence.signed_at), instant(evidence.logged_at))
        return (newer - self.now).total_seconds() > MAX_AHEAD_S

    def has_good_times(self, evidence: Evidence) -> bool:
        """Whether both times can be read and neither lies ahead."""
        try:
            return not self.is_ahead(evidence)
        except MalformedInput:
            return False


def person(owner: str) -> str:
    """The form in which owners are compared, so that `Ada ` and `ada` are one person."""
    return owner.strip().casefold()


def _listed(evidence: Evidence, role: TrustedRole) -> bool:
    by_identity = any((i.issuer, i.subject) == evidence.identity for i in role.identities)
    return evidence.key_id in role.keys or by_identity
