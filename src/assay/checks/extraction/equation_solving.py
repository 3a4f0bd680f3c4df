"""Whether a model is linear enough that its weights can be solved for from a few answers.

A logistic regression of d features and k classes has (d + 1)(k - 1) unknown weights, and each answer with scores is k - 1 linear equations
for them. The check spends exactly (d + 1)(k - 1) queries at random points around the test data. Where a model gives labels only and has two
classes, the boundary is traced instead, with 42 queries a feature and 240 more.
Limits: the copy is linear in the numbers of a row, so a model that is not linear is copied badly here, and `extraction.distillation` says
what copying it takes; features of text are not varied. The threat is somebody who may ask what he likes and knows roughly where the data
lie.
Source: Tramer et al., Stealing machine learning models via prediction APIs, 2016; Lowd and Meek, Adversarial learning, 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.checks.extraction.agreement import LEAST_ROWS, complete, measured_agreement, most_common
from assay.checks.extraction.linear_copies import LinearCopy, Region, solved, traced, unknowns
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress
from assay.predictors.plan import Way, strongest
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, Subject, of_model, unseen_classes

ID = "extraction.equation_solving"
WITNESSES = 200


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.002",),
    defaults={"max_queries": 50_000, "max_rows": 5_000}, tasks={"classification"}, inputs={"table", "image"},
)  # fmt: skip
@of_model(ID)
def equation_solving(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of test rows on which a copy solved from (d + 1)(k - 1) answers agrees with the model.

    `equation_solving.agreement` (a share, 0..1) is judged on at most `max_rows` test rows without holes, none of which was asked about
    before; `equation_solving.queries` is what the copy cost in rows asked; one that would cost more than `max_queries` is a skip. High
    agreement means that the model is as good as public to whoever may ask it.
    """
    yield from unseen_classes(examined.rows, ID)
    way = yield from strongest(WAYS, examined.predictor.capabilities)
    rows = _judged(examined, context)
    yield Progress(0, 2, "asking")
    copy = way.run(examined.predictor, rows, context)
    said = examined.predictor.labels(rows.features)
    same = copy.labels(rows.features.astype(float)) == said
    yield Progress(1, 2, "comparing")
    yield from measured_agreement(
        ID, "equation_solving.agreement", rows, same, copy.queries, common=most_common(said), threat=way.name
    )
    yield Measurement(
        metric="equation_solving.queries", value=float(copy.queries), unit="queries", better="higher", n=rows.n,
        low=float(copy.queries), high=float(copy.queries), method="counted", kind="count", threat_model=way.name,
    )  # fmt: skip
    yield Progress(2, 2, f"{examined.predictor.rows_queried} rows queried")


def _judged(examined: Subject, context: Context) -> EvaluationRows:
    """The rows to compare on.

    Raises:
        Undecided: the model is no classifier of numbers, there are too few rows, or the copy would cost too much.
    """
    import numpy as np

    info, rows = examined.predictor.info, examined.rows
    if info.is_regression or len(info.classes) < 2:
        raise Undecided("there is no classifier to copy", "it is a regression or has one class")
    if not all(rows.is_number):
        raise Undecided("the copy is linear in numbers", "some features are text", "see extraction.distillation")
    need, most = unknowns(len(rows.names), len(info.classes)), int(context.options.get("max_queries", 50_000))
    if need > most:
        raise Undecided("the copy would cost too much", f"{need} queries, and `max_queries` is {most}")
    kept = complete(rows, int(context.options.get("max_rows", 5_000)), np.random.default_rng(context.seed))
    if kept.n < LEAST_ROWS:
        raise Undecided("too few rows", f"{kept.n} test rows without holes; {LEAST_ROWS} are needed")
    return kept


def _by_scores(predictor: Predictor, rows: EvaluationRows, context: Context) -> LinearCopy:
    import numpy as np

    return solved(predictor, Region.of(rows.features.astype(float)), np.random.default_rng(context.seed))


def _by_labels(predictor: Predictor, rows: EvaluationRows, context: Context) -> LinearCopy:
    import numpy as np

    region = Region.of(rows.features.astype(float))
    drawn = np.random.default_rng(context.seed).normal(size=(WITNESSES, region.centre.size))
    return traced(predictor, region, region.centre + 2 * drawn * region.scale)


WAYS: tuple[Way[Callable[[Predictor, EvaluationRows, Context], LinearCopy]], ...] = (
    Way("scores", SCORES, _by_scores),
    Way("labels", frozenset({Capability.LABELS}), _by_labels),
)
