"""How a rate differs between groups of people, with intervals and rows, candidate beside baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.surfaces.reports.plots import svg
from assay.surfaces.reports.plots.scales import Scale, covering, number, x_axis

WIDTH, NAMES, NUMBERS, ROW, TOP = 900.0, 215.0, 240.0, 44.0, 34.0
FEW = 30


@dataclass(frozen=True)
class Rate:
    """The rate of one group under one model, with a two-sided interval, from `n` rows."""

    group: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Series:
    """All groups under one model."""

    name: str
    rates: Sequence[Rate]


def group_rates(what: str, series: Sequence[Series]) -> str:
    """One line a group; the second series is hollow and dashed. Groups below FEW rows say so."""
    groups = list(dict.fromkeys(rate.group for one in series for rate in one.rates))
    values = [value for one in series for rate in one.rates for value in (rate.low, rate.high)]
    scale = covering(values, NAMES, WIDTH - NUMBERS)
    scale = Scale(max(scale.low, 0.0), min(max(scale.high, scale.low + 0.05), 1.0) if max(values, default=1) <= 1 else scale.high,
                  scale.start, scale.end)  # fmt: skip
    bottom = TOP + ROW * len(groups)
    parts = [*legend([one.name for one in series]), *x_axis(scale, TOP, bottom, f"{what} (share of each group's rows)")]
    for place, group in enumerate(groups):
        parts.append(svg.text(0, TOP + ROW * (place + 0.5) + 4, group, "head", room=NAMES * 0.84))
        for number_of, one in enumerate(series):
            found = next((rate for rate in one.rates if rate.group == group), None)
            if found is not None:
                parts += _rate(found, scale, TOP + ROW * place, number_of, len(series))
    words = "; ".join(f"{one.name}, {r.group}: {_numbers(r)}" for one in series for r in one.rates[:20])
    return svg.picture(WIDTH, bottom + 46, f"{what} by group", words, parts)


def legend(names: Sequence[str], left: float = NAMES) -> Iterator[str]:
    """Which mark belongs to which series; the first is a filled dot, the second a hollow square."""
    for place, name in enumerate(names[:2]):
        x = left + place * 350
        yield svg.mark(x + 5, 9, *look(place))
        yield svg.text(x + 18, 13, name, room=325)


def look(place: int) -> tuple[str, str]:
    """Shape and kind of the marks of the first and second series."""
    return ("dot", "one") if place == 0 else ("square", "two hollow")


def _rate(rate: Rate, scale: Scale, top: float, place: int, of: int) -> Iterator[str]:
    y = top + ROW * (place + 1) / (of + 1)
    tone = "one" if place == 0 else "two"
    yield svg.span(scale.at(rate.low), scale.at(rate.high), y, tone)
    yield svg.mark(scale.at(rate.value), y, *look(place))
    few = " few rows" if rate.n < FEW else ""
    yield svg.text(WIDTH - NUMBERS + 14, y + 4, _numbers(rate) + few, "soft", room=NUMBERS * 1.06)


def _numbers(rate: Rate) -> str:
    return f"{number(rate.value)} [{number(rate.low)}, {number(rate.high)}] n={rate.n:,}"
