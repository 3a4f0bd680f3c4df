"""Intervals as measurements, so that a check says what it measured and not how a measurement is put together."""

from __future__ import annotations

from typing import TypedDict, Unpack

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.outcomes import Measurement
from assay.statistics.intervals import share_interval
from assay.statistics.results import Interval


class Details(TypedDict, total=False):
    """What else a measurement may say; see `Measurement`."""

    group: str | None
    slice: str | None
    limit: Json
    table: Digest | None
    threat_model: str | None
    valid: bool


def measured(
    metric: str,
    found: Interval,
    unit: str,
    kind: str,
    *,
    better: str = "higher",
    about: str = "",
    **details: Unpack[Details],
) -> Measurement:
    """An estimate with its interval; `about` is added to the method."""
    method = f"{found.method}; {about}" if about else found.method
    return Measurement(
        metric, found.estimate, unit, better, found.n, found.low, found.high, found.level, method, kind, **details
    )


def measured_share(
    metric: str, hits: int, n: int, *, better: str = "higher", about: str = "", **details: Unpack[Details]
) -> Measurement:
    """The share of `hits` among `n` rows with its Wilson interval, and the counts that a limit is tested on."""
    found = share_interval(hits, n)
    details["limit"] = {"hits": hits, "n": n}
    return measured(metric, found, "share", "share", better=better, about=about, **details)
