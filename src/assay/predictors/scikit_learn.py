"""Models of scikit-learn saved by skops: loaded from the very bytes that were examined, with no more trust than that gave."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.core.canonical import Json
from assay.core.errors import MissingExtra, Refused, Undecided
from assay.formats.skops_file import skops_facts
from assay.predictors.predictor import Capability, Info

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Floats, Labels


def load_scikit_learn(data: bytes, declared: Mapping[str, Json]) -> ScikitLearn:
    """Loads a skops file, whose every name must be on the list for its role.

    Raises:
        Refused: a name that is not listed, or something that the reader does not understand.
        MalformedInput: no skops file.
        MissingExtra: skops or scikit-learn is not installed.
        Undecided: it is no classifier, or declares other features than it was fitted with.
    """
    facts = skops_facts(io.BytesIO(data), len(data))
    if not facts.is_clean:
        named = [found.qualified for found in facts.unlisted] + list(facts.problems)
        raise Refused("the model is not loaded", "; ".join(named[:5]), "run `assay check --only model_file.*` on it")
    try:
        from skops.io import loads
    except ImportError as error:
        raise MissingExtra("cannot load the model", str(error), "pip install 'assay[ml]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another version of scikit-learn wrote it; what it answers is what counts
        try:
            estimator = loads(data, trusted=list(facts.reviewed))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, ImportError, RecursionError) as error:
            raise Refused("the model cannot be loaded", str(error)[:200], "save it again with skops") from error
    return ScikitLearn(estimator, declared)


class ScikitLearn:
    """A fitted classifier of scikit-learn as a `Predictor`."""

    def __init__(self, estimator: Any, declared: Mapping[str, Json]) -> None:  # Any: scikit-learn has no types
        classes = getattr(estimator, "classes_", None)
        if classes is None or getattr(classes, "ndim", 0) != 1 or not hasattr(estimator, "predict"):
            raise Undecided("the model cannot be evaluated", "it is no fitted classifier with one list of classes")
        self._estimator = estimator
        self._info = Info(
            task=str(declared.get("task", "classification")),
            classes=tuple(classes.tolist()),
            features=_features(estimator, declared),
            immutable=tuple(map(str, declared.get("immutable") or ())),
        )
        self._wants_frame = _wants_frame(estimator)
        self._has_scores = hasattr(estimator, "predict_proba")
        self._rows_queried = 0

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Labels always, scores if it has `predict_proba`."""
        return frozenset({Capability.LABELS, Capability.SCORES} if self._has_scores else {Capability.LABELS})

    @property
    def rows_queried(self) -> int:
        """How many rows were asked so far."""
        return self._rows_queried

    def labels(self, batch: Batch) -> Labels:
        """What `predict` says, as places in `info.classes`; -1 for an answer that is no class."""
        import numpy as np

        answers = np.asarray(self._ask("predict", batch))
        places = {value: place for place, value in enumerate(self._info.classes)}
        return np.array([places.get(answer, -1) for answer in answers.tolist()], np.int32)

    def scores(self, batch: Batch) -> Floats:
        """Probabilities, shape (n, classes)."""
        import numpy as np

        if not self._has_scores:
            raise Undecided("the model gives no scores", "it has no `predict_proba`")
        scores = np.asarray(self._ask("predict_proba", batch), dtype=np.float64)
        if scores.shape != (len(batch), len(self._info.classes)) or not np.isfinite(scores).all():
            raise Undecided("the model answers with something else than probabilities", f"shape {scores.shape}, or NaN")
        return scores

    def _ask(self, method: str, batch: Batch) -> Any:  # Any: what scikit-learn answers is checked by the callers
        import numpy as np

        self._rows_queried += len(batch)
        if not len(batch):
            return np.empty((0, len(self._info.classes)) if method == "predict_proba" else 0)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # names of features were compared when the model was loaded
            try:
                return getattr(self._estimator, method)(self._framed(batch))
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                why = str(error).split("\n")[0][:200]
                raise Undecided("the model refuses the rows", why, "compare the declared features") from error

    def _framed(self, batch: Batch) -> Any:  # Any: a pandas frame, which is no dependency
        if not self._wants_frame:
            return batch
        try:
            import pandas as pd
        except ImportError as error:
            why = "its pipeline picks columns by name, which needs pandas"
            raise MissingExtra("cannot ask the model", why, "pip install pandas") from error
        frame = pd.DataFrame(batch, columns=list(self._info.features))
        return frame.infer_objects()


def _features(estimator: Any, declared: Mapping[str, Json]) -> tuple[str, ...]:
    """The declared features, which must be those that the model was fitted with, in the same order."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = () if fitted is None else tuple(str(name) for name in fitted.tolist())
    stated = tuple(map(str, declared.get("features") or ()))
    if stated and names and stated != names:
        raise Undecided(
            "the declared features are not those of the model",
            f"declared {', '.join(stated[:5])}…; fitted with {', '.join(names[:5])}…",
            "declare the features in the order in which the model was fitted",
        )
    return stated or names


def _wants_frame(estimator: Any) -> bool:
    """Whether some step picks its columns by name, which a plain matrix cannot answer."""
    steps = [step for _, step in getattr(estimator, "steps", [])] or [estimator]
    picked = [columns for step in steps for _, _, columns in getattr(step, "transformers", [])]
    return any(isinstance(name, str) for columns in picked for name in _listed(columns))


def _listed(columns: Any) -> list[Any]:
    return [columns] if isinstance(columns, str) else list(columns) if hasattr(columns, "__iter__") else []
