"""Models of scikit-learn saved by skops: loaded from the very bytes that were examined, with no more trust than that gave."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from assay.core.errors import MissingExtra, Refused, Undecided
from assay.formats.skops_file import skops_facts
from assay.predictors.declared import Declared
from assay.predictors.predictor import Capability, Info, Loss, Predictor, RowKind, Slope, Trainer
from assay.predictors.skops_import import import_skops

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Labels

_METHODS = {
    Capability.LABELS: "predict", Capability.VALUES: "predict", Capability.SCORES: "predict_proba",
}  # fmt: skip


def load_scikit_learn(data: bytes, stated: Declared) -> ScikitLearn:
    """Loads a skops file, whose every name must be on the list for its role.

    Raises:
        Refused, MalformedInput, MissingExtra: as `load_skops`.
        Undecided: it is neither classifier nor regressor, or declares other features than it was fitted with.
    """
    return ScikitLearn(load_skops(data), stated)


def load_skops(data: bytes) -> Any:  # Any: scikit-learn has no types
    """The object in a skops file, whose every name must be on the list for its role.

    Raises:
        Refused: a name that is not listed, or something that the reader does not understand.
        MalformedInput: no skops file.
        MissingExtra: skops or scikit-learn is not installed.
    """
    facts = skops_facts(data)
    if not facts.is_clean:
        named = [found.qualified for found in facts.unlisted] + list(facts.problems)
        raise Refused("the model is not loaded", "; ".join(named[:5]), "run `assay check --only model_file.*` on it")
    try:
        loads = import_skops().loads
    except ImportError as error:
        raise MissingExtra("cannot load the model", str(error), "pip install 'assay[ml]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another version of scikit-learn wrote it; what it answers is what counts
        try:
            return loads(data, trusted=list(facts.reviewed))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, ImportError, RecursionError) as error:
            raise Refused("the model cannot be loaded", str(error)[:200], "save it again with skops") from error


class ScikitLearn:
    """A fitted classifier or regressor of scikit-learn as a `Model`."""

    def __init__(self, estimator: Any, stated: Declared) -> None:  # Any: scikit-learn has no types
        classes = () if stated.task == "regression" else getattr(estimator, "classes_", None)
        if classes is None or getattr(classes, "ndim", 1) != 1 or not hasattr(estimator, "predict"):
            why = f"it is no fitted estimator for {stated.task} with one list of classes"
            raise Undecided("the model cannot be evaluated", why, "declare its `task`")
        self.estimator = estimator
        self.stated = stated
        self._info = stated.info(tuple(getattr(classes, "tolist", tuple)()), _features(estimator, stated))
        self._wants_frame = _wants_frame(estimator)

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Values of a regressor; labels of a classifier, scores if it has `predict_proba`. Both can be trained again."""
        if self._info.is_regression:
            return frozenset({Capability.VALUES, Capability.RETRAIN})
        scores = {Capability.SCORES} if hasattr(self.estimator, "predict_proba") else set()
        return frozenset({Capability.LABELS, Capability.RETRAIN} | scores)

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: what scikit-learn answers is checked by `Predictor`
        """What the estimator says, labels as places in `info.classes`; -1 for an answer that is no class."""
        import numpy as np

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # names of features were compared when the model was loaded
            try:
                found = getattr(self.estimator, _METHODS[wanted])(self.framed(batch))
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                why = str(error).split("\n")[0][:200]
                raise Undecided("the model refuses the rows", why, "compare the declared features") from error
        if wanted is not Capability.LABELS:
            return found
        places = {value: place for place, value in enumerate(self._info.classes)}
        return [places.get(answer, -1) for answer in np.asarray(found).tolist()]

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """Estimators of scikit-learn show no gradients."""
        raise Undecided("the model gives no gradients", "scikit-learn computes none", reason="capability")

    def trainer(self) -> Trainer:
        """Fits clones of the estimator."""
        return _Cloner(self)

    def framed(self, batch: Batch) -> Any:  # Any: a pandas frame, which is no dependency
        """The rows as the estimator wants them: texts alone, or a frame with names if some step picks columns by name."""
        if self._info.row_kind is RowKind.TEXT:
            return batch[:, 0]
        if not self._wants_frame:
            return batch
        try:
            import pandas as pd
        except ImportError as error:
            why = "its pipeline picks columns by name, which needs pandas"
            raise MissingExtra("cannot ask the model", why, "pip install pandas") from error
        frame = pd.DataFrame(batch, columns=list(self._info.features))
        return frame.infer_objects()


class _Cloner(Trainer):
    """The settings of a fitted estimator, fitted again to other rows."""

    def __init__(self, model: ScikitLearn) -> None:
        self._model = model

    def train(self, features: Batch, target: Labels, seed: int) -> Predictor:
        """A clone with every `random_state` set to `seed`; regressors get their numbers as `target`."""
        import numpy as np
        from sklearn.base import clone

        estimator = clone(self._model.estimator)
        states = {name: seed for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"}
        estimator.set_params(**states)
        info = self._model.info
        truth = np.asarray(target) if info.is_regression else np.array(info.classes)[np.asarray(target)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a shadow that has not converged attacks as the original would
            try:
                estimator.fit(self._model.framed(features), truth)
            except (ValueError, TypeError) as error:
                raise Undecided("the model cannot be trained again", str(error).split("\n")[0][:200]) from error
        return Predictor(_Retrained(estimator, self._model))


class _Retrained(ScikitLearn):
    """A clone that was fitted to rows in which classes may be missing; it keeps the places of the original."""

    def __init__(self, estimator: Any, original: ScikitLearn) -> None:  # Any: scikit-learn has no types
        super().__init__(estimator, original.stated)
        self._own = self._info.classes
        self._info = original.info

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: as `ScikitLearn`
        """Scores of classes that were not seen in training are 0."""
        import numpy as np

        found = super().ask(wanted, batch)
        if wanted is not Capability.SCORES or self._own == self._info.classes:
            return found
        scores = np.zeros((len(batch), len(self._info.classes)))
        scores[:, [self._info.classes.index(value) for value in self._own]] = found
        return scores


def _features(estimator: Any, stated: Declared) -> tuple[str, ...]:
    """The declared features, which must be those that the model was fitted with, in the same order."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = () if fitted is None else tuple(str(name) for name in fitted.tolist())
    if stated.features and names and stated.features != names:
        raise Undecided(
            "the declared features are not those of the model",
            f"declared {', '.join(stated.features[:5])}…; fitted with {', '.join(names[:5])}…",
            "declare the features in the order in which the model was fitted",
        )
    return stated.features or names


def _wants_frame(estimator: Any) -> bool:
    """Whether some step picks its columns by name, which a plain matrix cannot answer."""
    steps = [step for _, step in getattr(estimator, "steps", [])] or [estimator]
    picked = [columns for step in steps for _, _, columns in getattr(step, "transformers", [])]
    return any(isinstance(name, str) for columns in picked for name in _listed(columns))


def _listed(columns: Any) -> list[Any]:
    return [columns] if isinstance(columns, str) else list(columns) if hasattr(columns, "__iter__") else []
