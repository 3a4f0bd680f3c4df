"""Has the max-min gap between groups grown or shrunk? A test that stays honest where the groups were equal before.

The obvious test, resampling the change of the gap, shows "not worse by the margin" in 20 to 40 % of releases that are
worse by exactly that, if the old groups were equal: the old gap is then noise, which max-min turns into a lead. This
one compares pairs:

1. gap(new) - gap(old) < t holds if, for every ordered pair (g, h), new_g - new_h < gap(old) + t. Each must be shown
   (intersection-union, no correction).
2. gap(old) is at least the old difference of any pair one likes. For each (g, h) two are tried: the same pair, whose
   change is known best because the rows are paired, at SAME alpha; and the pair that was widest apart in the old
   model, at the rest of alpha divided by the number of pairs, because the data chose it.
3. Each is a linear contrast of shares. Its normal bound adds PSEUDO rows to every kind of row in every group, so that
   a group without a single disagreement is not taken for one that never disagrees.

Source: Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 1982 (1); Agresti and Min,
Effects and non-effects of paired identical observations, Statistics in Medicine 2004 (3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from assay.statistics.differences import rows_for_all
from assay.statistics.inputs import Floats, Ints, checked_alpha

SAME = 0.8
PSEUDO = 0.5


@dataclass(frozen=True)
class GapChange:
    """The contrasts of one table, shape (pairs,) each: for the same pair and for the widest old pair, with errors."""

    same: Floats
    same_error: Floats
    widest: Floats
    widest_error: Floats

    def p_below(self, change: float) -> float:
        """The p-value of "gap(new) - gap(old) >= change"."""
        same = ndtr((self.same - change) / self.same_error) / SAME
        widest = ndtr((self.widest - change) / self.widest_error) * self.same.size / (1 - SAME)
        return float(min(1.0, np.minimum(same, widest).max()))

    def high(self, alpha: float) -> float:
        """One-sided upper bound of the change of the gap: the value at which `p_below` is alpha."""
        z_same = -ndtri(checked_alpha(alpha) * SAME)
        z_widest = -ndtri(alpha * (1 - SAME) / self.same.size)
        bounds = np.minimum(self.same + z_same * self.same_error, self.widest + z_widest * self.widest_error)
        return float(bounds.max())

    def rows(self, n: int, reach: float, alpha: float, power: float) -> int | None:
        """Rows that would show an unchanged gap to be below `reach`, in the present proportion of groups."""
        if reach <= 0:
            return None
        return math.ceil(n * rows_for_all(reach / self.same_error, float(-ndtri(alpha * SAME)), power))


def gap_contrasts(cells: Ints) -> GapChange:
    """The contrasts of new against old, from counts of shape (groups, 4): both wrong, old right, new right, both right."""
    padded = cells + PSEUDO
    size = padded.sum(axis=1)
    both, new, old = padded[:, 3] / size, (padded[:, 2] + padded[:, 3]) / size, (padded[:, 1] + padded[:, 3]) / size
    var_new, var_old, cov = new * (1 - new) / size, old * (1 - old) / size, (both - new * old) / size
    var_change = np.maximum(var_new + var_old - 2 * cov, 1e-300)
    g, h = np.nonzero(~np.eye(new.size, dtype=np.bool_))
    top, bottom = int(old.argmax()), int(old.argmin())
    weight = np.zeros(new.size)
    weight[top] -= 1
    weight[bottom] += 1
    widest_variance = (
        var_new[g] + var_new[h] + (weight**2 * var_old).sum() + 2 * (cov[g] * weight[g] - cov[h] * weight[h])
    )
    return GapChange(
        same=(new - old)[g] - (new - old)[h],
        same_error=np.sqrt(var_change[g] + var_change[h]),
        widest=new[g] - new[h] - (old[top] - old[bottom]),
        widest_error=np.sqrt(np.maximum(widest_variance, 1e-300)),
    )
