"""What happens to the answers when values go missing: a sensor fails, a form is left half empty.

Cells are blanked at random, row by row, as no value (NaN). A model that refuses such rows is wrong on them: that is what its users get.
Source: Little and Rubin, Statistical analysis with missing data, 2002 (values missing completely at random).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Outcome, Progress
from assay.predictors.predictor import Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Flags


ID = "quality.missing_values"
MIN_ROWS = 30


@check(
    ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"table"},
    defaults={"rates": [0.1, 0.3], "rows": 5_000},
)  # fmt: skip
@of_model(ID)
def missing_values(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of test rows that stay right when a share of their cells is blanked.

    `rates` are shares of cells (above 0, below 1), drawn by the seed. The largest rate gives `missing.accuracy`, with its table; each
    smaller one `accuracy_with_missing`, as the slice `missing=RATE`. Both are shares of rows (0..1). A model that refuses empty cells is
    wrong on the rows that have some. At most `rows` rows are drawn; fewer than 30 are not measured.

    Limits: cells go missing at random here; in life they often do for a reason that the answer depends on.
    """
    rates = sorted({float(rate) for rate in context.options.get("rates") or ()})
    if not rates or not all(0 < rate < 1 for rate in rates):
        raise Undecided("no such share of cells", f"{rates[:5]}")
    classes = len(set(examined.rows.target.tolist()))
    if examined.rows.n < MIN_ROWS or classes < 2:
        raise Undecided(f"{examined.rows.n} rows of {classes} classes", "too few to say anything")
    from assay.statistics.measurements import measured_share

    rows = examined.rows.drawn(int(context.options.get("rows", 5_000)), context.seed)
    for place, rate in enumerate(rates):
        blank = f"{rate:.0%} of the cells blank"
        yield Progress(place, len(rates), blank)
        right, refused = answers(examined.predictor, *blanked(rows, rate, context.seed), rows)
        hits, about = int(right.sum()), f"{blank}; refused: {refused}" if refused else blank
        if rate < rates[-1]:
            yield measured_share("accuracy_with_missing", hits, rows.n, about=about, slice=f"missing={rate:g}")
            continue
        header = {"check": ID, "dataset": rows.dataset, "rate": rate, "seed": context.seed}
        table = outcome_table(rows.ids, {"ok": right, "label": rows.target}, header)
        yield table
        yield measured_share("missing.accuracy", hits, rows.n, about=about, table=sha256(table.data))
    yield Progress(len(rates), len(rates), "done")


def blanked(rows: EvaluationRows, rate: float, seed: int) -> tuple[Batch, Flags]:
    """The features with a share of their cells empty, sensitive ones like all others; and which rows lost nothing."""
    import numpy as np

    hit = np.random.default_rng([seed, int(rate * 1e6)]).random(rows.features.shape) < rate
    features = rows.features.copy()
    for place, is_number in enumerate(rows.is_number):
        features[hit[:, place], place] = np.nan if is_number else None
    return features, np.asarray(~hit.any(1))


def answers(predictor: Predictor, features: Batch, is_whole: Flags, rows: EvaluationRows) -> tuple[Flags, str]:
    """Which rows are right, and why the model refused, if it did: then the rows that lost nothing are asked alone."""
    import numpy as np

    try:
        return predictor.labels(features) == rows.target, ""
    except Undecided as error:
        right = np.zeros(rows.n, bool)
        if is_whole.any():
            with contextlib.suppress(Undecided):
                right[is_whole] = predictor.labels(features[is_whole]) == rows.target[is_whole]
        return right, error.why
