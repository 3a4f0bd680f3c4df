"""A scan for people: every file that is not clean, everything found in it, and what was not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from assay.core.decisions import RuleOutcome
from assay.core.outcomes import Measurement, Severity, Verdict
from assay.surfaces.reports.entries import outcome_of
from assay.surfaces.reports.inert import inert
from assay.surfaces.reports.results import CheckRun, Found, ScanReport
from assay.surfaces.reports.terminal import BOLD, CYAN, GREEN, RED, YELLOW, Terminal, padded

_VERDICT_STYLES = {
    Verdict.MALICIOUS: RED,
    Verdict.UNKNOWN: RED,
    Verdict.INCONCLUSIVE: YELLOW,
    Verdict.CLEAN: GREEN,
}
_SEVERITY_STYLES = {Severity.CRITICAL: RED, Severity.HIGH: RED, Severity.MEDIUM: YELLOW, Severity.LOW: CYAN}


def scan_lines(report: ScanReport, terminal: Terminal) -> Iterator[str]:
    """The sum, what is wrong, what was not looked at, the sum again."""
    yield _sum(report, terminal)
    places = {file.path: file for file in report.files if file.verdict is not Verdict.CLEAN}
    by_path = report.findings_by_path
    for path in [*places, *(path for path in by_path if path not in places)]:
        yield ""
        verdict = places[path].verdict if path in places else None
        word = terminal.paint(_VERDICT_STYLES[verdict], f"{verdict:<12}") if verdict else padded("found in", 12)
        read_as = f"  ({inert(places[path].format) or 'no known format'})" if path in places else ""
        yield f"  {word}  {terminal.paint(BOLD, inert(path))}{read_as}"
        for found in by_path.get(path, ()):
            yield from _finding(found, terminal)
    yield from _runs(report.runs, terminal)
    yield from [""] * bool(report.waived)
    for one in report.waived:
        yield from terminal.wrapped(
            f"waived until {one.expires}: {one.found.finding.rule} at {one.found.finding.location}: {one.reason}", 2
        )
    yield from [""] * bool(report.skipped)
    for skipped in report.skipped:
        yield from terminal.wrapped(f"not looked at: {skipped.what}: {skipped.reason}", 2)
    if report.findings or places:
        yield ""
        yield _sum(report, terminal)


def _finding(found: Found, terminal: Terminal) -> Iterator[str]:
    finding = found.finding
    severity = terminal.paint(_SEVERITY_STYLES[finding.severity], f"{finding.severity:<8}")
    yield f"    {severity}  {terminal.paint(BOLD, inert(finding.rule))}  at {inert(finding.location)}"
    yield from terminal.wrapped(finding.summary, 14)
    if finding.remedy:
        yield from terminal.fact("fix", finding.remedy, indent=14)
    if finding.refs:
        yield from terminal.fact("refs", ", ".join(finding.refs), indent=14)


def _runs(runs: tuple[CheckRun, ...], terminal: Terminal) -> Iterator[str]:
    if runs:
        yield ""
    for run in sorted(runs, key=lambda run: {"skipped": 1, "done": 2}.get(run.state, 0)):
        style = {"failed": YELLOW, "done": GREEN}.get(run.state, CYAN)
        reason = f"  {inert(run.reason)}" if run.reason else ""
        reason += "  (recorded before and current; --again runs it)" if run.is_recorded else ""
        state = terminal.paint(style, f"{inert(run.state):<12}")
        yield f"  {state}  {inert(run.check)} on {inert(run.asset)}{reason}"
        for measured in run.measurements:
            yield _measured(measured)


def _measured(m: Measurement) -> str:
    """One number with its interval and rows: `accuracy  0.900  [0.882, 0.915]  n=1,289`."""
    name = m.metric + (f" of {m.group}" if m.group else "") + (f" in {m.slice}" if m.slice else "")
    spread = f"  [{m.low:.4g}, {m.high:.4g}]" if m.low is not None and m.high is not None and m.low != m.high else ""
    broken = "" if m.valid else "  NOT VALID: why is said below"
    return f"                - {inert(name):<44} {m.value:.4g}{spread}  n={m.n:,}{broken}"


def _sum(report: ScanReport, terminal: Terminal) -> str:
    worst = outcome_of(report)
    word, style = {
        RuleOutcome.FAIL: ("FINDINGS", RED),
        RuleOutcome.UNDECIDED: ("INCONCLUSIVE", YELLOW),
    }.get(worst, ("NOTHING FOUND", GREEN))
    return f"{terminal.paint(style, word)}  {'; '.join(_parts(report))}"


def _parts(report: ScanReport) -> Iterator[str]:
    verdicts, states = Counter(file.verdict for file in report.files), Counter(run.state for run in report.runs)
    if report.files:
        counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in _VERDICT_STYLES if verdicts[verdict])
        yield f"{_many(len(report.files), 'file')}: {counts}"
    if report.runs:
        counts = ", ".join(f"{count} {inert(state)}" for state, count in states.items())
        yield f"{_many(len(report.runs), 'check')}: {counts}"
    if not report.files and not report.runs:
        yield "nothing was examined"
    yield _many(len(report.findings), "finding")
    if report.waived:
        yield f"{len(report.waived)} waived"
    if report.skipped:
        yield f"{len(report.skipped)} not looked at"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
