"""What a check yields: findings, measurements, progress and skips. Values only; the runner signs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from assay.core.canonical import Json
from assay.core.digests import Digest


class Severity(StrEnum):
    """How bad a finding is, or how much a rule matters; `rank` orders them."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return list(Severity).index(self)


class Verdict(StrEnum):
    """What a scan says of one file. Only `clean` clears it."""

    CLEAN = "clean"
    MALICIOUS = "malicious"
    UNKNOWN = "unknown"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Finding:
    """One thing wrong at one place. `location` is `path`, `path:line` or `path@offset`; never a secret's value."""

    rule: str
    severity: Severity
    location: str
    summary: str
    remedy: str = ""
    refs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One number about one asset.

    `low` and `high` bound the two-sided interval at `level`; an exact count has low = high = value. `better` says the
    direction. `limit` holds what a policy needs to test the value against a limit without the table: for a share
    `{"hits","n"}`, for a gap `{"groups":[...],"hits":[...],"counts":[...]}`. `table` names the per-row outcomes that
    this number was computed from.
    """

    metric: str
    value: float
    unit: str
    better: str
    n: int
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    kind: str = "share"
    group: str | None = None
    slice: str | None = None
    limit: Json = None
    table: Digest | None = None
    threat_model: str | None = None
    valid: bool = True


@dataclass(frozen=True)
class FileVerdict:
    """What a scan found one file to be."""

    path: str
    sha256: Digest
    format: str
    verdict: Verdict


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps; `total` 0 means unknown."""

    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked at, and why; a missing library names its install line."""

    what: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Per-row outcomes to keep as evidence; `data` are the bytes of an outcome table (`statistics.tables`)."""

    data: bytes = field(repr=False)
    rows: int
    row_root: Digest


@dataclass(frozen=True)
class Facts:
    """What a scan saw in all files, kept as evidence so that it can be judged again without them; at most one a check.

    `data` are canonical JSON of `schema`; `lists` are the names and digests of the allow-lists that judged them.
    """

    data: bytes = field(repr=False)
    schema: str
    lists: tuple[tuple[str, Digest], ...] = ()


Outcome = Finding | Measurement | FileVerdict | Progress | Skipped | Table | Facts
