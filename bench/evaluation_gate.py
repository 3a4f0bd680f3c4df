"""The gate against the gates of today, kind by kind: what passes at the margin, what fails by chance, what it costs.

Peers are decision rules in use, on the same simulated rows: the estimate within the margin (MLflow's thresholds), an unpaired
z-test that blocks if significant (lm-evaluation-harness), McNemar's test that blocks if significant, the plain percentile
bootstrap, and the t-test of single rows where rows come in clusters. `cost` asks one policy of ten comparisons over tables of
5,000 rows, reading of the tables included.

How to run: .venv/bin/python bench/evaluation_gate.py [--runs 2000] [--seed 0]      (--data is accepted; nothing is read)
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from claims import Claim, options, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.unit.policy.made_evidence import BASELINE, CANDIDATE, NOW, Ledger, evaluation, number, rows

from assay.evidence.predicates import Predicate
from assay.policy.documents import read_policy
from assay.policy.evaluate import decide
from assay.statistics import claims, paired
from assay.statistics.cells import Measure, cells_estimate
from assay.statistics.inputs import Floats
from assay.statistics.tables import write_table

ALPHA, MARGIN = 0.05, 0.02
DRAWS = 500


def measure(runs: int, seed: int) -> Iterator[Claim]:
    """Every claim; `runs` simulated gates a cell."""
    rng = np.random.default_rng(seed)
    yield from at_the_margin(rng, runs * 10)
    yield kind("F1, 500 rows: false pass at the margin", cells_at_margin(rng, runs), "plain percentile bootstrap")
    yield kind(
        "flagged rows, 1,000 and 600: false pass at the margin", counts_at_margin(rng, runs), "shares compared by eye"
    )
    yield kind(
        "40 clusters of 10 rows: false pass at the margin", clusters_at_margin(rng, runs), "single rows (Tango)", 0.06
    )
    yield kind(
        "recipe, 5 seeds a side: false pass at the margin", seeds_at_margin(rng, runs), "means within the margin"
    )
    yield kind(
        "precision gap of 3 groups: false pass at the margin", gaps_at_margin(rng, runs), "gaps within the margin"
    )
    yield twenty_releases()
    yield cost(rng)


def at_the_margin(rng: np.random.Generator, runs: int) -> Iterator[Claim]:
    """Shares, n = 500 to 2,000, 6 % disagreement, a true loss of exactly the margin: the share of gates that pass."""
    worst = {
        "ours": 0.0,
        "unpaired z, block if significant": 0.0,
        "McNemar, block if significant": 0.0,
        "estimate within margin": 0.0,
    }
    for n in (500, 2000):
        change, disagreement = -MARGIN, 0.06
        lost, gained = (disagreement - change) / 2, (disagreement + change) / 2
        both_right = 0.80 - lost
        drawn = rng.multinomial(n, [lost, gained, both_right, 1 - lost - gained - both_right], size=runs).astype(float)
        lost_, gained_, right = drawn[:, 0], drawn[:, 1], drawn[:, 2]
        new, old = (right + gained_) / n, (right + lost_) / n
        z = (new - old) / np.sqrt(np.maximum((new * (1 - new) + old * (1 - old)) / n, 1e-12))
        passed = {
            "ours": tango(lost_, gained_, n),
            "unpaired z, block if significant": ndtr(z) > ALPHA,
            "McNemar, block if significant": paired.mcnemar(lost_, gained_) > ALPHA,
            "estimate within margin": gained_ - lost_ >= -MARGIN * n - 1e-9,
        }
        worst = {name: max(value, float(passed[name].mean())) for name, value in worst.items()}
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    for peer in list(worst)[1:]:
        yield Claim(
            "gate, share: false pass at the margin",
            worst["ours"],
            "share",
            round(0.055 + slack, 4),
            "lower",
            peer,
            worst[peer],
        )


def tango(lost: Floats, gained: Floats, n: int) -> Floats:
    """Whether each table passes, as `claims.share_paired_counts` says; each distinct table is asked once."""
    tables, back = np.unique(np.stack([lost, gained]), axis=1, return_inverse=True)
    found = np.array([claims.share_paired_counts(int(a), int(b), n, MARGIN).p_not_worse <= ALPHA for a, b in tables.T])
    return np.asarray(found[back.ravel()])


def kind(what: str, passed: tuple[float, float, int], peer: str, target: float = 0.055) -> Claim:
    """One kind of metric: the share of gates that pass at a true loss of the margin, ours and the peer's."""
    ours, theirs, runs = passed
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    return Claim(f"gate, {what}", ours, "share", round(target + slack, 4), "lower", peer, theirs)


