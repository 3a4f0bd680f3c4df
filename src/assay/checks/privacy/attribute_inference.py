"""Whether the model gives away a sensitive attribute of the people it was trained on.

The attacker knows all else about a person: the other features, the true class, and what the model answers. He learns from half of the test
rows, where he knows the attribute too, how it goes with the rest, and then guesses it for the training rows. Where the attribute is a
feature, he asks the model about the row with every value of it. A second attacker who has no model learns from the same rows; only what the
first does better is the model's fault, as an attribute can often be guessed from the rest alone.
Limits: both attackers are random forests, and a better one may find more. Values that fewer than 10 rows have are left out and said. A
model that is good at its task must tell something about features that matter to it.
Source: Fredrikson et al., Model inversion attacks that exploit confidence information, 2015 (asking with every value); Yeom et al., Privacy
risk in machine learning, 2018; Jayaraman and Evans, Are attribute inference attacks just imputation?, 2022 (the baseline).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.privacy.sides import drawn
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.plan import Way, strongest
from assay.predictors.predictor import Capability, Info, Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, Subject, of_model, training_rows, unseen_classes
from assay.predictors.substitutes import Shape, Substitutes
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Flags, Floats, Labels


ID = "privacy.attribute_inference"
LEAST_PER_VALUE = 10
MOST_VALUES = 10
DRAWS = 10_000
LEAST_SCORE = 1e-12


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.001",),
    defaults={"max_rows": 5_000}, tasks={"classification"},
)  # fmt: skip
@of_model(ID)
def attribute_inference(examined: Subject, context: Context) -> Iterator[Outcome]:
    """How much better a sensitive attribute of training rows is guessed with the model than without it.

    `attribute_advantage`, with the attribute as its group, is the balanced accuracy (mean over the values of the share guessed right) with
    the model minus that without (-1..1, 0 is no leak); `attribute_advantage` without a group is the largest of them, with the interval of
    that attribute, so it is biased upwards where there are several. Attributes are the declared `sensitive` columns of at most 10 values.
    At most `max_rows` training rows are attacked.
    """
    yield from unseen_classes(examined.rows, ID)
    way = yield from strongest(WAYS, examined.predictor.capabilities)
    known, attacked = _parts(examined.predictor, examined.rows, context)
    found: list[Measurement] = []
    for place, name in enumerate(known.groups):
        yield Progress(place, len(known.groups), name)
        for outcome in _guessed(examined.predictor, known, attacked, name, way, context.seed):
            found += [outcome] if isinstance(outcome, Measurement) else []
            yield outcome
    if found:
        yield _largest(found)
    yield Progress(1, 1, f"{examined.predictor.rows_queried} rows queried")


def _largest(found: Sequence[Measurement]) -> Measurement:
    """The worst attribute, without its name, for a policy to hold against a limit."""
    from dataclasses import replace

    worst = max(found, key=lambda one: one.value)
    return replace(worst, group=None, method=f"largest of {len(found)}: {worst.group}; {worst.method}")


def _parts(predictor: Predictor, test: EvaluationRows, context: Context) -> tuple[EvaluationRows, EvaluationRows]:
    """Rows that the attackers learn from, and rows that they attack.

    Raises:
        Undecided: no sensitive columns, no training data, or a regression.
    """
    import numpy as np

    if predictor.info.is_regression:
        raise Undecided("no attack fits this model", "it is a regression; this one is on classifiers")
    if not test.groups:
        raise Undecided("no attribute is sensitive", "the test data declare none", "declare `sensitive` columns")
    trained = training_rows(predictor, context)
    if trained is None:
        raise Undecided("no training data", "nobody says whose attributes are at stake",
                        "declare a dataset as `trained_on` of the model")  # fmt: skip
    if trained.names != test.names or trained.groups.keys() != test.groups.keys():
        raise Undecided("training and test data have other columns", f"{trained.names[:5]} and {test.names[:5]}")
    rng = np.random.default_rng(context.seed)
    limit = int(context.options.get("max_rows", 5_000))
    shuffled = test.subset(rng.permutation(test.n)[: max(1, test.n // 2)])
    return drawn(shuffled, limit, rng), drawn(trained, limit, rng)


def _guessed(
    predictor: Predictor,
    known: EvaluationRows,
    attacked: EvaluationRows,
    name: str,
    way: Way[Answers],
    seed: int,
) -> Iterator[Outcome]:
    values = sorted(set(known.groups[name]) & set(attacked.groups[name]))
    kept = [v for v in values if min(known.groups[name].count(v), attacked.groups[name].count(v)) >= LEAST_PER_VALUE]
    for rare in sorted({*known.groups[name], *attacked.groups[name]} - set(kept))[:MOST_VALUES]:
        yield Skipped(f"{ID} of {name}={rare}", f"fewer than {LEAST_PER_VALUE} rows to learn from or to attack")
    if not 2 <= len(kept) <= MOST_VALUES:
        why = f"{len(kept)} values with enough rows; 2 to {MOST_VALUES} are needed"
        yield Skipped(f"{ID} of {name}", why)
        return
    learn, judge = _of_values(known, name, kept), _of_values(attacked, name, kept)
    asked = _asked_values(learn.rows, name)
    without, with_model = (
        [_evidence(part.rows, name, answers) for part in (learn, judge)]
        for answers in (None, lambda rows: way.run(predictor, rows, asked))
    )
    right = [_right(learn, judge, evidence, kept, seed) for evidence in (with_model, without)]
    columns = {"ok": right[0], "flag": right[1], "group": judge.value}
    header = {"check": ID, "attribute": name, "values": kept, "dataset": judge.rows.dataset, "threat_model": way.name}
    table = outcome_table(judge.rows.ids, columns, header)
    yield table
    low, value, high = advantage_bounds(right[0], right[1], judge.value, seed)
    shares = [_balanced(one, judge.value) for one in right]
    yield Measurement(
        metric="attribute_advantage", value=value, unit="share", better="lower", n=judge.rows.n, low=low, high=high,
        method=f"balanced accuracy {shares[0]:.3f} with the model, {shares[1]:.3f} without; bootstrap, B={DRAWS}",
        kind="mean", group=name, table=None, threat_model=f"other features, class, {way.name}",
    )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Rows with the place of each one's value of the attribute, shape (n,)."""

    rows: EvaluationRows
    value: Labels = field(repr=False)


