"""What an attacker on membership would really win: the largest gap between true and false positive rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.predictors.predictor import Floats, Ints
    from assay.statistics.results import Interval

DRAWS = 1_000
BLOCK_CELLS = 4_000_000
LEVEL = 0.95


def advantage(members: Floats, others: Floats, seed: int) -> Interval:
    """Largest gap between true and false positive rate over all thresholds, for one score a row, higher meaning member.

    Ties are as they fall, unlike in the area and the rate, where they count against the model. The largest of noisy gaps is
    biased upwards, and so is its bootstrap interval. Source: Yeom et al., Privacy risk in machine learning, 2018, definition 4.
    """
    import numpy as np

    from assay.statistics.results import Interval

    cuts = np.unique(np.concatenate([members, others]))
    counts = [np.bincount(np.searchsorted(cuts, side), minlength=cuts.size) for side in (members, others)]
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // cuts.size)

    def largest(drawn: list[Ints]) -> Floats:
        above = [np.cumsum(c[..., ::-1], axis=-1) / side.size for c, side in zip(drawn, (members, others), strict=True)]
        found: Floats = np.maximum((above[0] - above[1]).max(axis=-1), 0.0)
        return found

    draws = [
        largest([rng.multinomial(c.sum(), c / c.sum(), size=min(block, DRAWS - start)) for c in counts])
        for start in range(0, DRAWS, block)
    ]
    low, high = np.quantile(np.concatenate(draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(largest(counts))
    n = members.size + others.size
    return Interval(
        value, float(min(low, value)), float(max(high, value)), LEVEL, f"bootstrap of both sides, B={DRAWS}", n
    )
