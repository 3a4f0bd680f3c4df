"""What is wrong, or weak, in a policy that reads well; each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.errors import MissingExtra, PolicyError
from assay.evidence.trust import ROLES
from assay.policy.expr import compile_expr
from assay.policy.grammar import Compare, Expr, Policy, Rule, Threshold
from assay.policy.offered import is_count


@dataclass(frozen=True)
class Problem:
    """One remark; `is_error` means that the policy cannot decide as it stands, else it is a weakness."""

    line: int
    rule: str
    what: str
    fix: str = ""
    is_error: bool = False

    def __str__(self) -> str:
        said = f"line {self.line}: {self.rule}: {self.what}"
        return f"{said} ({self.fix})" if self.fix else said


def lint(policy: Policy) -> tuple[Problem, ...]:
    """Every remark about a policy, by line."""
    found = [*_evidence_problems(policy)]
    for rule in policy.rules:
        found += _rule_problems(policy, rule)
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.rule, problem.what)))


def _evidence_problems(policy: Policy) -> Iterator[Problem]:
    for alias, spec in policy.evidence.items():
        name = f"evidence.{alias}"
        if spec.max_age_s is None:
            yield Problem(spec.line, name, "its evidence never grows old", "add max_age")
        if not spec.signed_by:
            yield Problem(spec.line, name, "any trusted role may sign it", "add signed_by")
        for role in spec.signed_by:
            if role not in ROLES and role not in policy.trust:
                what = (
                    f"there is no role {role!r} in trust policies, and `trust` of this policy does not name it either"
                )
                yield Problem(spec.line, name, what, f"roles are {', '.join(ROLES)}")


def _rule_problems(policy: Policy, rule: Rule) -> Iterator[Problem]:
    test = rule.test
    if isinstance(test, Expr):
        yield from _expr_problems(policy, rule, test)
    elif isinstance(test, Threshold):
        exact = is_count(test.path, policy.evidence[test.alias].type)
        if test.bound == "estimate":
            yield Problem(rule.line, rule.id, "it holds the estimate alone, so luck passes", "leave `bound` out")
        if test.op == "==" and not exact:
            yield Problem(rule.line, rule.id, "`==` is for counts", "use >= or <=", is_error=True)
    elif isinstance(test, Compare):
        if not test.same:
            yield Problem(rule.line, rule.id, "an easier suite would be compared too", "add same: [suite]")
        if test.total_margin is not None and policy.anchor is None:
            what = "total_margin is held against an anchor, and `baseline` pins none"
            yield Problem(rule.line, rule.id, what, "add anchor: sha256:HEX to baseline", is_error=True)


def _expr_problems(policy: Policy, rule: Rule, test: Expr) -> Iterator[Problem]:
    types = {alias: spec.type for alias, spec in policy.evidence.items()}
    try:
        compile_expr(test, types)
    except PolicyError as error:
        yield Problem(rule.line, rule.id, f"{error.what}: {error.why}", error.fix, is_error=True)
    except MissingExtra as error:
        yield Problem(rule.line, rule.id, f"not looked at: {error.why}", error.fix)
