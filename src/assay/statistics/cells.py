"""Measures of labels against predictions: precision, recall, F1, balanced accuracy, MCC; and their change between models.

All are functions of three counts a class: rows of the class, rows predicted as it, rows that are both. A table holds few
distinct kinds of row (label, prediction of one or both models), so the kinds are drawn, with gamma weights, and not the
rows. One more row of weight Gamma(1) goes to the kind that hurts most, in the draws that lean low, or helps most, in those
that lean high: it stands for what the sample may have missed. With no row lost of n the bound of a share is then that of
Clopper and Pearson, where the plain bootstrap would be certain.

Source: Rubin, The Bayesian bootstrap, Annals of Statistics 1981; Gorodkin, Comparing two K-category assignments by a
K-category correlation coefficient, 2004 (MCC of several classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from assay.statistics.answers import limit_claim, paired_claim
from assay.statistics.bootstrap import DRAWS, Draws, checked_draws
from assay.statistics.inputs import Floats, Ints, same_rows, sign_of
from assay.statistics.results import Interval, Limit, LimitClaim, PairedClaim

MEASURES = ("precision", "recall", "f1", "balanced_accuracy", "mcc")
BLOCK_CELLS = 4_000_000
MAX_CLASSES = 1_000


@dataclass(frozen=True)
class Measure:
    """Which number: `name` out of MEASURES, of one class, or the plain mean over all classes where `positive` is None.

    MCC is one number for all classes; balanced accuracy is the mean recall.
    """

    name: str
    positive: int | None = None

    def __post_init__(self) -> None:
        if self.name not in MEASURES:
            raise ValueError(f"{self.name!r} is none of {', '.join(MEASURES)}")


def cells_interval(label: Ints, pred: Ints, measure: Measure, seed: int, level: float = 0.95) -> Interval:
    """Two-sided interval of a measure, shape (n,) each, for reports."""
    codes = _codes(label, pred)
    return _draws(codes, measure, seed, DRAWS, lean=False).interval(level, "bayesian bootstrap of cells", codes.n)


def cells_estimate(label: Ints, pred: Ints, measure: Measure) -> float:
    """The measure of the rows as they are."""
    codes = _codes(label, pred)
    return float(_change(codes, measure, codes.counts[None, :].astype(np.float64))[0])


def cells_limit(
    label: Ints,
    pred: Ints,
    measure: Measure,
    limit: Limit,
    seed: int,
    alpha: float = 0.05,
    draws: int = DRAWS,
    metrics: int = 1,
) -> LimitClaim:
    """Is the measure on the asked side of the limit? Label and prediction name classes by number, shape (n,) each."""
    codes, lowest = _codes(label, pred), -1.0 if measure.name == "mcc" else 0.0
    return limit_claim(_draws(codes, measure, seed, draws), codes.n, limit, alpha, metrics, lowest, 1.0)


def cells_paired(
    label: Ints,
    candidate_pred: Ints,
    baseline_pred: Ints,
    measure: Measure,
    margin: float,
    better: str,
    seed: int,
    alpha: float = 0.05,
    draws: int = DRAWS,
    metrics: int = 1,
) -> PairedClaim:
    """Change of a measure between two models on the same rows, shape (n,) each."""
    codes = _codes(label, candidate_pred, baseline_pred)
    found = _draws(codes, measure, seed, draws)
    return paired_claim(found if sign_of(better) > 0 else found.mirrored(), codes.n, margin, alpha, metrics)


def least_denominator(label: Ints, pred: Ints, measure: Measure) -> int:
    """The smallest number of rows that a part of the measure is divided by; below 30 nothing should be decided."""
    codes = _codes(label, pred)
    actual, predicted, _ = (side.ravel() for side in _sides(codes, codes.counts[None, :].astype(np.float64), 1))
    parts = {
        "recall": actual,
        "balanced_accuracy": actual,
        "precision": predicted,
        "f1": np.minimum(actual, predicted),
        "mcc": actual,
    }
    rows = parts[measure.name]
    asked = codes.labelled if measure.positive is None or measure.name == "mcc" else codes.names == measure.positive
    return int(rows[asked].min()) if asked.any() else 0


@dataclass(frozen=True)
class Codes:
    """The distinct kinds of row: columns label and one prediction a model, shape (kinds, 1 + models), as places in `names`.

    `counts` says how often each kind was seen, `labelled` which classes any row belongs to.
    """

    kinds: Ints
    counts: Ints
    names: Ints
    labelled: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    @property
    def n(self) -> int:
        """Rows in all."""
        return int(self.counts.sum())


def measured(name: str, positive: int | None, labelled: ArrayLike, sides: tuple[Floats, Floats, Floats]) -> Floats:
    """A measure from rows of each class, rows predicted as it and rows that are both, shape (..., classes) each.

    A part whose denominator is empty counts 0. `positive` is a place among the classes; None means the mean over those
    that any row belongs to.
    """
    actual, predicted, both = sides
    if name == "mcc":
        total = actual.sum(axis=-1)
        spread = [total**2 - (side**2).sum(axis=-1) for side in (actual, predicted)]
        return _ratio(both.sum(axis=-1) * total - (actual * predicted).sum(axis=-1), np.sqrt(spread[0] * spread[1]))
    part = {
        "precision": lambda: _ratio(both, predicted),
        "f1": lambda: _ratio(2 * both, actual + predicted),
    }.get(name, lambda: _ratio(both, actual))()
    if positive is not None and name != "balanced_accuracy":
        return np.asarray(part[..., positive], dtype=np.float64)
    return np.asarray(part[..., np.asarray(labelled)].mean(axis=-1), dtype=np.float64)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 1e-12), dtype=np.float64)


def _codes(*columns: Ints) -> Codes:
    named = [np.asarray(column) for column in columns]
    if any(column.ndim != 1 or column.size == 0 or column.dtype.kind not in "iu" for column in named):
        raise ValueError("labels and predictions name the class of each row by a whole number")
    same_rows(**{("label", "candidate", "baseline")[i]: column.astype(np.int64) for i, column in enumerate(named)})
    names, places = np.unique(np.stack(named, axis=1).astype(np.int64), return_inverse=True)
    if names.size > MAX_CLASSES:
        raise ValueError(f"{names.size} classes, at most {MAX_CLASSES}")
    kinds, counts = np.unique(places.reshape(-1, len(named)), axis=0, return_counts=True)
    labelled = np.zeros(names.size, dtype=np.bool_)
    labelled[kinds[:, 0]] = True
    return Codes(kinds.astype(np.int64), counts.astype(np.int64), names, labelled)


def _sides(codes: Codes, weights: Floats, model: int) -> tuple[Floats, Floats, Floats]:
    """Weight of each class, of predictions of it and of both, shape (draws, classes) each, from weights (draws, kinds)."""
    label, pred = codes.kinds[:, 0], codes.kinds[:, model]
    one_hot = np.eye(codes.names.size)
    return weights @ one_hot[label], weights @ one_hot[pred], weights @ (one_hot[label] * (label == pred)[:, None])


def _change(codes: Codes, measure: Measure, weights: Floats) -> Floats:
    """The measure, or candidate minus baseline, for each row of weights (draws, kinds)."""
    place = _place(codes, measure)
    found = [
        measured(measure.name, place, codes.labelled, _sides(codes, weights, m)) for m in range(1, codes.kinds.shape[1])
    ]
    return found[0] if len(found) == 1 else np.asarray(found[0] - found[1], dtype=np.float64)


def _place(codes: Codes, measure: Measure) -> int | None:
    if measure.positive is None:
        return None
    at = np.flatnonzero(codes.names == measure.positive)
    if at.size == 0:
        raise ValueError(f"no row is of class {measure.positive}, nor predicted as it")
    return int(at[0])


def _draws(codes: Codes, measure: Measure, seed: int, draws: int, lean: bool = True) -> Draws:
    estimate = float(_change(codes, measure, codes.counts[None, :].astype(np.float64))[0])
    worst, best = _extremes(codes, measure) if lean else (codes, codes)
    rng, found = np.random.default_rng(seed), []
    for start in range(0, checked_draws(draws), block := max(1, BLOCK_CELLS // (codes.counts.size + 1))):
        size = min(block, draws - start)
        weights = rng.standard_gamma(codes.counts.astype(np.float64), size=(size, codes.counts.size))
        extra = rng.standard_exponential((size, 1))
        found.append(
            [_change(side, measure, np.hstack([weights, extra]) if lean else weights) for side in (worst, best)]
        )
    lower, upper = (np.concatenate([part[side] for part in found]) for side in (0, 1))
    return Draws(estimate, lower, upper)


def _extremes(codes: Codes, measure: Measure) -> tuple[Codes, Codes]:
    """The table with one more kind of row, not counted: the one that lowers the measure, or its change, most, and the one
    that raises it most."""
    classes, models = np.arange(codes.names.size), codes.kinds.shape[1] - 1
    moved = [_moves(codes, measure, model) for model in range(1, models + 1)]
    low, high = moved[0].min(axis=1), moved[0].max(axis=1)
    pick = [[moved[0].argmin(axis=1)], [moved[0].argmax(axis=1)]]
    if models == 2:  # a row hurts the change where it hurts the candidate and helps the baseline
        low, high = low - moved[1].max(axis=1), high - moved[1].min(axis=1)
        pick = [[pick[0][0], moved[1].argmax(axis=1)], [pick[1][0], moved[1].argmin(axis=1)]]
    low, high = (np.where(codes.labelled, side, fill) for side, fill in ((low, np.inf), (high, -np.inf)))
    made = []
    for label, columns in ((int(low.argmin()), pick[0]), (int(high.argmax()), pick[1])):
        kind = np.array([[classes[label], *(column[label] for column in columns)]])
        made.append(Codes(np.vstack([codes.kinds, kind]), codes.counts, codes.names, codes.labelled))
    return made[0], made[1]


def _moves(codes: Codes, measure: Measure, model: int) -> Floats:
    """By how much one more row of each label (rows) with each prediction (columns) moves the measure of a model."""
    sides = [side[0] for side in _sides(codes, codes.counts[None, :].astype(np.float64), model)]
    one_hot, place = np.eye(codes.names.size), _place(codes, measure)
    before = measured(measure.name, place, codes.labelled, (sides[0], sides[1], sides[2]))
    after = [
        measured(
            measure.name, place, codes.labelled, (sides[0] + label, sides[1] + one_hot, sides[2] + one_hot * label)
        )
        for label in one_hot
    ]
    return np.stack(after) - before
