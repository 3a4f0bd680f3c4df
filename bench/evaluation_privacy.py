"""Membership, extraction and audits of privacy: what the checks find and cost, beside ART on the same models.

Location (5,010 rows of 446 binary features, 30 classes; a network of one hidden layer, trained on half of the rows): LiRA with 16 shadow
models, its rate of true positives at 1 % false ones, and its CPU seconds from the trained model to the last interval. The peer's best
black box is fitted on half of the rows with their true membership, which is more than our attacker knows. A logistic regression is
solved within (d + 1)(k - 1) queries. Simulated: how often intervals hold the true rate and area, and how often the epsilon audit errs.
How to run: .venv/bin/python bench/evaluation_privacy.py --data DIR    (DIR holds location.tgz)
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.checks.extraction.linear_copies import Region, solved, unknowns
from assay.checks.privacy.membership import membership
from assay.checks.privacy.one_run_audit import audited
from assay.core.outcomes import Measurement
from assay.predictors.declared import declared
from assay.predictors.predictor import Predictor
from assay.statistics.ranks import rank_interval
from claims import HERE, Claim, Unmeasured, child, took
from evaluation_data import csv_of, outcomes, shown
from peers.environment import EVALUATION, QUIET, environment_python

FEATURES, CLASSES, HIDDEN, SHADOWS = 446, 30, 128, 16
RECIPE = {"epochs": 20, "rate": 3e-3, "batch": 64}
STATED = {"predictor": "torch", "interface": {"shape": [FEATURES], "classes": list(range(CLASSES)), "recipe": RECIPE}}
CHANCE = 0.01  # what guessing finds at this rate of false positives
RUNS = 400


def claims(data: Path, seed: int, peers: bool) -> Iterator[Claim]:
    """Every claim of this part; `data` holds location.tgz."""
    yield from membership_claims(data, seed, peers=peers)
    yield extraction_claim(seed)
    yield from coverage_claims(seed)
    yield audit_claim(seed)


@dataclass(frozen=True)
class Location:
    """Rows (n, 446) of 0 and 1, classes (n,), and which half the target is trained on."""

    x: Any
    y: Any
    is_member: Any


def location(data: Path, seed: int) -> Location:
    """Reads the data as published: the class, from 1, in the first column."""
    with tarfile.open(data / "location.tgz") as archive:
        held = archive.extractfile("bangkok")
        assert held is not None
        table = np.array([[int(v.strip('"')) for v in line.split(",")] for line in held.read().decode().split()])
    is_member = np.random.default_rng(seed).permutation(len(table)) < len(table) // 2
    return Location(table[:, 1:].astype(np.float64), (table[:, 0] - 1).astype(np.int32), is_member)


def membership_claims(data: Path, seed: int, *, peers: bool) -> Iterator[Claim]:
    """The whole check, run on a freshly trained model and on CSV as a user has it."""
    if not (data / "location.tgz").exists():
        yield Claim(
            "membership: TPR at 1 % FPR, LiRA 16", None, "share", 0.35, "higher", why="no location.tgz in --data"
        )
        return
    rows = location(data, seed)
    target = trained(rows, seed)
    found: list[Any] = []
    sides = (("trained_on", rows.is_member), ("tested_on", ~rows.is_member))
    data = {role: table(rows.x[side], rows.y[side]) for role, side in sides}
    used = took(lambda: found.extend(outcomes(membership, target, data, {"target": "label"}, seed, shadows=SHADOWS)))
    measured = {one.metric: one for one in found if isinstance(one, Measurement)}
    rate, area = measured["tpr_at_fpr_001"], measured["membership_auc"]
    assert rate.threat_model == f"lira,scores,recipe,shadows:{SHADOWS}", rate.threat_model
    peer, why = peer_rate(target, rows, seed) if peers else (None, "")
    yield Claim("membership: TPR at 1 % FPR, LiRA 16", rate.value, "share", 0.35, "higher", "ART 1.20.1, best black box",
                peer, why=why)  # fmt: skip
    yield Claim("membership: CPU of the whole check, 16 shadows", used.cpu_s, "CPU s", 20)
    yield Claim("membership: AUC, LiRA 16", area.value, "area", 0.9, "higher")
    for weaker in ("lira_offline", "rmia", "loss"):
        one = measured[f"{weaker}.tpr_at_fpr_001"]
        yield Claim(f"membership: TPR at 1 % FPR, {weaker}", one.value, "share", CHANCE, "higher")
    undecided = "tpr_at_fpr_0001" not in measured
    yield Claim("membership: 0.1 % FPR of 2,505 others is undecided", float(undecided), "yes", 1.0, "higher")


def trained(rows: Location, seed: int) -> Predictor:
    """The target: fitted to the members by the recipe."""
    import torch

    from assay.predictors.torch_model import Torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(FEATURES, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES))
    untrained = Predictor(Torch(network, declared(STATED)))
    return untrained.trainer().train(rows.x[rows.is_member], rows.y[rows.is_member], seed + 1_000)


def table(x: Any, y: Any) -> bytes:
    """Rows and classes as CSV."""
    named = [*(f"f{place}" for place in range(x.shape[1])), "label"]
    return csv_of(named, ([*map(int, row), int(label)] for row, label in zip(x, y, strict=True)))


def peer_rate(target: Predictor, rows: Location, seed: int) -> tuple[float | None, str]:
    """The best rate of the peer's three black boxes on the same network, and why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        weights = [value.numpy() for value in target._model.network.state_dict().values()]
        np.savez(Path(folder) / "case.npz", *weights, x=rows.x, y=rows.y, member=rows.is_member)
        try:
            python = environment_python("evaluation", EVALUATION)
            said = child([python, HERE / "peers" / "art_membership.py", Path(folder) / "case.npz", str(seed)], QUIET)
        except Unmeasured as error:
            return None, str(error)
    print(json.dumps({"peer": said}), file=sys.stderr)
    return max(one["tpr"] for one in said.values()), ""


