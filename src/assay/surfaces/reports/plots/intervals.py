"""What each rule saw: the change against its margin, or the value against its limit, with the bounds that decided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.core.decisions import RuleOutcome
from assay.surfaces.reports.plots import svg
from assay.surfaces.reports.plots.scales import Scale, covering, number, x_axis

WIDTH, NAMES, NUMBERS, ROW, TOP = 900.0, 215.0, 220.0, 46.0, 34.0
_LOOKS = {
    RuleOutcome.PASS: ("dot", "good"),
    RuleOutcome.FAIL: ("square", "bad"),
    RuleOutcome.WAIVED: ("diamond", "two hollow"),
    RuleOutcome.UNDECIDED: ("diamond", "open hollow"),
    RuleOutcome.NOT_APPLICABLE: ("dot", "open hollow"),
}


@dataclass(frozen=True)
class Row:
    """One mark: `estimate` with its bounds, and the `mark_at` that decides (minus the margin, or the limit).

    `is_above` says that values above the mark are what is asked for.
    """

    name: str
    outcome: RuleOutcome
    estimate: float
    low: float
    high: float
    mark_at: float
    n: int | None
    unit: str = ""
    detail: str = ""
    is_above: bool = True


def changes(rows: Sequence[Row]) -> str:
    """Changes against a baseline or anchor, each in its own margin, so that all share one axis: at -1 the margin is lost."""
    scaled = [_scaled(row) for row in rows]
    shown = [value for row in scaled for value in (row.low, row.estimate, row.high)]
    within = [value for value in shown if abs(value) <= 6] or [0.0]
    scale = covering(within, NAMES, WIDTH - NUMBERS, keep=(-1.5, 1.0))
    bottom = TOP + ROW * len(rows)
    parts = [svg.box(scale.start, TOP, scale.at(-1) - scale.start, bottom - TOP, "off")]
    parts += x_axis(scale, TOP, bottom, "change in margins of each rule; more is better; the margin is lost at -1")
    parts += [
        svg.line(scale.at(0), TOP, scale.at(0), bottom, "axis"),
        svg.line(scale.at(-1), TOP, scale.at(-1), bottom, "limit"),
    ]
    parts += [
        svg.text(scale.at(-1), TOP - 10, "margin", "soft", "middle"),
        svg.text(scale.at(0), TOP - 10, "no change", "soft", "middle"),
    ]
    for place, (row, plain) in enumerate(zip(scaled, rows, strict=True)):
        parts += _row(row, plain, scale, TOP + ROW * (place + 0.5))
    return svg.picture(WIDTH, bottom + 46, "Changes against what is compared with", _in_words(rows), parts)


def limits(rows: Sequence[Row]) -> str:
    """Values of one unit against their limits; the tinted side of each limit is the one asked for."""
    seen = [value for row in rows for value in (row.low, row.high, row.mark_at) if math.isfinite(value)]
    is_share = not rows[0].unit and all(0 <= value <= 1 for value in seen)
    values = [value for row in rows for value in (row.low, row.estimate, row.high)]
    marks = tuple(row.mark_at for row in rows)
    scale = Scale(0, 1, NAMES, WIDTH - NUMBERS) if is_share else covering(values, NAMES, WIDTH - NUMBERS, keep=marks)
    top = 8.0
    bottom, parts = top + ROW * len(rows), []
    for place, row in enumerate(rows):
        at, y = scale.at(row.mark_at), top + ROW * place
        start, end = (at, scale.end) if row.is_above else (scale.start, at)
        parts.append(svg.box(start, y + 7, end - start, ROW - 14, "zone"))
    unit = rows[0].unit or "share of rows"
    parts += x_axis(scale, top, bottom, f"value ({unit}); dashed: the limit; tinted: what is asked for")
    for place, row in enumerate(rows):
        at, y = scale.at(row.mark_at), top + ROW * (place + 0.5)
        parts += [svg.line(at, y - 17, at, y + 17, "limit"), *_row(row, row, scale, y)]
    return svg.picture(WIDTH, bottom + 46, "Values against their limits", _in_words(rows), parts)


def _scaled(row: Row) -> Row:
    margin = abs(row.mark_at) or 1.0
    return Row(row.name, row.outcome, row.estimate / margin, row.low / margin, row.high / margin, -1.0, row.n)


def _row(row: Row, plain: Row, scale: Scale, y: float) -> Iterator[str]:
    shape, kind = _LOOKS[row.outcome]
    tone = kind.split()[0]
    yield svg.text(0, y - 2, plain.name, "head", room=NAMES * 0.84)
    yield svg.text(0, y + 14, plain.detail, "soft", room=NAMES * 1.04)
    if all(map(math.isfinite, (row.low, row.high))):
        yield svg.span(scale.at(row.low), scale.at(row.high), y, tone)
    if math.isfinite(row.estimate):
        yield svg.mark(scale.at(row.estimate), y, shape, kind)
    yield svg.text(WIDTH - NUMBERS + 14, y - 2, str(row.outcome), f"word {tone}")
    yield svg.text(WIDTH - NUMBERS + 14, y + 14, _numbers(plain), "soft", room=NUMBERS * 1.1)


def _numbers(row: Row) -> str:
    rows = f" n={row.n:,}" if row.n is not None else ""
    return f"{number(row.estimate)} [{number(row.low)}, {number(row.high)}]{rows}"


def _in_words(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{row.name}: {row.outcome}, {_numbers(row)}, decided at {number(row.mark_at)}" for row in rows[:20]
    )
