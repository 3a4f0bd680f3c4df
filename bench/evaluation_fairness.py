"""Gaps between groups: paired intervals of 10,000 resamples beside fairlearn's of 100, and a published table.

Adult (half of its 32,561 rows to test on, race x sex = 10 groups), a production model and a candidate that sees fewer columns: the
interval of the change of each gap, over the same rows. fairlearn resamples one model, without pairing. COMPAS: the check's rates of
errors, over the rows of ProPublica's analysis, beside the table that they published.
How to run: .venv/bin/python bench/evaluation_fairness.py --data DIR    (DIR holds adult.csv and compas-two-years.noname.csv)
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.checks.fairness.group_gaps import group_gaps
from assay.core.outcomes import Measurement
from assay.predictors.declared import declared
from assay.predictors.function_model import FunctionModel
from assay.predictors.predictor import Predictor
from assay.statistics.claims import gap_paired
from assay.statistics.gaps import gap_change_interval, gap_interval
from claims import HERE, Claim, Unmeasured, child, took
from evaluation_data import csv_of, outcomes, shown
from peers.environment import EVALUATION, QUIET, environment_python

DRAWS, PEER_DRAWS, MARGIN = 10_000, 100, 0.02
PUBLISHED = {
    ("false_positive_rate", "African-American"): 44.85, ("false_positive_rate", "Caucasian"): 23.45,
    ("true_positive_rate", "African-American"): 100 - 27.99, ("true_positive_rate", "Caucasian"): 100 - 47.72,
}  # fmt: skip
"""Percent. Source: Larson, Mattu, Kirchner, Angwin, How we analyzed the COMPAS recidivism algorithm, ProPublica, 2016 (error rates)."""


def claims(data: Path, seed: int, peers: bool) -> Iterator[Claim]:
    """Every claim of this part."""
    yield from interval_claims(data / "adult.csv", seed, peers=peers)
    yield compas_claim(data / "compas-two-years.noname.csv", seed)


@dataclass(frozen=True)
class Case:
    """Test rows: their `group` by number, `truth`, and what `new` and `old` say, 0 or 1 each; shape (n,)."""

    group: Any
    truth: Any
    new: Any
    old: Any

    def asked(self) -> dict[str, tuple[Any, Any, Any]]:
        """What each rate counts: the rows that it is asked of, and the hits of the new model and of the old one."""
        everyone = np.ones(self.truth.size, bool)
        return {
            "selection_rate": (everyone, self.new == 1, self.old == 1),
            "true_positive_rate": (self.truth == 1, self.new == 1, self.old == 1),
            "false_positive_rate": (self.truth == 0, self.new == 1, self.old == 1),
            "accuracy": (everyone, self.new == self.truth, self.old == self.truth),
        }


def interval_claims(path: Path, seed: int, *, peers: bool) -> Iterator[Claim]:
    """What intervals cost, that they hold the peer's estimate, and that the estimates are equal."""
    what = f"fairness: {DRAWS} paired resamples of 4 gaps"
    if not path.exists():
        yield Claim(what, None, "CPU s", 2.0, why=f"no {path.name} in --data")
        return
    case = adult(path, seed)
    took(lambda: intervals(case, seed, draws=100))  # imports
    used = took(lambda: intervals(case, seed, DRAWS))
    peer, why = peer_gaps(case) if peers else (None, "no peer was asked")
    fairlearn = f"fairlearn 0.15.0, {PEER_DRAWS} resamples"
    rows, groups = case.truth.size, np.unique(case.group).size
    yield Claim(
        f"{what}, {rows} rows, {groups} groups",
        used.cpu_s,
        "CPU s",
        2.0,
        "lower",
        fairlearn,
        peer and peer["cpu_s"],
        why,
    )
    if peer is None:
        return
    apart = max(abs(plain(case, name) - said[0]) for name, said in peer["differences"].items())
    yield Claim(
        "fairness: largest difference from fairlearn's gaps", apart, "share", 1e-9, "lower", "fairlearn 0.15.0", 0.0
    )


def intervals(case: Case, seed: int, draws: int) -> None:
    """For each rate: the interval of the candidate's gap, that of its change, and what the gate decides from it."""
    for asked, new, old in case.asked().values():
        group, ours, theirs = case.group[asked], new[asked], old[asked]
        gap_interval(np.bincount(group, weights=ours).astype(int), np.bincount(group), seed, draws=draws)
        gap_change_interval(group, ours, theirs, seed, draws=draws)
        gap_paired(group, ours, theirs, MARGIN, "lower")


def plain(case: Case, name: str) -> float:
    """The gap of one rate, by hand."""
    asked, new, _ = case.asked()[name]
    group = case.group[asked]
    return float(np.ptp(np.bincount(group, weights=new[asked]) / np.bincount(group)))


def adult(path: Path, seed: int) -> Case:
    """Two models of income, fitted to half of the rows, on the other half."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.preprocessing import OrdinalEncoder

    with path.open(newline="") as handle:
        names, *table = csv.reader(handle)
    rows = np.array([[cell.strip() for cell in row] for row in table if row])
    truth = (rows[:, -1] == ">50K").astype(np.int64)
    crossed = [f"{row[names.index('race')]}/{row[names.index('sex')]}" for row in rows]
    group = np.unique(crossed, return_inverse=True)[1]
    x = OrdinalEncoder().fit_transform(rows[:, :-1])
    order = np.random.default_rng(seed).permutation(len(truth))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    said = []
    for columns in (x.shape[1], x.shape[1] // 2):
        model = HistGradientBoostingClassifier(max_iter=40, random_state=0)
        said.append(model.fit(x[train, :columns], truth[train]).predict(x[test, :columns]))
    return Case(group[test], truth[test], said[0], said[1])


def peer_gaps(case: Case) -> tuple[Mapping[str, Any] | None, str]:
    """What fairlearn says of the candidate, and why there is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "case.npz", truth=case.truth, said=case.new, group=case.group)
        try:
            python = environment_python("evaluation", EVALUATION)
            said: Mapping[str, Any] = child(
                [python, HERE / "peers" / "fairlearn_gaps.py", Path(folder) / "case.npz", str(PEER_DRAWS)], QUIET
            )
        except Unmeasured as error:
            return None, str(error)
    return said, ""


def compas_claim(path: Path, seed: int) -> Claim:
    """How far the check's rates lie from those that were published, in points."""
    what = "fairness: largest difference from the published COMPAS table"
    if not path.exists():
        return Claim(what, None, "points", 0.005, why=f"no {path.name} in --data")
    with path.open(newline="") as handle:
        table = list(csv.DictReader(handle))
    data = csv_of(
        ["score_text", "race", "two_year_recid"],
        [[row["score_text"], row["race"], row["two_year_recid"]] for row in table],
    )
    stated = declared({"predictor": "function", "features": ["score_text"], "interface": {"classes": [0, 1]}})
    model = Predictor(FunctionModel(lambda rows: [int(row[0] != "Low") for row in rows], stated))
    said = outcomes(
        group_gaps, model, {"tested_on": data}, {"target": "two_year_recid", "sensitive": ["race"], "positive": 1}, seed
    )
    rates = {(one.metric, one.group): 100 * one.value for one in said if isinstance(one, Measurement) and one.group}
    apart = max(abs(rates[rate, f"race={race}"] - value) for (rate, race), value in PUBLISHED.items())
    return Claim(what, apart, "points", 0.005, "lower", "ProPublica 2016", 0.0)


if __name__ == "__main__":
    sys.exit(shown(__doc__, claims))
