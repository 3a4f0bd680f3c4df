"""What goes into the runner and what comes out of it: jobs, limits, events and results. Values only.

A result is `done` only if the check ran to its end and said something. Whatever else happened is `failed`, and a failed
result keeps bad news alone: its findings, its skips and verdicts other than clean. Nothing of it reads as clean.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from assay.core.assets import Asset
from assay.core.canonical import Json
from assay.core.checks import Check
from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.core.outcomes import Facts, FileVerdict, Finding, Measurement, Progress, Skipped, Table
from assay.predictors.declared import Reach, extra_of_predictor, reach_of

MAX_SEED = 2**53


@dataclass(frozen=True)
class Limits:
    """What one job may use. Memory counts beyond what the preloaded libraries take; files are those in its scratch."""

    wall_s: float = 600.0
    cpu_s: int = 600
    memory_bytes: int = 2 << 30
    file_bytes: int = 1 << 30
    outcomes: int = 100_000
    output_bytes: int = 64 << 20
    tables: int = 16
    table_bytes: int = 256 << 20
    facts_bytes: int = 64 << 20


@dataclass(frozen=True)
class Located:
    """An asset and the folder that holds its files."""

    asset: Asset
    root: Path


@dataclass(frozen=True)
class Job:
    """One check of one asset. `related` holds the assets that the subject names, by role; `options` are as given."""

    check: Check
    subject: Located
    related: Mapping[str, tuple[Located, ...]] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)
    seed: int = 0
    limits: Limits = Limits()

    @property
    def asset(self) -> Asset:
        """The asset that is looked at."""
        return self.subject.asset

    @property
    def needs(self) -> tuple[str, ...]:
        """The extras that this job imports: those of the check, and that of the model's adapter where it runs the model."""
        extra = extra_of_predictor(self.asset.declared) if self.check.runs_model else None
        return (*self.check.needs, extra) if extra and extra not in self.check.needs else self.check.needs

    @property
    def reach(self) -> Reach | None:
        """The one place in the network that this job may reach: the declared endpoint of a remote model."""
        return reach_of(self.asset.declared) if self.check.runs_model else None

    @property
    def merged_options(self) -> Mapping[str, Json]:
        """The check's defaults with what was given over them.

        Raises:
            UsageError: an option that the check does not have, or a value of another type than its default.
        """
        return merged_options(self.check, self.options)

    def __str__(self) -> str:
        return f"{self.check.id} of {self.asset}"


class State(StrEnum):
    """Whether a check ran to its end."""

    DONE = "done"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Why a job failed, as a stable word."""

    TIMEOUT = "timeout"
    CPU = "cpu"
    MEMORY = "memory"
    CRASH = "crash"
    EXCEPTION = "exception"
    MALFORMED = "malformed-output"
    EXCESSIVE = "excessive-output"
    SILENT = "silent"
    UNLOADABLE = "unloadable"
    WORKER = "worker"


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable kind and one line for people."""

    kind: FailureKind
    text: str

    def __str__(self) -> str:
        return self.text


Kept = Finding | Measurement | FileVerdict | Skipped


@dataclass(frozen=True)
class JobResult:
    """What came of a job. `tables` holds every table that a measurement names, `facts` what a scan saw; neither where it failed.

    `peak_bytes` includes the memory shared with preloaded libraries. `unenforced` names limits that this system
    cannot hold, such as memory on macOS.
    """

    job: Job
    state: State
    failure: Failure | None
    outcomes: tuple[Kept, ...]
    tables: Mapping[Digest, Table]
    started: datetime
    finished: datetime
    cpu_s: float
    peak_bytes: int
    unenforced: tuple[str, ...] = ()
    facts: Facts | None = None

    @property
    def check_id(self) -> str:
        """Which check."""
        return self.job.check.id

    @property
    def check_version(self) -> int:
        """Which version of it."""
        return self.job.check.version

    @property
    def asset_digest(self) -> Digest:
        """The asset that was looked at."""
        return self.job.asset.digest


@dataclass(frozen=True)
class Started:
    """A worker began with this job."""

    job: Job


@dataclass(frozen=True)
class Progressed:
    """How far a job has come; at most ten a second for each job."""

    job: Job
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """The last event of a job; each job has exactly one."""

    result: JobResult


Event = Started | Progressed | Finished


def merged_options(check: Check, given: Mapping[str, Json]) -> Mapping[str, Json]:
    """The defaults of `check` with `given` over them; a whole number may stand where the default has decimals.

    Raises:
        UsageError: an option that the check does not have, or a value of another type than its default.
    """
    for name, value in given.items():
        if name not in check.defaults:
            raise _unknown_option(check, name)
        if not _is_like(value, check.defaults[name]):
            wanted = type(check.defaults[name]).__name__
            raise UsageError(
                f"option {name!r} of check {check.id} cannot be {value!r:.80}",
                f"its default is {check.defaults[name]!r:.80}, a {wanted}",
                f"give a {wanted}",
            )
    return {**check.defaults, **given}


def _unknown_option(check: Check, name: str) -> UsageError:
    near = difflib.get_close_matches(name, check.defaults, 1, cutoff=0.4)
    known = ", ".join(sorted(check.defaults)) or "none"
    return UsageError(
        f"check {check.id} has no option {name[:80]!r}",
        f"it has {known}",
        f"did you mean {near[0]!r}?" if near else "remove it",
    )


def _is_like(value: Json, default: Json) -> bool:
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, (list, tuple)):
        return isinstance(value, (list, tuple))
    return isinstance(value, type(default))
