"""Lines over a horizontal axis: robust accuracy by attack strength, true positives at low false positive rates, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.surfaces.reports.plots import svg
from assay.surfaces.reports.plots.rates import legend, look
from assay.surfaces.reports.plots.scales import Scale, number, x_axis, y_axis

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900.0, 400.0, 60.0, 880.0, 56.0, 350.0
MOST_POINTS = 400


@dataclass(frozen=True)
class Point:
    """One place of a curve, with a two-sided interval of y; `n` rows."""

    x: float
    y: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Curve:
    """A named line, ascending in x; `note` says what stands behind it, such as its rows."""

    name: str
    points: Sequence[Point]
    note: str = ""


def robustness(curves: Sequence[Curve], strength: str) -> str:
    """Share of rows that stay right under attack, by the strength of the attack."""
    most = max((point.x for curve in curves for point in curve.points), default=1.0)
    across, up = Scale(0, most * 1.04 or 1.0, LEFT, RIGHT), Scale(0, 1, BOTTOM, TOP)
    parts = [*_frame(curves, across, up, f"strength of the attack ({strength})", "share of rows still right")]
    for place, curve in enumerate(curves[:2]):
        parts += _line(curve, across, up, place)
        for point in curve.points:
            shift = 3 if place else -3  # so that two intervals at one strength can both be seen
            x = across.at(point.x) + shift
            parts += [
                svg.rise(x, up.at(point.low), up.at(point.high), _tone(place)),
                svg.mark(x, up.at(point.y), *look(place)),
            ]
    return svg.picture(WIDTH, HEIGHT, "Robust accuracy by strength of attack", _in_words(curves), parts)


def roc(curves: Sequence[Curve], rate: float, least: float) -> str:
    """True positives against false ones, the latter on a logarithmic axis from `least`: where an attacker accuses few.

    `rate` is the false positive rate that the policy asks about; intervals are drawn at points that have one.
    """
    across, up = Scale(least, 1, LEFT, RIGHT, is_log=True), Scale(0, 1, BOTTOM, TOP)
    parts = [*_frame(curves, across, up, "false positive rate (logarithmic)", "true positive rate")]
    chance = [least * (1 / least) ** (i / 60) for i in range(61)]
    parts += [
        svg.path([(across.at(x), up.at(x)) for x in chance], "chance"),
        svg.text(across.at(0.3) + 12, up.at(0.3) + 16, "chance", "soft"),
    ]
    parts += [svg.line(across.at(rate), TOP, across.at(rate), BOTTOM, "limit"),
              svg.text(across.at(rate) + 6, TOP + 14, f"asked at {number(rate)}", "soft")]  # fmt: skip
    for place, curve in enumerate(curves[:2]):
        parts += _line(Curve(curve.name, _thin(curve.points), curve.note), across, up, place)
        for point in curve.points:
            if point.low < point.high:
                x = across.at(point.x) + (3 if place else -3)
                parts += [
                    svg.rise(x, up.at(point.low), up.at(point.high), _tone(place)),
                    svg.mark(x, up.at(point.y), *look(place)),
                ]
    return svg.picture(WIDTH, HEIGHT, "True positives at low false positive rates", _in_words(curves), parts)


def reliability(curves: Sequence[Curve]) -> str:
    """How often the model is right, by how sure it says it is; on the dotted line it means what it says.

    The columns show where the rows of the first series are.
    """
    across, up = Scale(0, 1, LEFT, RIGHT), Scale(0, 1, BOTTOM, TOP)
    parts = [*_frame(curves, across, up, "how sure the model says it is (mean of each bin)", "how often it is right")]
    parts.append(svg.path([(across.at(0), up.at(0)), (across.at(1), up.at(1))], "chance"))
    if curves and curves[0].points:
        most = max(point.n for point in curves[0].points)
        for point in curves[0].points:
            height = 60 * point.n / most
            parts += [svg.box(across.at(point.x) - 13, BOTTOM - height, 26, height, "columns one"),
                      svg.text(across.at(point.x), BOTTOM - height - 4, f"{point.n:,}", "soft", "middle")]  # fmt: skip
    for place, curve in enumerate(curves[:2]):
        parts += _line(curve, across, up, place)
        for point in curve.points:
            x = across.at(point.x)
            parts += [
                svg.rise(x, up.at(point.low), up.at(point.high), _tone(place)),
                svg.mark(x, up.at(point.y), *look(place)),
            ]
    return svg.picture(WIDTH, HEIGHT, "Reliability of the probabilities", _in_words(curves), parts)


def _frame(curves: Sequence[Curve], across: Scale, up: Scale, x_name: str, y_name: str) -> Iterator[str]:
    yield from x_axis(across, TOP, BOTTOM, x_name)
    yield from y_axis(up, LEFT, RIGHT, y_name)
    yield from legend([f"{curve.name} {curve.note}".strip() for curve in curves], LEFT)


def _line(curve: Curve, across: Scale, up: Scale, place: int) -> Iterator[str]:
    yield svg.path([(across.at(point.x), up.at(point.y)) for point in curve.points], f"curve {_tone(place)}")


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    step = max(1, len(points) // MOST_POINTS)
    return [*points[::step], *points[-1:]]


def _tone(place: int) -> str:
    return "one" if place == 0 else "two"


def _in_words(curves: Sequence[Curve]) -> str:
    shown = ((curve, [p for p in curve.points if p.low < p.high][:12]) for curve in curves[:2])
    return "; ".join(
        f"{curve.name}: " + ", ".join(f"{number(p.y)} at {number(p.x)}" for p in points) for curve, points in shown
    )
