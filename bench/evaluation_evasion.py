"""Evasion attacks beside ART and foolbox: robust accuracy, CPU seconds and rows queried on one MNIST network.

One network for each seed, trained here; the same rows, distances, steps and queries for all. Robust accuracy counts every row, also those
that are wrong without an attack. Peers run in an environment of their own, in turns with ours; medians over seeds.
The cost of Square is given twice: for each row that the network was asked, and for each query of the budget that a row was good for; ART
asks the network three times a query.
How to run: make bench NAME=evaluation_evasion      or      .venv/bin/python bench/evaluation_evasion.py --data DIR [--seed N] [--quick]
(DIR holds the MNIST files of the development data; by default shared/data/evaluation beside the checkout)
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from claims import HERE, Claim, Unmeasured, child, median, options, scratch, show
from evaluation_data import evaluation_folder, mnist
from peers.environment import EVALUATION, environment_python

EPS, STEPS, QUERIES, ROWS = 0.1, 40, 300, 200


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed and 40 rows")
    asked = parser.parse_args()
    try:
        claims = [*measured(evaluation_folder(asked.data), asked.seed, asked.quick)]
    except Unmeasured as error:
        claims = [Claim("evasion", None, "", 0, why=str(error))]
    show(claims)
    return 0 if all(claim.met for claim in claims) else 1


def measured(data: Path, seed: int, quick: bool) -> Iterator[Claim]:
    """Every claim about evasion."""
    python = environment_python("evaluation", EVALUATION)
    rounds = []
    for number in range(seed, seed + (1 if quick else 3)):
        with scratch(None) as folder:
            net, x, y = trained(data, folder, number, 40 if quick else ROWS)
            theirs = child([python, HERE / "peers" / "evasion_peer.py", folder, str(EPS), str(STEPS), str(QUERIES)])
            asked = theirs["foolbox_hopskipjump"].get("rows", 10_000) // 10
            ours = mine(net, x, y, number, asked)
            rounds.append(ours | theirs)
    yield from _claims(rounds)


def _claims(rounds: list[dict[str, Any]]) -> Iterator[Claim]:
    def middle(name: str, key: str) -> float:
        return median([one[name][key] for one in rounds if key in one[name]])

    def ratio(ours: str, theirs: str, key: str) -> float:
        return median([one[ours][key] / one[theirs][key] for one in rounds])

    art, foolbox = "ART 1.20.1", "foolbox 3.3.4"
    yield Claim("PGD-40, CPU over ART", ratio("pgd", "art_pgd", "cpu_s"), "ratio", round(1 / 1.4, 3), "lower", art, 1.0)
    yield Claim("PGD-40, CPU over foolbox", ratio("pgd", "foolbox_pgd", "cpu_s"), "ratio", 1.0, "lower", foolbox, 1.0)
    yield Claim(
        "PGD-40, robust accuracy",
        middle("pgd", "robust"),
        "share",
        middle("art_pgd", "robust"),
        "lower",
        art,
        middle("art_pgd", "robust"),
    )
    yield Claim("PGD and APGD, worst case", middle("worst", "robust"), "share", middle("foolbox_pgd", "robust"), "lower", foolbox,
                middle("foolbox_pgd", "robust"))  # fmt: skip
    per_row = median([(one["art_square"]["cpu_s"] / one["art_square"]["rows"]) / (one["square"]["cpu_s"] / one["square"]["rows"])
                      for one in rounds])  # fmt: skip
    yield Claim("Square, times faster than ART a query row", per_row, "ratio", 3.0, "higher", art, 1.0)
    yield Claim("Square, times faster than ART with the same budget", ratio("art_square", "square", "cpu_s"), "ratio", 3.0, "higher",
                art, 1.0)  # fmt: skip
    yield Claim("Square, robust accuracy", middle("square", "robust"), "share", middle("art_square", "robust"), "lower", art,
                middle("art_square", "robust"))  # fmt: skip
    if any("distance" in one["foolbox_hopskipjump"] for one in rounds):
        yield Claim("labels only, median distance after as many queries", middle("rays", "distance"), "input units",
                    middle("foolbox_hopskipjump", "distance"), "lower", f"HopSkipJump of {foolbox}",
                    middle("foolbox_hopskipjump", "distance"))  # fmt: skip


def trained(data: Path, folder: Path, seed: int, count: int) -> tuple[bytes, Any, Any]:
    """A network for one seed, left in `folder` for the peers with the rows to attack."""
    import torch

    from peers.evasion_peer import network

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, labels = mnist(data)
    order = np.random.default_rng(seed).permutation(len(images))
    train, test = order[:7000], order[7000 : 7000 + count]
    net = network()
    rows, truth = torch.as_tensor(images[train]), torch.as_tensor(labels[train])
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(6):
        for part in torch.randperm(len(rows)).split(128):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(rows[part]), truth[part]).backward()
            adam.step()
    held = io.BytesIO()
    torch.save(net.state_dict(), held)
    (folder / "weights.pt").write_bytes(held.getvalue())
    np.savez(folder / "rows.npz", x=images[test], y=labels[test])
    return held.getvalue(), images[test].reshape(count, -1).astype(float), labels[test].astype(np.int32)


def mine(weights: bytes, x: Any, y: Any, seed: int, ray_queries: int) -> dict[str, Any]:
    """The same attacks by Assay; the ray search gets `ray_queries` a row."""
    from assay.checks.robustness.ball import Ball, Target
    from assay.checks.robustness.gradient_attacks import apgd_ce, apgd_dlr, pgd
    from assay.checks.robustness.ray_search import distances
    from assay.checks.robustness.square_attack import square
    from assay.predictors.declared import declared
    from assay.predictors.predictor import Predictor
    from assay.predictors.torch_model import load_torch
    from peers.evasion_peer import network

    stated = declared({"predictor": "torch", "interface": {"shape": [1, 28, 28], "bounds": [0, 1]}})
    ball, found = Ball(EPS, 0.0, 1.0), {}
    right = Predictor(load_torch(weights, stated, network)).labels(x) == y
    stands = np.ones(int(right.sum()), bool)
    attacks = {
        "pgd": (pgd, STEPS),
        "apgd_ce": (apgd_ce, STEPS),
        "apgd_dlr": (apgd_dlr, STEPS),
        "square": (square, QUERIES),
    }
    for name, (attack, budget) in attacks.items():
        model = Predictor(load_torch(weights, stated, network))
        began = time.process_time()
        said = attack(Target(model, x[right], y[right]), ball, budget, seed)
        found[name] = {
            "robust": float((~said.fooled).sum() / len(x)),
            "cpu_s": time.process_time() - began,
            "rows": model.rows_queried,
        }
        stands &= ~said.fooled if name != "square" else True
    found["worst"] = {"robust": float(stands.sum() / len(x))}
    model = Predictor(load_torch(weights, stated, network))
    began = time.process_time()
    reach = distances(Target(model, x[:10], y[:10]), ball.whole, ray_queries).radius
    found["rays"] = {
        "distance": float(np.median(reach)),
        "cpu_s": time.process_time() - began,
        "rows": model.rows_queried,
    }
    return found


if __name__ == "__main__":
    sys.exit(main())
