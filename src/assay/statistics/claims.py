"""The one entry that a policy uses: what a table of outcomes says about a limit, or about candidate against baseline.

Every function returns p-values and bounds, never a verdict. Each pair of p-value and bound agrees: the bound lies
beyond the limit or margin exactly where its p-value is at most alpha, except `high` and `p_regression` of a paired
share, where the bound is the score bound and the p-value McNemar's. Differences are signed so that larger is better.
`metrics` is the number of metrics in the gate, for `rows_needed`. All raise ValueError on NaN or infinity, empty or
unequal tables, a margin of 0 or less and an alpha outside 0..0.5.

| claim | pass | fail |
|---|---|---|
| share_limit | Clopper-Pearson | Clopper-Pearson |
| mean_limit, rank_limit (auc) | studentised, skewness corrected | the same |
| gap_limit | score test of every ordered pair | the same, Bonferroni |
| rank_limit (tpr_at_fpr) | stratified bootstrap | the same |
| cells_limit | Bayesian bootstrap of the kinds of row, one unseen row more | the same |
| count_limit | Clopper-Pearson, divided by the detector's recall | Clopper-Pearson |
| clustered_limit | Student's t over clusters | the same |
| share_paired | Tango's score test, or exact below 30 disagreements | exact McNemar |
| mean_paired, rank_paired (auc) | studentised, skewness corrected | the same |
| gap_paired | every ordered pair against the same pair, or the widest, of the other model | the same |
| rank_paired (tpr_at_fpr) | bootstrap of the paired rows | the same |
| cells_paired | Bayesian bootstrap of the paired kinds of row, one unseen row more | the same |
| count_change | score test of two independent shares | Fisher's exact test |
| clustered_change, clustered_cells_change, clustered_area_change | Student's t over clusters | the same |
| recipe_change | Student's or Welch's t over seeds | the same |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.statistics import paired, sample_size
from assay.statistics.answers import limit_claim, paired_claim
from assay.statistics.bootstrap import DRAWS
from assay.statistics.cells import Measure, cells_estimate, cells_interval, cells_limit, cells_paired
from assay.statistics.clusters import (
    TooFewClusters,
    clustered_area_change,
    clustered_cells_change,
    clustered_change,
    clustered_limit,
)
from assay.statistics.counts import Canaries, count_change, count_limit
from assay.statistics.differences import gap_rows, largest_gap
from assay.statistics.exact_paired import FEW, exact_paired
from assay.statistics.gap_change import gap_contrasts
from assay.statistics.gap_rows import gap_limit_rows
from assay.statistics.gaps import gap_change, gap_change_interval, gap_interval, paired_cells
from assay.statistics.group_moments import Moments, Side, checked_side, moments_of_cells, moments_of_rows
from assay.statistics.holm import holm
from assay.statistics.inputs import (
    Bools,
    Floats,
    Ints,
    checked_alpha,
    checked_count,
    checked_limit,
    checked_margin,
    checked_power,
    finite,
    flags,
    same_rows,
    sign_of,
)
from assay.statistics.intervals import p_at_least, p_at_most, share_high, share_interval, share_low
from assay.statistics.ranks import (
    area_change,
    area_spread,
    checked_scores,
    false_positive_rate,
    found_change,
    found_draws,
    rank_interval,
)
from assay.statistics.results import Interval, Limit, LimitClaim, PairedClaim
from assay.statistics.seeds import LEAST_SEEDS, recipe_change
from assay.statistics.studentised import mean_interval, spread

__all__ = [
    "LEAST_SEEDS",
    "Canaries",
    "Interval",
    "Limit",
    "LimitClaim",
    "Measure",
    "PairedClaim",
    "Side",
    "TooFewClusters",
    "cells_estimate",
    "cells_interval",
    "cells_limit",
    "cells_paired",
    "checked_side",
    "clustered_area_change",
    "clustered_cells_change",
    "clustered_change",
    "clustered_limit",
    "count_change",
    "count_limit",
    "gap_change_interval",
    "gap_interval",
    "gap_limit",
    "gap_limit_rows",
    "gap_paired",
    "gap_paired_rows",
    "holm",
    "mean_interval",
    "mean_limit",
    "mean_paired",
    "rank_interval",
    "rank_limit",
    "rank_paired",
    "recipe_change",
    "share_interval",
    "share_limit",
    "share_paired",
]


def share_limit(hits: int, n: int, limit: Limit, alpha: float = 0.05, metrics: int = 1) -> LimitClaim:
    """Is the share that `hits` of `n` rows estimate on the asked side of the limit? Exact for every share and n."""
    hits, n = checked_count(hits, n)
    up = checked_limit(limit, 0, 1)
    above, below = p_at_least(hits, n, limit.value), p_at_most(hits, n, limit.value)
    always, never = _edges(limit)
    p_pass, p_fail = (0.0, 1.0) if always else (1.0, 0.0) if never else (above, below) if up > 0 else (below, above)
    rows = sample_size.rows_for_share(hits / n, limit.value, up, alpha, checked_power(metrics))
    return LimitClaim(share_low(hits, n, alpha), share_high(hits, n, alpha), p_pass, p_fail, 1 if always else rows)


def mean_limit(values: Floats, limit: Limit, alpha: float = 0.05, metrics: int = 1) -> LimitClaim:
    """Is the mean of the values, shape (n,), n >= 2, on the asked side of the limit?"""
    checked = finite(values, "values", at_least=2)
    return limit_claim(spread(checked), checked.size, limit, alpha, metrics)


def gap_limit(
    hits: Sequence[int], counts: Sequence[int], limit: Limit, alpha: float = 0.05, metrics: int = 1
) -> LimitClaim:
    """Is the largest difference of shares among the groups on the asked side of the limit? One entry a group."""
    up = checked_limit(limit, 0, 1)
    gap = largest_gap(hits, counts, limit.value, alpha)
    always, never = _edges(limit)
    tests = (gap.p_above, gap.p_below) if up > 0 else (gap.p_below, gap.p_above)
    p_pass, p_fail = (0.0, 1.0) if always else (1.0, 0.0) if never else tests
    rows = gap_rows(hits, counts, limit.value, up, alpha, checked_power(metrics))
    return LimitClaim(gap.low, gap.high, p_pass, p_fail, 1 if always else rows)


def rank_limit(
    members: Floats,
    others: Floats,
    metric: str,
    limit: Limit,
    seed: int,
    alpha: float = 0.05,
    draws: int = DRAWS,
    metrics: int = 1,
) -> LimitClaim:
    """Is `auc` or `tpr_at_fpr:RATE` on the asked side of the limit? A higher score is more member-like.

    Ties count against the model. `rows_needed` counts members and others, in the proportion seen.
    """
    scores, rate = checked_scores(members, others, metric), false_positive_rate(metric)
    n = scores.members.size + scores.others.size
    if rate is None:
        return limit_claim(area_spread(scores), n, limit, alpha, metrics, low=0.0, high=1.0)
    found = found_draws(scores, rate, draws, np.random.default_rng(seed))
    return limit_claim(found, n, limit, alpha, metrics, low=0.0, high=1.0)


def share_paired(
    candidate_ok: Bools, baseline_ok: Bools, margin: float, better: str, alpha: float = 0.05, metrics: int = 1
) -> PairedClaim:
    """Change of a share between two models on the same rows, shape (n,) each, row i being the same row in both."""
    candidate, baseline = flags(candidate_ok, "candidate_ok"), flags(baseline_ok, "baseline_ok")
    same_rows(candidate_ok=candidate, baseline_ok=baseline)
    new, old = (candidate, baseline) if sign_of(better) > 0 else (~candidate, ~baseline)
    return share_paired_counts(int((old & ~new).sum()), int((new & ~old).sum()), new.size, margin, alpha, metrics)


def share_paired_counts(
    lost: int, gained: int, n: int, margin: float, alpha: float = 0.05, metrics: int = 1
) -> PairedClaim:
    """The same from counts: `lost` rows only the baseline got right, `gained` only the candidate, of `n` rows."""
    checked_count(lost + gained, n)
    margin, alpha = checked_margin(margin, at_most=1), checked_alpha(alpha)
    regression = float(paired.mcnemar(np.array(lost), np.array(gained)))
    assumed = (gained - lost) / n if regression <= alpha else 0.0
    if lost + gained < FEW:
        better, worse = exact_paired(lost, gained, n, alpha), exact_paired(gained, lost, n, alpha)
        p_not_worse, low, high = better.p(-margin), better.low(alpha), -worse.low(alpha)
        beyond = worse.p(margin)
    else:
        counts = np.array([lost, gained], np.float64), np.array([gained, lost], np.float64), np.full(2, float(n))
        p_not_worse = float(paired.tango_p(*counts, np.full(2, -margin))[0])
        beyond = float(paired.tango_p(*counts, np.full(2, margin))[1])
        low, minus_high = (float(bound) for bound in paired.tango_low(*counts, alpha))
        high = -minus_high
    return PairedClaim(
        estimate=(gained - lost) / n,
        low=low,
        high=high,
        p_not_worse=p_not_worse,
        p_regression=regression,
        p_beyond=beyond,
        rows_needed=sample_size.rows_for_paired_share(
            sample_size.planned_disagreement(lost + gained, n), margin, alpha, checked_power(metrics), assumed
        ),
        n=n,
        lost=lost,
        gained=gained,
    )


def mean_paired(
    candidate: Floats, baseline: Floats, margin: float, better: str, alpha: float = 0.05, metrics: int = 1
) -> PairedClaim:
    """Change of a mean between two models on the same rows, shape (n,) each, n >= 2; `margin` in the unit of the values."""
    new, old = finite(candidate, "candidate", at_least=2), finite(baseline, "baseline", at_least=2)
    same_rows(candidate=new, baseline=old)
    return paired_claim(spread(sign_of(better) * (new - old)), new.size, margin, alpha, metrics)


def gap_paired(
    groups: Ints,
    candidate_ok: Bools,
    baseline_ok: Bools,
    margin: float,
    better: str,
    alpha: float = 0.05,
    metrics: int = 1,
) -> PairedClaim:
    """Change of the max-min gap of a share over groups, both models on the same rows, shape (n,) each.

    `groups` names the group of a row by a number.
    """
    cells = paired_cells(groups, candidate_ok, baseline_ok)
    return _gap_claim(
        moments_of_cells(cells), float(gap_change(cells)), int(cells.sum()), margin, better, alpha, metrics
    )


def gap_paired_rows(
    groups: Ints,
    candidate: Side,
    baseline: Side,
    margin: float,
    better: str,
    clusters: Ints | None = None,
    alpha: float = 0.05,
    metrics: int = 1,
) -> PairedClaim:
    """The same where the two models divide by different rows (precision), where rows have values, or come in clusters."""
    moments = moments_of_rows(groups, candidate, baseline, clusters)
    plain = [_largest_gap(groups, side) for side in (candidate, baseline)]
    n = int((candidate.counts | baseline.counts).sum())
    return _gap_claim(moments, plain[0] - plain[1], n, margin, better, alpha, metrics)


def _largest_gap(groups: Ints, side: Side) -> float:
    _, index = np.unique(groups[side.counts], return_inverse=True)
    return float(np.ptp(np.bincount(index, weights=side.values[side.counts]) / np.bincount(index)))


def _gap_claim(
    moments: Moments, grown_by: float, n: int, margin: float, better: str, alpha: float, metrics: int
) -> PairedClaim:
    # A gap of which more is better has lost what the baseline had: the roles of the two models change places.
    worse = moments if sign_of(better) < 0 else moments.swapped
    grown, shrunk = gap_contrasts(worse), gap_contrasts(worse.swapped)
    estimate, regression = sign_of(better) * grown_by, shrunk.p_below(0.0)
    margin = checked_margin(margin)
    reach = margin + (estimate if regression <= alpha else 0.0)
    return PairedClaim(
        estimate=estimate,
        low=-grown.high(alpha),
        high=shrunk.high(alpha),
        p_not_worse=grown.p_below(margin),
        p_regression=regression,
        p_beyond=shrunk.p_below(-margin),
        rows_needed=grown.rows(n, reach, alpha, checked_power(metrics)),
        n=n,
        lost=None,
        gained=None,
    )


def rank_paired(
    candidate_members: Floats,
    candidate_others: Floats,
    baseline_members: Floats,
    baseline_others: Floats,
    metric: str,
    margin: float,
    better: str,
    seed: int,
    paired: bool,
    alpha: float = 0.05,
    draws: int = DRAWS,
    metrics: int = 1,
) -> PairedClaim:
    """Change of `auc` or `tpr_at_fpr:RATE`; `paired` only where row i is the same row in both models, on both sides.

    Unpaired models have been attacked on their own members, so the two are drawn apart. `n` counts the candidate's
    rows.
    """
    new = checked_scores(candidate_members, candidate_others, metric)
    old = checked_scores(baseline_members, baseline_others, metric)
    if paired:
        same_rows(candidate_members=new.members, baseline_members=old.members)
        same_rows(candidate_others=new.others, baseline_others=old.others)
    n, rate = new.members.size + new.others.size, false_positive_rate(metric)
    rng = np.random.default_rng(seed)
    change = area_change(new, old, paired) if rate is None else found_change(new, old, rate, draws, rng, paired)
    return paired_claim(change if sign_of(better) > 0 else change.mirrored(), n, margin, alpha, metrics)


def _edges(limit: Limit) -> tuple[bool, bool]:
    """Limits of a value in 0..1 that every model keeps, and that none can keep."""
    at = (limit.op, limit.value)
    return at in ((">=", 0), ("<=", 1)), at in ((">", 1), ("<", 0))
