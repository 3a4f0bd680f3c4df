"""Approvals: distinct trusted persons, not keys, who agreed to exactly this asset, stage, policy and outcome.

The newest word of each person counts. A rejection blocks whatever policy wording it was given under, until that person
agrees or it expires. An approval is void once the outcome of a rule is another than the approver saw: either it names
the outcome (`bodySha256` = `outcome_digest`), or it must be younger than all evidence of the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.core.decisions import RuleResult, outcome_digest
from assay.core.digests import short, shown
from assay.core.errors import MalformedInput
from assay.core.times import instant
from assay.evidence.predicates import Predicate
from assay.policy.case import Case, person
from assay.policy.people import people_who
from assay.policy.view import Evidence


@dataclass(frozen=True)
class Count:
    """Who agreed, who refused, and why other approvals do not count."""

    needed: int
    given: tuple[str, ...]
    rejected_by: tuple[str, ...]
    refusals: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether enough persons agreed and none refused."""
        return not self.rejected_by and len(self.given) >= self.needed


def count_approvals(case: Case, results: tuple[RuleResult, ...]) -> Count:
    """Counts the persons behind the approvals of this asset for this stage."""
    asked = case.policy.approvals
    if asked is None:
        return Count(0, (), (), ())
    newest: dict[str, Evidence] = {}
    refusals: list[str] = []
    for evidence in _about_this(case):
        if why := _signer_problem(case, evidence, asked.roles):
            refusals.append(_said(evidence, why))
        else:
            newest[person(evidence.owner)] = evidence
    excluded = people_who(case, asked.not_by)
    given, rejected = [], []
    for evidence in newest.values():
        if evidence.predicate.get("result") != "approve":
            rejected += [evidence.owner] if _window_problem(case, evidence, None) != "it is expired" else []
        elif why := _refusal(case, evidence, results, excluded):
            refusals.append(_said(evidence, why))
        else:
            given.append(evidence.owner)
    return Count(asked.count, tuple(sorted(given)), tuple(sorted(rejected)), tuple(refusals))


def _about_this(case: Case) -> list[Evidence]:
    """In ledger order, so that the newest word of a person comes last."""
    about = case.by_subject.get(case.view.subject.digest, ())
    return [e for e in about if e.type == Predicate.APPROVAL and e.predicate.get("target") == case.view.stage]


def _signer_problem(case: Case, evidence: Evidence, roles: tuple[str, ...]) -> str:
    if evidence.problem or not person(evidence.owner):
        return f"it is {evidence.problem or 'by nobody known'}"
    role = evidence.predicate.get("role")
    if role not in roles or not case.speaks(evidence, str(role)):
        return "it is not signed in a role that the policy asks for"
    return ""


def _refusal(case: Case, evidence: Evidence, results: tuple[RuleResult, ...], excluded: frozenset[str]) -> str:
    """Why an approval does not count; "" if it does."""
    asked = case.policy.approvals
    if evidence.predicate.get("policySha256") != case.policy.digest:
        return "it was given under another policy, or another wording of this one"
    if person(evidence.owner) in excluded:
        return "its signer had a part in making the asset"
    window = _window_problem(case, evidence, asked.max_age_s if asked else None)
    return window or _outcome_problem(evidence.predicate, evidence.index, results)


def _window_problem(case: Case, evidence: Evidence, max_age_s: int | None) -> str:
    try:
        begins, ends = instant(evidence.predicate["notBefore"]), instant(evidence.predicate["expires"])
        age_s = case.age_s(evidence)
    except (MalformedInput, KeyError):
        return "it has no readable times"
    if case.is_ahead(evidence) or case.now < begins:
        return "it does not hold yet"
    if case.now >= ends:
        return "it is expired"
    return "it is older than the policy accepts" if max_age_s is not None and age_s > max_age_s else ""


def _outcome_problem(predicate: Mapping[str, object], index: int, results: tuple[RuleResult, ...]) -> str:
    seen = predicate.get("bodySha256")
    if seen is not None:
        return "" if seen == outcome_digest(results) else "the outcome changed since"
    newest = max((cited.index for result in results for cited in result.evidence), default=-1)
    return "" if index > newest else "it is older than the evidence, so its signer did not see that"


def _said(evidence: Evidence, why: str) -> str:
    return f"approval {shown(short(evidence.digest))} by {evidence.owner or 'nobody known'} does not count: {why}"
