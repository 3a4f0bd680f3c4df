"""Checks on published data give the published figures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.contract.material import run, world

from assay.checks.fairness.group_gaps import group_gaps
from assay.core.outcomes import Measurement

COMPAS = Path(__file__).resolve().parents[4] / "shared" / "data" / "evaluation" / "compas-two-years.noname.csv"
PUBLISHED = {
    ("false_positive_rate", "African-American"): 44.85, ("false_positive_rate", "Caucasian"): 23.45,
    ("true_positive_rate", "African-American"): 100 - 27.99, ("true_positive_rate", "Caucasian"): 100 - 47.72,
    ("precision", "African-American"): 62.97, ("precision", "Caucasian"): 59.13,
}  # fmt: skip


@pytest.mark.skipif(not COMPAS.exists(), reason="the COMPAS rows are not beside the checkout")
def test_error_rates_of_compas_are_those_of_propublica_2016() -> None:
    """A decile above 4 is what their analysis calls medium or high."""
    from sklearn.tree import DecisionTreeClassifier
    from skops.io import dumps

    deciles = np.arange(1, 11)[:, None]
    scorer = dumps(DecisionTreeClassifier(max_depth=1).fit(deciles, deciles[:, 0] > 4))
    with COMPAS.open(newline="") as handle:
        kept = [(row["decile_score"], row["race"], row["two_year_recid"]) for row in csv.DictReader(handle)]
    table = "\n".join(",".join(row) for row in [("decile_score", "race", "two_year_recid"), *kept])
    where = world(
        scorer, table.encode(), declared={"predictor": "scikit-learn", "features": ["decile_score"]},
        of_data={"target": "two_year_recid", "sensitive": ["race"], "positive": 1},
    )  # fmt: skip
    rates = {(one.metric, one.group): one.value for one in run(group_gaps, where) if isinstance(one, Measurement)}
    for (metric, race), percent in PUBLISHED.items():
        assert 100 * rates[metric, f"race={race}"] == pytest.approx(percent, abs=0.005)
