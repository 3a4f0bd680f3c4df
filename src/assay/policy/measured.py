"""Finds the one measurement that a rule speaks of, and refuses numbers that cannot mean what they say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.canonical import Json
from assay.core.decisions import Observed
from assay.core.outcomes import Measurement
from assay.policy.selection import Chosen, Selection

_CLOSE = 1e-6


@dataclass(frozen=True)
class Found:
    """A measurement and the statement that holds it."""

    measurement: Measurement
    chosen: Chosen


@dataclass(frozen=True)
class NotFound:
    """Why there is no usable number: a reason word, the words beside it, and the rows that would help."""

    reason: str
    text: str
    rows_needed: int | None = None


def find(selection: Selection, path: str) -> Found | NotFound:
    """The only measurement called `path` over all rows among an alias's statements."""
    held = [(item, c) for c in selection.chosen for item in measurements_of(c.predicate, path)]
    if not held:
        return NotFound(selection.problem or "missing", selection.text if selection.problem else f"no number {path!r}")
    if len(held) > 1:
        return NotFound("ambiguous", f"{len(held)} numbers are called {path!r}")
    item, chosen = held[0]
    if chosen.problem:
        return NotFound(chosen.problem, f"{chosen.check}: {chosen.problem}")
    measurement = measurement_of(item)
    problem = problem_of_measurement(measurement)
    return NotFound(problem, f"{path} = {measurement.value}") if problem else Found(measurement, chosen)


def problem_of_measurement(m: Measurement) -> str:
    """A reason word, or "" if value, bounds and counts can be used and agree."""
    bounds = [bound for bound in (m.low, m.high) if bound is not None]
    if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in (m.value, m.level, *bounds)):
        return "nan"
    if not m.valid:
        return "invalid"
    if m.n <= 0:
        return "empty"
    if (m.low is not None and m.low > m.value + _CLOSE) or (m.high is not None and m.high < m.value - _CLOSE):
        return "inconsistent"
    return "" if _counts_agree(m) else "inconsistent"


def hits_of(m: Measurement) -> tuple[int, int] | None:
    """Hits and rows of a share, where they were recorded."""
    if m.kind != "share" or not isinstance(m.limit, dict):
        return None
    hits, n = m.limit.get("hits"), m.limit.get("n")
    return (hits, n) if type(hits) is int and type(n) is int else None


def groups_of(m: Measurement) -> tuple[list[str], list[int], list[int]] | None:
    """Names, hits and rows of the groups of a gap, where they were recorded."""
    if m.kind != "gap" or not isinstance(m.limit, dict):
        return None
    names, hits, rows = (m.limit.get(key) for key in ("groups", "hits", "counts"))
    if not (isinstance(names, list) and isinstance(hits, list) and isinstance(rows, list)):
        return None
    if not len(names) == len(hits) == len(rows) or not all(type(number) is int for number in (*hits, *rows)):
        return None
    return [str(name) for name in names], hits, rows


@dataclass(frozen=True)
class Flagged:
    """How many of how many rows a count is of, and the power of what counted: `exact`, or canaries found and planted."""

    hits: int
    n: int
    canaries: tuple[int, int] | None = None
    is_exact: bool = False


def flagged_of(m: Measurement) -> Flagged | None:
    """The rows behind a count, where `limit` says `hits` and `n`; `detector: exact` or `canaries: {found, planted}`."""
    if m.kind != "count" or not isinstance(m.limit, dict):
        return None
    hits, n, canaries = m.limit.get("hits"), m.limit.get("n"), m.limit.get("canaries")
    if not (type(hits) is int and type(n) is int and 0 <= hits <= n and n > 0):
        return None
    return Flagged(hits, n, _canaries(canaries), m.limit.get("detector") == "exact")


def _canaries(given: Json) -> tuple[int, int] | None:
    found, planted = (given.get("found"), given.get("planted")) if isinstance(given, dict) else (None, None)
    if type(found) is not int or type(planted) is not int or not 0 <= found <= planted or planted == 0:
        return None
    return found, planted


def observed(m: Measurement, low: float | None = None, high: float | None = None, text: str = "") -> Observed:
    """What was seen, with the bounds that decided or those recorded."""
    shown_low, shown_high = (m.low, m.high) if low is None and high is None else (low, high)
    return Observed(rounded(m.value), rounded(shown_low), rounded(shown_high), m.n, m.unit, text)


def rounded(number: float | None) -> float | None:
    """Twelve significant digits and no -0, so that another numerics library flips no byte; None if not finite."""
    return float(f"{number:.12g}") + 0.0 if number is not None and math.isfinite(number) else None


def _counts_agree(m: Measurement) -> bool:
    if m.kind == "share" and m.limit is not None:
        share = hits_of(m)
        return share is not None and 0 <= share[0] <= share[1] == m.n and abs(share[0] / m.n - m.value) <= _CLOSE
    if m.kind == "gap" and m.limit is not None:
        groups = groups_of(m)
        return groups is not None and _gap_agrees(m.value, list(zip(groups[1], groups[2], strict=True)))
    return True


def _gap_agrees(value: float, groups: list[tuple[int, int]]) -> bool:
    """Groups without rows play no part in the gap; a policy finds them too small."""
    shares = [hits / rows for hits, rows in groups if rows > 0]
    in_range = all(0 <= hits <= rows for hits, rows in groups)
    return in_range and len(shares) > 1 and abs(max(shares) - min(shares) - value) <= _CLOSE


def measurements_of(predicate: Json, path: str) -> list[dict[str, Json]]:
    """Every measurement of a statement called `path` over all rows."""
    return [item for item in _measurements(predicate) if _is_called(item, path)]


def _measurements(predicate: Json) -> Iterator[dict[str, Json]]:
    items = predicate.get("measurements")
    return (item for item in items if isinstance(item, dict)) if isinstance(items, (list, tuple)) else iter(())


def _is_called(item: dict[str, Json], path: str) -> bool:
    return item.get("metric") == path and item.get("group") is None and item.get("slice") is None


def measurement_of(item: dict[str, Json]) -> Measurement:
    """A value of the predicate, whose shape its schema has been held against."""
    return Measurement(
        metric=item["metric"],
        value=item["value"],
        unit=item["unit"],
        better=item["better"],
        n=int(item["n"]),
        low=item.get("low"),
        high=item.get("high"),
        level=item.get("level", 0.95),
        method=item.get("method", ""),
        kind=item.get("kind", "share"),
        group=item.get("group"),
        slice=item.get("slice"),
        limit=item.get("limit"),
        table=item.get("outcomes"),
        threat_model=item.get("threatModel"),
        valid=item.get("valid", True),
    )
