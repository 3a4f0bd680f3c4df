"""Times as RFC 3339 text in UTC, and durations such as `7d`. No clock here: `now` is always passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from assay.core.errors import MalformedInput

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def instant(text: str) -> datetime:
    """Reads `2026-11-22T18:00:00Z`, with up to six decimals.

    Raises:
        MalformedInput: another form, another zone, or no such day.
    """
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise MalformedInput(
            f"{str(text)[:40]!r} is not a time", "expected RFC 3339 in UTC, such as 2026-11-22T18:00:00Z"
        )
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedInput(f"{text!r} is not a time", str(error)) from error


def stamp(moment: datetime) -> str:
    """Whole seconds, as statements and decisions carry them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_ms(moment: datetime) -> str:
    """Milliseconds, as ledger leaves carry them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def duration(text: str) -> timedelta:
    """Reads `90s`, `15m`, `24h` or `7d`.

    Raises:
        MalformedInput: another form.
    """
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise MalformedInput(
            f"{str(text)[:40]!r} is not a duration", "expected a whole number and s, m, h or d, such as 7d"
        )
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def age_text(seconds: float) -> str:
    """A duration as people say it: `40 s`, `3 h`, `12 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
