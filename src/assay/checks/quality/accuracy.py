"""How often a classifier is right, the plainest question about it."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Outcome, Progress
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

ID = "quality.accuracy"


@check(ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"})
@of_model(ID)
def accuracy(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of test rows that the model gets right.

    `accuracy` is a share of all test rows (0..1). A row whose label the model does not know counts as wrong. The table keeps, for every
    row, label and prediction as places in the model's classes. Interval: Wilson (1927).

    Limits: says nothing of which rows are wrong, nor of data unlike the test rows; a model that answers always the same can score high.
    """
    rows, predictor = examined.rows, examined.predictor
    if rows.has_one_class:
        raise Undecided("one class only", "the accuracy of a constant answer would be 0 or 1")
    from assay.statistics.measurements import measured_share

    yield Progress(0, rows.n, "predicting")
    predicted = predictor.labels(rows.features)
    right = (predicted == rows.target) & (predicted >= 0)
    columns = {"ok": right, "label": rows.target, "pred": predicted}
    header = {"check": ID, "dataset": rows.dataset, "classes": list(predictor.info.classes)}
    table = outcome_table(rows.ids, columns, header)
    yield table
    yield measured_share("accuracy", int(right.sum()), rows.n, table=sha256(table.data))
    yield Progress(rows.n, rows.n, "done")
