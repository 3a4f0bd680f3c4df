"""Pictures of measurements alone: rates by group, and robust accuracy by strength of attack, of one asset or two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.core.outcomes import Measurement
from assay.surfaces.reports.plots.curves import Curve, Point, robustness
from assay.surfaces.reports.plots.rates import Rate, Series, group_rates
from assay.surfaces.reports.results import Figure

_STRENGTH = "eps="
_MOST_GROUPS = 64


@dataclass(frozen=True)
class Measured:
    """The measurements of one asset under the name that a reader knows it by."""

    name: str
    measurements: Sequence[Measurement]


def measured_figures(sides: Sequence[Measured]) -> Iterator[Figure]:
    """Rates by group, and robust accuracy by strength of attack, of up to two assets."""
    names = dict.fromkeys(m.metric for side in sides for m in side.measurements if m.group is not None)
    for metric in names:
        series = [Series(side.name, rates) for side in sides if (rates := _rates(side, metric))]
        yield Figure(f"{_words(metric)} by group", "Bars are two-sided 95 % intervals. The gap of a policy is the largest "
                     "difference between two groups; with few rows it is large by chance alone.",
                     group_rates(_words(metric), series))  # fmt: skip
    strengths = dict.fromkeys(m.metric for side in sides for m in side.measurements if _strength(m) is not None)
    for metric in strengths:
        curves = [Curve(side.name, points) for side in sides if (points := _points(side, metric))]
        yield Figure(f"{_words(metric)} by strength of attack", "Each mark is the share of all rows that stay right under "
                     "every attack of that strength; bars are two-sided 95 % intervals.", robustness(curves, "eps"))  # fmt: skip


def _rates(side: Measured, metric: str) -> list[Rate]:
    found = [m for m in side.measurements if m.metric == metric and m.group is not None and m.slice is None]
    return [Rate(m.group or "", m.value, m.value if m.low is None else m.low, m.value if m.high is None else m.high, m.n)
            for m in found][:_MOST_GROUPS]  # fmt: skip


def _points(side: Measured, metric: str) -> list[Point]:
    found = [(strength, m) for m in side.measurements if m.metric == metric and (strength := _strength(m)) is not None]
    return [
        Point(at, m.value, m.value if m.low is None else m.low, m.value if m.high is None else m.high, m.n)
        for at, m in sorted(found, key=lambda item: item[0])
    ]


def _strength(m: Measurement) -> float | None:
    """The number of a slice called `eps=0.1`."""
    if m.slice is None or not m.slice.startswith(_STRENGTH) or m.group is not None:
        return None
    try:
        found = float(m.slice.removeprefix(_STRENGTH))
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None


def _words(metric: str) -> str:
    """`true_positive_rate` as `True positive rate`."""
    return metric.rsplit(".", 1)[-1].replace("_", " ").capitalize()
