"""How well a score tells members from others: the area under the curve, and the true positive rate at a fixed false
one.

A higher score is more member-like. Ties count against the model: a member that ties with another row is taken as
found out, so a constant score cannot hide a leak. `roc_auc` is the area as the field reports it for the quality of a
classifier, where a tie counts half.

The area is a mean over members plus a mean over others of "placements", hence its bounds come in closed form. The true
positive rate is drawn: members and others apart, the threshold anew in every draw. Only the highest of the others can
ever be the threshold, so only they are drawn one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from assay.statistics.bootstrap import DRAWS, Draws, checked_draws
from assay.statistics.inputs import Floats, Ints, finite
from assay.statistics.results import Interval
from assay.statistics.studentised import Spread, spread

BLOCK_CELLS = 4_000_000
"""Resampled cells held at once, 8 bytes each."""


@dataclass(frozen=True)
class Scores:
    """Scores of members, shape (n,), and of others, shape (m,); `tie` is how much of a win a tie is."""

    members: Floats
    others: Floats
    tie: float = 1.0


def checked_scores(members: Floats, others: Floats, metric: str) -> Scores:
    """Both sides finite and at least two rows each, or ValueError; a tie counts as `metric` says."""
    return Scores(finite(members, "members", at_least=2), finite(others, "others", at_least=2), tie_of(metric))


def tie_of(metric: str) -> float:
    """How much of a win a tie is: half for `roc_auc`, else all of it."""
    return 0.5 if metric == "roc_auc" else 1.0


def false_positive_rate(metric: str) -> float | None:
    """None for `auc` and `roc_auc`, the rate for `tpr_at_fpr:RATE` with 0 < RATE <= .5, ValueError for anything else."""
    if metric in ("auc", "roc_auc"):
        return None
    name, _, rate = metric.partition(":")
    try:
        value = float(rate)
    except ValueError:
        value = math.nan
    if name != "tpr_at_fpr" or not 0 < value <= 0.5:
        raise ValueError(f"the metric is 'auc', 'roc_auc' or 'tpr_at_fpr:RATE' with a rate up to 0.5, not {metric!r}")
    return value


def rank_interval(
    members: Floats, others: Floats, metric: str, seed: int, level: float = 0.95, draws: int = DRAWS
) -> Interval:
    """Two-sided interval of `auc`, `roc_auc` or `tpr_at_fpr:RATE`; `n` counts members and others."""
    scores, rate = checked_scores(members, others, metric), false_positive_rate(metric)
    n = scores.members.size + scores.others.size
    if rate is None:
        shown = area_spread(scores).interval(level, "placements, skewness corrected", n)
        return Interval(shown.estimate, max(0.0, shown.low), min(1.0, shown.high), level, shown.method, n)
    return found_draws(scores, rate, draws, np.random.default_rng(seed)).interval(level, "stratified bootstrap", n)


def placements(scores: Scores) -> Scores:
    """For each member the share of others that it beats, for each other the share of members that beat it; ties as stated.

    Source: DeLong, DeLong, Clarke-Pearson, Comparing the areas under correlated ROC curves, Biometrics 1988.
    """
    return Scores(
        _below(np.sort(scores.others), scores.members, scores.tie),
        1 - _below(np.sort(scores.members), scores.others, 1 - scores.tie),
    )


def _below(ascending: Floats, values: Floats, tie: float) -> Floats:
    """For each value the share of `ascending` that lies below it, equal ones counted by `tie`."""
    low, high = (np.searchsorted(ascending, values, side=side) for side in ("left", "right"))
    return np.asarray((low + tie * (high - low)) / ascending.size, dtype=np.float64)


def area_spread(scores: Scores) -> Spread:
    """The area under the curve with the spread of its placements."""
    placed = placements(scores)
    return _with_floor(scores, placed.members, placed.others - placed.others.mean())


def area_change(candidate: Scores, baseline: Scores, paired: bool) -> Spread:
    """Area of the candidate minus area of the baseline; `paired` where row i is the same row in both."""
    new, old = placements(candidate), placements(baseline)
    centred = new.others - new.others.mean(), old.others - old.others.mean()
    if paired:
        return _with_floor(candidate, new.members - old.members, centred[0] - centred[1])
    return _with_floor(candidate, new.members, -old.members, centred[0], -centred[1])


def found_draws(scores: Scores, rate: float, draws: int, rng: np.random.Generator) -> Draws:
    """Share of members at or above the threshold, the highest score that keeps false positives within `rate` if
    exceeded.

    How many of the m others lie above the true threshold is binomial, so it lies between two known neighbours: the
    higher one leans low, the lower one high (the order statistics interval of a quantile). The members are drawn from
    the beta distributions of Clopper and Pearson's bounds, not as counts: with no member found a resample would find
    none either, and prove a leak of zero.
    """
    tail = _tail(scores, rate)
    m, n = scores.others.size, scores.members.size
    above = rng.binomial(m, rate, size=checked_draws(draws))
    few, many = tail.found_at(above), tail.found_at(above + 1)
    low = [rng.standard_gamma(shape) for shape in (few, n - few + 1)]
    high = [rng.standard_gamma(shape) for shape in (many + 1, n - many)]
    estimate = float(tail.found_at(tail.seen())[0] / n)
    return Draws(estimate, low[0] / (low[0] + low[1]), high[0] / (high[0] + high[1]))


def found_change(
    candidate: Scores, baseline: Scores, rate: float, draws: int, rng: np.random.Generator, paired: bool
) -> Draws:
    """Candidate minus baseline in the share of members found; `paired` where row i is the same row in both."""
    if not paired:
        new, old = (found_draws(scores, rate, draws, rng) for scores in (candidate, baseline))
        return Draws(new.estimate - old.estimate, new.lower - old.upper, new.upper - old.lower)
    n, tails = candidate.members.size, (_tail(candidate, rate), _tail(baseline, rate))
    ranks = _paired_ranks(tails, checked_draws(draws), rng)
    both = _found_by_both(tails, ranks)
    only_new, only_old = (tail.found_at(rank) - both for tail, rank in zip(tails, ranks, strict=True))
    shapes = only_new, only_old, n - only_new - only_old, np.ones(draws)
    gained, lost, same, extra = (rng.standard_gamma(shape) for shape in shapes)
    total = gained + lost + same + extra
    new_found, old_found = (int(tail.found_at(tail.seen())[0]) for tail in tails)
    return Draws((new_found - old_found) / n, (gained - lost - extra) / total, (gained - lost + extra) / total)


@dataclass(frozen=True)
class _Tail:
    """The highest others of one model, and how many of them lie strictly above each member.

    `order` holds their row numbers, highest first; `above` has the shape of the members, capped at len(order).
    """

    allowed: int
    size: int
    order: Ints
    above: Ints

    def seen(self) -> Ints:
        """The rank of the threshold in the others as they are, shape (1,)."""
        return np.array([self.allowed + 1])

    def found_at(self, rank: Ints) -> Ints:
        """Members found if the threshold is the other of this rank, 1 being the highest; none at rank 0."""
        counted = np.append(0, np.cumsum(np.bincount(self.above, minlength=self.order.size + 1)))
        return np.asarray(counted[np.minimum(rank, self.order.size)], dtype=np.int64)


def _tail(scores: Scores, rate: float) -> _Tail:
    """The others that a threshold can fall on in any of a billion resamples."""
    m = scores.others.size
    allowed = int(rate * m + 1e-9)
    if allowed < 1:
        raise ValueError(f"a false positive rate of {rate:g} needs {math.ceil(1 / rate)} others or more, not {m}")
    depth = min(m, math.ceil(m * float(betaincinv(allowed + 1, m - allowed, 1 - 1e-9))) + 1)
    order = np.argsort(-scores.others, kind="stable")[:depth]
    above = np.searchsorted(-scores.others[order], -scores.members, side="left")
    return _Tail(allowed, m, order.astype(np.int64), above.astype(np.int64))


def _paired_ranks(tails: tuple[_Tail, _Tail], draws: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The rank of the threshold in both models, from the same resampled others, shape (draws,) each."""
    rows = np.union1d(tails[0].order, tails[1].order)
    columns = [np.searchsorted(rows, tail.order) for tail in tails]
    share = np.append(np.full(rows.size, 1 / tails[0].size), max(0.0, 1 - rows.size / tails[0].size))
    found: list[list[Ints]] = [[], []]
    for start in range(0, draws, block := max(1, BLOCK_CELLS // share.size)):
        counts = rng.multinomial(tails[0].size, share, size=min(block, draws - start)).astype(np.int32)
        for side, (tail, column) in enumerate(zip(tails, columns, strict=True)):
            passed = np.cumsum(counts[:, column], axis=1) > tail.allowed
            found[side].append(np.where(passed.any(axis=1), passed.argmax(axis=1) + 1, tail.order.size))
    return np.concatenate(found[0]), np.concatenate(found[1])


def _found_by_both(tails: tuple[_Tail, _Tail], ranks: tuple[Ints, Ints]) -> Ints:
    """Members found in both models at each pair of ranks, shape (draws,): dominance counted in blocks of draws."""
    new, old = tails[0].above, tails[1].above
    # Members that the lowest threshold drawn leaves alone in either model cannot be found by both.
    kept = (new < ranks[0].max()) & (old < ranks[1].max())
    pairs, weight = np.unique(np.stack([new[kept], old[kept]]), axis=1, return_counts=True)
    asked, back = np.unique(np.stack(ranks), axis=1, return_inverse=True)
    out = np.zeros(asked.shape[1], dtype=np.int64)
    for start in range(0, out.size, block := max(1, BLOCK_CELLS // max(1, weight.size))):
        part = asked[:, start : start + block, None]
        out[start : start + block] = ((pairs[0] < part[0]) & (pairs[1] < part[1])) @ weight
    return np.asarray(out[back.ravel()], dtype=np.int64)


def _with_floor(scores: Scores, *samples: Floats) -> Spread:
    """The spread of the sum of the means, with no less error than the weight of one row.

    Complete separation leaves no spread at all, which is a small sample's luck and not certainty.
    """
    found, floor = spread(*samples), 1 / min(scores.members.size, scores.others.size)
    return found if found.error > floor else Spread(found.estimate, floor, 0.0, found.freedom)
