"""How far the gate's promises hold: false passes, false fails, passes at the rows it asks for, and what it costs.

Prints one JSON line a claim. The peers are what gates do today: a point estimate within the margin (MLflow's thresholds), every
metric tested at 5 % without Holm, and the textbook sample size. Nothing is simulated: each figure is a sum over all tables of lost and
gained rows that together have all but a billionth of the probability, as endless runs would show it.
How to run: .venv/bin/python bench/gate_calibration.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import gammaln, ndtri, xlogy

from assay.statistics import claims, paired
from assay.statistics.exact_paired import FEW, exact_paired
from assay.statistics.inputs import Bools, Floats
from assay.statistics.sample_size import rows_for_paired_share

ALPHA = 0.05
MARGIN = 0.02
ROWS = (150, 300, 500, 1000, 2000, 5000)
DISAGREEMENTS = (0.02, 0.03, 0.06, 0.10, 0.20)
FAMILIES = (1, 2, 5, 10, 20, 50)
PLANS = tuple((d, m) for d in (0.002, 0.005, 0.01, 0.02, 0.06, 0.10, 0.20) for m in (0.01, 0.02, 0.03, 0.05))
NEGLIGIBLE = 1e-13


@dataclass(frozen=True)
class Tables:
    """All likely tables of `n` rows, shape (tables,): lost and gained rows, and how likely each table is."""

    n: int
    lost: Floats
    gained: Floats
    chance: Floats

    @classmethod
    def of(cls, n: int, change: float, disagreement: float) -> Tables:
        """Those of models whose accuracies differ by `change` and who disagree on `disagreement` of the rows."""
        shares = (disagreement - change) / 2, (disagreement + change) / 2
        lost, gained = (part.ravel() for part in np.meshgrid(*(_counts(n, share) for share in shares), indexing="ij"))
        tied = n - lost - gained
        possible = tied >= 0
        lost, gained, tied = lost[possible], gained[possible], tied[possible]
        log = gammaln(n + 1) - gammaln(lost + 1) - gammaln(gained + 1) - gammaln(tied + 1)
        log += xlogy(lost, shares[0]) + xlogy(gained, shares[1]) + xlogy(tied, 1 - sum(shares))
        kept = np.exp(log) > NEGLIGIBLE
        return cls(n, lost[kept], gained[kept], np.exp(log[kept]))

    def share(self, of: Bools) -> float:
        """How likely a table is that the mask picks."""
        return float(self.chance[of].sum())


def _counts(n: int, share: float) -> Floats:
    """The counts within seven deviations of the expected one."""
    reach = 7 * math.sqrt(n * share * (1 - share)) + 16
    return np.arange(max(0, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1, dtype=np.float64)


def p_not_worse(tables: Tables, margin: float) -> Floats:
    """What `claims.share_paired_counts` answers for each table."""
    lost, gained = tables.lost, tables.gained
    p = paired.tango_p(lost, gained, np.full(lost.shape, float(tables.n)), np.full(lost.shape, -margin))
    for place in np.flatnonzero(lost + gained < FEW):
        p[place] = exact_paired(int(lost[place]), int(gained[place]), tables.n, ALPHA).p(-margin)
    return p


def false_pass(rows: tuple[int, ...]) -> dict[str, object]:
    """Worst share of passes at a true loss of exactly the margin, over rows and disagreements."""
    worst, peer, cell = 0.0, 0.0, ""
    for n in rows:
        for disagreement in DISAGREEMENTS:
            tables = Tables.of(n, -MARGIN, disagreement)
            passed = tables.share(p_not_worse(tables, MARGIN) <= ALPHA)
            peer = max(peer, tables.share(tables.gained - tables.lost >= -MARGIN * n - 1e-9))
            worst, cell = max((worst, cell), (passed, f"n={n}, disagreement={disagreement:g}"))
    return line("gate: worst false pass at the margin", worst, "point estimate within margin", peer, 0.055, at=cell)


def false_fail() -> dict[str, object]:
    """Worst share of gates of k equal and independent metrics with any fail, over k, rows and disagreements."""
    worst, peer, cell = 0.0, 0.0, ""
    for n in (500, 2000):
        for disagreement in (0.06, 0.20):
            tables = Tables.of(n, 0.0, disagreement)
            p = paired.mcnemar(tables.lost, tables.gained)
            for k in FAMILIES:
                # Holm rejects something exactly where it rejects the smallest p-value.
                failed, uncorrected = (1 - (1 - tables.share(p <= level)) ** k for level in (ALPHA / k, ALPHA))
                worst, cell = max((worst, cell), (failed, f"k={k}, n={n}"))
                peer = max(peer, uncorrected)
    return line("gate: worst false fail of k <= 50 equal metrics", worst, "no correction", peer, 0.055, at=cell)


def pass_at_rows_needed(k: int, plans: tuple[tuple[float, float], ...]) -> dict[str, object]:
    """Least share of equal models that pass a gate of k independent metrics with the number of rows that the gate asks for."""
    least, peer, cell = 1.0, 1.0, ""
    for disagreement, margin in plans:
        n = rows_for_paired_share(disagreement, margin, ALPHA, 1 - 0.10 / k)
        textbook = math.ceil(((ndtri(1 - ALPHA) + ndtri(1 - 0.10 / k)) / margin) ** 2 * disagreement)
        assert n is not None
        at = f"disagreement={disagreement:g}, margin={margin:g}, n={n}"
        least, cell = min((least, cell), (all_pass(n, disagreement, margin, k), at))
        if disagreement * textbook >= FEW:  # below that the textbook does not recommend its own formula
            peer = min(peer, all_pass(textbook, disagreement, margin, k))
    return line(f"gate: A/A pass at rows needed, k={k}", least, "textbook rows", peer, 0.90, at=cell, more=True)


def all_pass(n: int, disagreement: float, margin: float, k: int) -> float:
    """How likely k equal models all pass."""
    tables = Tables.of(n, 0.0, disagreement)
    return tables.share(p_not_worse(tables, margin) <= ALPHA) ** k


def cost(rng: np.random.Generator) -> dict[str, object]:
    """CPU seconds of ten comparisons of 5,000 rows: four shares, two means, two gaps, an AUC and a TPR at 1 % FPR."""
    ok = rng.random((2, 5000)) < 0.9
    value, groups = rng.normal(size=(2, 5000)), rng.integers(0, 10, 5000)
    a, b, c, d = rng.normal(size=(4, 2500))
    jobs: list[Callable[[], object]] = [
        *[lambda: claims.share_paired(ok[0], ok[1], MARGIN, "higher")] * 4,
        *[lambda: claims.mean_paired(value[0], value[1], 0.1, "lower")] * 2,
        *[lambda: claims.gap_paired(groups, ok[0], ok[1], MARGIN, "lower")] * 2,
        lambda: claims.rank_paired(a, b, c, d, "auc", MARGIN, "lower", seed=1, paired=True),
        lambda: claims.rank_paired(a, b, c, d, "tpr_at_fpr:0.01", MARGIN, "lower", seed=1, paired=True),
    ]
    start = time.process_time()
    for job in jobs:
        job()
    return line("gate: 10 metrics x 5,000 rows", time.process_time() - start, "", None, 2.0, unit="CPU s")


def line(
    claim: str,
    value: float,
    peer: str,
    peer_value: float | None,
    target: float,
    *,
    unit: str = "share",
    at: str = "",
    more: bool = False,
) -> dict[str, object]:
    """One claim."""
    found: dict[str, object] = {"claim": claim, "value": round(value, 4), "unit": unit, "peer": peer or None}
    found |= {"peer_value": None if peer_value is None else round(peer_value, 4), "target": target}
    found |= {"better": "higher" if more else "lower", "met": bool(value >= target if more else value <= target)}
    return found | ({"at": at} if at else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few cells, to see that everything runs")
    parser.add_argument("--seed", type=int, default=0, help="of the rows whose cost is measured")
    parser.add_argument("--data", type=Path, help="accepted as by every benchmark; nothing is read")
    asked = parser.parse_args()
    print(json.dumps(false_pass(ROWS[:2] if asked.quick else ROWS)), flush=True)
    print(json.dumps(false_fail()), flush=True)
    for k in (1,) if asked.quick else (1, 5, 20):
        print(json.dumps(pass_at_rows_needed(k, PLANS[-8:] if asked.quick else PLANS)), flush=True)
    print(json.dumps(cost(np.random.default_rng(asked.seed))), flush=True)


if __name__ == "__main__":
    main()
