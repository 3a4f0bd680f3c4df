"""Is a max-min gap below its limit, where the rows have values, come in clusters, or are divided by what a model says?

The gap is below the limit if every ordered pair of groups is (intersection-union: each pair at alpha), above it if some pair
is (Bonferroni over the pairs), as for plain shares; the errors are those of `group_moments`.
"""

from __future__ import annotations

import math

import numpy as np

from assay.statistics.differences import rows_for_all
from assay.statistics.group_moments import Side, moments_of_rows, p_of, z_of
from assay.statistics.inputs import Ints, checked_alpha, checked_limit, checked_power
from assay.statistics.results import Limit, LimitClaim


def gap_limit_rows(
    groups: Ints, side: Side, limit: Limit, clusters: Ints | None = None, alpha: float = 0.05, metrics: int = 1
) -> LimitClaim:
    """What the rows, shape (n,), say about the largest difference among the groups; in the unit of the values."""
    up, alpha = checked_limit(limit, 0.0), checked_alpha(alpha)
    moments = moments_of_rows(groups, side, side, clusters)
    g, h = np.nonzero(~np.eye(moments.new.size, dtype=np.bool_))
    at = np.diag(moments.var_new)
    error = np.sqrt(np.maximum(at[g] + at[h] - 2 * moments.var_new[g, h], 1e-300))
    seen, many = moments.new[g] - moments.new[h], g.size
    above = min(1.0, many * float(p_of(moments.freedom, (limit.value - seen) / error).min()))
    below = float(p_of(moments.freedom, (seen - limit.value) / error).max())
    shown = LimitClaim(
        low=max(0.0, float((seen - z_of(moments.freedom, alpha / many) * error).max())),
        high=float((seen + z_of(moments.freedom, alpha) * error).max()),
        p_pass=above if up > 0 else below,
        p_fail=below if up > 0 else above,
        rows_needed=None,
    )
    reach = limit.value - seen
    if up > 0 or reach.min() <= 0:
        return shown
    scale = rows_for_all(reach / error, z_of(np.inf, alpha), checked_power(metrics))
    rows = math.ceil(int(side.counts.sum()) * scale)
    return LimitClaim(shown.low, shown.high, shown.p_pass, shown.p_fail, max(2 * moments.new.size, rows))
