"""The decision: statements in, one answer out, and for every rule what was seen, what was needed and on whose word.

Pure: (ledger head, policy bytes, subject, stage, now, Assay version) give the same bytes on every machine. The steps are
those of design/governance.md 3.2 and are numbered below. Several policies that apply must all allow. Their rules are
then called POLICY/RULE, and `policy_digest` is the sha256 of the canonical list of their digests in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assay import __version__
from assay.core.decisions import Answer, Decision, Observed, RuleOutcome, RuleResult
from assay.core.digests import Digest, digest_of, short, shown
from assay.core.errors import PolicyError
from assay.core.outcomes import Severity
from assay.core.times import age_text, instant, stamp
from assay.policy.approvals import Count, count_approvals
from assay.policy.case import Case
from assay.policy.comparisons import judge_comparison
from assay.policy.comparisons import needed_words as compare_words
from assay.policy.drafts import Draft, family_size, settle
from assay.policy.expr import Expressions, engine_version
from assay.policy.grammar import Compare, EvidenceSpec, Expr, Policy, Rule, Threshold
from assay.policy.looks import worn
from assay.policy.reasons import fix_of
from assay.policy.selection import Selection, select, select_baseline, type_name
from assay.policy.tables import Tables
from assay.policy.thresholds import judge_threshold
from assay.policy.thresholds import needed_words as threshold_words
from assay.policy.view import View
from assay.policy.waivers import accept

_BLOCKED_STATES = ("quarantined", "retired")


@dataclass(frozen=True)
class Judged:
    """What one policy came to."""

    policy: Policy
    answer: Answer
    raw_answer: Answer
    results: tuple[RuleResult, ...]
    approvals: Count
    reasons: tuple[str, ...]


def decide(view: View, policies: Sequence[Policy], now: str) -> Decision:
    """Decides whether the subject of `view` may go to its stage at `now` (RFC 3339, UTC).

    Raises:
        PolicyError: two policies of one name, or an expression that the lint refuses.
        MalformedInput: `now` is no time.
    """
    names = [policy.name for policy in policies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PolicyError(f"two policies are called {twice!r}", "it would not be clear which one decided")
    moment, tables = instant(now), Tables(view.table)
    meant = [policy for policy in policies if policy.applies_to.matches(view.subject, view.stage)]
    digests = frozenset(policy.digest for policy in meant)
    judged = [_judge(Case(view, policy, moment), tables, digests - {policy.digest}) for policy in meant]
    return _decision(view, judged, stamp(moment))


def _judge(case: Case, tables: Tables, others: frozenset[str]) -> Judged:
    policy = case.policy
    # 1 and 2: the newest trusted statements of each alias, and the rule that each alias implies
    selections = {alias: select(case, spec) for alias, spec in policy.evidence.items()}
    implied = tuple(_evidence_result(selection) for selection in selections.values())
    # 3 to 5: thresholds, comparisons, expressions; then Holm's method over what can fail by chance
    drafts = settle(_drafts(case, selections, tables), family_size(policy))
    ruled = tuple(_rule_result(rule, draft) for rule, draft in zip(policy.rules, drafts, strict=True))
    raw = (*implied, *ruled)
    # 6: waivers
    accepted = accept(case, {result.id: result for result in raw}, others)
    results = tuple(_waived(result, accepted.by_rule) for result in raw)
    # 7: approvals
    approvals = count_approvals(case, results)
    # 8: the answer
    return Judged(
        policy,
        _answer(results, approvals, raw=False),
        _answer(results, approvals, raw=True),
        results,
        approvals,
        (*accepted.refusals, *_approval_reasons(approvals), *_no_rule(results), *worn(case, selections.values())),
    )


def _drafts(case: Case, selections: Mapping[str, Selection], tables: Tables) -> list[Draft]:
    baseline, anchor = case.view.baseline, case.policy.anchor
    theirs: dict[str, tuple[Selection | None, Selection | None]] = {}
    expressions = Expressions(case, selections)
    drafts = []
    for rule in case.policy.rules:
        test = rule.test
        if not rule.when.matches(case.view.subject, case.view.stage):
            drafts.append(_not_meant(test))
        elif isinstance(test, Threshold):
            drafts.append(judge_threshold(case, test, selections[test.alias], tables))
        elif isinstance(test, Compare):
            if test.alias not in theirs:
                spec = case.policy.evidence[test.alias]
                theirs[test.alias] = (select_baseline(case, spec, baseline.digest) if baseline else None,
                                      select_baseline(case, spec, anchor) if anchor else None)  # fmt: skip
            drafts.append(judge_comparison(case, test, selections[test.alias], *theirs[test.alias], tables))
        else:
            drafts.append(expressions.judge(rule, test))
    return drafts


def _not_meant(test: Threshold | Compare | Expr) -> Draft:
    seen = Observed(text="the rule's `when` does not cover this asset")
    return Draft(RuleOutcome.NOT_APPLICABLE, "not-meant", seen, words_of(test))


def words_of(test: Threshold | Compare | Expr) -> str:
    """What a rule demands, in words."""
    if isinstance(test, Threshold):
        return threshold_words(test)
    return compare_words(test) if isinstance(test, Compare) else test.text


def evidence_words(spec: EvidenceSpec) -> str:
    """What the rule behind an alias demands, in words."""
    checks = f" of {' or '.join(spec.checks)}" if spec.checks else ""
    about = "this asset" if spec.about == "asset" else f"every asset that this one names as {spec.about}"
    signed = f", signed by {' or '.join(spec.signed_by)}" if spec.signed_by else ", signed by a trusted role"
    age = f", at most {age_text(spec.max_age_s)} old" if spec.max_age_s else ""
    database = f", its database at most {age_text(spec.database_max_age_s)} old" if spec.database_max_age_s else ""
    return f"{type_name(spec.type)}{checks} about {about}{signed}{age}{database}"


def _evidence_result(selection: Selection) -> RuleResult:
    outcome = RuleOutcome.UNDECIDED if selection.problem else RuleOutcome.PASS
    reason = selection.problem or "ok"
    return RuleResult(
        id=f"evidence.{selection.spec.alias}",
        severity=Severity.HIGH,
        outcome=outcome,
        raw_outcome=outcome,
        reason=reason,
        observed=Observed(text=selection.text),
        needed=evidence_words(selection.spec),
        fix=fix_of(reason),
        evidence=selection.cited,
    )


def _rule_result(rule: Rule, draft: Draft) -> RuleResult:
    is_met = draft.outcome in (RuleOutcome.PASS, RuleOutcome.NOT_APPLICABLE)
    return RuleResult(
        id=rule.id,
        severity=rule.severity,
        outcome=draft.outcome,
        raw_outcome=draft.outcome,
        reason=draft.reason,
        observed=draft.observed,
        needed=draft.needed,
        title=rule.title,
        fix="" if is_met else draft.fix or rule.remedy or fix_of(draft.reason),
        refs=rule.refs,
        baseline=draft.baseline,
        rows_needed=draft.rows_needed,
        trace=draft.trace,
        evidence=draft.evidence,
    )


def _waived(result: RuleResult, by_rule: Mapping[str, str]) -> RuleResult:
    if result.outcome not in (RuleOutcome.FAIL, RuleOutcome.UNDECIDED) or result.id not in by_rule:
        return result
    return replace(result, outcome=RuleOutcome.WAIVED, waiver=by_rule[result.id])


def _answer(results: Sequence[RuleResult], approvals: Count, raw: bool) -> Answer:
    outcomes = {result.raw_outcome if raw else result.outcome for result in results}
    if RuleOutcome.FAIL in outcomes or approvals.rejected_by:
        return Answer.DENY
    if RuleOutcome.UNDECIDED in outcomes or not approvals.is_complete or _no_rule(results):
        return Answer.UNDECIDED
    return Answer.ALLOW


def _no_rule(results: Sequence[RuleResult]) -> tuple[str, ...]:
    """A policy none of whose own rules applied has decided nothing."""
    own = (result for result in results if not result.id.startswith("evidence."))
    applied = any(result.outcome is not RuleOutcome.NOT_APPLICABLE for result in own)
    return () if applied else ("no rule of the policy applied, so nothing was decided",)


def _approval_reasons(approvals: Count) -> tuple[str, ...]:
    missing = approvals.needed - len(approvals.given)
    lines = [f"rejected by {owner}" for owner in approvals.rejected_by]
    lines += [f"approvals missing: {missing} of {approvals.needed}"] if missing > 0 else []
    return (*lines, *approvals.refusals)


def _standing_reasons(view: View) -> tuple[str, ...]:
    """Why the subject may not be used whatever its evidence says."""
    subject = view.subject
    blocked = subject.state if subject.state in _BLOCKED_STATES else "quarantined" if subject.is_quarantined else ""
    tainted = tuple(f"tainted by {shown(short(digest))}" for digest in sorted(subject.tainted_by))
    return (*((f"the asset is {blocked}",) if blocked else ()), *tainted)


def _decision(view: View, judged: Sequence[Judged], now: str) -> Decision:
    several = len(judged) > 1
    binding = [j for j in judged if j.policy.mode == "enforce"] or list(judged)
    standing = _standing_reasons(view)
    none = () if judged else (f"no policy applies to a {view.subject.kind} on its way to {view.stage}",)
    return Decision(
        answer=Answer.DENY if standing else _all_of([j.answer for j in binding]),
        raw_answer=Answer.DENY if standing else _all_of([j.raw_answer for j in binding]),
        mode="enforce" if not judged or any(j.policy.mode == "enforce" for j in judged) else "warn",
        subject=view.subject.digest,
        stage=view.stage,
        policy_name=", ".join(j.policy.name for j in judged),
        policy_digest=digest_of_policies([j.policy.digest for j in judged]),
        baseline=view.baseline.digest if view.baseline else None,
        ledger_origin=view.head.origin,
        ledger_size=view.head.size,
        ledger_root=view.head.root,
        now=now,
        rules=tuple(_named(j, result, several) for j in judged for result in j.results),
        approvals_needed=sum(j.approvals.needed for j in judged),
        approvals_given=tuple(_of(j, owner, several) for j in judged for owner in j.approvals.given),
        reasons=(*standing, *none, *(_of(j, reason, several, ": ") for j in judged for reason in j.reasons)),
        engines={"assay": __version__} | engine_version(j.policy for j in judged),
    )


def _all_of(answers: Sequence[Answer]) -> Answer:
    if Answer.DENY in answers:
        return Answer.DENY
    return Answer.ALLOW if answers and set(answers) == {Answer.ALLOW} else Answer.UNDECIDED


def digest_of_policies(digests: Sequence[Digest]) -> Digest:
    """The policy digest of a decision: the policy's own, or for several the digest of the sorted list of theirs."""
    return digests[0] if len(digests) == 1 else digest_of(sorted(digests))


def _named(judged: Judged, result: RuleResult, several: bool) -> RuleResult:
    return replace(result, id=_of(judged, result.id, several)) if several else result


def _of(judged: Judged, text: str, several: bool, between: str = "/") -> str:
    return f"{judged.policy.name}{between}{text}" if several else text
