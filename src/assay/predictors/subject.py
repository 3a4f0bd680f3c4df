"""What every check of a model starts from: the model loaded, and the rows of the datasets that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.assets import Asset
from assay.core.checks import Context
from assay.core.errors import AssayError, MalformedInput, MissingExtra
from assay.core.outcomes import Skipped
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


def subject(asset: Asset, context: Context, what: str, *, needs: frozenset[Capability] = LABELS) -> Subject | Skipped:
    """Loads the model and the rows it is tested on; says what is missing instead, as a skip of `what`.

    `needs` are capabilities without which the check has nothing to do.

    Raises:
        MalformedInput: hostile or broken bytes in model or data; the runner records it as a finding.
    """
    if not context.related("tested_on"):
        return Skipped(what, "no test data: declare a dataset as `tested_on` of the model")
    try:
        require(*NEEDED)
        predictor = load_predictor(asset, context)
        if lacking := needs - predictor.capabilities:
            return Skipped(what, f"capability: the model gives no {', '.join(sorted(lacking))}")
        rows = evaluation_rows(predictor.info, context.related("tested_on"), context)
        if rows.missing:
            ask = predictor.values if predictor.info.is_regression else predictor.labels
            ask(rows.features)  # raises where the model cannot read rows with holes
    except MalformedInput:
        raise
    except AssayError as error:
        return skipped(what, error)
    return Subject(predictor, rows)


def training_rows(predictor: Predictor, context: Context) -> EvaluationRows | None:
    """The rows that the model was trained on; None where no dataset is declared.

    Raises:
        Undecided, MalformedInput: as `evaluation_rows`.
    """
    datasets = context.related("trained_on")
    return evaluation_rows(predictor.info, datasets, context) if datasets else None


def unseen_classes(rows: EvaluationRows, what: str) -> Iterator[Skipped]:
    """A skip where all rows have one class: what the model does with the others was not looked at."""
    if len(set(rows.target.tolist())) < 2:
        yield Skipped(f"{what} of other classes", "the test rows have one class only")


def skipped(what: str, error: AssayError) -> Skipped:
    """An error that stands in the way of a measurement, as the skip of it."""
    return Skipped(what, f"{error.what}: {error.why}" + (f"; {error.fix}" if error.fix else ""))


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
