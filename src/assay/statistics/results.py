"""The values that the room hands out: intervals for reports, claims for decisions.

An interval is two-sided and shown. A claim holds one-sided bounds and the p-values of the two hypotheses that a gate
may reject; what follows from them is decided in `assay.policy`, never here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval of confidence `level`, from `n` rows by the named `method`."""

    estimate: float
    low: float
    high: float
    level: float
    method: str
    n: int


@dataclass(frozen=True)
class Limit:
    """What a metric must keep to: `value` in the unit of the metric, `op` one of `>=`, `>`, `<=`, `<`."""

    value: float
    op: str


@dataclass(frozen=True)
class LimitClaim:
    """What the rows say about a limit.

    `low` and `high` are one-sided bounds of the metric, each at confidence 1 - alpha. `p_pass` is the p-value of "the
    limit is not met" (small speaks for pass), `p_fail` that of "the limit is met" (small speaks for fail).
    `rows_needed` is the size of the whole table, not the rows still missing, at which the limit would be shown with
    the asked power if the estimate were the truth; None where no number of rows would show it.
    """

    low: float
    high: float
    p_pass: float
    p_fail: float
    rows_needed: int | None


@dataclass(frozen=True)
class PairedClaim:
    """What the rows say about candidate minus baseline, signed so that larger is better.

    `low` and `high` are one-sided bounds of the difference, each at confidence 1 - alpha. `p_not_worse` is the
    p-value of "worse by the margin or more" (small speaks for pass), `p_regression` that of "not worse at all" (small
    speaks for fail), `p_beyond` that of "not worse by more than the margin" (small speaks for fail). `rows_needed` is
    the size of the whole table, as in `LimitClaim`. `lost` and `gained` count the rows that only the baseline, and only
    the candidate, got right; None for metrics that are not shares.
    """

    estimate: float
    low: float
    high: float
    p_not_worse: float
    p_regression: float
    p_beyond: float
    rows_needed: int | None
    n: int
    lost: int | None
    gained: int | None