def _of_values(rows: EvaluationRows, name: str, kept: Sequence[str]) -> Part:
    """The rows whose attribute has one of the kept values."""
    import numpy as np

    places = np.array([kept.index(value) if value in kept else -1 for value in rows.groups[name]], np.int32)
    return Part(rows.subset(places >= 0), places[places >= 0])


@dataclass(frozen=True)
class Asked:
    """The column of a feature, and the values that the model is asked about in it; no column where it is no feature."""

    column: int | None
    values: tuple[object, ...]


def _asked_values(rows: EvaluationRows, name: str) -> Asked:
    if name not in rows.names:
        return Asked(None, ())
    column = rows.names.index(name)
    seen = dict.fromkeys(value for value in rows.features[:, column].tolist() if value is not None and value == value)
    return Asked(column, tuple(sorted(seen, key=str))[:MOST_VALUES])


def _evidence(
    rows: EvaluationRows, name: str, answers: Callable[[EvaluationRows], Floats] | None
) -> tuple[Batch, tuple[bool, ...]]:
    """What an attacker sees of each row, (n, k), and which columns are numbers: other features, the class, the answers."""
    import numpy as np

    others = [place for place, shown in enumerate(rows.names) if shown != name]
    parts = [rows.features[:, others], rows.target[:, None].astype(np.float64)]
    parts += [answers(rows)] if answers else []
    seen = np.concatenate(parts, axis=1)
    numbers = [rows.is_number[place] for place in others]
    return seen, (*numbers, *[True] * (seen.shape[1] - len(numbers)))


def _right(
    learn: Part, judge: Part, evidence: Sequence[tuple[Batch, tuple[bool, ...]]], kept: Sequence[str], seed: int
) -> Flags:
    """Which rows a forest guesses right that learnt from as many rows of each value."""
    import numpy as np

    rng = np.random.default_rng(seed)
    counts = np.bincount(learn.value)
    even = np.concatenate([rng.choice(np.flatnonzero(learn.value == v), counts.max()) for v in range(counts.size)])
    (seen, numbers), (shown, _) = evidence
    trainer = Substitutes(Info("classification", tuple(kept)), numbers, Shape.FOREST)
    found: Flags = trainer.train(seen[even], learn.value[even], seed).labels(shown) == judge.value
    return found


def _balanced(right: Flags, value: Labels) -> float:
    import numpy as np

    return float(np.mean([right[value == one].mean() for one in np.unique(value)]))


def advantage_bounds(right: Flags, plain: Flags, value: Labels, seed: int) -> tuple[float, float, float]:
    """95 % bounds around the difference of two balanced accuracies on the same rows, shape (n,) each: low, estimate, high.

    Rows of each value are redrawn for themselves, as counts of (right or wrong with the model) x (right or wrong without).
    """
    import numpy as np

    from assay.statistics.bootstrap import redrawn

    cells = np.stack([np.bincount(2 * right[value == v] + plain[value == v], minlength=4) for v in np.unique(value)])
    sizes = cells.sum(axis=1)
    gains = (redrawn(cells, DRAWS, seed) @ np.array([0, -1, 1, 0]) / sizes).mean(axis=1)
    estimate = float((cells @ np.array([0, -1, 1, 0]) / sizes).mean())
    low, high = np.quantile(gains, [0.025, 0.975])
    return min(float(low), estimate), estimate, max(float(high), estimate)


Answers = Callable[[Predictor, EvaluationRows, Asked], "Floats"]


def _with_every_value(rows: EvaluationRows, asked: Asked) -> Iterator[Batch]:
    """The features once for each value of the attribute, or as they are where it is no feature."""
    if asked.column is None:
        yield rows.features
        return
    for value in asked.values:
        changed = rows.features.copy()
        changed[:, asked.column] = value
        yield changed


def _scores(predictor: Predictor, rows: EvaluationRows, asked: Asked) -> Floats:
    """log p of every class, for every value."""
    import numpy as np

    said = [np.log(np.maximum(predictor.scores(part), LEAST_SCORE)) for part in _with_every_value(rows, asked)]
    return np.concatenate(said, axis=1)


def _labels(predictor: Predictor, rows: EvaluationRows, asked: Asked) -> Floats:
    """The label for every value, one column a class."""
    import numpy as np

    eye = np.eye(len(predictor.info.classes) + 1)  # a last column for answers that are no class
    return np.concatenate([eye[predictor.labels(part)] for part in _with_every_value(rows, asked)], axis=1)


WAYS: tuple[Way[Answers], ...] = (
    Way("scores", SCORES, _scores),
    Way("labels", frozenset({Capability.LABELS}), _labels),
)
