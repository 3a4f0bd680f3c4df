"""Trains the loan scorer: reads a table of applications, fits a logistic regression, writes it as skops.

usage: train.py DATA.csv FEATURES,… OUT_FOLDER STRENGTH
"""

import csv
import sys
from pathlib import Path

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    data, features, out, strength = sys.argv[1:]
    with open(data, newline="") as file:
        rows = list(csv.DictReader(file))
    x = np.array([[float(row[name]) for name in features.split(",")] for row in rows])
    y = np.array([int(row["approve"]) for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=float(strength), max_iter=1000)).fit(x, y)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "model.skops")
    print(f"{len(rows)} rows, training accuracy {model.score(x, y):.3f}")


main()
