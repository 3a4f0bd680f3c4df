"""Every kind of result as one list of entries, for the forms that other tools read (SARIF, JUnit, annotations).

An entry that passes stands in the list too; each form says what it does with it. The first entry of a decision is the
decision itself, so that a missing approval or an empty policy is seen where no single rule fails.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from assay.core.decisions import Answer, RuleOutcome, RuleResult
from assay.core.digests import Digest, digest_of, short, shown
from assay.core.errors import Undecided
from assay.core.outcomes import FileVerdict, Severity, Skipped, Verdict
from assay.surfaces.reports import wording
from assay.surfaces.reports.results import CheckRun, DecisionReport, Found, Report, ScanReport, Waived

MANIFEST = "assay.yaml"
_PLACE = re.compile(r"(?P<path>.*?)(?::(?P<line>[0-9]{1,9})|@(?P<offset>[0-9]{1,18}))?", re.DOTALL)
_ANSWERS = {
    Answer.ALLOW: RuleOutcome.PASS,
    Answer.DENY: RuleOutcome.FAIL,
    Answer.UNDECIDED: RuleOutcome.UNDECIDED,
}


@dataclass(frozen=True)
class Entry:
    """One thing to report. Text is raw: each form makes it inert.

    `about` is the file or asset, where the report has several. `fingerprint` is stable from run to run and is made from
    names and places only, so it says nothing about a value that was found.
    """

    id: str
    outcome: RuleOutcome
    severity: Severity
    title: str
    lines: tuple[str, ...]
    path: str
    fingerprint: Digest
    line: int | None = None
    offset: int | None = None
    fix: str = ""
    refs: tuple[str, ...] = ()
    waived_by: str = ""
    about: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it blocks: failed or undecided."""
        return self.outcome in (RuleOutcome.FAIL, RuleOutcome.UNDECIDED)


def entries_of(report: Report) -> tuple[Entry, ...]:
    """All entries of a decision, or of a scan."""
    return tuple(_decided(report) if isinstance(report, DecisionReport) else _scanned(report))


def summary_of(entries: Iterable[Entry]) -> str:
    """`1 fail, 2 undecided, 6 pass`."""
    return wording.counts(entry.outcome for entry in entries)


def outcome_of(report: ScanReport) -> RuleOutcome:
    """The outcome of a whole scan: the worst of its entries; undecided where something could not be looked at at all."""
    outcomes = {entry.outcome for entry in entries_of(report)} | {RuleOutcome.PASS}
    worst = next(outcome for outcome in wording.WORST_FIRST if outcome in outcomes)
    return RuleOutcome.UNDECIDED if worst is RuleOutcome.PASS and report.exit_code == Undecided.exit_code else worst


def name_of(asset: str) -> str:
    """The name without version, alias or digest: what stays the same from one version to the next."""
    return asset.partition("@")[0]


def _decided(report: DecisionReport) -> Iterator[Entry]:
    decision, context = report.decision, report.context
    scope = [name_of(context.asset), decision.stage, decision.policy_name]
    path = context.policy_source or MANIFEST
    yield Entry(
        id="decision",
        outcome=_ANSWERS[decision.answer],
        severity=Severity.HIGH,
        title=f"{context.asset} to {decision.stage} by {decision.policy_name}",
        lines=(
            f"{decision.answer}: {context.asset} to {decision.stage} by policy {decision.policy_name} "
            f"({short(decision.policy_digest)})",
            wording.counts(rule.outcome for rule in decision.rules),
            *wording.circumstances(report),
        ),
        path=path,
        line=1,
        fingerprint=digest_of(["assay/decision/v1", *map(_text, scope)]),
    )
    for rule in decision.rules:
        yield Entry(
            id=rule.id,
            outcome=rule.outcome,
            severity=rule.severity,
            title=rule.title or rule.id,
            lines=tuple(_rule_lines(rule)),
            path=path,
            line=context.rule_lines.get(rule.id, 1),
            fingerprint=digest_of(["assay/rule/v1", *map(_text, [*scope, rule.id])]),
            fix=wording.fix(rule),
            refs=rule.refs,
            waived_by=shown(rule.waiver) if rule.waiver else "",
        )


def _rule_lines(rule: RuleResult) -> Iterator[str]:
    seen = wording.observed(rule.observed) or "nothing"
    yield f"{rule.outcome}: observed {seen}, needed {rule.needed}"
    if wording.why(rule):
        yield f"why: {wording.why(rule)}"
    if rule.outcome is not RuleOutcome.PASS and wording.fix(rule):
        yield f"fix: {wording.fix(rule)}"
    if rule.waiver:
        yield f"waiver: {shown(rule.waiver)}"
    yield from (f"evidence: {wording.evidence(cited)}" for cited in rule.evidence)