def extraction_claim(seed: int) -> Claim:
    """The worst agreement over logistic regressions of 3 shapes, each solved with (d + 1)(k - 1) queries."""
    from sklearn.linear_model import LogisticRegression

    from assay.predictors.scikit_learn import ScikitLearn

    rng = np.random.default_rng(seed)
    worst = 1.0
    for d, k in ((10, 2), (30, 5), (100, 10)):
        x = rng.normal(size=(2_000, d))
        y = (x @ rng.normal(size=(d, k)) + rng.gumbel(size=(2_000, k))).argmax(axis=1)
        model = Predictor(ScikitLearn(LogisticRegression(max_iter=500).fit(x[:1_000], y[:1_000]), declared({})))
        copy = solved(model, Region.of(x[1_000:]), rng)
        assert model.rows_queried <= unknowns(d, k)
        worst = min(worst, float((copy.labels(x[1_000:]) == model.labels(x[1_000:])).mean()))
    return Claim("extraction: worst agreement after (d + 1)(k - 1) queries", worst, "share", 0.99, "higher")


def coverage_claims(seed: int) -> Iterator[Claim]:
    """How often 95 % intervals hold the truth, for normal scores one deviation apart, 2,000 rows a side."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    truth = {"auc": float(norm.cdf(1 / 2**0.5)), "tpr_at_fpr:0.01": float(norm.sf(norm.isf(0.01) - 1))}
    held = dict.fromkeys(truth, 0)
    for run in range(RUNS):
        members, others = rng.normal(1, 1, 2_000), rng.normal(0, 1, 2_000)
        for metric, value in truth.items():
            found = rank_interval(members, others, metric, run, draws=2_000)
            held[metric] += found.low <= value <= found.high
    for metric, hits in held.items():
        yield Claim(f"membership: coverage of the 95 % interval, {metric}", hits / RUNS, "share", 0.93, "higher")


def audit_claim(seed: int) -> Claim:
    """How often the bound lies above the true epsilon, for randomised response, the worst that epsilon allows."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for epsilon in (0.0, 1.0, 4.0):
        share = 1 / (1 + np.exp(-epsilon))
        bounds = [audited(rng.random(500), rng.random(500) < share, 0.0, 0.05).bound for _ in range(RUNS)]
        worst = max(worst, float(np.mean(np.array(bounds) > epsilon + 1e-9)))
    return Claim(
        "dp audit: worst share of bounds above the true epsilon", worst, "share", 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5
    )


if __name__ == "__main__":
    sys.exit(shown(__doc__, claims))
