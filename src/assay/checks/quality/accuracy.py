"""Share of test rows that a classifier gets right."""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.assets import Asset, Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.constancy import change_of_answer
from assay.predictors.subject import skipped, subject
from assay.statistics.tables import outcome_table

ID = "quality.accuracy"


@check(ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"})
def accuracy(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Share of test rows that the model gets right.

    A row whose label the model does not know counts as wrong. The table keeps, for every row, label and prediction as
    places in the model's classes, and the group where sensitive columns are declared. Interval: Wilson (1927). Where equal rows
    get different answers, the measurement is invalid.

    Limits: says nothing of which rows are wrong, nor of data unlike the test rows; a model that answers always the same
    can score high.
    """
    examined = subject(asset, context, ID)
    if isinstance(examined, Skipped):
        yield examined
        return
    rows, predictor = examined.rows, examined.predictor
    if len(set(rows.target.tolist())) < 2:
        yield Skipped(ID, "one class only: the accuracy of a constant answer would be 0 or 1")
        return
    from assay.statistics.intervals import share_interval

    yield Progress(0, rows.n, "predicting")
    try:
        change = change_of_answer(predictor, rows.features)
        predicted = predictor.labels(rows.features)
    except Undecided as error:
        yield skipped(ID, error)
        return
    if change:
        yield Skipped(f"validity of {ID}", change)
    right = (predicted == rows.target) & (predicted >= 0)
    columns = {"ok": right, "label": rows.target, "pred": predicted}
    header = {"check": ID, "dataset": rows.dataset, "classes": list(predictor.info.classes)}
    table = outcome_table(rows.ids, columns, header)
    yield table
    hits = int(right.sum())
    found = share_interval(hits, rows.n)
    yield Measurement(
        metric="accuracy", value=found.estimate, unit="share", better="higher", n=rows.n, low=found.low, high=found.high,
        level=found.level, method=found.method, kind="share", limit={"hits": hits, "n": rows.n},
        table=sha256(table.data), valid=not change,
    )  # fmt: skip
    yield Progress(rows.n, rows.n, "done")
