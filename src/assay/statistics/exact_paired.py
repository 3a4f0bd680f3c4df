"""The exact version of the paired test, for tables with few disagreements, where the score test errs by up to a point.

1. Order all possible tables by the lower score bound of the difference (Tango), the observed one included.
2. The tables at least as good as the observed one are the region R. It depends on alpha, not on the margin.
3. p(d) is the largest P(R) over all models whose true difference is d. That leaves one unknown, the disagreement
   psi = P(lost) + P(gained). It is searched over an interval that holds it with probability 1 - GAMMA, and GAMMA is
   added.
4. For a fixed psi P(R) grows with d, so p grows with d: a wider margin never takes a pass back, and the bound where p
   = alpha agrees with the p-value at every margin.

Source: Buehler, Confidence intervals for the product of two binomial parameters, JASA 1957 (2, 4); Berger and Boos,
P values maximized over a confidence set for the nuisance parameter, JASA 1994 (3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, gammaln, ndtri

from assay.statistics.inputs import Floats
from assay.statistics.paired import tango_low, tango_score
from assay.statistics.roots import crossing

FEW = 30
"""Below this many disagreements the exact test is used."""
GAMMA = 1e-6
GRID = 96
PSI_MOST = 0.999


@dataclass(frozen=True)
class ExactPaired:
    """The region of one observed table, ready to be asked for any difference.

    `weights[l, g]` is n! / ((n-l-g)! n^(l+g)) inside the region and 0 outside, so that P(R) is a product of two vectors
    with a matrix; `psi` is the grid of disagreements, shape (GRID,).
    """

    n: int
    seen: float
    score_low: float
    weights: Floats
    psi: Floats

    def p(self, difference: float) -> float:
        """The p-value of "P(gained) - P(lost) <= difference"."""
        # A gain beyond psi is not possible; the null then reaches up to psi. A loss of that size needs psi to be
        # larger.
        psi = np.append(self.psi[self.psi > -difference], min(max(-difference, self.psi[0]), self.psi[-1]))
        if -difference > self.psi[-1]:
            return GAMMA
        change = np.minimum(difference, psi)
        lost, gained, tied = (psi - change) / 2, (psi + change) / 2, 1 - psi
        a, log_a = _scaled_powers(self.n * lost / tied, self.weights.shape[0])
        b, log_b = _scaled_powers(self.n * gained / tied, self.weights.shape[1])
        mass = ((a @ self.weights) * b).sum(axis=1) * np.exp(log_a + log_b + self.n * np.log(tied))
        return float(min(1.0, GAMMA + np.max(mass)))

    def low(self, alpha: float) -> float:
        """The one-sided lower bound of the difference: the largest d with p(d) <= alpha."""

        def falling(at: Floats) -> Floats:
            # On the scale of z the function is nearly straight, so a handful of evaluations is enough.
            return np.array([float(ndtri(alpha) - ndtri(min(self.p(float(a)), 1 - 1e-15))) for a in at])

        half = 0.5 * abs(self.score_low) + 2 / self.n
        start, end = max(-1.0, self.score_low - half), min(PSI_MOST, self.seen)
        return float(crossing(falling, np.array([start]), np.array([end]), steps=40, close=1e-6)[0])


def exact_paired(lost: int, gained: int, n: int, alpha: float) -> ExactPaired:
    """The exact test of one table with `lost` and `gained` disagreements among `n` rows; meant for few disagreements."""
    both = lost + gained
    score_low = float(tango_low(np.array([lost * 1.0]), np.array([gained * 1.0]), np.array([n * 1.0]), alpha)[0])
    psi_low = float(betaincinv(both, n - both + 1, GAMMA / 2)) if both else 0.0
    psi_high = float(betaincinv(both + 1, n - both, 1 - GAMMA / 2)) if both < n else 1.0
    # The counts that matter at all: beyond this many of either kind the probability is below GAMMA at every psi.
    top = int(min(n, np.ceil(n * psi_high + 6 * np.sqrt(n * psi_high) + 6)))
    lose, gain = np.meshgrid(np.arange(top + 1.0), np.arange(top + 1.0), indexing="ij")
    possible = lose + gain <= n
    score = tango_score(lose, gain, np.full(lose.shape, float(n)), np.full(lose.shape, score_low))
    # Not the critical value itself: the bound is only so precise, and the observed table must be inside.
    inside = possible & (score >= score[lost, gained] - 1e-7)
    log_weight = gammaln(n + 1) - gammaln(np.where(possible, n - lose - gain, 0) + 1) - (lose + gain) * np.log(n)
    weights = np.where(inside, np.exp(log_weight), 0.0)
    # Denser near the small end, where P(R) bends most. Models that disagree on all rows are left out: the sums
    # overflow.
    psi = np.linspace(np.sqrt(psi_low), np.sqrt(min(psi_high, PSI_MOST)), GRID) ** 2
    return ExactPaired(n, (gained - lost) / n, score_low, weights, psi)


def _scaled_powers(mean: Floats, size: int) -> tuple[Floats, Floats]:
    """mean^k / k! for k below `size`, each row divided by its largest entry, and the log of that entry."""
    k = np.arange(float(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(k == 0, 0.0, k * np.log(mean)[:, None]) - gammaln(k + 1)
    largest = log.max(axis=1)
    return np.asarray(np.exp(log - largest[:, None]), dtype=np.float64), np.asarray(largest, dtype=np.float64)
