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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

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
_Known = tuple[int, int, float, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Score:
    """How a text scores: 0.5 at the threshold. `first` to `last` are the words of its strongest window."""

    value: float
    raw: float
    windows: int
    first: int
    last: int


def bucket_of(windows: int) -> int:
    """Which threshold is meant for a text with so many windows."""
    return next((i for i, most in enumerate(BUCKETS) if windows <= most), len(BUCKETS))


def window_starts(count: int, width: int) -> list[int]:
    """Where windows of `width` words begin in a text of `count` words, each half over the one before; the last reaches the end."""
    return [0] if count <= width else [*range(0, count - width, width // 2), count - width]


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
        self._known: dict[str, _Known] = {}

    def score(self, plain: str) -> Score:
        """How the folded text scores."""
        return self.scored(self.sums(tokens_of(plain)))

    def scored(self, sums: Sequence[float]) -> Score:
        """The score of a text from what its words add."""
        count = len(sums)
        if count == 0:
            return Score(0.0, self._bias, 1, 0, 0)
        total = list(accumulate(sums, initial=0.0))
        width = min(count, self._window)
        starts = window_starts(count, width)
        factor = self._scale / math.sqrt(width)
        found = [(total[at + width] - total[at]) * factor + self._bias for at in starts]
        raw = max(found)
        best = starts[found.index(raw)]
        if len(found) > 1:
            raw -= self._contrast * sum(found) / len(found)
        return Score(self.calibrated(raw, len(starts)), raw, len(starts), best, best + width)

    def calibrated(self, raw: float, windows: int) -> float:
        """A score in 0..1 that is 0.5 where texts with as many windows have their threshold."""
        distance = self._slope * (raw - self._thresholds[bucket_of(windows)])
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, distance))))

    def sums(self, tokens: Sequence[str]) -> list[float]:
        """What each word adds, in units of a weight. One function and local names, since it runs for every word of every text."""
        weights, known, pairs = self._weights, self._known, self._pairs
        found: list[float] = []
        recent: list[tuple[int, int]] = []
        left = place = 0
        for token in tokens:
            word = known.get(token)
            if word is None:
                if is_stop(token):
                    left = 0
                    continue
                word = self._learn(token)
            left_next, right, value, meanings = word
            value += weights[left ^ right]
            if meanings:
                recent = recent_meanings(recent, place)
                for third in meanings:
                    for i, (at, first) in enumerate(recent):
                        value += pairs[(first << 6) | (third << 1) | (place - at <= NEAR)]
                        value += self._triples(first, third, at, recent[i + 1 :])
                recent += [(place, meaning) for meaning in meanings]
            found.append(value)
            left = left_next
            place += 1
        return found

    def _triples(self, first: int, third: int, at: int, between: Sequence[tuple[int, int]]) -> int:
        table = self._orders
        return sum([table[(first << 10) | (second << 5) | third] for place, second in between if place > at])

    def _learn(self, token: str) -> _Known:
        """Works out a word; what is remembered is bounded."""
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        word = word_of(token)
        said = (word.left, word.right, float(sum(self._weights[feature] for feature in word.features)), word.meanings)
        if len(token) <= 64:
            self._known[token] = said
        return said
