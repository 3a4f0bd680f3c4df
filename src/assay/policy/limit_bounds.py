"""The one-sided bounds of a number at a level, by its kind: what a limit is held against.

Shares use exact bounds from their recorded hits, gaps the score test of every ordered pair of groups, flagged rows the power
of what flagged them, counts themselves, all else the recorded interval or, without one, the table of outcomes. Where rows
come in clusters (a share says `clusters` in its `limit`, other tables have the column), whole clusters are the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from assay.core.outcomes import Measurement
from assay.policy import shares
from assay.policy.case import Case
from assay.policy.drafts import family_size
from assay.policy.grammar import Threshold
from assay.policy.looks import alpha_of
from assay.policy.measured import Flagged, NotFound, flagged_of, groups_of, hits_of
from assay.policy.metric_names import cells_measure, rank_metric
from assay.policy.paired_claims import Refused, check_groups, gap_side
from assay.policy.tables import Tables, seed_of

if TYPE_CHECKING:
    from assay.statistics.claims import LimitClaim
    from assay.statistics.tables import OutcomeTable


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds at the asked level; `p_fail` is the p-value of "the limit is met".

    `open_reason` is the word for a limit that lies between the bounds.
    """

    low: float
    high: float
    p_fail: float
    rows_needed: int | None = None
    open_reason: str = "straddles"


def bounds_of(case: Case, m: Measurement, test: Threshold, tables: Tables) -> Bounds | NotFound:
    """The bounds of a measurement for a limit, or why there are none."""
    alpha = alpha_of(test)
    share = hits_of(m)
    if share and not _has_clusters(m):
        return _share_bounds(*share, test, alpha, _power(case))
    if m.kind == "gap" and groups_of(m) and not _has_clusters(m):
        return _gap_bounds(case, m, test, alpha)
    if flagged := flagged_of(m):
        return _flagged_bounds(case, m, flagged, test, alpha)
    if m.low is not None and m.high is not None and not share and m.kind != "gap":
        return _recorded_bounds(m, test, alpha)
    if m.kind == "count":
        return Bounds(m.value, m.value, 1.0)
    if m.kind in ("share", "mean", "gap", "rank", "cells") and m.table is not None and test.op != "==":
        return _table_bounds(case, m, test, alpha, tables)
    return NotFound("no-bounds", f"{test.path} = {m.value:.12g} without an interval")


def _has_clusters(m: Measurement) -> bool:
    return isinstance(m.limit, dict) and bool(m.limit.get("clusters"))


def _power(case: Case) -> float:
    """The power each claim needs so that all of them pass together with 90 %."""
    return 1 - 0.10 / max(1, family_size(case.policy))


def _share_bounds(hits: int, n: int, test: Threshold, alpha: float, power: float) -> Bounds:
    if not 0 < test.value < 1:
        p_fail = 0.0  # such a limit is kept, or missed, by every share; the bounds say which
    elif test.op.startswith(">"):
        p_fail = shares.p_at_most(hits, n, test.value)
    else:
        p_fail = shares.p_at_least(hits, n, test.value)
    low, high = shares.share_low(hits, n, alpha), shares.share_high(hits, n, alpha)
    return Bounds(low, high, p_fail, shares.rows_for_share(hits / n, test.value, alpha, power))


def _gap_bounds(case: Case, m: Measurement, test: Threshold, alpha: float) -> Bounds | NotFound:
    groups = groups_of(m)
    if groups is None or test.op == "==":
        return NotFound("no-bounds", "the rows of each group were not recorded")
    try:
        from assay.statistics import claims
    except ImportError as error:
        return NotFound("missing-extra", f"{error.name} is not installed")
    try:
        limit = claims.Limit(test.value, test.op)
        return _from(claims.gap_limit(groups[1], groups[2], limit, alpha, family_size(case.policy)))
    except ValueError as error:
        return NotFound("not-computable", str(error))


