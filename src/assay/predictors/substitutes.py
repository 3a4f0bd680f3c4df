"""Models that somebody without the original trains: references for membership attacks, copies for extraction.

    trainer = Substitutes(predictor.info, rows.is_number, Shape.FOREST)
    copy = trainer.train(features, predictor.labels(features), seed)

They are plain models of scikit-learn over any table: holes are filled with the median, text becomes one column a value. Where the
original cannot be trained again, they stand in for it; attacks with them are weaker than with the original recipe.
Source: Papernot et al., Practical black-box attacks against machine learning, 2017 (the name and the idea).
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from assay.core.errors import Undecided
from assay.predictors.predictor import Capability, Info, Loss, Predictor, Slope, Trainer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from assay.predictors.predictor import Batch, Floats, Labels

HIDDEN = 128
TREES = 50
ROUNDS = 60
MOST_VALUES = 50


class Shape(StrEnum):
    """What kind of model it is."""

    LINEAR = "linear"
    NETWORK = "network"
    FOREST = "forest"


class Substitutes(Trainer):
    """Trains models of one shape for the classes of `info`, on rows whose columns are numbers where `is_number` (d,) says so."""

    def __init__(self, info: Info, is_number: tuple[bool, ...], shape: Shape) -> None:
        self._info, self._is_number, self._shape = replace(info, task="classification"), is_number, shape

    def train(self, features: Batch, target: Labels, seed: int) -> Predictor:
        """A fresh model; classes that `target` lacks get the score 0.

        Raises:
            Undecided: fewer than two classes, or rows that cannot be fitted.
        """
        import numpy as np
        from sklearn.pipeline import make_pipeline

        if np.unique(target).size < 2:
            raise Undecided("no substitute can be trained", "the rows have one class only")
        pipeline = make_pipeline(_columns(self._is_number), _estimator(self._shape, seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that has not converged serves as well
            try:
                pipeline.fit(features, np.asarray(target))
            except (ValueError, TypeError) as error:
                raise Undecided("no substitute can be trained", str(error).split("\n")[0][:200]) from error
        return Predictor(_Substitute(pipeline, self._info))


class _Substitute:
    """A fitted pipeline as a `Model` that knows the places of the original's classes."""

    def __init__(self, pipeline: Any, info: Info) -> None:  # Any: scikit-learn has no types
        self._pipeline, self._info = pipeline, info

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Labels and scores."""
        return frozenset({Capability.LABELS, Capability.SCORES})

    def ask(self, wanted: Capability, batch: Batch) -> Floats:
        """Scores of all classes, or the place of the best."""
        import numpy as np

        scores = np.zeros((len(batch), len(self._info.classes)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a text that was never seen is no news
            scores[:, self._pipeline.classes_.astype(int)] = self._pipeline.predict_proba(batch)
        return scores if wanted is Capability.SCORES else np.asarray(scores.argmax(axis=1), np.float64)

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """It shows no gradients."""
        raise Undecided("a substitute gives no gradients", "scikit-learn computes none", reason="capability")

    def trainer(self) -> Trainer:
        """It is not trained again."""
        raise Undecided("a substitute is not trained again", "", reason="capability")


def _columns(is_number: tuple[bool, ...]) -> Any:  # Any: scikit-learn has no types
    """Numbers filled and scaled, text as one column a value."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numbers = [place for place, number in enumerate(is_number) if number]
    texts = [place for place, number in enumerate(is_number) if not number]
    filled = make_pipeline(
        FunctionTransformer(_floats), SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    named = make_pipeline(
        FunctionTransformer(_texts), OneHotEncoder(handle_unknown="ignore", max_categories=MOST_VALUES)
    )
    return ColumnTransformer([("numbers", filled, numbers), ("texts", named, texts)])


def _floats(part: Batch) -> Floats:
    import numpy as np

    return np.array([[np.nan if cell is None else cell for cell in row] for row in part.tolist()], np.float64).reshape(
        part.shape
    )


def _texts(part: Batch) -> npt.NDArray[np.object_]:
    import numpy as np

    return np.array([[str(cell) for cell in row] for row in part.tolist()], object).reshape(part.shape)


def _estimator(shape: Shape, seed: int) -> Any:  # Any: scikit-learn has no types
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if shape is Shape.LINEAR:
        return LogisticRegression(C=100.0, max_iter=ROUNDS)
    if shape is Shape.FOREST:
        return RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed)
    return MLPClassifier((HIDDEN,), learning_rate_init=3e-3, batch_size="auto", max_iter=ROUNDS, random_state=seed,
                         early_stopping=False, n_iter_no_change=5, tol=1e-3)  # fmt: skip
