"""How far the gate's promises hold: false passes, false fails, passes at the rows it asks for, and what it costs.

Prints one JSON line a claim. The peers are what gates do today: a point estimate within the margin (MLflow's thresholds), every
metric tested at 5 % without Holm, and the textbook sample size. All simulate paired right/wrong outcomes by their counts.
How to run: .venv/bin/python bench/gate_calibration.py --runs 20000
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from assay.statistics import claims, paired
from assay.statistics.exact_paired import FEW, exact_paired
from assay.statistics.inputs import Floats
from assay.statistics.sample_size import rows_for_paired_share

ALPHA = 0.05
MARGIN = 0.02
ROWS = (150, 300, 500, 1000, 2000, 5000)
DISAGREEMENTS = (0.02, 0.03, 0.06, 0.10, 0.20)
FAMILIES = (1, 2, 5, 10, 20, 50)
PLANS = tuple((d, m) for d in (0.002, 0.005, 0.01, 0.02, 0.06, 0.10, 0.20) for m in (0.01, 0.02, 0.03, 0.05))


def simulated(rng: np.random.Generator, n: int, change: float, disagreement: float, runs: int) -> tuple[Floats, Floats]:
    """Lost and gained rows of `runs` comparisons, shape (runs,) each."""
    lost, gained = (disagreement - change) / 2, (disagreement + change) / 2
    drawn = rng.multinomial(n, [lost, gained, 1 - lost - gained], size=runs).astype(np.float64)
    return drawn[:, 0], drawn[:, 1]


def p_not_worse(lost: Floats, gained: Floats, n: int, margin: float) -> Floats:
    """What `claims.share_paired_counts` answers for each run; the exact test is asked once for each distinct table."""
    p = paired.tango_p(lost, gained, np.full(lost.shape, float(n)), np.full(lost.shape, -margin))
    few = np.flatnonzero(lost + gained < FEW)
    if few.size:
        tables, back = np.unique(np.stack([lost[few], gained[few]]), axis=1, return_inverse=True)
        exact = [exact_paired(int(a), int(b), n, ALPHA).p(-margin) for a, b in tables.T]
        p[few] = np.array(exact)[back.ravel()]
    return p


def false_pass(rng: np.random.Generator, runs: int) -> dict[str, object]:
    """Worst share of passes at a true loss of exactly the margin, over rows and disagreements."""
    worst, peer, cell = 0.0, 0.0, ""
    for n in ROWS:
        for disagreement in DISAGREEMENTS:
            lost, gained = simulated(rng, n, -MARGIN, disagreement, runs)
            passed = float((p_not_worse(lost, gained, n, MARGIN) <= ALPHA).mean())
            peer = max(peer, float((gained - lost >= -MARGIN * n - 1e-9).mean()))
            worst, cell = max((worst, cell), (passed, f"n={n}, disagreement={disagreement:g}"))
    limit = 0.055 + 3 * math.sqrt(0.05 * 0.95 / runs)
    return line(
        "gate: worst false pass at the margin",
        worst,
        "share",
        "point estimate within margin",
        peer,
        0.055,
        limit,
        at=cell,
    )


def false_fail(rng: np.random.Generator, runs: int) -> dict[str, object]:
    """Worst share of gates of k equal metrics with any fail, over k, rows and disagreements."""
    worst, peer, cell = 0.0, 0.0, ""
    for k in FAMILIES:
        for n in (500, 2000):
            for disagreement in (0.06, 0.20):
                lost, gained = simulated(rng, n, 0.0, disagreement, runs * k)
                least = paired.mcnemar(lost, gained).reshape(runs, k).min(axis=1)
                # Holm rejects something exactly where it rejects the smallest p-value.
                worst, cell = max((worst, cell), (float((least <= ALPHA / k).mean()), f"k={k}, n={n}"))
                peer = max(peer, float((least <= ALPHA).mean()))
    limit = 0.055 + 3 * math.sqrt(0.05 * 0.95 / runs)
    return line(
        "gate: worst false fail of k <= 50 equal metrics", worst, "share", "no correction", peer, 0.055, limit, at=cell
    )


def pass_at_rows_needed(rng: np.random.Generator, runs: int, k: int) -> dict[str, object]:
    """Least share of equal models that pass a gate of k metrics with the number of rows that the gate asks for."""
    least, peer, cell = 1.0, 1.0, ""
    for disagreement, margin in PLANS:
        n = rows_for_paired_share(disagreement, margin, ALPHA, 1 - 0.10 / k)
        textbook = math.ceil(((ndtri(1 - ALPHA) + ndtri(1 - 0.10 / k)) / margin) ** 2 * disagreement)
        for rows, ours in ((n, True), (textbook, False)):
            assert rows is not None
            lost, gained = simulated(rng, rows, 0.0, disagreement, runs * k)
            passed = float((p_not_worse(lost, gained, rows, margin) <= ALPHA).reshape(runs, k).all(axis=1).mean())
            if ours:
                least, cell = min(
                    (least, cell), (passed, f"disagreement={disagreement:g}, margin={margin:g}, n={rows}")
                )
            elif disagreement * rows >= FEW:  # below that the textbook does not recommend its own formula
                peer = min(peer, passed)
    limit = 0.90 - 3 * math.sqrt(0.9 * 0.1 / runs)
    return line(
        f"gate: A/A pass at rows needed, k={k}", least, "share", "textbook rows", peer, 0.90, limit, at=cell, more=True
    )


def cost(rng: np.random.Generator) -> dict[str, object]:
    """CPU seconds of ten comparisons of 5,000 rows: four shares, two means, two gaps, an AUC and a TPR at 1 % FPR."""
    ok = rng.random((2, 5000)) < 0.9
    value, groups = rng.normal(size=(2, 5000)), rng.integers(0, 10, 5000)
    a, b, c, d = rng.normal(size=(4, 2500))
    jobs: list[Callable[[], object]] = [
        *[lambda: claims.share_paired(ok[0], ok[1], MARGIN, "higher")] * 4,
        *[lambda: claims.mean_paired(value[0], value[1], 0.1, "lower", seed=1)] * 2,
        *[lambda: claims.gap_paired(groups, ok[0], ok[1], MARGIN, "lower", seed=1)] * 2,
        lambda: claims.rank_paired(a, b, c, d, "auc", MARGIN, "lower", seed=1, paired=True),
        lambda: claims.rank_paired(a, b, c, d, "tpr_at_fpr:0.01", MARGIN, "lower", seed=1, paired=True),
    ]
    start = time.process_time()
    for job in jobs:
        job()
    return line("gate: 10 metrics x 5,000 rows", time.process_time() - start, "CPU s", "", None, 2.0, 2.0)


def line(
    claim: str,
    value: float,
    unit: str,
    peer: str,
    peer_value: float | None,
    target: float,
    limit: float,
    at: str = "",
    more: bool = False,
) -> dict[str, object]:
    """One claim; it is met within three Monte Carlo errors of its target."""
    found: dict[str, object] = {"claim": claim, "value": round(value, 4), "unit": unit, "peer": peer or None}
    found |= {"peer_value": None if peer_value is None else round(peer_value, 4), "target": target}
    found |= {"better": "higher" if more else "lower", "met": bool(value >= limit if more else value <= limit)}
    return found | ({"at": at} if at else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="simulated gates a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="accepted as by every benchmark; nothing is read")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    print(json.dumps(false_pass(rng, asked.runs)), flush=True)
    print(json.dumps(false_fail(rng, asked.runs)), flush=True)
    for k in (1, 5, 20):
        print(json.dumps(pass_at_rows_needed(rng, asked.runs, k)), flush=True)
    print(json.dumps(cost(rng)), flush=True)


if __name__ == "__main__":
    main()
