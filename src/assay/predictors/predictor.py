"""What a check may ask of any model. An adapter answers; the `Predictor` around it meters, remembers and does not believe.

    predictor = load_predictor(asset, context)
    predictor.labels(batch)                       # every adapter
    if Capability.GRADIENTS in predictor.capabilities:
        predictor.gradient(batch, target, Loss.CROSS_ENTROPY)

An adapter is small: it says what the model is (`info`), what it can give (`capabilities`) and answers `ask`. That shapes fit, that
numbers are finite and that probabilities sum to one is checked here, once, for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from assay.core.canonical import Json, canonical
from assay.core.errors import Undecided

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Batch = npt.NDArray[Any]  # (n, d): float64, or object where a column holds text
    Labels = npt.NDArray[np.int32]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]

SUM_TOLERANCE = 1e-3
MAX_REMEMBERED = 1_000_000
ENOUGH_ROWS = 20
"""So many answers that are no class are a model with other classes than declared, not a row that it finds strange."""


class Capability(StrEnum):
    """What a model can give; the strongest attack that it admits is the one that counts."""

    LABELS = "labels"
    SCORES = "scores"
    LOGITS = "logits"
    GRADIENTS = "gradients"
    PENULTIMATE = "penultimate"
    VALUES = "values"
    RETRAIN = "retrain"


class Loss(StrEnum):
    """What a gradient is taken of; each is larger the worse the model answers.

    `dlr` is the difference of logits ratio of Croce and Hein, Reliable evaluation of adversarial robustness, 2020; `margin` is
    the best other logit minus that of the true class, of Carlini and Wagner, 2017.
    """

    CROSS_ENTROPY = "cross-entropy"
    DLR = "dlr"
    MARGIN = "margin"


class RowKind(StrEnum):
    """What a row is: columns of a table, the pixels of an image, or one text."""

    TABLE = "table"
    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True)
class Info:
    """What a model is: its task, its classes in the order of the scores, its features in the order of a batch.

    `features` is () where neither the declaration nor the model names them: then every column of the data is one, apart
    from the target. `immutable` names features that an attacker cannot change. A row of an image is its flat pixels;
    `shape` says how the model sees them, such as (1, 28, 28), `bounds` between which values they lie, and `divisor` by what
    the numbers in the data files are divided first (255 for bytes).
    """

    task: str
    classes: tuple[Json, ...]
    features: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    row_kind: RowKind = RowKind.TABLE
    shape: tuple[int, ...] = ()
    bounds: tuple[float, float] | None = None
    divisor: float = 1.0

    @property
    def is_regression(self) -> bool:
        """Whether the model answers with a number instead of a class."""
        return self.task == "regression"


@dataclass(frozen=True)
class Slope:
    """`logits` (n, classes) of a batch and the `gradient` (n, d) of each row's loss."""

    logits: Floats
    gradient: Floats


class Model(Protocol):
    """An adapter: what `Predictor` asks. It need not count, remember or check."""

    @property
    def info(self) -> Info:
        """What it is."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can give."""
        ...

    def ask(self, wanted: Capability, batch: Batch) -> Any:  # Any: what a library answers is checked by `Predictor`
        """Labels as places in `info.classes` (n,), scores, logits or penultimate activations (n, k), or values (n,).

        Raises:
            Undecided: the model refuses these rows.
        """
        ...

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """Logits and the gradient of each row's loss by its features; only with the capability `gradients`."""
        ...

    def trainer(self) -> Trainer:
        """Who can train another model of the same recipe; only with the capability `retrain`."""
        ...


class Trainer(Protocol):
    """Trains models of one recipe: the same architecture and settings on other rows."""

    def train(self, features: Batch, target: Labels, seed: int) -> Predictor:
        """A fresh model fitted to `features` (n, d) and `target` (n,), places in the classes of the original.

        Equal arguments give an equal model.

        Raises:
            Undecided: the recipe cannot be fitted to these rows.
        """
        ...

    def train_each(self, features: Batch, target: Labels, parts: Flags, seed: int) -> Iterator[Predictor]:
        """A model for each of `parts` (s, n), fitted to the rows that it picks, the first with `seed`, the next with one more.

        Raises:
            Undecided: as `train`.
        """
        for place, part in enumerate(parts):
            yield self.train(features[part], target[part], seed + place)