def cells_at_margin(rng: np.random.Generator, runs: int) -> tuple[float, float, int]:
    """F1 of a class of 12 % of 500 rows; the candidate finds 75 % of it instead of 80 %."""
    measure, n, ours, theirs = Measure("f1", 1), 500, 0, 0
    label = (rng.random((runs, n)) < 0.12).astype(np.int64)
    big = _found(rng, (rng.random(2_000_000) < 0.12).astype(np.int64))
    margin = cells_estimate(big[0], big[1], measure) - cells_estimate(big[0], big[2], measure)
    for run in range(runs):
        named, old, new = _found(rng, label[run])
        ours += claims.cells_paired(named, new, old, measure, margin, "higher", run, draws=DRAWS).p_not_worse <= ALPHA
        picked = rng.integers(0, n, (DRAWS, n))
        change = _f1(named[picked], new[picked]) - _f1(named[picked], old[picked])
        theirs += (change <= -margin).mean() <= ALPHA
    return ours / runs, theirs / runs, runs


def _found(rng: np.random.Generator, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    luck = rng.random(label.shape)
    return (
        label,
        np.where(label == 1, luck < 0.80, luck < 0.03).astype(np.int64),
        np.where(label == 1, luck < 0.75, luck < 0.03).astype(np.int64),
    )


def _f1(label: np.ndarray, pred: np.ndarray) -> Floats:
    both = ((label == 1) & (pred == 1)).sum(axis=1)
    return np.asarray(2 * both / np.maximum((label == 1).sum(axis=1) + (pred == 1).sum(axis=1), 1))


def counts_at_margin(rng: np.random.Generator, runs: int) -> tuple[float, float, int]:
    """1 % flagged in the baseline's 600 rows, 3 % in the candidate's 1,000, margin two points."""
    new, old = rng.binomial(1000, 0.03, runs), rng.binomial(600, 0.01, runs)
    tables, back = np.unique(np.stack([new, old]), axis=1, return_inverse=True)
    asked = [
        claims.count_change((int(a), int(b)), (1000, 600), MARGIN, "lower").p_not_worse <= ALPHA for a, b in tables.T
    ]
    return float(np.array(asked)[back.ravel()].mean()), float((new / 1000 - old / 600 <= MARGIN).mean()), runs


def clusters_at_margin(rng: np.random.Generator, runs: int) -> tuple[float, float, int]:
    """Half of all changes hit a whole cluster of ten rows; a true loss of five points, which is the margin."""
    cluster, ours, theirs = np.repeat(np.arange(40), 10), 0, 0
    for _ in range(runs):
        luck = np.where(rng.random(400) < 0.5, np.repeat(rng.random(40), 10), rng.random(400))
        new, old = luck >= 0.10, luck <= 0.95
        ours += claims.clustered_change(new, old, cluster, 0.05, "higher").p_not_worse <= ALPHA
        theirs += claims.share_paired(new, old, 0.05, "higher").p_not_worse <= ALPHA
    return ours / runs, theirs / runs, runs


def seeds_at_margin(rng: np.random.Generator, runs: int) -> tuple[float, float, int]:
    """Five seeds a side, another spread on each, a true loss of the margin."""
    new, old = rng.normal(0.80, 0.01, (runs, 5)), rng.normal(0.82, 0.02, (runs, 5))
    ours = [
        claims.recipe_change(a, b, MARGIN, "higher", is_paired=False).p_not_worse <= ALPHA
        for a, b in zip(new, old, strict=True)
    ]
    return float(np.mean(ours)), float((new.mean(axis=1) - old.mean(axis=1) >= -MARGIN).mean()), runs


def gaps_at_margin(rng: np.random.Generator, runs: int) -> tuple[float, float, int]:
    """Precision .8 in three groups; the candidate's falls in one by the margin. The two models divide by other rows."""
    ours, theirs, n = 0, 0, 3000
    margin = 0.8 - 0.4 / (0.5 + 0.4 * 0.25)
    for _ in range(runs):
        groups, label = rng.integers(0, 3, n), rng.integers(0, 2, n)
        old = np.where(rng.random(n) < 0.8, label, 1 - label)
        new = np.where((groups == 1) & (label == 0) & (rng.random(n) < 0.25), 1, old)
        sides = [claims.checked_side(pred == 1, label, "side") for pred in (new, old)]
        found = claims.gap_paired_rows(groups, sides[0], sides[1], margin, "lower")
        ours += found.p_not_worse <= ALPHA
        theirs += found.estimate >= -margin
    return ours / runs, theirs / runs, runs


def twenty_releases() -> Claim:
    """Twenty releases, each down half a margin on 5,000 rows: how many of them pass, alone and against an anchor."""
    n, margin, hits = 5000, 0.03, [4700 - 75 * i for i in range(21)]
    found = {"alone": 0, "anchored": 0}
    for old, new in pairwise(hits):
        step = claims.share_paired_counts(old - new, 0, n, margin)
        since = claims.share_paired_counts(hits[0] - new, 0, n, 2 * margin)
        found["alone"] += step.p_not_worse <= ALPHA
        found["anchored"] += step.p_not_worse <= ALPHA and since.p_not_worse <= ALPHA
    return Claim("gate, ratchet: of 20 releases, each half a margin worse, pass", found["anchored"], "releases", 4, "lower",
                 "margin against the last release alone", found["alone"])  # fmt: skip


def cost(rng: np.random.Generator) -> Claim:
    """CPU seconds of one decision over ten comparisons of 5,000 rows: shares, means, gaps, F1, MCC, an area and a rate."""
    ledger, n = Ledger(), 5000
    base = rng.random((3, n)) < 0.9
    label, group, member = rng.integers(0, 4, n), rng.integers(0, 10, n), np.arange(n) % 2
    for about in (BASELINE, CANDIDATE):
        made = []

        def add(
            metric: str,
            value: float,
            how: str,
            better: str,
            columns: dict[str, np.ndarray],
            made: list = made,
            **more: object,
        ) -> None:
            made.append(
                number(
                    metric, value, n, better, kind=how, outcomes=ledger.keep(write_table(rows(n), columns, {})), **more
                )
            )

        for i in range(3):
            ok = base[i] ^ (rng.random(n) < 0.02)
            add(f"share_{i}", float(ok.mean()), "share", "higher", {"ok": ok}, limit={"hits": int(ok.sum()), "n": n})
        for i in range(2):
            value = rng.gamma(2, 0.1, n)
            add(f"mean_{i}", float(value.mean()), "mean", "lower", {"value": value})
        ok = rng.random(n) < 0.8
        hits, counts = (np.bincount(group, weights=w, minlength=10).astype(int).tolist() for w in (ok, np.ones(n)))
        gap = float(np.ptp(np.array(hits) / counts))
        add(
            "tpr_gap",
            gap,
            "gap",
            "lower",
            {"ok": ok, "group": group},
            limit={"groups": list("abcdefghij"), "hits": hits, "counts": counts},
        )
        pred = np.where(rng.random(n) < 0.8, label, rng.integers(0, 4, n))
        for name in ("macro_f1", "mcc"):
            add(
                name,
                cells_estimate(label, pred, Measure(name.removeprefix("macro_"))),
                "cells",
                "higher",
                {"label": label, "pred": pred},
            )
        score = rng.normal(size=n) + 0.3 * member
        for name in ("membership_auc", "tpr_at_fpr_01"):
            add(name, 0.5, "rank", "lower", {"score": score, "member": member})
        ledger.add(Predicate.EVAL_RESULT, evaluation("q.all", made), "evaluator", about)
    names = [(m["metric"], m["better"]) for m in made]
    listed = "".join(f"  - {{id: r{i}, severity: high, compare: {{metric: ev.{name}, better: {better}, margin: 0.03}}}}\n"
                     for i, (name, better) in enumerate(names))  # fmt: skip
    policy = read_policy(f"policy: assay/policy/v1\nname: ten\napplies_to: {{kind: model, stage: production}}\n"
                         f"evidence: {{ev: {{type: eval-result}}}}\nbaseline: {{stage: production}}\nrules:\n{listed}".encode(), "ten")  # fmt: skip
    start = time.process_time()
    decision = decide(ledger.view(), [policy], NOW)
    took = time.process_time() - start
    judged = [rule for rule in decision.rules if rule.observed.low is not None]
    why = "" if len(judged) == 10 else f"only {len(judged)} of 10 comparisons were computed"
    return Claim("gate, 10 metrics x 5,000 rows, decided", took if not why else None, "CPU s", 2.0, why=why)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulated gates a cell")
    asked = parser.parse_args()
    found = list(measure(asked.runs, asked.seed))
    show(found)
    return 0 if all(claim.met for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
