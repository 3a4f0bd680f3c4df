"""What a report is made from: a decision with its surroundings, or what checks and scans found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay import __version__
from assay.core.decisions import Decision
from assay.core.digests import Digest
from assay.core.outcomes import FileVerdict, Finding, Measurement, Skipped


@dataclass(frozen=True)
class Figure:
    """A picture as an `<svg>`, with the sentence that tells how to read it."""

    title: str
    caption: str
    svg: str = field(repr=False)


@dataclass(frozen=True)
class DecisionContext:
    """What a decision does not say itself.

    `asset` is the name that the user gave (`scorer@3`), `policy_source` the policy's path relative to the repository,
    and `rule_lines` the line of each rule in it. `statement` is the one that recorded the decision. `editions` maps a
    framework that `refs` name to its edition. `body` is the digest of the decision's canonical form, for whoever makes it anew.
    `figures` are pictures for the forms that can show them, `page` the file that shows them, for the forms that cannot.
    """

    asset: str
    policy_source: str | None = None
    rule_lines: Mapping[str, int] = field(default_factory=dict)
    statement: Digest | None = None
    exit_code: int = 0
    baseline_name: str = ""
    editions: Mapping[str, str] = field(default_factory=dict)
    body: Digest | None = None
    figures: tuple[Figure, ...] = ()
    page: str = ""


@dataclass(frozen=True)
class DecisionReport:
    """A decision, ready to be shown."""

    decision: Decision
    context: DecisionContext
    tool_version: str = __version__


@dataclass(frozen=True)
class Found:
    """A finding, the check that made it and the file it is in. `asset` is named under `assay check` only."""

    path: str
    check: str
    finding: Finding
    asset: str = ""


@dataclass(frozen=True)
class Waived:
    """A finding that a suppression took away, with the reason and the day that it gives."""

    found: Found
    reason: str
    expires: str


@dataclass(frozen=True)
class CheckRun:
    """One check on one asset; `state` is `done`, `skipped` or `failed`, and `reason` says why it is not done.

    `match` is the vulns statement of a match of dependencies. `is_recorded` says that its statement stood in the ledger already
    and was taken instead of running the check again.
    """

    check: str
    asset: str
    state: str
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    statement: Digest | None = None
    is_recorded: bool = False
    match: Digest | None = None


@dataclass(frozen=True)
class ScanReport:
    """What was looked at, what was found, and what could not be looked at.

    `runs` is empty for `assay scan`, and `waived` for everything else: only a gate accepts exceptions, and only signed ones.
    """

    files: tuple[FileVerdict, ...] = ()
    findings: tuple[Found, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    runs: tuple[CheckRun, ...] = ()
    exit_code: int = 0
    tool_version: str = __version__
    waived: tuple[Waived, ...] = ()

    @property
    def findings_by_path(self) -> Mapping[str, tuple[Found, ...]]:
        """The findings of each file, files in order of name."""
        found: dict[str, list[Found]] = {}
        for item in self.findings:
            found.setdefault(item.path, []).append(item)
        return {path: tuple(found[path]) for path in sorted(found)}


Report = DecisionReport | ScanReport
