"""Rules that the columns of a real row keep, so that an attack does not find rows that nobody could hand in.

    robustness.tabular: {one_hot: [[job_clerk, job_nurse]], ordered: [[hired, left]], change_binary: true, ranges: {job_clerk: 1, job_nurse: 1}}

Of the features of a `one_hot` group exactly one is 1 and the others are 0; of an `ordered` pair the first is at most the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.canonical import Json
from assay.core.errors import UsageError
from assay.predictors.rows import EvaluationRows

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


@dataclass(frozen=True)
class FeatureRules:
    """Groups and pairs, as places of features."""

    one_hot: tuple[tuple[int, ...], ...] = ()
    ordered: tuple[tuple[int, int], ...] = ()

    @classmethod
    def stated(cls, rows: EvaluationRows, options: Mapping[str, Json]) -> FeatureRules:
        """Reads the options `one_hot` and `ordered`, which name features.

        Raises:
            UsageError: an unknown feature, text, a group of one, a pair of three, or a feature in two rules of which one is a group.
        """
        places = {name: place for place, name in enumerate(rows.names) if rows.is_number[place]}
        groups, pairs = ([list(map(str, group)) for group in options.get(key) or ()] for key in ("one_hot", "ordered"))
        unknown = sorted({name for group in (*groups, *pairs) for name in group} - set(places))
        grouped, paired = ([name for group in rules for name in group] for rules in (groups, pairs))
        if unknown or len(set(grouped)) < len(grouped) or set(grouped) & set(paired):
            raise UsageError("the rules of the features are not usable",
                             f"no numbers: {unknown[:5]}; a feature may stand in one group, or in pairs")  # fmt: skip
        if any(len(group) < 2 for group in groups) or any(len(pair) != 2 for pair in pairs):
            raise UsageError("the rules of the features are not usable", "a group has two features or more, a pair two")
        one_hot = tuple(tuple(places[name] for name in group) for group in groups)
        return cls(one_hot, tuple((places[first], places[second]) for first, second in pairs))

    @property
    def places(self) -> tuple[int, ...]:
        """The features of all rules, each once."""
        return tuple(dict.fromkeys(place for rule in (*self.one_hot, *self.ordered) for place in rule))

    def movable(self, movable: Flags, has_reach: Flags) -> Flags:
        """Which features (d,) may move: those of a group only if all of them may and can, because they move together."""
        found = movable.copy()
        for group in map(list, self.one_hot):
            found[group] = (movable & has_reach)[group].all()
        return found

    def keep(self, points: Floats, start: Floats) -> None:
        """Changes `points` (..., d) so that rows keep the rules that `start` (..., d) keeps.

        Of a group the feature that rose most becomes 1. Where a pair is turned round, all features of pairs are as they were.
        """
        import numpy as np

        for group in map(list, self.one_hot):
            before = start[..., group]
            rise = points[..., group] - before
            chosen = np.where(rise.max(axis=-1) > 0, rise.argmax(axis=-1), before.argmax(axis=-1))
            is_hot = (np.sort(before, axis=-1) == np.eye(len(group))[-1]).all(axis=-1, keepdims=True)
            points[..., group] = np.where(is_hot, np.eye(len(group))[chosen], before)
        if not self.ordered:
            return
        first, second = (list(side) for side in zip(*self.ordered, strict=True))
        turned = (points[..., first] > points[..., second]) & (start[..., first] <= start[..., second])
        broken = turned.any(axis=-1, keepdims=True)
        points[..., first] = np.where(broken, start[..., first], points[..., first])
        points[..., second] = np.where(broken, start[..., second], points[..., second])
