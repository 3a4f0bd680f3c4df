"""How well a classifier tells classes apart, beyond the share of right answers: precision, recall, F1 and Matthews correlation.

Source: Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004 (MCC of several classes).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Outcome, Progress
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

ID = "quality.classes"
OF_ONE = ("precision", "recall", "f1")
OF_ALL = {"macro_f1": "f1", "balanced_accuracy": "balanced_accuracy", "mcc": "mcc"}


@check(ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"})
@of_model(ID)
def classes(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Precision, recall, F1 and Matthews correlation on the test rows.

    With a positive class (declared, or the second of two) `precision`, `recall` and `f1` are of that class; `macro_f1` and
    `balanced_accuracy` are means over the classes. All are shares (0..1) but `mcc`, a correlation (-1..1, 0 is chance). Rows of a class
    that the model does not know count as wrong. Intervals: Bayesian bootstrap of (label, prediction) cells.

    Limits: classes with few rows have wide intervals; macro figures weigh them as much as large ones.
    """
    rows = examined.rows
    if rows.has_one_class:
        raise Undecided("one class only", "there is nothing to tell apart")
    import numpy as np

    from assay.statistics.cells import Measure, cells_interval
    from assay.statistics.measurements import measured

    yield Progress(0, rows.n, "predicting")
    predicted = examined.predictor.labels(rows.features)
    header = {"check": ID, "dataset": rows.dataset, "classes": list(examined.predictor.info.classes)}
    table = outcome_table(rows.ids, {"label": rows.target, "pred": predicted}, header)
    yield table
    label, pred = rows.target.astype(np.int64), predicted.astype(np.int64)
    of_one = () if rows.positive is None else tuple((name, Measure(name, rows.positive)) for name in OF_ONE)
    of_all = ((metric, Measure(name)) for metric, name in OF_ALL.items())
    for name, measure in (*of_one, *of_all):
        found = cells_interval(label, pred, measure, context.seed)
        unit = "correlation" if name == "mcc" else "share"
        limit = {"measure": measure.name, "positive": measure.positive}
        yield measured(name, found, unit, "cells", table=sha256(table.data), limit=limit)
    yield Progress(rows.n, rows.n, "done")
