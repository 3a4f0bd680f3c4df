"""Rows that come in clusters: one user, conversation, document or family of near duplicates each. Whole clusters are the sample.

Rows of one cluster tend to be right or wrong together, so a test of single rows would see more evidence than there is. Each
estimate here is written as a sum over clusters, and its error is the spread of their shares in it (linearisation, the
sandwich). From 30 clusters up the skewness is corrected as for means; below that Student's t alone; below ten there is no
answer. No error is taken for smaller than what one cluster can do that happens not to be in the sample.

Source: Liang and Zeger, Longitudinal data analysis using generalized linear models, Biometrika 1986; Cochran, Sampling
Techniques, 1977, chapter 6 (ratio estimates).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from assay.statistics.answers import limit_claim, paired_claim
from assay.statistics.cells import Measure, measured
from assay.statistics.inputs import Floats, Ints, finite, same_rows, sign_of
from assay.statistics.ranks import Scores, placements
from assay.statistics.results import Limit, LimitClaim, PairedClaim
from assay.statistics.studentised import Spread, spread

LEAST_CLUSTERS = 10
ENOUGH_CLUSTERS = 30
UNSEEN = math.sqrt(3)
"""How many of the largest seen effects of one cluster the error is at least: with none seen of C the bound is near 3/C."""


class TooFewClusters(ValueError):
    """`found` clusters, fewer than the `needed` that can be tested."""

    needed = LEAST_CLUSTERS

    def __init__(self, found: int) -> None:
        super().__init__(f"{found} clusters; at least {LEAST_CLUSTERS} are needed to say anything")
        self.found = found


def mean_of_clusters(values: Floats, clusters: Ints) -> Spread:
    """The mean of the values, shape (n,), with the spread that whole clusters give it; `clusters` numbers them, shape (n,).

    Raises:
        TooFewClusters: fewer than ten.
    """
    checked, index = finite(values, "values", at_least=2), clusters_of(clusters)
    same_rows(values=checked, clusters=index)
    sums, sizes = summed(index, checked), np.bincount(index)
    return _of_parts(float(checked.mean()), (sums - checked.mean() * sizes) / checked.size, _reach(sums, sizes))


def clustered_limit(
    values: Floats, clusters: Ints, limit: Limit, alpha: float = 0.05, metrics: int = 1, low: float = -np.inf,
    high: float = np.inf,
) -> LimitClaim:  # fmt: skip
    """Is a mean (or a share, of 0 and 1) on the asked side of the limit? `rows_needed` counts rows in such clusters."""
    found = mean_of_clusters(values, clusters)
    return limit_claim(found, np.asarray(values).size, limit, alpha, metrics, low, high)


def clustered_change(
    candidate: Floats, baseline: Floats, clusters: Ints, margin: float, better: str, alpha: float = 0.05, metrics: int = 1
) -> PairedClaim:  # fmt: skip
    """Change of a mean or share between two models on the same rows, shape (n,) each."""
    new, old = finite(candidate, "candidate", at_least=2), finite(baseline, "baseline", at_least=2)
    same_rows(candidate=new, baseline=old)
    found = mean_of_clusters(sign_of(better) * (new - old), clusters)
    return paired_claim(found, new.size, margin, alpha, metrics)


def clustered_cells_change(
    label: Ints, candidate_pred: Ints, baseline_pred: Ints, clusters: Ints, measure: Measure, margin: float, better: str,
    alpha: float = 0.05, metrics: int = 1,
) -> PairedClaim:  # fmt: skip
    """Change of precision, recall, F1, balanced accuracy or MCC, by leaving out one cluster at a time."""
    index = clusters_of(clusters)
    new, old = (_left_out(label, pred, index, measure) for pred in (candidate_pred, baseline_pred))
    change, n = sign_of(better) * (new - old), index.size
    whole, left = float(change[0]), change[1:]
    parts = (whole - left) * (left.size - 1) / left.size
    found = _of_parts(whole, parts - parts.mean(), float(np.abs(parts).max(initial=0.0)) or 1 / left.size)
    return paired_claim(found, n, margin, alpha, metrics)


def clustered_area_change(
    candidate: Scores, baseline: Scores, clusters: tuple[Ints, Ints], margin: float, better: str, alpha: float = 0.05,
    metrics: int = 1,
) -> PairedClaim:  # fmt: skip
    """Change of the area under the curve on the same rows; `clusters` are those of the members and of the others."""
    new, old = placements(candidate), placements(baseline)
    members, others = sign_of(better) * (new.members - old.members), sign_of(better) * (new.others - old.others)
    index = clusters_of(np.concatenate(clusters))
    each = np.concatenate([(members - members.mean()) / members.size, (others - others.mean()) / others.size])
    sums, n = summed(index, each), index.size
    found = _of_parts(float(members.mean()), sums, 1 / min(members.size, others.size))
    return paired_claim(found, n, margin, alpha, metrics)


def clusters_of(clusters: Ints) -> Ints:
    """The clusters numbered from 0, shape (n,).

    Raises:
        TooFewClusters: fewer than ten.
    """
    named = np.asarray(clusters)
    if named.ndim != 1 or named.dtype.kind not in "iu":
        raise ValueError("clusters names the cluster of each row by a whole number")
    names, index = np.unique(named, return_inverse=True)
    if names.size < LEAST_CLUSTERS:
        raise TooFewClusters(int(names.size))
    return np.asarray(index, dtype=np.int64)


def summed(index: Ints, weights: Floats, size: int = 0) -> Floats:
    """The weights summed by index, shape (max(index) + 1,) or (size,)."""
    return np.asarray(np.bincount(index, weights=weights, minlength=size), dtype=np.float64)


def _of_parts(estimate: float, parts: Floats, reach: float) -> Spread:
    """An estimate whose deviation is the sum of `parts`, one a cluster, with the floor of UNSEEN times `reach`."""
    found = spread(parts * parts.size)
    floor = UNSEEN * reach
    error = max(found.error, floor)
    skew = found.skew if parts.size >= ENOUGH_CLUSTERS and error == found.error else 0.0
    return replace(found, estimate=estimate, error=error, skew=skew)


def _reach(sums: Floats, sizes: Ints) -> float:
    """The largest effect of one cluster on the mean; if none had any, that of one of usual size which changes altogether."""
    centre = float(sums.sum() / sizes.sum())
    effects = np.abs(sums - centre * sizes)
    largest = float(effects.max()) if np.ptp(sums / sizes) > 1e-12 else float(sizes.mean())
    return largest / float(sizes.sum())


def _left_out(label: Ints, pred: Ints, index: Ints, measure: Measure) -> Floats:
    """The measure of all rows, then without each cluster, shape (1 + clusters,)."""
    names = np.unique(np.concatenate([label, pred]))
    places, guesses = np.searchsorted(names, label), np.searchsorted(names, pred)
    clusters, classes = int(index.max()) + 1, names.size
    sides = []
    for kind, weight in ((places, None), (guesses, None), (places, (places == guesses).astype(np.float64))):
        each = np.bincount(index * classes + kind, weights=weight, minlength=clusters * classes).reshape(
            clusters, classes
        )
        total = each.sum(axis=0)
        sides.append(np.vstack([total, total - each]).astype(np.float64))
    place = None if measure.positive is None else int(np.searchsorted(names, measure.positive))
    return measured(measure.name, place, np.isin(names, label), (sides[0], sides[1], sides[2]))
