"""From numbers to pixels, and where the ticks of an axis stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.surfaces.reports.plots import svg


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, drawn from pixel `start` to pixel `end`; logarithmic if asked."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; values beyond the axis stick to its ends, what is no number to its start."""
        if math.isnan(value):
            return self.start
        low, high, value = (self._bent(v) for v in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) + 0.0 for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def covering(values: list[float], start: float, end: float, keep: tuple[float, ...] = ()) -> Scale:
    """A linear axis that shows all finite values and those to `keep`, with a little air; 0..1 if there is none."""
    shown = [value for value in (*values, *keep) if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(shown), max(shown)
    air = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Scale(low - air, high + air, start, end)


def number(value: float) -> str:
    """A number as a label: `0.05`, `-3`, `1,200`, `1e-05`."""
    if value != 0 and abs(value) < 0.0005:
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 4) + 0.0:.3g}"


def x_axis(scale: Scale, top: float, bottom: float, name: str) -> list[str]:
    """Grid lines, tick labels and the name of a horizontal axis at `bottom`."""
    parts = []
    for tick in scale.ticks():
        x = scale.at(tick)
        parts += [svg.line(x, top, x, bottom, "grid"), svg.text(x, bottom + 16, number(tick), "soft", "middle")]
    parts.append(svg.line(scale.start, bottom, scale.end, bottom, "axis"))
    return [*parts, svg.text((scale.start + scale.end) / 2, bottom + 34, name, "soft", "middle")]


def y_axis(scale: Scale, left: float, right: float, name: str) -> list[str]:
    """Grid lines, tick labels and the name of a vertical axis at `left`; the name stands above it."""
    parts = []
    for tick in scale.ticks(5):
        y = scale.at(tick)
        parts += [svg.line(left, y, right, y, "grid"), svg.text(left - 8, y + 4, number(tick), "soft", "end")]
    return [*parts, svg.text(left - 8, scale.end - 12, name, "soft")]


def _round_step(rough: float) -> float:
    """The nearest larger of 1, 2, 5 times a power of ten."""
    base = 10.0 ** math.floor(math.log10(rough))
    return next(base * factor for factor in (1, 2, 5, 10) if base * factor >= rough - 1e-12)
