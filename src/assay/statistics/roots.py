"""Where falling functions cross zero, for many at once: the confidence bounds of score and exact tests are such points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.statistics.inputs import Floats

TOLERANCE = 1e-12


def crossing(
    falling: Callable[[Floats], Floats], low: Floats, high: Floats, steps: int = 60, close: float = TOLERANCE
) -> Floats:
    """The points in low..high, shape of `low`, where each component of `falling` goes from above to below zero.

    A component below zero all over answers its `low`, one above zero all over its `high`. A value
    within `close` of zero is taken for zero.

    Source: Dowell and Jarratt, A modified regula falsi method ("Illinois"), BIT 1971, with a bisection every fourth
    step.
    """
    low, high = np.array(low, np.float64), np.array(high, np.float64)
    at_low, at_high = falling(low), falling(high)
    high = np.where(at_low <= 0, low, high)
    low = np.where(at_high >= 0, high, low)
    kept, best, error = np.zeros(low.shape), np.where(at_low <= 0, low, high), np.full(low.shape, np.inf)
    for step in range(steps):
        if np.all((high - low <= TOLERANCE) | (error <= close)):
            break
        drop = np.where(at_low - at_high > 0, at_low - at_high, 1.0)
        guess = (low + high) / 2 if step % 4 == 3 else np.clip(low + (high - low) * at_low / drop, low, high)
        value = falling(guess)
        best, error = np.where(np.abs(value) <= error, guess, best), np.minimum(np.abs(value), error)
        up = value > 0
        # An end that stays put for two steps counts half, so that it is not approached from one side only.
        at_high = np.where(up, np.where(kept == 1, at_high / 2, at_high), value)
        at_low = np.where(up, value, np.where(kept == -1, at_low / 2, at_low))
        low, high = np.where(up, guess, low), np.where(up, high, guess)
        kept = np.where(up, 1, -1)
    return best
