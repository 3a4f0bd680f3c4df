"""What it costs to steal a model by asking it: copies trained on its answers, and how well they agree as queries grow.

The thief holds half of the test rows, without labels, as a public sample of what the model sees, asks about them, and then about mixtures
of them. At each budget of queries he trains a linear model, a forest and a network on the answers, until one agrees on 95 % of a fifth of
the answers that he set aside, and keeps the best. Scores are used by repeating each row for its classes in proportion to them. The copy is
judged on the other half of the test rows.
Limits: a better thief knows the architecture, or has more rows; the cost is what this thief pays.
Source: Tramer et al., Stealing machine learning models via prediction APIs, 2016, section 6; Orekondy et al., Knockoff nets, 2019; Zhang et
al., mixup, 2018 (mixtures).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.extraction.agreement import LEAST_ROWS, complete, measured_agreement, most_common
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.plan import Way, strongest
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, Subject, of_model, unseen_classes
from assay.predictors.substitutes import Shape, Substitutes

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Batch, Flags, Floats, Labels


ID = "extraction.distillation"
GOALS = (90, 95, 99)
FIRST_BUDGET = 50
SET_ASIDE = 5
COPIES_PER_ROW = 5
SURE = 0.995
GOOD = 0.95


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.002",),
    defaults={"max_queries": 1_000, "max_rows": 5_000}, tasks={"classification"},
)  # fmt: skip
@of_model(ID)
def distillation(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Queries after which a copy trained on the model's answers agrees with it on 90, 95 and 99 % of the test rows.

    Budgets are 50, 100, 200 and so on up to `max_queries`, a query being one row asked; once a copy agrees on 99.5 % no more is asked.
    `distillation.queries_to_90` and its kin are the first budget at which the observed agreement is reached; `low` and `high` are the first
    budgets at which the upper and the lower end of its 95 % interval is. A goal that is not reached is a skip. `distillation.agreement` (a
    share of the judged rows, 0..1) is that of the last budget; each smaller one stands beside it as the slice `queries=N`. The thief holds
    and is judged on at most `max_rows` test rows each.
    """
    yield from unseen_classes(examined.rows, ID)
    way = yield from strongest(WAYS, examined.predictor.capabilities)
    held = _split(examined, context)
    wanted = examined.predictor.labels(held.judged.features)
    curve = yield from _stolen(examined.predictor, held, wanted, way, context)
    yield from _measured(curve, held.judged, most_common(wanted), way.name)
    yield Progress(1, 1, f"{examined.predictor.rows_queried} rows queried")


@dataclass(frozen=True)
class Halves:
    """What the thief holds, and what he is judged on."""

    public: EvaluationRows
    judged: EvaluationRows


@dataclass(frozen=True)
class Point:
    """A copy that cost `queries`, and on which judged rows, shape (n,), it agrees with the original."""

    queries: int
    same: Flags = field(repr=False)


def _split(examined: Subject, context: Context) -> Halves:
    import numpy as np

    info = examined.predictor.info
    if info.is_regression or len(info.classes) < 2:
        raise Undecided("there is no classifier to copy", "it is a regression or has one class")
    rng = np.random.default_rng(context.seed)
    rows = complete(examined.rows, 2 * int(context.options.get("max_rows", 5_000)), rng)
    if rows.n < 2 * LEAST_ROWS:
        raise Undecided("too few rows", f"{rows.n} test rows without holes; {2 * LEAST_ROWS} are needed")
    first = np.arange(rows.n) < rows.n // 2
    return Halves(rows.subset(first), rows.subset(~first))


def budgets(most: int) -> tuple[int, ...]:
    """50, 100, 200 and so on below `most`, and `most` itself."""
    found = []
    step = FIRST_BUDGET
    while step < most:
        found.append(step)
        step *= 2
    return (*found, most)


def asked_rows(public: EvaluationRows, count: int, rng: np.random.Generator) -> Batch:
    """`count` rows to ask: the public ones first, then mixtures of two of them, text from either."""
    import numpy as np

    features = public.features
    more = max(0, count - public.n)
    left, right = (features[rng.integers(0, public.n, more)] for _ in range(2))
    mixed = np.where(rng.random(left.shape) < 0.5, left, right)
    for place in np.flatnonzero(public.is_number):
        weight = rng.random(more)
        mixed[:, place] = weight * left[:, place].astype(float) + (1 - weight) * right[:, place].astype(float)
    return np.concatenate([features[:count], mixed])


