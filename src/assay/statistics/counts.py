"""Rows that a detector flags: how many there may be in truth, and whether one set has more of them than another.

What was not found is not absent. A detector states its power by canaries, rows planted for it to find; the bound of the
true share is then the bound of the flagged share divided by the lower bound of the share of canaries found. Rows of two
sets are no pairs, so their shares are compared as independent ones.

Source: Miettinen and Nurminen, Comparative analysis of two rates, 1985 (bounds of the difference, with a correction for
discreteness); Fisher, The logic of inductive inference, 1935 (exact test); Clopper and Pearson, 1934.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtr, ndtri

from assay.statistics import sample_size
from assay.statistics.differences import Pairs, difference_score
from assay.statistics.inputs import (
    Floats,
    checked_alpha,
    checked_count,
    checked_limit,
    checked_margin,
    checked_power,
    sign_of,
)
from assay.statistics.intervals import p_at_least, p_at_most, share_high, share_low
from assay.statistics.results import Limit, LimitClaim, PairedClaim
from assay.statistics.roots import crossing


@dataclass(frozen=True)
class Canaries:
    """The power of a detector: `found` of `planted` rows."""

    found: int
    planted: int


def count_limit(
    hits: int, n: int, limit: Limit, canaries: Canaries | None = None, alpha: float = 0.05, metrics: int = 1
) -> LimitClaim:
    """Is the true share of such rows below the limit? `hits` of `n` were flagged; `canaries` None means an exact detector.

    Only limits from above make sense: a detector that misses rows cannot show that there are many. Each flagged row is
    taken to be one, so `p_fail` and the lower bound speak of the flagged share.
    """
    hits, n = checked_count(hits, n)
    if checked_limit(limit, 0, 1) > 0:
        raise ValueError("the share of flagged rows is limited from above: use <= or <")
    p_pass = 0.0 if limit == Limit(1, "<=") else _p_below(hits, n, limit.value, canaries)
    recall = 1.0 if canaries is None else share_low(canaries.found, canaries.planted, alpha / 2)
    shown = recall * limit.value  # what the flagged share must stay below
    rows = sample_size.rows_for_share(
        hits / n, shown, -1, alpha / (1 if canaries is None else 2), checked_power(metrics)
    )
    return LimitClaim(
        low=share_low(hits, n, alpha),
        high=detected_high(hits, n, canaries, alpha),
        p_pass=p_pass,
        p_fail=p_at_least(hits, n, limit.value),
        rows_needed=rows,
    )


def detected_high(hits: int, n: int, canaries: Canaries | None, alpha: float) -> float:
    """One-sided upper bound of the true share at confidence 1 - alpha; 1 where no canary was found."""
    if canaries is None:
        return share_high(hits, n, alpha)
    recall = share_low(*checked_count(canaries.found, canaries.planted), alpha / 2)
    return 1.0 if recall == 0 else min(1.0, share_high(hits, n, alpha / 2) / recall)


def count_change(
    hits: tuple[int, int], rows: tuple[int, int], margin: float, better: str, alpha: float = 0.05, metrics: int = 1
) -> PairedClaim:
    """Change of the share of flagged rows, candidate first, baseline second; the sets need not share a row."""
    sign, margin, alpha = sign_of(better), checked_margin(margin, at_most=1), checked_alpha(alpha)
    (new, n), (old, m) = (checked_count(h, r) for h, r in zip(hits, rows, strict=True))
    if sign > 0:  # count what is not flagged, so that fewer is better in any case
        new, old = n - new, m - old
    grown, shrunk = _Rise(new, n, old, m), _Rise(old, m, new, n)
    regression = fisher(new, n, old, m)
    p, q = (new + 1) / (n + 2), (old + 1) / (m + 2)
    variance = (n + m) * (p * (1 - p) / n + q * (1 - q) / m)
    assumed = old / m - new / n if regression <= alpha else 0.0
    return PairedClaim(
        estimate=old / m - new / n,
        low=-grown.high(alpha),
        high=shrunk.high(alpha),
        p_not_worse=grown.p_below(margin),
        p_regression=regression,
        p_beyond=shrunk.p_below(-margin),
        rows_needed=sample_size.rows_for_normal(variance, margin + assumed, alpha, checked_power(metrics)),
        n=n + m,
        lost=None,
        gained=None,
    )


def fisher(hits: int, n: int, others: int, m: int) -> float:
    """One-sided exact p-value of "the first share is not larger": P(X >= hits) for a hypergeometric X."""
    total = hits + others
    x = np.arange(hits, min(n, total) + 1, dtype=np.float64)
    log = _choose(n, x) + _choose(m, total - x) - _choose(n + m, np.array([float(total)]))
    return float(min(1.0, np.exp(log).sum()))


@dataclass(frozen=True)
class _Rise:
    """The rise of a share from `old` of `m` rows to `new` of `n` rows, tested by score."""

    new: int
    n: int
    old: int
    m: int

    def p_below(self, rise: float) -> float:
        """The p-value of "the share rose by `rise` or more"; half a row is given away to discreteness."""
        return float(ndtr(self._score(np.array([rise])))[0])

    def high(self, alpha: float) -> float:
        """One-sided upper bound of the rise at confidence 1 - alpha."""
        z = float(-ndtri(alpha))
        return float(crossing(lambda at: self._score(at) + z, np.array([-1.0]), np.array([1.0]), steps=60)[0])

    def _score(self, rise: Floats) -> Floats:
        new = min(self.n, self.new + 0.5)
        pair = Pairs(*(np.full(rise.shape, float(v)) for v in (new, self.n, self.old, self.m)))
        return difference_score(pair, rise)


def _choose(n: int, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), dtype=np.float64)


def _p_below(hits: int, n: int, limit: float, canaries: Canaries | None) -> float:
    """The smallest alpha at which the upper bound falls below the limit."""
    if canaries is None:
        return 1.0 if limit <= hits / n else p_at_most(hits, n, limit)
    if detected_high(hits, n, canaries, 0.499) >= limit:
        return 1.0

    def falling(log_alpha: Floats) -> Floats:
        return np.array([detected_high(hits, n, canaries, float(np.exp(a))) - limit for a in log_alpha])

    found = crossing(falling, np.array([np.log(1e-12)]), np.array([np.log(0.499)]), steps=60)
    return float(np.exp(found[0]))
