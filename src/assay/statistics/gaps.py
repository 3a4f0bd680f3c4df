"""The max-min gap of a share between groups, and its change when a model is replaced: the counts, and intervals for reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.statistics.bootstrap import DRAWS, Draws, redrawn
from assay.statistics.inputs import Bools, Floats, Ints, checked_groups, flags, same_rows
from assay.statistics.results import Interval

SHRUNK_DRAWS = 400
CELLS = 4
"""Kinds of row in a group: both wrong, only the baseline right, only the candidate right, both right."""


def gap_interval(
    hits: Sequence[int], counts: Sequence[int], seed: int, level: float = 0.95, draws: int = DRAWS
) -> Interval:
    """Two-sided percentile interval of the max-min gap of shares over groups, for reports.

    The max-min of noisy groups is biased upwards, and so is this interval: a limit is decided by `claims.gap_limit`.
    """
    hit, size = checked_groups(hits, counts)
    cells = np.stack([hit, size - hit], axis=1).astype(np.int64)
    shares = redrawn(cells, draws, seed)[:, :, 0] / size
    gaps = np.ptp(shares, axis=1)
    found = Draws(float(np.ptp(hit / size)), gaps, gaps)
    return found.interval(level, "multinomial percentile", int(size.sum()))


def shrunk_gap(hits: Sequence[int], counts: Sequence[int]) -> float:
    """The max-min gap after every share was drawn towards the mean by the noise in it: an estimate without most of the bias.

    The spread of the true shares is estimated by the method of moments, and each share keeps the part of its distance from the mean
    that this spread explains. Where the groups are equal the plain gap grows with their number; this one goes to 0.

    Source: Morris, Parametric empirical Bayes inference, JASA 1983; DerSimonian and Laird, 1986 (spread between groups).
    """
    hit, size = checked_groups(hits, counts)
    pooled = hit.sum() / size.sum()
    shares, noise = hit / size, np.maximum(pooled * (1 - pooled), 1e-12) / size
    weight = 1 / noise
    mean = (weight * shares).sum() / weight.sum()
    excess = (weight * (shares - mean) ** 2).sum() - (hit.size - 1)
    spread = max(0.0, float(excess / (weight.sum() - (weight**2).sum() / weight.sum())))
    kept = spread / (spread + noise)
    return float(np.ptp(kept * (shares - mean)))


def shrunk_gap_interval(hits: Sequence[int], counts: Sequence[int], seed: int, level: float = 0.95) -> Interval:
    """Two-sided percentile interval of the shrunk gap over binomial resamples of each group, widened to hold the estimate."""
    hit, size = checked_groups(hits, counts)
    drawn = np.random.default_rng(seed).binomial(size.astype(np.int64), hit / size, (SHRUNK_DRAWS, hit.size))
    gaps = [shrunk_gap(row.tolist(), list(counts)) for row in drawn]
    low, high = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2])
    found = shrunk_gap(hits, counts)
    return Interval(
        found,
        min(float(low), found),
        max(float(high), found),
        level,
        "empirical Bayes, binomial resamples",
        int(size.sum()),
    )


def gap_change_interval(
    groups: Ints, candidate_ok: Bools, baseline_ok: Bools, seed: int, level: float = 0.95, draws: int = DRAWS
) -> Interval:
    """Two-sided percentile interval of gap(candidate) - gap(baseline) on the same rows, for reports.

    It misleads where the groups are equal; `claims.gap_paired` decides by another test (see `gap_change`).
    """
    cells = paired_cells(groups, candidate_ok, baseline_ok)
    changes = gap_change(redrawn(cells, draws, seed))
    found = Draws(float(gap_change(cells)), changes, changes)
    return found.interval(level, "multinomial percentile", int(cells.sum()))


def paired_cells(groups: Ints, candidate_ok: Bools, baseline_ok: Bools) -> Ints:
    """Rows of each kind in each group, shape (groups, CELLS); two groups or more, or ValueError."""
    named = np.asarray(groups)
    candidate, baseline = flags(candidate_ok, "candidate_ok"), flags(baseline_ok, "baseline_ok")
    same_rows(groups=named, candidate_ok=candidate, baseline_ok=baseline)
    if named.ndim != 1 or not np.issubdtype(named.dtype, np.integer):
        raise ValueError("groups names the group of each row by a whole number")
    names, index = np.unique(named, return_inverse=True)
    if names.size < 2:
        raise ValueError(f"a gap needs two groups or more, not {names.size}")
    kind = index * CELLS + candidate.astype(np.int64) * 2 + baseline.astype(np.int64)
    return np.bincount(kind, minlength=names.size * CELLS).reshape(names.size, CELLS)


def gap_change(cells: Ints) -> Floats:
    """Gap of the candidate minus gap of the baseline, from counts of shape (..., groups, CELLS)."""
    size = cells.sum(axis=-1)
    candidate = (cells[..., 2] + cells[..., 3]) / size
    baseline = (cells[..., 1] + cells[..., 3]) / size
    return np.asarray(np.ptp(candidate, axis=-1) - np.ptp(baseline, axis=-1), dtype=np.float64)