def _stolen(
    predictor: Predictor, held: Halves, wanted: Labels, way: Way[bool], context: Context
) -> Generator[Outcome, None, tuple[Point, ...]]:
    """The curve of agreement; ends early once a copy agrees almost everywhere."""
    import numpy as np

    rng = np.random.default_rng(context.seed)
    steps = budgets(max(FIRST_BUDGET, int(context.options.get("max_queries", 1_000))))
    pool = asked_rows(held.public, steps[-1], rng)
    answers = np.zeros((0, len(predictor.info.classes)))
    points: list[Point] = []
    for place, step in enumerate(steps):
        yield Progress(place, len(steps), f"training a copy on {step} answers")
        fresh = pool[len(answers) : step]
        said = predictor.scores(fresh) if way.run else np.eye(answers.shape[1])[predictor.labels(fresh)]
        answers = np.concatenate([answers, said])
        copy = best_copy(predictor, held.public.is_number, pool[:step], answers, context.seed)
        if copy is not None:
            points.append(Point(step, copy.labels(held.judged.features) == wanted))
        if points and points[-1].same.mean() >= SURE:
            break
    if not points:
        raise Undecided("no copy could be trained", f"{steps[-1]} answers are of one class")
    return tuple(points)


def best_copy(
    predictor: Predictor, is_number: tuple[bool, ...], asked: Batch, answers: Floats, seed: int
) -> Predictor | None:
    """The copy that agrees best on a fifth of the answers (n, classes), fitted to all of them; None where they are of one class."""
    import numpy as np

    labels = answers.argmax(axis=1).astype(np.int32)
    aside = np.arange(len(asked)) % SET_ASIDE == 0
    best: tuple[float, Shape] | None = None
    for shape in (Shape.LINEAR, Shape.FOREST, Shape.NETWORK):
        if best is not None and best[0] >= GOOD:
            break
        trainer = Substitutes(predictor.info, is_number, shape)
        try:
            tried = trainer.train(*_repeated(asked[~aside], answers[~aside]), seed)
        except Undecided:
            continue
        agreed = float((tried.labels(asked[aside]) == labels[aside]).mean())
        if best is None or agreed > best[0]:
            best = agreed, shape
    if best is None:
        return None
    return Substitutes(predictor.info, is_number, best[1]).train(*_repeated(asked, answers), seed)


def _repeated(asked: Batch, answers: Floats) -> tuple[Batch, Labels]:
    """Rows and hard labels that stand for scores: each row up to 5 times, its classes in proportion to their scores."""
    import numpy as np

    if ((answers == 0) | (answers == 1)).all():
        return asked, answers.argmax(axis=1).astype(np.int32)
    copies = np.round(answers * COPIES_PER_ROW).astype(int)
    copies[np.arange(len(answers)), answers.argmax(axis=1)] += copies.sum(axis=1) == 0
    rows, classes = np.nonzero(copies)
    times = copies[rows, classes]
    return asked[np.repeat(rows, times)], np.repeat(classes, times).astype(np.int32)


def _measured(curve: Sequence[Point], judged: EvaluationRows, common: float, threat: str) -> Iterator[Outcome]:
    from assay.statistics.measurements import measured_share

    last = curve[-1]
    yield from measured_agreement(
        ID, "distillation.agreement", judged, last.same, last.queries, common=common, threat=threat
    )
    for point in curve[:-1]:
        yield measured_share(
            "distillation.agreement", int(point.same.sum()), judged.n, better="lower", about=f"{point.queries} queries",
            slice=f"queries={point.queries}", threat_model=threat,
        )  # fmt: skip
    for goal in GOALS:
        yield _cost(goal, curve, judged.n, threat)


def _cost(goal: int, curve: Sequence[Point], n: int, threat: str) -> Outcome:
    """The first budget that reaches a goal in percent, or a skip that says how near it came."""
    from assay.statistics.intervals import share_interval

    spread = [share_interval(int(point.same.sum()), n) for point in curve]
    metric, wanted = f"distillation.queries_to_{goal}", goal / 100
    reached = [point.queries for point, found in zip(curve, spread, strict=True) if found.estimate >= wanted]
    surely = [point.queries for point, found in zip(curve, spread, strict=True) if found.low >= wanted]
    perhaps = [point.queries for point, found in zip(curve, spread, strict=True) if found.high >= wanted]
    if not reached:
        best = max(found.estimate for found in spread)
        return Skipped(metric, f"agreement of {best:.3f} at best within {curve[-1].queries} queries")
    if not surely:
        return Skipped(metric, f"agreement seems to be reached after {reached[0]} queries, but {n} rows cannot show it")
    return Measurement(
        metric=metric, value=float(reached[0]), unit="queries", better="higher", n=n, low=float(perhaps[0]),
        high=float(surely[0]), method="first budget on the curve; Wilson bounds of each", kind="mean",
        threat_model=threat,
    )  # fmt: skip


WAYS: tuple[Way[bool], ...] = (
    Way("scores", SCORES, True),
    Way("labels", frozenset({Capability.LABELS}), False),
)
