"""What every check of a model starts from: the model loaded, the rows of the datasets that it names, and doubt about its answers.

@check("quality.accuracy", kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True)
@of_model("quality.accuracy")
def accuracy(examined: Subject, context: Context) -> Iterator[Outcome]: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from assay.core.assets import Asset
from assay.core.checks import Body, Context
from assay.core.errors import AssayError, MalformedInput, MissingExtra, Undecided
from assay.core.outcomes import Measurement, Outcome, Skipped
from assay.predictors.constancy import change_of_answer
from assay.predictors.loading import load_predictor
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows, evaluation_rows

NEEDED = ("numpy", "scipy", "sklearn", "skops")
LABELS = frozenset({Capability.LABELS})
SCORES = frozenset({Capability.LABELS, Capability.SCORES})


@dataclass(frozen=True)
class Subject:
    """A model and its test rows."""

    predictor: Predictor
    rows: EvaluationRows


Question = Callable[[Subject, Context], Iterator[Outcome]]


def of_model(what: str, needs: frozenset[Capability] = LABELS) -> Callable[[Question], Body]:
    """Makes a question about a model and its test rows the body of the check `what`.

    Every error that stands in the way is a skip of `what`; only malformed input is left to the runner, which records it as a finding.
    No number of a model that changes its answers is valid, and a skip says so before the first of them. `needs` are capabilities
    without which the check has nothing to do.
    """

    def made(question: Question) -> Body:
        @functools.wraps(question)
        def body(asset: Asset, context: Context) -> Iterator[Outcome]:
            try:
                examined = subject(asset, context, needs)
                yield from _doubted(question(examined, context), examined, what)
            except MalformedInput:
                raise
            except AssayError as error:
                yield skipped(what, error)

        return body

    return made


def subject(asset: Asset, context: Context, needs: frozenset[Capability] = LABELS) -> Subject:
    """Loads the model and the rows it is tested on.

    Raises:
        MissingExtra, Refused, Undecided: no data, libraries, model or capability, or rows that the model cannot read.
        MalformedInput: hostile or broken bytes in model or data.
    """
    if not context.related("tested_on"):
        raise Undecided("no test data", "declare a dataset as `tested_on` of the model")
    require(*NEEDED)
    predictor = load_predictor(asset, context)
    if lacking := needs - predictor.capabilities:
        raise Undecided("capability", f"the model gives no {', '.join(sorted(lacking))}")
    rows = evaluation_rows(predictor.info, context.related("tested_on"), context)
    if rows.missing:
        ask = predictor.values if predictor.info.is_regression else predictor.labels
        ask(rows.features)  # raises where the model cannot read rows with holes
    return Subject(predictor, rows)


def _doubted(outcomes: Iterator[Outcome], examined: Subject, what: str) -> Iterator[Outcome]:
    """Passes outcomes on; before the first number the model is asked whether it keeps to its answers."""
    change: str | None = None
    for outcome in outcomes:
        if isinstance(outcome, Measurement):
            if change is None and (change := change_of_answer(examined.predictor, examined.rows.features)):
                yield Skipped(f"validity of {what}", change)
            outcome = replace(outcome, valid=outcome.valid and not change)
        yield outcome


def training_rows(predictor: Predictor, context: Context) -> EvaluationRows | None:
    """The rows that the model was trained on; None where no dataset is declared.

    Raises:
        Undecided, MalformedInput: as `evaluation_rows`.
    """
    datasets = context.related("trained_on")
    return evaluation_rows(predictor.info, datasets, context) if datasets else None


def unseen_classes(rows: EvaluationRows, what: str) -> Iterator[Skipped]:
    """A skip where all rows have one class: what the model does with the others was not looked at."""
    if rows.has_one_class:
        yield Skipped(f"{what} of other classes", "the test rows have one class only")


def skipped(what: str, error: AssayError) -> Skipped:
    """An error that stands in the way of a measurement, as the skip of it."""
    said = ": ".join(part for part in (error.what, error.why) if part)
    return Skipped(what, f"{said}; {error.fix}" if error.fix else said)


def require(*modules: str) -> None:
    """Imports what the extra `ml` brings.

    Raises:
        MissingExtra: one of them is not installed.
    """
    import importlib

    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(f"{name} is not installed", str(error), "pip install 'assay[ml]'") from error
