"""How well the scores of a classifier put rows of a class before all others.

Source: Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982; Davis and Goadrich, The relationship between
precision-recall and ROC curves, 2006 (average precision).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


ID = "quality.ranking"
MIN_SIDE = 30
DRAWS = 1_000


@check(ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"})
@of_model(ID, SCORES)
def ranking(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Area under the ROC curve and average precision of the positive class.

    `roc_auc` (0..1, 0.5 is chance) is how often a row of the positive class gets a higher score than another row; ties count half.
    `average_precision` (0..1; chance is the share of the positive class) is the mean precision at each positive row. The positive class is
    declared, or the second of two. Intervals: stratified bootstrap. Fewer than 30 rows on either side are not measured.

    Limits: ranks only, so probabilities that are all too high score the same.
    """
    rows = examined.rows
    if rows.positive is None:
        raise Undecided("no positive class", "declare `positive` where there are more than two classes")
    is_positive = rows.target == rows.positive
    least = int(min(is_positive.sum(), (~is_positive).sum()))
    if least < MIN_SIDE:
        raise Undecided("too few rows", f"{least} of one side, fewer than {MIN_SIDE}")
    yield Progress(0, rows.n, "predicting")
    scores = examined.predictor.scores(rows.features)[:, rows.positive]
    yield from _measured(scores, is_positive, rows, context.seed)
    yield Progress(rows.n, rows.n, "done")


def _measured(scores: Floats, is_positive: Flags, rows: EvaluationRows, seed: int) -> Iterator[Outcome]:
    from assay.statistics.measurements import measured
    from assay.statistics.ranks import rank_interval

    table = outcome_table(rows.ids, {"score": scores, "member": is_positive}, {"check": ID, "dataset": rows.dataset})
    yield table
    found = rank_interval(scores[is_positive], scores[~is_positive], "roc_auc", seed)
    yield measured("roc_auc", found, "area", "rank", table=sha256(table.data))
    value, low, high = average_precision(scores[is_positive], scores[~is_positive], seed)
    yield Measurement(
        metric="average_precision", value=value, unit="share", better="higher", n=rows.n, low=low, high=high,
        method=f"stratified bootstrap, B={DRAWS}", kind="rank",
    )  # fmt: skip


def average_precision(positives: Floats, others: Floats, seed: int) -> tuple[float, float, float]:
    """Mean precision at each positive row, ties taken together, with the bounds of a 95 % interval."""
    import numpy as np

    cuts = np.unique(np.concatenate([positives, others]))
    counts = [
        np.bincount(np.searchsorted(cuts, side), minlength=cuts.size).astype(float) for side in (positives, others)
    ]
    rng = np.random.default_rng(seed)

    def mean(hits: Floats, misses: Floats) -> Floats:
        above, below = np.cumsum(hits[..., ::-1], axis=-1), np.cumsum(misses[..., ::-1], axis=-1)
        precision = above / np.maximum(above + below, 1)
        answer: Floats = (precision * hits[..., ::-1]).sum(axis=-1) / hits.sum(axis=-1)
        return answer

    block = max(1, 4_000_000 // cuts.size)
    draws = np.concatenate([
        mean(*(rng.multinomial(int(side.sum()), side / side.sum(), size=min(block, DRAWS - start)).astype(float) for side in counts))
        for start in range(0, DRAWS, block)
    ])  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975])
    value = float(mean(counts[0], counts[1]))
    return value, float(min(low, value)), float(max(high, value))
