"""Scores a text with a hashed linear model over windows, in microseconds and without numpy.

What a word adds by itself never changes, so it is kept; a text then costs one look-up a word, one a pair, and the orders of
the few words that have a meaning. Sums over windows that overlap by half come from running sums. The score of a window is
its sum over the root of its number of words. A text scores as its strongest window, less a share of the mean of all of them
(`contrast`: an order stands out from the document around it), set against a threshold that was calibrated for texts with as
many windows.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from assay.runtime.firewall.model.features import (
    BITS,
    MEANINGS,
    NEAR,
    is_stop,
    meaning_pair,
    meaning_triple,
    recent_meanings,
    tokens_of,
    word_of,
)

BUCKETS = (1, 4, 16)  # a threshold for one window, up to 4, up to 16, and more
MAX_KNOWN = 60_000
_Known = tuple[int, int, float, tuple[int, ...], bool]
_STOP: _Known = (0, 0, 0.0, (), False)


class Score(NamedTuple):
    """How a text scores: 0.5 at the threshold. `first` to `last` are the words of its strongest window."""

    value: float
    raw: float
    windows: int
    first: int
    last: int


def bucket_of(windows: int) -> int:
    """Which threshold is meant for a text with so many windows."""
    return bisect_left(BUCKETS, windows)


def window_starts(count: int, width: int) -> list[int]:
    """Where windows of `width` words begin in a text of `count` words, each half over the one before; the last reaches the end."""
    return [0] if count <= width else [*range(0, count - width, width // 2), count - width]


class _Words(dict[str, _Known]):
    """What is known of each word: `left` and `right` of its pairs, what it adds, its meanings, and whether it is one.

    Filled as words are met; what is remembered is bounded.
    """

    def __init__(self, weights: array[int]) -> None:
        super().__init__()
        self._weights = weights

    def __missing__(self, token: str) -> _Known:
        if is_stop(token):
            said = _STOP
        else:
            word = word_of(token)
            value = float(sum(self._weights[feature] for feature in word.features))
            said = (word.left, word.right, value, word.meanings, True)
        if len(self) >= MAX_KNOWN:
            self.clear()
        if len(token) <= 64:
            self[token] = said
        return said


class Linear:
    """One set of weights. Safe for many threads: what it remembers of words is the same whoever works it out."""

    def __init__(
        self,
        weights: bytes,
        scale: float,
        bias: float,
        thresholds: Sequence[float],
        slope: float,
        window: int,
        contrast: float,
    ) -> None:
        """`weights` are 2^18 signed bytes; `thresholds` has one for each bucket, `slope` says how fast the score rises there."""
        self._weights = array("b", weights)
        if len(self._weights) != 1 << BITS or len(thresholds) != len(BUCKETS) + 1:
            raise ValueError("these are no weights of this model")
        self._scale, self._bias, self._thresholds, self._slope = scale, bias, tuple(thresholds), slope
        self._window, self._contrast = window, contrast
        each = range(MEANINGS)
        self._pairs = [
            self._weights[meaning_pair(a, b, NEAR + 1 - near)] for a in each for b in each for near in (0, 1)
        ]
        self._orders = [self._weights[meaning_triple(a, b, c)] for a in each for b in each for c in each]
        self._known = _Words(self._weights)

    def score(self, plain: str) -> Score:
        """How the folded text scores."""
        return self.scored(self.sums(tokens_of(plain)))

    def scored(self, sums: Sequence[float]) -> Score:
        """The score of a text from what its words add."""
        count = len(sums)
        if count == 0:
            return Score(0.0, self._bias, 1, 0, 0)
        if count <= self._window:
            raw = sum(sums) * self._scale / math.sqrt(count) + self._bias
            return Score(self.calibrated(raw, 1), raw, 1, 0, count)
        total = list(accumulate(sums, initial=0.0))
        width = self._window
        starts = window_starts(count, width)
        factor = self._scale / math.sqrt(width)
        found = [(total[at + width] - total[at]) * factor + self._bias for at in starts]
        raw = max(found)
        best = starts[found.index(raw)]
        raw -= self._contrast * sum(found) / len(found)
        return Score(self.calibrated(raw, len(starts)), raw, len(starts), best, best + width)

    def calibrated(self, raw: float, windows: int) -> float:
        """A score in 0..1 that is 0.5 where texts with as many windows have their threshold."""
        distance = self._slope * (raw - self._thresholds[bucket_of(windows)])
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, distance))))

    def sums(self, tokens: Sequence[str]) -> list[float]:
        """What each word adds, in units of a weight. Local names, since it runs for every word of every text."""
        weights = self._weights
        found: list[float] = []
        told: list[tuple[int, tuple[int, ...]]] = []
        left = 0  # at the beginning of a sentence
        for following, right, value, meanings, is_word in map(self._known.__getitem__, tokens):
            if is_word:
                if meanings:
                    told.append((len(found), meanings))
                found.append(value + weights[left ^ right])
            left = following
        if len(told) > 1:
            self._add_orders(told, found)
        return found

    def _add_orders(self, told: Sequence[tuple[int, tuple[int, ...]]], found: list[float]) -> None:
        """Adds to the words that have meanings what the orders of these add."""
        pairs, orders = self._pairs, self._orders
        recent: list[tuple[int, int]] = []
        for place, meanings in told:
            recent = recent_meanings(recent, place)
            for third in meanings:
                value = 0
                for i, (at, first) in enumerate(recent):
                    value += pairs[(first << 6) | (third << 1) | (place - at <= NEAR)]
                    for between, second in recent[i + 1 :]:
                        if between > at:
                            value += orders[(first << 10) | (second << 5) | third]
                found[place] += value
            recent += [(place, meaning) for meaning in meanings]
