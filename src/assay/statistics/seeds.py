"""Is a recipe no worse? A claim about a way of training, not about one model: several seeds a side, tested by their means.

A model is one draw of its recipe, and the rows of one test set tell nothing about the other draws. So each seed gives one
number, and Student's t (Welch's where the two sides share no seeds) says what their means show. Bootstraps of five numbers
cover too little and are not offered.

Source: Bouthillier et al., Accounting for variance in machine learning benchmarks, MLSys 2021; Welch, 1947.
"""

from __future__ import annotations

import math

from assay.statistics.answers import paired_claim
from assay.statistics.inputs import Floats, finite, same_rows, sign_of
from assay.statistics.results import PairedClaim
from assay.statistics.studentised import Spread

LEAST_SEEDS = 5


def recipe_change(
    candidate: Floats,
    baseline: Floats,
    margin: float,
    better: str,
    is_paired: bool,
    alpha: float = 0.05,
    metrics: int = 1,
) -> PairedClaim:
    """Change of the mean over seeds, one number a seed, shape (seeds,) each; at least five a side.

    `is_paired` where place i is the same seed in both. `n` and `rows_needed` count seeds of the candidate.
    """
    new, old = (
        finite(side, name, at_least=LEAST_SEEDS) for side, name in ((candidate, "candidate"), (baseline, "baseline"))
    )
    sign = sign_of(better)
    if is_paired:
        same_rows(candidate=new, baseline=old)
        change = sign * (new - old)
        error = float(change.std(ddof=1)) / math.sqrt(change.size)
        found = Spread(float(change.mean()), error, 0.0, change.size - 1)
    else:
        found = _welch(sign * new, sign * old)
    return paired_claim(found, new.size, margin, alpha, metrics)


def _welch(new: Floats, old: Floats) -> Spread:
    parts = [float(side.var(ddof=1)) / side.size for side in (new, old)]
    error = math.sqrt(sum(parts))
    freedom = (
        sum(parts) ** 2 / sum(p * p / (s.size - 1) for p, s in zip(parts, (new, old), strict=True)) if error else 1
    )
    # Whole degrees of freedom, rounded down: a little wider than exact.
    return Spread(float(new.mean() - old.mean()), error, 0.0, max(1, int(freedom)))
