"""Two models on the same rows, right or wrong: the score test of Tango and the exact test of McNemar.

Counts are of rows that disagree: `lost` where only the baseline is right, `gained` where only the candidate is. All
functions take arrays of any one shape (many tables at once, as a simulation has) and answer in that shape.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, ndtr, ndtri

from assay.statistics.inputs import Floats, checked_alpha
from assay.statistics.roots import crossing


def restricted_lost(lost: Floats, gained: Floats, n: Floats, difference: Floats) -> Floats:
    """The most likely P(lost) if P(gained) - P(lost) = difference: the larger root of a quadratic.

    It solves lost/q + gained/(q + difference) = 2 (n - lost - gained)/(1 - 2q - difference).
    """
    both = lost + gained
    a = 2 * n
    b = 2 * (n - both) * difference - both * (1 - difference) + 2 * lost * difference
    c = -lost * difference * (1 - difference)
    root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    # NOTE: -b + root cancels where b > 0; the second form of the same root does not.
    q = np.where(b > 0, -2 * c / np.where(b > 0, b + root, 1.0), (root - b) / (2 * a))
    return np.asarray(np.clip(q, np.maximum(0, -difference), (1 - difference) / 2), dtype=np.float64)


def tango_score(lost: Floats, gained: Floats, n: Floats, difference: Floats) -> Floats:
    """z of "P(gained) - P(lost) = difference"; large where the observed difference is larger.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 1998.
    """
    q = restricted_lost(lost, gained, n, difference)
    variance = n * (2 * q + difference - difference**2)
    return np.asarray((gained - lost - n * difference) / np.sqrt(np.maximum(variance, 1e-12)), dtype=np.float64)


def tango_p(lost: Floats, gained: Floats, n: Floats, difference: Floats) -> Floats:
    """One-sided p-value of "P(gained) - P(lost) <= difference" by the score test."""
    return np.asarray(ndtr(-tango_score(lost, gained, n, difference)), dtype=np.float64)


def tango_low(lost: Floats, gained: Floats, n: Floats, alpha: float) -> Floats:
    """One-sided lower score bound of P(gained) - P(lost) at confidence 1 - alpha. The upper one is -tango_low(gained, lost)."""
    z = float(-ndtri(checked_alpha(alpha)))
    seen = (gained - lost) / n
    return crossing(lambda at: tango_score(lost, gained, n, at) - z, np.full(seen.shape, -1.0), seen)


def mcnemar(lost: Floats, gained: Floats) -> Floats:
    """One-sided exact p-value of "not worse": P(X <= gained) for X ~ Binomial(lost + gained, 1/2). Tied rows play no
    part.

    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947.
    """
    lost, gained = np.asarray(lost, np.float64), np.asarray(gained, np.float64)
    return np.where(lost == 0, 1.0, betainc(np.maximum(lost, 1), gained + 1, 0.5))
