"""Whether a model keeps to its answers; one that does not makes every measurement of it a matter of luck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.predictors.predictor import Capability, Predictor

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch

SAME = 1e-4
ASKED_ROWS = 100


def change_of_answer(predictor: Predictor, features: Batch) -> str:
    """Why equal queries cannot be relied on, or "". Asks up to 100 rows, shape (n, d), twice, the second time in reverse order.

    Scores may differ by 1e-4: sums on another number of threads round differently.

    Raises:
        Undecided: the model refuses the rows.
    """
    import numpy as np

    asked = features[:ASKED_ROWS]
    turned = asked[::-1].copy()
    if Capability.SCORES in predictor.capabilities:
        first, again = predictor.scores(asked), predictor.scores(turned, again=True)[::-1]
        changed = int((np.abs(first - again).max(axis=1, initial=0.0) > SAME).sum())
    else:
        changed = int((predictor.labels(asked) != predictor.labels(turned, again=True)[::-1]).sum())
    return f"equal queries give different answers in {changed} of {len(asked)} rows" if changed else ""
