"""GitHub workflow commands: annotations beside the line of the policy, or of the file that was scanned.

GitHub shows ten annotations of a kind for a step, so what blocks most stands first.
Source: docs.github.com, "Workflow commands for GitHub Actions"; actions/toolkit `command.ts` for the escapes.
"""

from __future__ import annotations

from assay.core.decisions import RuleOutcome
from assay.surfaces.reports.entries import Entry, entries_of, outcome_of, summary_of
from assay.surfaces.reports.inert import inert
from assay.surfaces.reports.results import DecisionReport, Report
from assay.surfaces.reports.wording import WORST_FIRST

_COMMANDS = {
    RuleOutcome.FAIL: "error",
    RuleOutcome.UNDECIDED: "warning",
    RuleOutcome.WAIVED: "notice",
    RuleOutcome.NOT_APPLICABLE: "notice",
}


def render(report: Report) -> str:
    """One command a line: the whole first, then each entry that does not pass, worst first."""
    entries = entries_of(report)
    if isinstance(report, DecisionReport):
        whole, entries = _command(entries[0]), entries[1:]
    else:
        whole = f"::{_COMMANDS.get(outcome_of(report), 'notice')} title=assay::{_data(summary_of(entries))}"
    rest = sorted(
        (entry for entry in entries if entry.outcome in _COMMANDS),
        key=lambda entry: (WORST_FIRST.index(entry.outcome), -entry.severity.rank),
    )
    return "\n".join([whole, *(_command(entry) for entry in rest)]) + "\n"


def _command(entry: Entry) -> str:
    # A decision that is not `allow` stops the pipeline, so undecided is an error there.
    command = "error" if entry.id == "decision" and entry.is_open else _COMMANDS.get(entry.outcome, "notice")
    place = f"file={_property(entry.path)},line={entry.line or 1}"
    text = "%0A".join(_data(line) for line in entry.lines)
    return f"::{command} {place},title={_property(f'assay {entry.id}')}::{text}"


def _data(text: str) -> str:
    return inert(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
