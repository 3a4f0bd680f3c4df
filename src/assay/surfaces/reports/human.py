"""A decision as a table for people, or a scan (`human_scan`).

The answer stands first and last. What blocks comes first, with why and what to do; what passes takes one line a rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.decisions import Answer, RuleOutcome, RuleResult
from assay.core.digests import short, shown
from assay.surfaces.reports import wording
from assay.surfaces.reports.human_scan import scan_lines
from assay.surfaces.reports.inert import inert
from assay.surfaces.reports.results import DecisionReport, Report
from assay.surfaces.reports.terminal import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Terminal, cells, padded, widest

_STYLES = {
    RuleOutcome.FAIL: RED,
    RuleOutcome.UNDECIDED: YELLOW,
    RuleOutcome.WAIVED: CYAN,
    RuleOutcome.PASS: GREEN,
    RuleOutcome.NOT_APPLICABLE: DIM,
}
_ANSWER_STYLES = {Answer.ALLOW: GREEN, Answer.DENY: RED, Answer.UNDECIDED: YELLOW}


def render(report: Report, *, color: bool = False, width: int = 100) -> str:
    """Text for a terminal of `width` columns; colour repeats what the words say."""
    terminal = Terminal(color, width)
    lines = decision_lines(report, terminal) if isinstance(report, DecisionReport) else scan_lines(report, terminal)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def decision_lines(report: DecisionReport, terminal: Terminal) -> Iterator[str]:
    """The answer, the rules, the evidence, the answer again."""
    yield from _head(report, terminal)
    yield ""
    rules = wording.in_reading_order(report.decision.rules)
    seen = {rule.id: inert(wording.observed(rule.observed)) or "-" for rule in rules}
    id_width = widest([inert(rule.id) for rule in rules], 32)
    seen_width = widest(list(seen.values()), max(terminal.columns - id_width - 34, 12))
    was_detailed = False
    for rule in rules:
        is_detailed = rule.outcome not in (RuleOutcome.PASS, RuleOutcome.NOT_APPLICABLE)
        yield from [""] * (was_detailed and not is_detailed)
        yield from _rule(rule, seen[rule.id], id_width, seen_width, terminal)
        was_detailed = is_detailed
    yield from _evidence(report, terminal)
    yield from [""] * bool(rules)
    yield from _last(report, terminal)


def _answer(report: DecisionReport, terminal: Terminal) -> str:
    answer = report.decision.answer
    return terminal.paint(_ANSWER_STYLES[answer], answer.upper())


def _head(report: DecisionReport, terminal: Terminal) -> Iterator[str]:
    decision, context = report.decision, report.context
    subject = f"{inert(context.asset)} to {inert(decision.stage)}"
    policy = f"policy {inert(decision.policy_name)} ({short(decision.policy_digest)})"
    room = terminal.columns - len(decision.answer) - 2 - cells(subject) - cells(policy)
    answer = f"{_answer(report, terminal)}  {terminal.paint(BOLD, subject)}"
    yield from [f"{answer}{' ' * room}{policy}"] if room >= 2 else [answer, f"  {policy}"]
    against = ""
    if decision.baseline:
        against = f"against {context.baseline_name or shown(decision.baseline)}, "
    yield from terminal.wrapped(f"{against}as of {decision.now}, ledger of {decision.ledger_size:,} entries", 2)
    for line in wording.circumstances(report):
        yield from terminal.wrapped(line, 2)


def _rule(rule: RuleResult, seen: str, id_width: int, seen_width: int, terminal: Terminal) -> Iterator[str]:
    mark = terminal.paint(_STYLES[rule.outcome], f"{wording.MARKS[rule.outcome]:<6}")
    needed = f"needed {inert(rule.needed)}" if rule.needed else ""
    left = f"  {mark}  {padded(inert(rule.id), id_width)}  {padded(seen, seen_width)}"
    used = 12 + max(cells(inert(rule.id)), id_width) + max(cells(seen), seen_width)
    fits = used + 2 + cells(needed) <= terminal.columns
    yield f"{left}  {needed}" if fits else left
    if not fits and needed:
        yield from terminal.fact("needed", rule.needed)
    if rule.outcome is RuleOutcome.PASS:
        return
    yield from _details(rule, terminal)


def _details(rule: RuleResult, terminal: Terminal) -> Iterator[str]:
    if rule.outcome is not RuleOutcome.NOT_APPLICABLE:
        yield from terminal.fact("rule", f"{rule.severity} severity{f': {rule.title}' if rule.title else ''}")
    if wording.why(rule):
        yield from terminal.fact("why", wording.why(rule))
    if wording.fix(rule) and rule.outcome is not RuleOutcome.NOT_APPLICABLE:
        yield from terminal.fact("fix", wording.fix(rule))
    if rule.waiver:
        yield from terminal.fact("waiver", shown(rule.waiver))
    if rule.evidence and rule.outcome is not RuleOutcome.NOT_APPLICABLE:  # signer and age stand in the list below
        yield from terminal.fact("from", ", ".join(f"{cited.alias} {short(cited.digest)}" for cited in rule.evidence))
    if rule.refs:
        yield from terminal.fact("refs", ", ".join(rule.refs))


def _evidence(report: DecisionReport, terminal: Terminal) -> Iterator[str]:
    statements = wording.cited_once(report.decision)
    if not statements:
        return
    yield ""
    yield terminal.paint(BOLD, "  evidence")
    aliases = [inert(item.alias) for item in statements]
    signers = [inert(wording.signer(item)) for item in statements]
    alias_width, signer_width = widest(aliases, 24), widest(signers, 44)
    for item, alias, signer in zip(statements, aliases, signers, strict=True):
        runs = f", {item.attempts} attempts" if item.attempts > 1 else ""
        left = f"  {short(item.digest)}  {padded(alias, alias_width)}  {padded(signer, signer_width)}"
        yield f"{left}  {wording.age(item)}{runs}"


def _last(report: DecisionReport, terminal: Terminal) -> Iterator[str]:
    statement = report.context.statement
    yield f"{_answer(report, terminal)}  {wording.counts(rule.outcome for rule in report.decision.rules)}"
    yield f"  recorded as {shown(statement)}" if statement else "  not recorded"
