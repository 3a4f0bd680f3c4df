"""What a check may ask of any model: labels, and scores where the model has them; every row asked is counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from assay.core.canonical import Json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Batch = npt.NDArray[Any]  # (n, d): float64, or object where a column holds text
    Labels = npt.NDArray[np.int32]
    Floats = npt.NDArray[np.float64]


class Capability(StrEnum):
    """What a model can give; the strongest attack that it admits is the one that counts."""

    LABELS = "labels"
    SCORES = "scores"


@dataclass(frozen=True)
class Info:
    """What a model is: its task, its classes in the order of the scores, its features in the order of a batch.

    `features` is () where neither the declaration nor the model names them: then every column of the data is one, apart
    from the target. `immutable` names features that an attacker cannot change.
    """

    task: str
    classes: tuple[Json, ...]
    features: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()


class Predictor(Protocol):
    """A loaded model. The same batch gives the same answer; a model that does not keep this is found out by its checks."""

    @property
    def info(self) -> Info:
        """What it is."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can give."""
        ...

    @property
    def rows_queried(self) -> int:
        """How many rows were asked so far, all methods together."""
        ...

    def labels(self, batch: Batch) -> Labels:
        """The predicted class of each row as its place in `info.classes`, shape (n,).

        Raises:
            Undecided: the model refuses these rows, for instance because cells are missing.
        """
        ...

    def scores(self, batch: Batch) -> Floats:
        """Probabilities, shape (n, classes), each row summing to one.

        Raises:
            Undecided: as `labels`, or the model has no scores.
        """
        ...
