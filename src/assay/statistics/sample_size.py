"""How many rows would decide a claim, in closed form, so that "undecided" comes with a number instead of a shrug.

All sizes are of the whole table. None means that no number of rows would show it: the truth assumed is on the wrong
side. `power` is the chance of showing it with that many rows; a gate of k metrics asks 1 - .10/k of each, so that all
pass with 90 %.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv, gammaincc, gammainccinv, ndtri

from assay.statistics.exact_paired import FEW
from assay.statistics.inputs import checked_alpha
from assay.statistics.paired import restricted_lost

UPPER = 0.80
"""Confidence of the upper bound at which an observed disagreement is planned for."""


def rows_for_paired_share(
    disagreement: float, margin: float, alpha: float, power: float, difference: float = 0.0
) -> int | None:
    """Rows at which "worse by the margin" is rejected, if `disagreement` of the rows differ and the true change is
    `difference`.

    The variance under the hypothesis is that of the restricted estimate, which the score test uses; the textbook form
    with one variance delivers 68 to 90 % instead of 90. Few expected disagreements make the test exact and a little
    harder to pass.

    Source: Tango, Statistics in Medicine 1998; Connor, Sample size for testing differences in proportions, Biometrics
    1987.
    """
    reach = margin + difference
    if reach <= 0:
        return None
    share = max(disagreement, abs(difference))
    lost, gained = (np.array([(share + side * difference) / 2]) for side in (-1, 1))
    q = float(restricted_lost(lost, gained, np.array([1.0]), np.array([-margin]))[0])
    null = 2 * q - margin - margin**2
    rows = _rows(null, share - difference**2, reach, alpha, power)
    if share * rows >= FEW:
        return math.ceil(rows)
    rare = _rows_for_rare(float(lost[0]), margin, alpha, power) if share <= margin / 2 else 0.0
    return math.ceil(max(rows + 1 / reach, rare))


def _rows_for_rare(lost: float, margin: float, alpha: float, power: float) -> float:
    """Rows at which so few are lost that `margin` is ruled out, both counts being Poisson and gains too rare to count.

    With c lost rows allowed, a mean of `ruled_out[c]` or more is rejected; the smallest c is taken that is kept often
    enough.
    """
    allowed = np.arange(4.0 * FEW)
    ruled_out = gammainccinv(allowed + 1, checked_alpha(alpha))
    kept = gammaincc(allowed + 1, ruled_out / margin * lost) >= power
    return float(ruled_out[kept.argmax()]) / margin if kept.any() else 0.0


def planned_disagreement(disagreeing: int, n: int) -> float:
    """The upper 80 % bound of the share of rows that disagree."""
    return 1.0 if disagreeing == n else float(betaincinv(disagreeing + 1, n - disagreeing, UPPER))


def rows_for_share(share: float, limit: float, up: int, alpha: float, power: float) -> int | None:
    """Rows at which the exact test shows that a share of `share` is above (up = 1) or below (up = -1) the limit.

    Source: Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions, 2003, section 2.5, with its continuity
    correction.
    """
    reach = up * (share - limit)
    if reach <= 0:
        return None
    rows = _rows(limit * (1 - limit), share * (1 - share), reach, alpha, power)
    return math.ceil(rows / 4 * (1 + math.sqrt(1 + 2 / (rows * reach))) ** 2) if rows > 0 else 1


def rows_for_normal(variance: float, reach: float, alpha: float, power: float) -> int | None:
    """Rows at which a value `reach` on the right side of its limit is shown, if one row has this `variance`."""
    return None if reach <= 0 else max(2, math.ceil(_rows(variance, variance, reach, alpha, power)))


def _rows(null: float, truth: float, reach: float, alpha: float, power: float) -> float:
    """((z_alpha sqrt(null) + z_beta sqrt(truth)) / reach)^2, from the variance of one row under each hypothesis."""
    z_alpha, z_beta = float(-ndtri(checked_alpha(alpha))), float(ndtri(power))
    return ((z_alpha * math.sqrt(max(null, 0)) + z_beta * math.sqrt(max(truth, 0))) / reach) ** 2