def _scanned(report: ScanReport) -> Iterator[Entry]:
    met: Counter[tuple[str, str, str]] = Counter()
    for found in report.findings:
        key = (found.check, found.finding.rule, found.path)
        yield _finding(found, met[key])
        met[key] += 1
    for waived in report.waived:
        key = (waived.found.check, waived.found.finding.rule, waived.found.path)
        yield _waived(waived, met[key])
        met[key] += 1
    with_finding = {found.path for found in report.findings}
    for file in report.files:
        if file.verdict is Verdict.INCONCLUSIVE or file.path not in with_finding:
            yield _file(file)
    runs_with_finding = {(found.check, found.asset) for found in report.findings}
    yield from (_run(run) for run in report.runs if run.state != "done" or _key(run) not in runs_with_finding)
    yield from (_skip(skipped) for skipped in report.skipped)
    if not report.files and not report.runs:
        yield _plain("nothing-examined", RuleOutcome.UNDECIDED, "undecided: nothing was examined")


def _finding(found: Found, number: int) -> Entry:
    """`number` tells findings of one rule in one file apart, without hashing what was found."""
    finding, place = found.finding, _place(found)
    lines = [f"{finding.severity}: {finding.summary}", f"where: {finding.location}"]
    return Entry(
        id=finding.rule,
        outcome=RuleOutcome.FAIL,
        severity=finding.severity,
        title=finding.summary,
        lines=(*lines, f"fix: {finding.remedy}") if finding.remedy else tuple(lines),
        path=place.path,
        line=place.line,
        offset=place.offset,
        fingerprint=digest_of(["assay/finding/v1", *map(_text, [found.check, finding.rule, found.path]), number]),
        fix=finding.remedy,
        refs=finding.refs,
        about=found.path,
    )


def _waived(waived: Waived, number: int) -> Entry:
    by = f"a suppression until {waived.expires}: {waived.reason}"
    found = _finding(waived.found, number)
    return replace(found, outcome=RuleOutcome.WAIVED, lines=(*found.lines, f"waived by {by}"), waived_by=by)


@dataclass(frozen=True)
class _Place:
    path: str
    line: int | None
    offset: int | None


def _place(found: Found) -> _Place:
    """Where to point: a line or offset counts only if it is one of the file itself, not of a member inside it."""
    match = _PLACE.fullmatch(found.finding.location)
    path, line, offset = match.group("path", "line", "offset") if match else (found.path, None, None)
    if found.path and path != found.path:
        return _Place(found.path, None, None)
    return _Place(path or MANIFEST, max(int(line), 1) if line else None, int(offset) if offset else None)


def _file(file: FileVerdict) -> Entry:
    outcome = {Verdict.CLEAN: RuleOutcome.PASS, Verdict.INCONCLUSIVE: RuleOutcome.UNDECIDED}
    text = f"{file.verdict}: {file.path} read as {file.format or 'no known format'}"
    return _plain(f"file-{file.verdict}", outcome.get(file.verdict, RuleOutcome.FAIL), text, file.path, file.path)


def _run(run: CheckRun) -> Entry:
    outcome = {"done": RuleOutcome.PASS, "skipped": RuleOutcome.NOT_APPLICABLE}.get(run.state, RuleOutcome.UNDECIDED)
    reason = f": {run.reason}" if run.reason else ""
    return _plain(run.check, outcome, f"{run.state}: {run.check} on {run.asset}{reason}", run.asset)


def _key(run: CheckRun) -> tuple[str, str]:
    return run.check, run.asset


def _skip(skipped: Skipped) -> Entry:
    text = f"not looked at: {skipped.what}: {skipped.reason}"
    return _plain("skipped", RuleOutcome.NOT_APPLICABLE, text, skipped.what)


def _plain(rule: str, outcome: RuleOutcome, text: str, about: str = "", path: str = MANIFEST) -> Entry:
    severity = Severity.HIGH if outcome is RuleOutcome.FAIL else Severity.MEDIUM
    fingerprint = digest_of(["assay/entry/v1", *map(_text, [rule, path, about])])
    return Entry(rule, outcome, severity, text, (text,), path, fingerprint, about=about)


def _text(text: str) -> str:
    """Canonical JSON refuses lone surrogates, which undecodable file names carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
