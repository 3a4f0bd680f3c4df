"""The base score of a CVSS vector, version 4.0 (CVSS-B): threat and environment metrics are left out, as for the older versions.

1. Each vector falls into a class by five groups of metrics; experts ranked the classes (`_RANKED`, in tenths). 2. Within its
class a vector lies some steps below the worst one. 3. For each group the steps take the score that share of the way down to the
next lower class; the mean over the groups that have one is subtracted. Without threat metrics the fifth group stays at its
worst, and the security requirements too, so that 60 of the 270 classes are all that can occur or lie next below.
Source: FIRST, CVSS v4.0 specification, section 8 (2023) and its public table of class scores; counted in exact fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor

# Steps below the worst value of each metric.
_STEPS: Mapping[str, str] = {
    "AV": "NALP", "PR": "NLH", "UI": "NPA", "AC": "LH", "AT": "NP", "VC": "HLN", "VI": "HLN", "VA": "HLN", "SC": "HLN", "SI": "HLN",
    "SA": "HLN",
}  # fmt: skip
# Column by the third group and whether a high impact meets a high requirement.
_COLUMNS: Mapping[tuple[int, bool], int] = {(0, True): 0, (0, False): 1, (1, True): 2, (1, False): 3, (2, False): 4}
# Rows: group 1 (0 to 2), then group 2 (0 or 1). Columns: as above, each for group 4 at 1 and at 2.
_RANKED = (
    ((100, 93), (96, 90), (93, 88), (92, 80), (79, 69)),
    ((95, 92), (91, 81), (92, 84), (82, 70), (71, 63)),
    ((94, 87), (89, 75), (86, 72), (76, 57), (65, 53)),
    ((90, 77), (77, 66), (74, 61), (59, 52), (58, 23)),
    ((86, 70), (74, 54), (72, 53), (57, 36), (47, 24)),
    ((73, 54), (55, 43), (61, 46), (51, 18), (24, 10)),
)
_WORST = {1: (0, 1, 3), 2: (0, 1), 3: (0, 1, 3), 4: (0, 0, 3)}  # steps that the worst vector of a class has already
_DEPTH = {1: (1, 4, 5), 2: (1, 2), 3: (7, 8, 10), 4: (6, 5, 4)}  # steps from there to the next lower class


def base_score_4(metrics: Mapping[str, str]) -> float:
    """The score of the metrics of a `CVSS:4.0` vector, 0 to 10 with one decimal.

    Raises:
        KeyError: a base metric is missing or has no such value.
    """
    steps = {name: _step(metrics[name], values) for name, values in _STEPS.items()}
    if all(metrics[name] == "N" for name in ("VC", "VI", "VA", "SC", "SI", "SA")):
        return 0.0
    classes = {1: _exploitability(steps), 2: int(steps["AC"] + steps["AT"] > 0), 3: _impact(steps), 4: _spread(steps)}
    below = {
        1: steps["AV"] + steps["PR"] + steps["UI"],
        2: steps["AC"] + steps["AT"],
        3: steps["VC"] + steps["VI"] + steps["VA"],
        4: steps["SC"] + steps["SI"] + steps["SA"],
    }
    score = _ranked(classes)
    drops = [Fraction(0)]  # the fifth group: its next lower class exists, and the vector is at the worst of its own
    for group, lower in _next_lower(classes).items():
        way = Fraction(below[group] - _WORST[group][classes[group]], _DEPTH[group][classes[group]])
        drops.append((score - lower) * way)
    return floor(score - sum(drops) / len(drops) + Fraction(1, 2)) / 10


def _step(value: str, values: str) -> int:
    if len(value) != 1 or value not in values:
        raise KeyError(value)
    return values.index(value)


def _exploitability(steps: Mapping[str, int]) -> int:
    worst = [steps[name] == 0 for name in ("AV", "PR", "UI")]
    return 0 if all(worst) else 1 if any(worst) and steps["AV"] < 3 else 2


def _impact(steps: Mapping[str, int]) -> int:
    high = [steps[name] == 0 for name in ("VC", "VI", "VA")]
    return 0 if high[0] and high[1] else 1 if any(high) else 2


def _spread(steps: Mapping[str, int]) -> int:
    """Class 0 needs safety, which only environment metrics can say."""
    return 1 if any(steps[name] == 0 for name in ("SC", "SI", "SA")) else 2


def _ranked(classes: Mapping[int, int], requirements_met: bool | None = None) -> int:
    is_met = classes[3] < 2 if requirements_met is None else requirements_met
    return _RANKED[2 * classes[1] + classes[2]][_COLUMNS[classes[3], is_met]][classes[4] - 1]


def _next_lower(classes: Mapping[int, int]) -> Mapping[int, int]:
    """The score of the class next below in each group, where there is one."""
    found = {group: _ranked({**classes, group: classes[group] + 1}) for group, last in ((1, 2), (2, 1), (4, 2))
             if classes[group] < last}  # fmt: skip
    if classes[3] == 0:
        found[3] = max(_ranked(classes, requirements_met=False), _ranked({**classes, 3: 1}))
    elif classes[3] == 1:
        found[3] = _ranked(classes, requirements_met=False)
    return found