class Predictor:
    """A loaded model behind one door. Rows that reach the model are counted; answers of costly models are remembered."""

    def __init__(self, model: Model, *, remembers: bool = False) -> None:
        self._model = model
        self._remembered: dict[bytes, Any] | None = {} if remembers else None
        self._rows_queried = 0

    @property
    def info(self) -> Info:
        """What it is."""
        return self._model.info

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can give."""
        return self._model.capabilities

    @property
    def rows_queried(self) -> int:
        """How many rows the model was asked so far, all methods together; remembered answers cost none."""
        return self._rows_queried

    def labels(self, batch: Batch, *, again: bool = False) -> Labels:
        """The predicted class of each row as its place in `info.classes`, shape (n,); -1 for an answer that is no class.

        Args:
            batch: shape (n, d).
            again: ask the model even where its answer is remembered, to find out whether it keeps to it.

        Raises:
            Undecided: the model refuses these rows or answers with something else.
        """
        import numpy as np

        found = self._ask(Capability.LABELS, batch, again)
        whole: Labels = found.astype(np.int32)
        if (whole != found).any() or (whole < -1).any() or (whole >= len(self.info.classes)).any():
            why = f"places beyond its {len(self.info.classes)} classes"
            raise Undecided("the model answers with something else than labels", why)
        if whole.size >= ENOUGH_ROWS and (whole < 0).all():
            known = ", ".join(map(str, self.info.classes[:12]))
            raise Undecided("the model answers with none of its classes", f"asked {whole.size} rows; it has {known}")
        return whole

    def scores(self, batch: Batch, *, again: bool = False) -> Floats:
        """Probabilities, shape (n, classes), each row summing to one.

        Raises:
            Undecided: as `labels`, or the model has no scores.
        """
        found: Floats = self._ask(Capability.SCORES, batch, again)
        if (found < 0).any() or (abs(found.sum(axis=1) - 1) > SUM_TOLERANCE).any():
            raise Undecided("the model answers with something else than probabilities", "rows do not sum to one")
        return found

    def logits(self, batch: Batch) -> Floats:
        """Scores before they became probabilities, shape (n, classes).

        Raises:
            Undecided: as `labels`, or the model gives none.
        """
        found: Floats = self._ask(Capability.LOGITS, batch, False)
        return found

    def values(self, batch: Batch, *, again: bool = False) -> Floats:
        """The predicted number of each row of a regression, shape (n,).

        Raises:
            Undecided: as `labels`, or the model gives none.
        """
        found: Floats = self._ask(Capability.VALUES, batch, again)
        return found

    def penultimate(self, batch: Batch) -> Floats:
        """Activations before the last layer, shape (n, k).

        Raises:
            Undecided: as `labels`, or the model does not show them.
        """
        found: Floats = self._ask(Capability.PENULTIMATE, batch, False)
        return found

    def slope(self, batch: Batch, target: Labels, loss: Loss) -> Slope:
        """Logits and the gradient of each row's loss by its features; costs one query a row.

        Raises:
            Undecided: the model has no gradients, or they are not finite.
        """
        import numpy as np

        self._require(Capability.GRADIENTS)
        self._rows_queried += len(batch)
        found = self._model.slope(batch, target, loss)
        fits = found.gradient.shape == batch.shape and found.logits.shape == (len(batch), len(self.info.classes))
        if not fits or not np.isfinite(found.gradient).all() or not np.isfinite(found.logits).all():
            why = "they are not finite, or have another shape than the rows"
            raise Undecided("the model's gradients cannot be used", why)
        return found

    def trainer(self) -> Trainer:
        """Who can train another model of the same recipe.

        Raises:
            Undecided: nobody says how the model was trained.
        """
        self._require(Capability.RETRAIN)
        return self._model.trainer()

    def _require(self, wanted: Capability) -> None:
        if wanted not in self.capabilities:
            has = ", ".join(sorted(self.capabilities))
            raise Undecided(f"the model gives no {wanted}", f"capability: it gives {has}", reason="capability")

    def _ask(self, wanted: Capability, batch: Batch, again: bool) -> Any:  # Any: Labels or Floats, as `wanted` says
        self._require(wanted)
        if self._remembered is None:
            return self._fresh(wanted, batch)
        return self._recalled(wanted, batch, self._remembered, again)

    def _fresh(self, wanted: Capability, batch: Batch) -> Any:  # Any: as `_ask`
        import numpy as np

        if not len(batch):
            per_class = wanted in (Capability.SCORES, Capability.LOGITS)
            return np.empty((0, len(self.info.classes)) if per_class else 0)
        self._rows_queried += len(batch)
        try:
            found = np.asarray(self._model.ask(wanted, batch), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise Undecided(f"the model's {wanted} cannot be read", str(error)[:200]) from error
        if found.shape != self._shape(wanted, batch, found) or not np.isfinite(found).all():
            raise Undecided(f"the model answers with something else than {wanted}", f"shape {found.shape}, or NaN")
        return found

    def _shape(self, wanted: Capability, batch: Batch, found: Floats) -> tuple[int, ...]:
        if wanted in (Capability.LABELS, Capability.VALUES):
            return (len(batch),)
        width = len(self.info.classes) if wanted is not Capability.PENULTIMATE else found.shape[-1]
        return (len(batch), width)

    def _recalled(
        self, wanted: Capability, batch: Batch, known: dict[bytes, Any], again: bool
    ) -> Any:  # Any: as `_ask`
        import numpy as np

        keys = [_key(wanted, row) for row in batch]
        fresh = {key: place for place, key in enumerate(keys) if again or key not in known}
        if fresh:
            places = sorted(fresh.values())
            for place, answer in zip(places, self._fresh(wanted, batch[places]), strict=True):
                known[keys[place]] = answer
        found = np.array([known[key] for key in keys], dtype=np.float64)
        while len(known) > MAX_REMEMBERED:
            known.pop(next(iter(known)))
        return found if len(batch) else self._fresh(wanted, batch)


def largest(scores: Floats, classes: int) -> Floats:
    """The label of each row of scores or logits, shape (n,): the place of the largest; NaN where a row holds NaN, as that is no answer.

    Raises:
        Undecided: they are not as many a row as there are classes.
    """
    import numpy as np

    if scores.ndim != 2 or scores.shape[1] != classes:
        why = f"shape {scores.shape}, and it has {classes} classes"
        raise Undecided("the model answers with something else than a number a class", why)
    found: Floats = np.where(np.isnan(scores).any(axis=1), np.nan, scores.argmax(axis=1))
    return found


def softmax(logits: Floats) -> Floats:
    """Probabilities from logits, shape (n, classes)."""
    import numpy as np

    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def _key(wanted: Capability, row: Any) -> bytes:  # Any: one row of a batch
    data = row.tobytes() if row.dtype.kind == "f" else canonical([_plain(value) for value in row.tolist()])
    return hashlib.blake2b(wanted.encode() + b"\0" + data, digest_size=16).digest()


def _plain(value: Any) -> Json:  # Any: a cell
    return None if value != value else value
