"""Whether a model keeps its answers on pictures that were spoiled by chance: noise, blur, light, resolution, position.

Nobody attacks here, so this is no bound on what an attacker can do.
Source: Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions and perturbations, 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.checks.robustness.image_noise import CORRUPTIONS, SEVERITIES, corrupted
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress
from assay.predictors.predictor import Predictor, RowKind
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Floats

ID = "robustness.corruptions"


@check(
    ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"image"},
    defaults={"rows": 500, "severities": [1, 3, 5], "kinds": []},
)  # fmt: skip
@of_model(ID)
def corruptions(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Accuracy on images under common corruptions.

    `corruptions.accuracy` is the mean over rows of the share of corruptions under which the row is right (0..1); each kind has its own
    `corruptions.accuracy_under`, over all severities, as a slice. `rows` bounds how many rows are drawn with the seed, `severities` and
    `kinds` pick from 1 to 5 and from the ten kinds.

    Limits: the corruptions are a choice of a few, made here from their descriptions; others can hurt more.
    """
    info = examined.predictor.info
    if info.row_kind is not RowKind.IMAGE or len(info.shape) != 3:
        raise Undecided("rows are no images", "declare `input: image` and a `shape` of channels, height and width")
    unknown = sorted(set(map(str, context.options.get("kinds") or ())) - set(CORRUPTIONS))
    severities = [int(value) for value in context.options.get("severities") or SEVERITIES]
    if unknown or not set(severities) <= set(SEVERITIES):
        raise Undecided("no such corruption", f"kinds {unknown[:5]}, severities {severities[:5]}")
    rows = examined.rows.drawn(int(context.options.get("rows", 500)), context.seed)
    yield from _measured(examined.predictor, rows, severities, context)


def _measured(predictor: Predictor, rows: EvaluationRows, severities: list[int], context: Context) -> Iterator[Outcome]:
    import numpy as np

    low, high = predictor.info.bounds or (0.0, 1.0)
    images = ((np.asarray(rows.features, np.float64) - low) / (high - low)).reshape(rows.n, *predictor.info.shape)
    kinds = [str(kind) for kind in context.options.get("kinds") or CORRUPTIONS]
    shares = {}
    for place, kind in enumerate(kinds):
        yield Progress(place, len(kinds), kind)
        right = np.zeros(rows.n)
        for severity in severities:
            spoiled = corrupted(images, kind, severity, context.seed).reshape(rows.n, -1) * (high - low) + low
            right += predictor.labels(spoiled) == rows.target
        shares[kind] = right / len(severities)
    every = np.mean(list(shares.values()), axis=0)
    what = f"severities {','.join(map(str, severities))}"
    header = {"check": ID, "dataset": rows.dataset, "kinds": kinds, "severities": severities, "seed": context.seed}
    table = outcome_table(rows.ids, {"value": every, "label": rows.target}, header)
    yield table
    yield _share("corruptions.accuracy", every, f"{len(kinds)} corruptions, {what}", sha256(table.data), None)
    for kind in kinds:
        yield _share("corruptions.accuracy_under", shares[kind], what, None, kind)
    yield Progress(len(kinds), len(kinds), f"{predictor.rows_queried} rows queried")


def _share(metric: str, values: Floats, what: str, table: str | None, kind: str | None) -> Measurement:
    """The mean of a share in 0..1 of each row, with a normal interval cut to 0..1."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 1.0
    return Measurement(
        metric=metric, value=mean, unit="share", better="higher", n=len(values), low=max(0.0, mean - 1.96 * error),
        high=min(1.0, mean + 1.96 * error), method=f"normal interval of the mean; {what}", kind="mean", table=table, slice=kind,
    )  # fmt: skip
