"""How well a classifier tells classes apart, beyond the share of right answers: precision, recall, F1 and Matthews correlation.

Source: Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004 (MCC of several classes).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Asset, Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.subject import skipped, subject
from assay.statistics.tables import outcome_table

ID = "quality.classes"


@check(ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"})
def classes(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Precision, recall, F1 and Matthews correlation on the test rows.

    With a positive class (declared, or the second of two) `precision`, `recall` and `f1` are of that class; `macro_f1` and
    `balanced_accuracy` are means over the classes, `mcc` lies in -1..1. Rows of a class that the model does not know count as wrong.
    Intervals: Bayesian bootstrap of (label, prediction) cells.

    Limits: classes with few rows have wide intervals; macro figures weigh them as much as large ones.
    """
    examined = subject(asset, context, ID)
    if isinstance(examined, Skipped):
        yield examined
        return
    rows = examined.rows
    if len(set(rows.target.tolist())) < 2:
        yield Skipped(ID, "one class only: there is nothing to tell apart")
        return

    import numpy as np

    from assay.statistics.cells import Measure, cells_interval

    yield Progress(0, rows.n, "predicting")
    try:
        predicted = examined.predictor.labels(rows.features)
    except Undecided as error:
        yield skipped(ID, error)
        return
    header = {"check": ID, "dataset": rows.dataset, "classes": list(examined.predictor.info.classes)}
    table = outcome_table(rows.ids, {"label": rows.target, "pred": predicted}, header)
    yield table
    label, pred = rows.target.astype(np.int64), predicted.astype(np.int64)
    names = () if rows.positive is None else ("precision", "recall", "f1")
    of_one = [(name, Measure(name, rows.positive)) for name in names]
    of_all = [("macro_f1", Measure("f1")), ("balanced_accuracy", Measure("balanced_accuracy")), ("mcc", Measure("mcc"))]
    for name, measure in (*of_one, *of_all):
        found = cells_interval(label, pred, measure, context.seed)
        yield Measurement(
            metric=name, value=found.estimate, unit="share" if name != "mcc" else "correlation", better="higher", n=rows.n,
            low=found.low, high=found.high, level=found.level, method=found.method, kind="cells", table=sha256(table.data),
            limit={"measure": measure.name, "positive": measure.positive},
        )  # fmt: skip
    yield Progress(rows.n, rows.n, "done")
