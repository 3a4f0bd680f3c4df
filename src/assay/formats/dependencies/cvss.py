"""Base scores of CVSS vectors, versions 2, 3.0, 3.1 and 4.0.

A vector that cannot be scored has no number; whoever reads it then falls back on a severity in words, or on none.
Source: FIRST, CVSS v2.0 section 3.2.1 (2007); CVSS v3.1 section 7.1 and appendix A (2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from assay.formats.dependencies.cvss4 import base_score_4

_V2: Mapping[str, Mapping[str, float]] = {
    "AV": {"L": 0.395, "A": 0.646, "N": 1.0},
    "AC": {"H": 0.35, "M": 0.61, "L": 0.71},
    "Au": {"M": 0.45, "S": 0.56, "N": 0.704},
    "C": {"N": 0.0, "P": 0.275, "C": 0.660},
    "I": {"N": 0.0, "P": 0.275, "C": 0.660},
    "A": {"N": 0.0, "P": 0.275, "C": 0.660},
}
_V3: Mapping[str, Mapping[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES: Mapping[str, Mapping[str, float]] = {
    "U": {"N": 0.85, "L": 0.62, "H": 0.27},
    "C": {"N": 0.85, "L": 0.68, "H": 0.5},
}
_GRADES = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "none"))
_MAX_VECTOR = 512


def base_score(vector: str) -> float | None:
    """The base score, 0 to 10 with one decimal; None for a vector that is not whole or of another version."""
    if len(vector) > _MAX_VECTOR:
        return None
    parts = vector.strip().split("/")
    metrics = dict(part.partition(":")[::2] for part in parts)
    if len(metrics) != len(parts):  # a metric that stands twice
        return None
    try:
        if metrics.get("CVSS") in ("3.0", "3.1"):
            return _version_3(metrics)
        if metrics.get("CVSS") == "4.0":
            return base_score_4(metrics)
        return _version_2(metrics) if "CVSS" not in metrics else None
    except KeyError:
        return None


def grade(score: float) -> str:
    """The severity in words. Source: CVSS v3.1, table 14."""
    return next(name for least, name in _GRADES if score >= least)


def _version_2(metrics: Mapping[str, str]) -> float:
    value = {name: values[metrics[name]] for name, values in _V2.items()}
    impact = 10.41 * (1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"]))
    exploitability = 20 * value["AV"] * value["AC"] * value["Au"]
    score = (0.6 * impact + 0.4 * exploitability - 1.5) * (1.176 if impact else 0.0)
    return math.floor(score * 10 + 0.5) / 10


def _version_3(metrics: Mapping[str, str]) -> float:
    value = {name: values[metrics[name]] for name, values in _V3.items()}
    is_changed = metrics["S"] == "C"
    privileges = _PRIVILEGES[metrics["S"]][metrics["PR"]]
    base = 1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if is_changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * value["AV"] * value["AC"] * privileges * value["UI"]
    return _rounded_up(min((1.08 if is_changed else 1.0) * (impact + exploitability), 10.0))


def _rounded_up(value: float) -> float:
    """The smallest tenth that is not below `value`, free of binary fractions. Source: CVSS v3.1, appendix A."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10
