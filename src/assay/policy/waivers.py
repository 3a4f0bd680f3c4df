"""Exceptions: signed, scoped to one rule, policy, asset and stage, expiring, and approved by somebody else.

A waiver is accepted only if every question below is answered well; the first that is not is listed in the decision.
What was forged, replayed or misconfigured is never waived, nor is a critical rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from assay.core.canonical import Json
from assay.core.decisions import RuleOutcome, RuleResult
from assay.core.digests import Digest, short, shown
from assay.core.errors import MalformedInput
from assay.core.outcomes import Severity
from assay.core.times import instant
from assay.evidence.predicates import Predicate
from assay.policy.case import Case, person
from assay.policy.grammar import Waivers
from assay.policy.people import people_who
from assay.policy.reasons import can_be_waived
from assay.policy.view import Evidence

_WAIVABLE = (RuleOutcome.FAIL, RuleOutcome.UNDECIDED)


@dataclass(frozen=True)
class Accepted:
    """The waivers that hold, by rule, and why each of the others does not."""

    by_rule: Mapping[str, Digest]
    refusals: tuple[str, ...]


def accept(case: Case, results: Mapping[str, RuleResult], others: frozenset[Digest]) -> Accepted:
    """Sorts the waivers about this asset; those for the policies in `others` are not this policy's business."""
    by_rule: dict[str, Digest] = {}
    refusals: list[str] = []
    revoked = _revoked(case)
    for evidence in case.statements:
        if evidence.type != Predicate.WAIVER or not _concerns(case, evidence):
            continue
        if evidence.predicate.get("policySha256") in others:
            continue
        rule = str(evidence.predicate.get("rule"))[:80]
        if why := _refusal(case, evidence, results, revoked):
            refusals.append(f"waiver {shown(short(evidence.digest))} of {rule} refused: {why}")
        else:
            by_rule.setdefault(rule, evidence.digest)
    return Accepted(by_rule, tuple(refusals))


def _concerns(case: Case, evidence: Evidence) -> bool:
    subject, scope = case.view.subject, _scope(evidence)
    return (
        subject.digest in evidence.subjects
        or subject.digest == scope.get("digest")
        or subject.name == scope.get("name")
    )


def _refusal(case: Case, evidence: Evidence, results: Mapping[str, RuleResult], revoked: frozenset[Digest]) -> str:
    """The first reason why a waiver does not hold; "" if it does."""
    allowed = case.policy.waivers
    if allowed is None:
        return "the policy accepts no waivers"
    return (
        _signer_problem(case, evidence, allowed)
        or _scope_problem(case, evidence)
        or _time_problem(case, evidence, allowed)
        or ("it was revoked" if evidence.digest in revoked else "")
        or _person_problem(case, evidence, allowed)
        or _text_problem(evidence.predicate)
        or _rule_problem(case, evidence, results, allowed)
    )


def _signer_problem(case: Case, evidence: Evidence, allowed: Waivers) -> str:
    if evidence.problem:
        return f"it is {evidence.problem}"
    if not case.role_of(evidence, allowed.roles):
        return f"it is not signed in a role out of {', '.join(allowed.roles)}"
    return ""


def _scope_problem(case: Case, evidence: Evidence) -> str:
    subject, scope = case.view.subject, _scope(evidence)
    if evidence.predicate.get("policySha256") != case.policy.digest:
        return "it is for another policy, or another wording of this one"
    if evidence.subjects[:1] != (subject.digest,) or scope.get("digest") != subject.digest:
        return "it is not scoped to exactly this asset"
    if "namePattern" in scope or scope.get("name", subject.name) != subject.name:
        return "its scope is stretched by a name"
    if evidence.predicate.get("target") != case.view.stage:
        return "it is for another stage"
    return ""


def _time_problem(case: Case, evidence: Evidence, allowed: Waivers) -> str:
    try:
        begins, ends = instant(evidence.predicate["notBefore"]), instant(evidence.predicate["expires"])
    except (MalformedInput, KeyError):
        return "it has no readable beginning and end"
    if not case.has_good_times(evidence):
        return "it is dated in the future"
    if not begins < ends:
        return "it ends before it begins"
    return _window_problem(case.now, begins, ends, allowed.max_duration_s)


def _window_problem(now: datetime, begins: datetime, ends: datetime, most_s: int | None) -> str:
    if now < begins:
        return "it does not hold yet"
    if now >= ends:
        return "it is expired"
    if most_s is not None and (ends - begins).total_seconds() > most_s:
        return "it lasts longer than the policy accepts"
    return ""


def _person_problem(case: Case, evidence: Evidence, allowed: Waivers) -> str:
    approver, requester = person(evidence.owner), evidence.predicate.get("requestedBy")
    if not approver or not isinstance(requester, str) or not person(requester):
        return "it does not say who asked and who approved"
    if person(requester) == approver:
        return "the person who asked approved it too"
    excluded = people_who(case, tuple(part for part in allowed.not_by if part != "requester"))
    return "its approver had a part in making the asset" if approver in excluded else ""


def _text_problem(predicate: Mapping[str, Json]) -> str:
    for name in ("reason", "ticket", "compensatingControl"):
        text = predicate.get(name)
        if not isinstance(text, str) or not text.strip():
            return f"its {name} is empty"
    return ""


def _rule_problem(case: Case, evidence: Evidence, results: Mapping[str, RuleResult], allowed: Waivers) -> str:
    name = evidence.predicate.get("rule")
    result = results.get(name) if isinstance(name, str) else None
    if result is None:
        return "the policy has no such rule"
    rule = next((rule for rule in case.policy.rules if rule.id == name), None)
    if result.severity is Severity.CRITICAL or (rule is not None and not rule.is_waivable):
        return "the rule can never be waived"
    if str(result.severity) not in allowed.severities:
        return f"the policy accepts no waiver of {result.severity} rules"
    if result.outcome in _WAIVABLE and not can_be_waived(result.reason):
        return f"{result.reason} can never be waived"
    return ""


def _scope(evidence: Evidence) -> Mapping[str, Json]:
    scope = evidence.predicate.get("scope")
    return scope if isinstance(scope, Mapping) else {}


def _revoked(case: Case) -> frozenset[Digest]:
    """Waivers that a trusted signer took back, whenever that was."""
    found = (e for e in case.statements if e.type == Predicate.WAIVER_REVOCATION and case.is_trusted(e))
    return frozenset(str(e.predicate.get("waiver")) for e in found)
