"""What a policy demands, in words and without any evidence: the text of `assay policy explain`."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.digests import short, shown
from assay.core.times import age_text
from assay.policy.evaluate import evidence_words, words_of
from assay.policy.grammar import Approvals, Baseline, Expr, OnFail, Policy, Rule, Scope, Waivers


def explain(policy: Policy) -> str:
    """A text of short lines, one demand each."""
    return "\n".join(_lines(policy)) + "\n"


def scope_words(scope: Scope) -> str:
    """Which assets are meant."""
    parts = [" or ".join(scope.kinds) or "any asset"]
    parts += [f"with task {' or '.join(scope.tasks)}"] if scope.tasks else []
    parts += [f"of {scope.origin} origin"] if scope.origin else []
    parts += [f"labelled {key} {' or '.join(values)}" for key, values in sorted(scope.labels.items())]
    parts += [f"on its way to {' or '.join(scope.stages)}"] if scope.stages else []
    return " ".join(parts)


def _lines(policy: Policy) -> Iterator[str]:
    yield f"{policy.name}  {shown(policy.digest)}"
    yield from ([policy.description] if policy.description else [])
    yield f"For a {scope_words(policy.applies_to)}."
    if policy.mode == "warn":
        yield "It warns only: its decision is recorded and blocks nothing."
    yield "\nThere must be"
    for alias, spec in policy.evidence.items():
        yield f"  {alias}: {evidence_words(spec)}, with no newer failed run"
    yield "\nand it must hold that"
    for rule in policy.rules:
        yield from _rule_lines(rule)
    yield ""
    yield from _frame_lines(policy)


def _rule_lines(rule: Rule) -> Iterator[str]:
    waivable = "" if rule.is_waivable else ", never waived"
    yield f"  {rule.id} ({rule.severity}{waivable}): {words_of(rule.test)}"
    yield from ([f"      {rule.title}"] if rule.title else [])
    if rule.when != Scope():
        yield f"      only for a {scope_words(rule.when)}"
    if isinstance(rule.test, Expr):
        yield from (f"      {path} must not be empty" for path in rule.test.nonempty)
        yield from (f"      {path} may be empty" for path in rule.test.may_be_empty)
    yield from ([f"      for {', '.join(rule.refs)}"] if rule.refs else [])


def _frame_lines(policy: Policy) -> Iterator[str]:
    if policy.baseline:
        yield _baseline_words(policy.baseline)
    yield _approval_words(policy.approvals) if policy.approvals else "Nobody has to approve."
    yield _waiver_words(policy.waivers) if policy.waivers else "No exception is accepted."
    if policy.on_fail:
        yield _on_fail_words(policy.on_fail)


def _baseline_words(baseline: Baseline) -> str:
    absent = "those rules do not apply" if baseline.if_absent == "absolute-only" else "those rules are undecided"
    said = f"It is compared with what stands at {baseline.stage}; while nothing stands there, {absent}."
    if baseline.anchor is None:
        return said
    return f"{said}\nIt is also compared with the anchor {shown(short(baseline.anchor))}, so that small losses cannot add up."


def _approval_words(approvals: Approvals) -> str:
    part = f", none of them {' or '.join(approvals.not_by)}" if approvals.not_by else ""
    age = f", at most {age_text(approvals.max_age_s)} ago" if approvals.max_age_s else ""
    return f"{approvals.count} person(s) must approve as {' or '.join(approvals.roles)}{part}{age}."


def _waiver_words(waivers: Waivers) -> str:
    most = f" for at most {age_text(waivers.max_duration_s)}" if waivers.max_duration_s else ""
    part = f", never by its {' or '.join(waivers.not_by)}" if waivers.not_by else ""
    return f"Rules of severity {' or '.join(waivers.severities)} may be waived{most} by {' or '.join(waivers.roles)}{part}."


def _on_fail_words(on_fail: OnFail) -> str:
    incident = f"an incident of severity {on_fail.open_incident} is opened" if on_fail.open_incident else ""
    after = f"quarantine follows after {age_text(on_fail.quarantine_after_s)}" if on_fail.quarantine_after_s else ""
    return f"When it no longer passes, {' and '.join(part for part in (incident, after) if part)}."
