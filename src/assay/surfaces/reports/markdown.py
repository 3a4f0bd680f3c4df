"""Markdown for a comment on a merge request: the answer, a table, and why for what does not pass.

The first line is a hidden marker that stays the same for one asset, stage and policy, so a bot finds its own comment
and updates it in place. Text from outside stands in `<code>`, where no forge acts on mentions, links or references;
each of its letters that Markdown or HTML know is an entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.core.decisions import RuleOutcome, RuleResult
from assay.core.digests import short, shown
from assay.surfaces.reports import wording
from assay.surfaces.reports.entries import Entry, entries_of, summary_of
from assay.surfaces.reports.inert import inert
from assay.surfaces.reports.results import DecisionReport, Report, ScanReport

_WORDS = {
    RuleOutcome.FAIL: "**FAIL**",
    RuleOutcome.UNDECIDED: "**undecided**",
    RuleOutcome.WAIVED: "_waived_",
    RuleOutcome.PASS: "pass",
    RuleOutcome.NOT_APPLICABLE: "n/a",
}
_SYNTAX = re.compile(r"[^\w\s.,+-]|_", re.ASCII)
# What a forge turns into a link of its own: mentions, issues, merge requests, addresses, commits, emoji, formulas.
_ACTED_ON = re.compile(r"[@#$~&]|!\d|:\S|%\w|www\.|\b[0-9a-fA-F]{7,}\b|GH-\d|[A-Z]{2,}-\d")


def render(report: Report) -> str:
    """A comment. Nothing in it is an image, a link or a mention, whatever the names and texts are."""
    lines = _decision(report) if isinstance(report, DecisionReport) else _scan(report)
    return "\n".join(lines) + "\n"


def marker(report: Report) -> str:
    """The hidden line by which a bot knows its comment again; versions of one asset share it."""
    if isinstance(report, ScanReport):
        return "<!-- assay:check -->" if report.runs else "<!-- assay:scan -->"
    return f"<!-- assay:gate:{short(entries_of(report)[0].fingerprint)} -->"


def code(text: str) -> str:
    """Text as it is, in a fixed-width font, inert on every forge and in a table cell."""
    return f"<code>{_entities(inert(text)) or '-'}</code>"


def prose(text: str) -> str:
    """Text as a sentence, unless a forge would act on something in it."""
    return code(text) if _ACTED_ON.search(inert(text)) else _entities(inert(text))


def _entities(text: str) -> str:
    return _SYNTAX.sub(lambda found: found[0] if ord(found[0]) > 127 else f"&#{ord(found[0])};", text)


def _decision(report: DecisionReport) -> Iterator[str]:
    decision, context = report.decision, report.context
    yield marker(report)
    yield f"### Assay: {decision.answer}"
    yield ""
    against = f", against {code(context.baseline_name or short(decision.baseline))}" if decision.baseline else ""
    yield f"{code(context.asset)} to {code(decision.stage)}{against}: {_counts(decision.rules)}."
    for line in wording.circumstances(report):
        yield f"\n{prose(line)}"
    yield "\n| | rule | observed | needed |\n|---|---|---|---|"
    rules = wording.in_reading_order(decision.rules)
    for rule in rules:
        seen = code(wording.observed(rule.observed))
        yield f"| {_WORDS[rule.outcome]} | {code(rule.id)} | {seen} | {code(rule.needed)} |"
    open_rules = [rule for rule in rules if rule.outcome is not RuleOutcome.PASS]
    for rule in open_rules:
        yield from _why(rule)
    yield from _evidence(report)
    statement = f"statement {code(shown(context.statement))}" if context.statement else "not recorded"
    if context.page:
        yield f"\nPictures of all intervals stand in {code(context.page)}."
    policy = f"Policy {code(decision.policy_name)} {code(short(decision.policy_digest))}"
    yield f"\n{policy}, as of {code(decision.now)}, {statement}."


def _counts(rules: tuple[RuleResult, ...]) -> str:
    return wording.counts(rule.outcome for rule in rules)


def _why(rule: RuleResult) -> Iterator[str]:
    title = f" {prose(rule.title)}" if rule.title else ""
    yield f"\n- {_WORDS[rule.outcome]} {code(rule.id)} ({rule.severity}){title}"
    if wording.why(rule):
        yield f"  - why: {prose(wording.why(rule))}"
    if wording.fix(rule):
        yield f"  - fix: {prose(wording.fix(rule))}"
    if rule.waiver:
        yield f"  - waiver: {code(shown(rule.waiver))}"
    for cited in rule.evidence:
        yield f"  - evidence: {code(wording.evidence(cited))}"
    if rule.refs:
        yield f"  - refs: {', '.join(map(code, rule.refs))}"


def _evidence(report: DecisionReport) -> Iterator[str]:
    statements = wording.cited_once(report.decision)
    if not statements:
        return
    yield f"\n<details><summary>Evidence: {len(statements)} statements</summary>\n"
    yield "| | statement | signer | age | attempts |\n|---|---|---|---|---|"
    for item in statements:
        cells = [code(item.alias), code(short(item.digest)), code(wording.signer(item)), wording.age(item)]
        yield f"| {' | '.join(cells)} | {item.attempts} |"
    yield "\n</details>"


def _scan(report: ScanReport) -> Iterator[str]:
    entries = entries_of(report)
    yield marker(report)
    yield f"### Assay: {summary_of(entries)}"
    yield "\n| | what | where | |\n|---|---|---|---|"
    for entry in sorted(entries, key=_reading_order):
        if entry.outcome is not RuleOutcome.PASS:
            place = f"{entry.path}:{entry.line}" if entry.line else entry.about
            yield f"| {_WORDS[entry.outcome]} | {code(entry.id)} | {code(place)} | {prose(entry.lines[0])} |"


def _reading_order(entry: Entry) -> tuple[int, int]:
    return wording.WORST_FIRST.index(entry.outcome), -entry.severity.rank
