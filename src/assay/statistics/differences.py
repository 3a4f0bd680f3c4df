"""The difference of two independent shares, tested by score, and the largest gap among many groups built from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from assay.statistics.inputs import Floats, checked_alpha, checked_groups
from assay.statistics.roots import crossing


class Pairs(NamedTuple):
    """Hits and rows of the first and second group of every ordered pair, shape (groups * (groups - 1),) each."""

    hits_1: Floats
    n_1: Floats
    hits_2: Floats
    n_2: Floats


def ordered_pairs(hits: Floats, counts: Floats) -> Pairs:
    """Every group against every other, both ways round."""
    first, second = np.nonzero(~np.eye(hits.size, dtype=np.bool_))
    return Pairs(hits[first], counts[first], hits[second], counts[second])


def difference_score(pairs: Pairs, difference: Floats) -> Floats:
    """z of "share 1 - share 2 = difference", shape (pairs,); large where the observed difference is larger.

    The two shares in the variance are the most likely ones that keep to the hypothesis, the root of a cubic.

    Source: Miettinen and Nurminen, Comparative analysis of two rates, Statistics in Medicine 1985; the closed form of
    the root is in Farrington and Manning, Statistics in Medicine 1990.
    """
    p_1, p_2, ratio = pairs.hits_1 / pairs.n_1, pairs.hits_2 / pairs.n_2, pairs.n_2 / pairs.n_1
    delta = np.clip(difference, -1 + 1e-12, 1 - 1e-12)
    a = 1 + ratio
    b = -(1 + ratio + p_1 + ratio * p_2 + delta * (ratio + 2))
    c = delta * delta + delta * (2 * p_1 + ratio + 1) + p_1 + ratio * p_2
    d = -p_1 * delta * (1 + delta)
    v = b**3 / (27 * a**3) - b * c / (6 * a * a) + d / (2 * a)
    u = np.where(v > 0, 1.0, -1.0) * np.sqrt(np.maximum(b * b / (9 * a * a) - c / (3 * a), 1e-200))
    turn = (np.pi + np.arccos(np.clip(v / u**3, -1, 1))) / 3
    q_1 = np.clip(2 * u * np.cos(turn) - b / (3 * a), np.maximum(0, delta), np.minimum(1, 1 + delta))
    q_2 = q_1 - delta
    n = pairs.n_1 + pairs.n_2
    variance = (q_1 * (1 - q_1) / pairs.n_1 + q_2 * (1 - q_2) / pairs.n_2) * n / (n - 1)
    return np.asarray((p_1 - p_2 - delta) / np.sqrt(np.maximum(variance, 1e-30)), dtype=np.float64)


def difference_bounds(pairs: Pairs, alpha: float) -> tuple[Floats, Floats]:
    """One-sided lower and upper score bounds of share 1 - share 2, shape (pairs,) each, each at confidence 1 - alpha."""
    z = float(-ndtri(checked_alpha(alpha)))
    seen = pairs.hits_1 / pairs.n_1 - pairs.hits_2 / pairs.n_2
    end = np.ones(seen.shape)
    low = crossing(lambda at: difference_score(pairs, at) - z, -end, seen, steps=40)
    high = crossing(lambda at: difference_score(pairs, at) + z, seen, end, steps=40)
    return low, high


class Gap(NamedTuple):
    """Bounds and p-values of a max-min gap: `p_below` of "gap >= limit", `p_above` of "gap <= limit"."""

    estimate: float
    low: float
    high: float
    p_below: float
    p_above: float


def largest_gap(hits: Sequence[int], counts: Sequence[int], limit: float, alpha: float) -> Gap:
    """Is the largest difference of shares among the groups below `limit`, or above it?

    The gap is below the limit if every ordered pair is (intersection-union: each pair at alpha); it is above if some
    pair is (Bonferroni over the pairs). The max-min of noisy shares is biased upwards; these tests are not.
    """
    h, n = checked_groups(hits, counts)
    pairs, shares = ordered_pairs(h, n), h / n
    z = difference_score(pairs, np.full(pairs.n_1.shape, limit))
    many = pairs.n_1.size
    _, high = difference_bounds(pairs, alpha)
    low, _ = difference_bounds(pairs, alpha / many)
    return Gap(
        estimate=float(shares.max() - shares.min()),
        low=max(0.0, float(low.max())),
        high=min(1.0, float(high.max())),
        p_below=float(ndtr(z).max()),
        p_above=min(1.0, many * float(ndtr(-z).min())),
    )


def gap_rows(
    hits: Sequence[int], counts: Sequence[int], limit: float, up: int, alpha: float, power: float
) -> int | None:
    """Rows in all groups together, in their present proportion, that would show the gap below (up = -1) or above the
    limit.

    Below: the chances of missing a pair, summed over all ordered pairs, must stay within 1 - power. Above: the pair
    with the largest difference must be shown at alpha / pairs.
    """
    h, n = checked_groups(hits, counts)
    pairs, shares = ordered_pairs(h, n), h / n
    if up * (float(np.ptp(shares)) - limit) <= 0:
        return None
    seen = pairs.hits_1 / pairs.n_1 - pairs.hits_2 / pairs.n_2
    error = np.sqrt(
        sum(p * (1 - p) / m for p, m in ((pairs.hits_1 / pairs.n_1, pairs.n_1), (pairs.hits_2 / pairs.n_2, pairs.n_2)))
    )
    error = np.maximum(error, 1 / (pairs.n_1 + pairs.n_2))
    if up > 0:
        z, widest = float(-ndtri(alpha / seen.size)), int(seen.argmax())
        scale = float((z + ndtri(power)) * error[widest] / (seen[widest] - limit)) ** 2
    else:
        scale = rows_for_all((limit - seen) / error, float(-ndtri(alpha)), power)
    return max(2 * h.size, int(np.ceil(n.sum() * scale)))


def rows_for_all(reach: Floats, z_alpha: float, power: float) -> float:
    """By what factor the rows must grow so that claims `reach` standard errors away, shape (k,), are all shown with
    `power`.

    The chances of missing each are summed, whatever their dependence.
    """

    def missed(grown: Floats) -> Floats:
        return np.asarray(ndtr(z_alpha - grown[:, None] * reach).sum(axis=1) - (1 - power), dtype=np.float64)

    most = float((z_alpha - ndtri((1 - power) / reach.size)) / reach.min())
    return float(crossing(missed, np.zeros(1), np.array([most]))[0]) ** 2
