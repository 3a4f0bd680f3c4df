"""Which of several hypotheses to reject so that a false rejection anywhere happens with probability alpha at most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.statistics.inputs import checked_alpha, finite


def holm(p_values: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """True for each rejected hypothesis, in the order given: sort p, reject while p(i) <= alpha / (K - i + 1).

    Holds under any dependence. A claim that could not be computed belongs in the list with p = 1.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    p = finite(list(p_values), "p_values")
    if ((p < 0) | (p > 1)).any():
        raise ValueError("a p-value lies in 0..1")
    order = np.argsort(p, kind="stable")
    small = p[order] <= checked_alpha(alpha) / np.arange(p.size, 0, -1)
    # The first p-value that is too large ends the rejections, also of equal or larger ones after it.
    rejected = np.zeros(p.size, dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(small)
    return tuple(bool(r) for r in rejected)