def _flagged_bounds(case: Case, m: Measurement, rows: Flagged, test: Threshold, alpha: float) -> Bounds | NotFound:
    """In the unit of the measurement: a share of rows, or their number. Without a power statement nothing bounds it from
    above."""
    try:
        from assay.statistics import claims
    except ImportError as error:
        return NotFound("missing-extra", f"{error.name} is not installed")
    scale = 1 if m.unit == "share" else rows.n
    canaries = claims.Canaries(*rows.canaries) if rows.canaries else None
    try:
        limit = claims.Limit(test.value / scale, test.op)
        claim = claims.count_limit(rows.hits, rows.n, limit, canaries, alpha, family_size(case.policy))
    except ValueError as error:
        return NotFound("not-computable", str(error))
    if canaries is None and not rows.is_exact:
        return Bounds(scale * claim.low, float(scale), claim.p_fail, open_reason="no-power")
    return Bounds(scale * claim.low, scale * claim.high, claim.p_fail, claim.rows_needed)


def _recorded_bounds(m: Measurement, test: Threshold, alpha: float) -> Bounds | NotFound:
    """The bounds of a two-sided interval are one-sided bounds at (1 + level)/2, so 0.95 serves for up to 0.975."""
    assert m.low is not None and m.high is not None
    if m.low == m.high:
        return Bounds(m.low, m.high, 1.0)
    if not 0 < m.level < 1 or (1 - m.level) / 2 > alpha + 1e-9:
        return NotFound("no-bounds", f"its interval was recorded at {m.level:.12g}")
    # The p-value of a missed limit, from the half width on that side as if it were normal; it feeds Holm only.
    side = m.high - m.value if test.op.startswith(">") else m.value - m.low
    spread = side / NormalDist().inv_cdf((1 + m.level) / 2)
    away = abs(test.value - m.value)
    p_fail = NormalDist().cdf(-away / spread) if spread > 0 else 0.0
    rows = math.ceil(m.n * (2.93 * spread / away) ** 2) if away > 0 and spread > 0 else None
    return Bounds(m.low, m.high, p_fail, rows)


def _table_bounds(case: Case, m: Measurement, test: Threshold, alpha: float, tables: Tables) -> Bounds | NotFound:
    try:
        from assay.statistics import claims
    except ImportError as error:
        return NotFound("missing-extra", f"{error.name} is not installed")
    table = tables.read(m.table)
    if isinstance(table, NotFound):
        return table
    try:
        return _from(_table_claim(case, m, test, alpha, table))
    except claims.TooFewClusters as error:
        return NotFound("clustered-rows", str(error))
    except Refused as error:
        return NotFound(error.reason, str(error), error.rows_needed)
    except (ValueError, KeyError) as error:
        return NotFound("not-computable", str(error))


def _table_claim(case: Case, m: Measurement, test: Threshold, alpha: float, table: OutcomeTable) -> LimitClaim:
    """Raises KeyError where a column is missing, ValueError where no test fits."""
    from assay.statistics import claims

    limit, seed, metrics = claims.Limit(test.value, test.op), seed_of(case, test.metric), family_size(case.policy)
    clusters, columns = table.columns.get("cluster"), table.columns
    if m.kind in ("share", "mean"):
        values = columns["ok" if m.kind == "share" else "value"]
        if clusters is not None:
            return claims.clustered_limit(values, clusters, limit, alpha, metrics)
        return claims.mean_limit(values, limit, alpha, metrics)
    if m.kind == "gap":
        side = gap_side(m, table)
        check_groups(m, columns["group"], side)
        return claims.gap_limit_rows(columns["group"], side, limit, clusters, alpha, metrics)
    if clusters is not None:
        raise ValueError(f"rows come in clusters, and a limit of {m.kind} has no test for that")
    if m.kind == "cells":
        measure = claims.Measure(*cells_measure(m, table.header))
        return claims.cells_limit(columns["label"], columns["pred"], measure, limit, seed, alpha, metrics=metrics)
    members, scores = columns["member"].astype(bool), columns["score"]
    return claims.rank_limit(
        scores[members], scores[~members], rank_metric(m.metric), limit, seed, alpha, metrics=metrics
    )


def _from(claim: LimitClaim) -> Bounds:
    return Bounds(claim.low, claim.high, claim.p_fail, claim.rows_needed)
