"""Copies of linear classifiers: by solving for the weights from scores, or by finding the boundary from labels.

Source: Tramer et al., Stealing machine learning models via prediction APIs, 2016, section 4.1 (equation solving); Lowd and Meek,
Adversarial learning, 2005 (sign witnesses and line search, for labels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.core.errors import Undecided
from assay.predictors.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Floats, Labels

RADII = (1.0, 0.3, 0.1, 0.03)
SATURATED = 1e-9
HALVINGS = 40
REACH = 64.0


@dataclass(frozen=True)
class LinearCopy:
    """`weights` (d + 1, classes), the last row being the intercept; `queries` is what it cost."""

    weights: Floats = field(repr=False)
    queries: int

    def labels(self, features: Floats) -> Labels:
        """The class of each row, shape (n,)."""
        import numpy as np

        return np.asarray((with_one(features) @ self.weights).argmax(axis=1), np.int32)


@dataclass(frozen=True)
class Region:
    """Where queries lie: around `centre` (d,), in units of `scale` (d,), which is never 0."""

    centre: Floats = field(repr=False)
    scale: Floats = field(repr=False)

    @classmethod
    def of(cls, features: Floats) -> Region:
        """The region of rows, shape (n, d)."""
        import numpy as np

        scale = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(scale > 0, scale, 1.0))


def with_one(features: Floats) -> Floats:
    """The rows with a last column of ones."""
    import numpy as np

    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def unknowns(features: int, classes: int) -> int:
    """(d + 1)(k - 1): the weights of a logistic regression, and the queries that are granted."""
    return (features + 1) * (classes - 1)


def solved(predictor: Predictor, region: Region, rng: np.random.Generator) -> LinearCopy:
    """The weights by least squares from the log odds at (d + 1)(k - 1) points.

    Scores that have rounded to 0 or 1 hold no equation. A few first queries, taken from the same budget, find how far from the
    centre the model still answers with numbers between; the rest are drawn there.

    Raises:
        Undecided: the model answers with 0 and 1 everywhere, or refuses the rows.
    """
    import numpy as np

    d, k = region.centre.size, len(predictor.info.classes)
    granted = unknowns(d, k)
    least = d + 1  # k - 1 equations a query
    probes = max(1, min(5, (granted - least) // len(RADII))) if granted > least else 0
    spent, radius = 0, RADII[-1] if probes else 0.3
    for wider in RADII if probes else ():
        said = predictor.scores(region.centre + wider * region.scale * rng.normal(size=(probes, d)))
        spent += probes
        if said.min() > SATURATED:
            radius = wider
            break
    points = radius * rng.normal(size=(granted - spent, d))
    scores = predictor.scores(region.centre + points * region.scale)
    usable = scores.min(axis=1) > 0
    if usable.sum() < 2:
        raise Undecided("no equation can be read", "the model's scores are 0 and 1 only", "see extraction.distillation")
    logs = np.log(scores[usable])
    found = np.linalg.lstsq(with_one(points[usable]), logs - logs[:, :1], rcond=None)[0]
    return LinearCopy(_in_units(found, region), granted)


def traced(predictor: Predictor, region: Region, start: Floats) -> LinearCopy:
    """The boundary of two classes from labels: one point on it, then where it cuts a line along each feature.

    Every line search halves 40 times. `start` (n, d) are rows to look for one of each class among.

    Raises:
        Undecided: more than two classes, or all rows asked have one class.
    """
    import numpy as np

    if len(predictor.info.classes) != 2:
        raise Undecided("the boundary cannot be traced", "it is one of two classes only", "see extraction.distillation")
    asked = predictor.rows_queried
    said = predictor.labels(start)
    if np.unique(said).size < 2:
        raise Undecided("the boundary cannot be traced", f"{len(start)} rows have one class")
    units = (start - region.centre) / region.scale
    low, high = units[said == 0][0], units[said == 1][0]

    def label(points: Floats) -> Labels:
        return predictor.labels(region.centre + points * region.scale)

    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if label(middle[None])[0] == 0 else (low, middle)
    weights = _slopes(label, (low + high) / 2)
    return LinearCopy(
        _in_units(np.stack([np.zeros(weights.size), weights], axis=1), region), predictor.rows_queried - asked
    )


def _slopes(label: Callable[[Floats], Labels], on: Floats) -> Floats:
    """Weights (d + 1,) of the second class's log odds up to a factor, from a point `on` (d,) the boundary.

    A step off the boundary, along the feature that leaves it fastest, is undone by moving along each other feature; how far
    that takes is the inverse of its weight. All features are searched at once.
    """
    import numpy as np

    eye = np.eye(on.size)
    far = label(on + REACH * eye).astype(int) - label(on - REACH * eye).astype(int)
    sign = np.sign(far)
    if not sign.any():
        raise Undecided("the boundary cannot be traced", "no feature alone crosses it")
    lead = int(np.flatnonzero(sign)[0])
    base = on + eye[lead] * sign[lead]  # now on the side of the second class
    near, reach = np.zeros(on.size), np.full(on.size, REACH)
    for _ in range(HALVINGS):
        middle = (near + reach) / 2
        still = label(base - (middle * sign)[:, None] * eye) == 1
        near, reach = np.where(still, middle, near), np.where(still, reach, middle)
    crossing = np.where(reach < REACH * (1 - 1e-6), (near + reach) / 2, np.inf)
    slopes = np.where(sign != 0, sign / np.maximum(crossing, 1e-12), 0.0)
    return np.append(slopes, -float(slopes @ on))


def _in_units(weights: Floats, region: Region) -> Floats:
    """Weights for rows as they are, from weights for rows in units of the region."""
    import numpy as np

    slopes = weights[:-1] / region.scale[:, None]
    return np.concatenate([slopes, weights[-1:] - region.centre @ slopes])
