"""Shares and means of groups under two models, with their covariances: what contrasts of gaps are made from.

Most gaps divide by the same rows in both models (true positive rate: the rows of the positive class). Some do not
(precision: the rows that each model calls positive), means have values instead of hits, and rows may come in clusters that
reach across groups. All are ratios, group by group, so the covariance is that of their linearised rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from assay.statistics.clusters import clusters_of, summed
from assay.statistics.inputs import Bools, Floats, Ints, finite, flags, same_rows

PSEUDO = 0.5
"""Rows added to every kind of row in every group, so that a group without a disagreement is not taken for one that never
has any (Agresti and Min 2004)."""


@dataclass(frozen=True)
class Side:
    """One model's part: which rows count for it, and the value of each (0 and 1 for a share), shape (n,) each."""

    counts: Bools
    values: Floats


@dataclass(frozen=True)
class Moments:
    """Value of each group under the new and the old model, shape (groups,), and covariances, shape (groups, groups) each.

    `cross[g, h]` is the covariance of the new value of g and the old value of h.
    """

    new: Floats
    old: Floats
    var_new: Floats
    var_old: Floats
    cross: Floats
    freedom: float = np.inf

    @property
    def swapped(self) -> Moments:
        """The same with the models' roles exchanged."""
        return Moments(self.old, self.new, self.var_old, self.var_new, self.cross.T, self.freedom)


def moments_of_cells(cells: Ints) -> Moments:
    """From counts of shape (groups, 4): both wrong, old right, new right, both right."""
    padded = cells + PSEUDO
    size = padded.sum(axis=1)
    both, new, old = padded[:, 3] / size, (padded[:, 2] + padded[:, 3]) / size, (padded[:, 1] + padded[:, 3]) / size
    return Moments(
        new,
        old,
        np.diag(new * (1 - new) / size),
        np.diag(old * (1 - old) / size),
        np.diag((both - new * old) / size),
    )


def checked_side(is_counted: Bools, values: Floats, name: str) -> Side:
    """A side whose rows that count are finite; the values of the others do not matter."""
    counted = flags(is_counted, f"{name}_counts")
    given = np.where(counted, np.asarray(values, dtype=np.float64), 0.0)
    return Side(counted, finite(given, name))


def moments_of_rows(groups: Ints, new: Side, old: Side, clusters: Ints | None = None) -> Moments:
    """From rows, shape (n,) each; every group needs a row that counts on either side, or ValueError."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    same_rows(groups=index, new=new.values, old=old.values)
    if names.size < 2:
        raise ValueError(f"a gap needs two groups or more, not {names.size}")
    is_share = all(np.isin(side.values[side.counts], (0.0, 1.0)).all() for side in (new, old))
    if clusters is None:
        return _of_kinds(index, names.size, new, old) if is_share else _of_values(index, names.size, new, old, None)
    return _of_values(index, names.size, new, old, clusters_of(clusters))


def _of_kinds(index: Ints, groups: int, new: Side, old: Side) -> Moments:
    """From the counts of the nine kinds of row (out, missed or hit under either model) with PSEUDO of each that counts."""
    states = [np.where(side.counts, 1 + side.values.astype(np.int64), 0) for side in (new, old)]
    seen = np.bincount(index * 9 + states[0] * 3 + states[1], minlength=groups * 9).reshape(groups, 9)
    kinds = np.asarray(seen + PSEUDO, dtype=np.float64)
    kinds[:, 0] -= PSEUDO
    code = np.arange(9)
    sides = [Side(place > 0, (place == 2).astype(np.float64)) for place in (code // 3, code % 3)]
    values, parts = zip(*(_linear(kinds, side) for side in sides), strict=True)
    covariance = [np.diag((kinds * a * b).sum(axis=1)) for a, b in ((parts[0], parts[0]), (parts[1], parts[1]), parts)]
    return Moments(values[0], values[1], covariance[0], covariance[1], covariance[2])


def _linear(kinds: Floats, side: Side) -> tuple[Floats, Floats]:
    """The value of each group and the influence of one row of each kind on it, shapes (groups,) and (groups, kinds)."""
    size = (kinds * side.counts).sum(axis=1)
    value = (kinds * side.counts * side.values).sum(axis=1) / size
    return value, side.counts * (side.values - value[:, None]) / size[:, None]


def _of_values(index: Ints, groups: int, new: Side, old: Side, clusters: Ints | None) -> Moments:
    """From the influence of each row, or of each cluster, on the value of its group."""
    values, sums = [], []
    units = np.arange(index.size) if clusters is None else clusters
    count = int(units.max()) + 1
    for side in (new, old):
        size = np.bincount(index, weights=side.counts, minlength=groups)
        if (size < 2).any():
            raise ValueError("a group has fewer than two rows that count")
        value = np.bincount(index, weights=side.counts * side.values, minlength=groups) / size
        influence = side.counts * (side.values - value[index]) / size[index]
        values.append(value)
        sums.append((units * groups + index, influence))
    if clusters is None:
        return _independent(index, groups, values, sums)
    a, b = (summed(at, w, count * groups).reshape(count, groups) for at, w in sums)
    scale = count / (count - 1)
    return Moments(values[0], values[1], scale * a.T @ a, scale * b.T @ b, scale * a.T @ b, count - 1)


def _independent(index: Ints, groups: int, values: list[Floats], sums: list[tuple[Ints, Floats]]) -> Moments:
    a, b = sums[0][1], sums[1][1]
    made = [np.diag(summed(index, w, groups)) for w in (a * a, b * b, a * b)]
    return Moments(values[0], values[1], made[0], made[1], made[2], float(np.bincount(index).min() - 1))


def p_of(freedom: float, z: Floats) -> Floats:
    """P(X <= z), of Student's t with that freedom, of a normal X where it is infinite."""
    return np.asarray(ndtr(z) if np.isinf(freedom) else stdtr(freedom, z), dtype=np.float64)


def z_of(freedom: float, tail: float) -> float:
    """The value that X exceeds with probability `tail`."""
    return float(-ndtri(tail) if np.isinf(freedom) else -stdtrit(freedom, tail))
