"""A lower bound on epsilon from one run: how many of m fair coins an attacker guessed, and what privacy would have allowed.

Each coin decided whether the training saw one thing or another, and the attacker who sees the result guesses r of the coins, v
rightly. Under (epsilon, delta) differential privacy a guess is right with a chance of at most e^epsilon / (1 + e^epsilon), all
guesses together behave like a binomial at worst, and delta adds a little.
Source: Steinke, Nasr, Jagielski, Privacy auditing with one (1) training run, 2023, theorem 5.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags
    from assay.statistics.inputs import Floats

MOST = 30.0
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""How many of the coins are guessed, the surest first. The chance of error is split evenly, so trying all is honest."""


@dataclass(frozen=True)
class Audit:
    """`bound` is the lower bound of epsilon; `guesses` and `right` are those that gave it, of `coins`."""

    bound: float
    guesses: int
    right: int
    coins: int

    @property
    def plain(self) -> float:
        """The epsilon at which this share of right guesses would be expected, with half a guess added to either side."""
        return max(0.0, math.log((self.right + 0.5) / (self.guesses - self.right + 0.5)))


def audited(confidence: Floats, right: Flags, delta: float, alpha: float) -> Audit:
    """The largest bound over `SHARES`, at confidence 1 - alpha, for guesses with a `confidence` each, shape (m,)."""
    import numpy as np

    m = right.size
    order = np.argsort(-confidence, kind="stable")
    audits = []
    for guesses in sorted({max(1, round(share * m)) for share in SHARES}):
        hits = int(right[order[:guesses]].sum())
        audits.append(Audit(epsilon_bound(hits, guesses, m, delta, alpha / len(SHARES)), guesses, hits, m))
    return max(audits, key=lambda audit: audit.bound)


def epsilon_bound(right: int, guesses: int, coins: int, delta: float, alpha: float) -> float:
    """The epsilon below which so many right guesses would happen with a chance of at most alpha; 0 where none is refuted."""
    from scipy.optimize import brentq

    if chance(right, guesses, coins, 0.0, delta) > alpha:
        return 0.0
    if chance(right, guesses, coins, MOST, delta) < alpha:
        return MOST
    return float(brentq(lambda at: chance(right, guesses, coins, at, delta) - alpha, 0.0, MOST, xtol=1e-9))


def chance(right: int, guesses: int, coins: int, epsilon: float, delta: float) -> float:
    """The largest chance of `right` guesses or more among `guesses`, over all (epsilon, delta) private trainings."""
    import numpy as np
    from scipy.stats import binom

    share = 1 / (1 + math.exp(-epsilon))
    at_least = float(binom.sf(right - 1, guesses, share))
    if not delta or not right:
        return min(1.0, at_least)
    just_below = np.cumsum(binom.pmf(right - np.arange(1, right + 1), guesses, share)) / np.arange(1, right + 1)
    return min(1.0, at_least + 2 * coins * delta * float(just_below.max()))
