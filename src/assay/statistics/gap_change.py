"""Has the max-min gap between groups grown or shrunk? A test that stays honest where the groups were equal before.

The obvious test, resampling the change of the gap, shows "not worse by the margin" in 20 to 40 % of releases that are
worse by exactly that, if the old groups were equal: the old gap is then noise, which max-min turns into a lead. This
one compares pairs:

1. gap(new) - gap(old) < t holds if, for every ordered pair (g, h), new_g - new_h < gap(old) + t. Each must be shown
   (intersection-union, no correction).
2. gap(old) is at least the old difference of any pair one likes. For each (g, h) two are tried: the same pair, whose
   change is known best because the rows are paired, at SAME alpha; and the pair that was widest apart in the old
   model, at the rest of alpha divided by the number of pairs, because the data chose it.
3. Each is a linear contrast of shares or means. The bound of a share rests on PSEUDO rows more of every kind in every
   group, so that a group without a single disagreement is not taken for one that never disagrees (`group_moments`).

Source: Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 1982 (1); Agresti and Min,
Effects and non-effects of paired identical observations, Statistics in Medicine 2004 (3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from assay.statistics.differences import rows_for_all
from assay.statistics.group_moments import Moments, p_of, z_of
from assay.statistics.inputs import Floats, Ints, checked_alpha

SAME = 0.8


@dataclass(frozen=True)
class GapChange:
    """The contrasts of one table, shape (pairs,) each: for the same pair and for the widest old pair, with errors.

    `freedom` is infinite for independent rows, else that of Student's t.
    """

    same: Floats
    same_error: Floats
    widest: Floats
    widest_error: Floats
    freedom: float = np.inf

    def p_below(self, change: float) -> float:
        """The p-value of "gap(new) - gap(old) >= change"."""
        same = p_of(self.freedom, (self.same - change) / self.same_error) / SAME
        widest = p_of(self.freedom, (self.widest - change) / self.widest_error) * self.same.size / (1 - SAME)
        return float(min(1.0, np.minimum(same, widest).max()))

    def high(self, alpha: float) -> float:
        """One-sided upper bound of the change of the gap: the value at which `p_below` is alpha."""
        z_same = z_of(self.freedom, checked_alpha(alpha) * SAME)
        z_widest = z_of(self.freedom, alpha * (1 - SAME) / self.same.size)
        bounds = np.minimum(self.same + z_same * self.same_error, self.widest + z_widest * self.widest_error)
        return float(bounds.max())

    def rows(self, n: int, reach: float, alpha: float, power: float) -> int | None:
        """Rows that would show an unchanged gap to be below `reach`, in the present proportion of groups."""
        if reach <= 0:
            return None
        return math.ceil(n * rows_for_all(reach / self.same_error, z_of(self.freedom, alpha * SAME), power))


def gap_contrasts(moments: Moments) -> GapChange:
    """The contrasts of new against old."""
    new, old = moments.new, moments.old
    changed = moments.var_new + moments.var_old - moments.cross - moments.cross.T
    g, h = np.nonzero(~np.eye(new.size, dtype=np.bool_))
    top, bottom = int(old.argmax()), int(old.argmin())
    weight = np.zeros(new.size)
    weight[top] -= 1
    weight[bottom] += 1
    with_old = moments.cross @ weight
    widest_variance = (
        _of_pair(moments.var_new, g, h) + weight @ moments.var_old @ weight + 2 * (with_old[g] - with_old[h])
    )
    return GapChange(
        same=(new - old)[g] - (new - old)[h],
        same_error=np.sqrt(np.maximum(_of_pair(changed, g, h), 1e-300)),
        widest=new[g] - new[h] - (old[top] - old[bottom]),
        widest_error=np.sqrt(np.maximum(widest_variance, 1e-300)),
        freedom=moments.freedom,
    )


def _of_pair(covariance: Floats, g: Ints, h: Ints) -> Floats:
    """The variance of the difference of two groups."""
    at = np.diag(covariance)
    return np.asarray(at[g] + at[h] - covariance[g, h] - covariance[h, g], dtype=np.float64)
