"""A search for a decision flip inside a box around each row, with labels or scores alone.

Three phases, all rows at once, flipped rows leaving as soon as they flip:
1. each movable feature alone to both ends of its box, as far as half of the budget goes;
2. all features to the end that lowered the margin most, then those that matter most alone;
3. random restarts: a random part of the features of the best point is set to an end or anywhere in the box, and kept if the
   margin fell. Labels without scores have no margin; then every proposal starts anew.
Queries count per row, including those of a batch in which the row flips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from assay.checks.robustness.feature_rules import FeatureRules
from assay.core.canonical import Json
from assay.core.errors import UsageError
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Flags, Floats, Ints


PROPOSALS = 10
MAX_BATCH_ROWS = 50_000
LOW, HIGH = 0.01, 0.99


@dataclass(frozen=True)
class Box:
    """How far each feature may move, shape (d,): `radius` in its own unit, within `floor`..`ceiling` of the data.

    `span` is the range from the 1st to the 99th percentile, `movable` is where radius > 0 was allowed. `rules` hold between features.
    """

    eps: float
    radius: Floats = field(repr=False)
    span: Floats = field(repr=False)
    floor: Floats = field(repr=False)
    ceiling: Floats = field(repr=False)
    is_integer: Flags = field(repr=False)
    movable: Flags = field(repr=False)
    rules: FeatureRules = field(default_factory=FeatureRules)

    @classmethod
    def around(cls, rows: EvaluationRows, options: Mapping[str, Json]) -> Box:
        """Derives the box from data and the options `eps`, `ranges` (radius by feature), `change_binary`, and the rules.

        Raises:
            UsageError: an eps that is not positive, a range for a feature that is not there, or rules that are none.
        """
        import numpy as np

        eps, ranges = float(options.get("eps", 0.05)), dict(options.get("ranges") or {})
        unknown = sorted(set(ranges) - set(rows.names))
        if eps <= 0 or unknown:
            raise UsageError("the box of the attack is not usable", f"eps {eps:g}; unknown features {unknown[:5]}")
        numbers = [_numbers(rows, place) for place in range(len(rows.names))]
        span = np.array([np.quantile(v, HIGH) - np.quantile(v, LOW) if v.size else 0.0 for v in numbers])
        values = np.array([np.unique(v).size for v in numbers])
        least = 2 if options.get("change_binary") else 3
        frozen = np.array([name in rows.immutable for name in rows.names])
        stated = [float(ranges.get(name, eps * reach)) for name, reach in zip(rows.names, span, strict=True)]
        is_integer = np.array([bool(v.size) and bool((v == np.round(v)).all()) for v in numbers])
        radius = np.where(is_integer, np.floor(stated), stated)
        movable = ~frozen & (values >= least) & np.array(rows.is_number)
        rules = FeatureRules.stated(rows, options)
        movable = rules.movable(movable, radius > 0)
        return cls(
            eps, np.where(movable, radius, 0.0), span, np.array([v.min() if v.size else 0.0 for v in numbers]),
            np.array([v.max() if v.size else 0.0 for v in numbers]), is_integer, movable, rules,
        )  # fmt: skip

    def widened(self) -> Box:
        """The box that reaches over the whole range of every movable feature."""
        return replace(self, eps=1.0, radius=(self.ceiling - self.floor) * self.movable)

    def limits(self, start: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest values around each row of `start`, shape (n, d); a row outside the data may stay there."""
        import numpy as np

        low = np.maximum(start - self.radius, np.minimum(self.floor, start))
        high = np.minimum(start + self.radius, np.maximum(self.ceiling, start))
        return low, high


@dataclass(frozen=True)
class Found:
    """What the search found of each row, shape (n,): whether it flipped and the queries spent.

    `points` (n, d) holds the numbers of the flipping rows, `columns` the places of those numbers among all features.
    """

    flipped: Flags = field(repr=False)
    queries: Ints = field(repr=False)
    points: Floats = field(repr=False)
    columns: Ints = field(repr=False)

    @classmethod
    def nothing(cls, n: int) -> Found:
        """No row flipped, no query spent."""
        import numpy as np

        none = np.empty((n, 0))
        return cls(np.zeros(n, bool), np.zeros(n, np.int64), none, np.empty(0, np.int64))

    def spread_over(self, attacked: Flags) -> Found:
        """The same for all rows, of which only `attacked` ones, shape (all,), were searched."""
        import numpy as np

        whole = Found.nothing(attacked.size)
        points = np.zeros((attacked.size, self.points.shape[1]))
        whole.flipped[attacked], whole.queries[attacked], points[attacked] = self.flipped, self.queries, self.points
        return Found(whole.flipped, whole.queries, points, self.columns)

    def moved(self, features: Batch) -> Batch:
        """The features with the flipping numbers in their places."""
        found = features.copy()
        for place, column in enumerate(self.columns):
            found[self.flipped, column] = self.points[self.flipped, place]
        return found


def search(predictor: Predictor, rows: EvaluationRows, box: Box, budget: int, seed: int) -> Found:
    """Attacks every row, which the model must get right, with at most `budget` queries a row."""
    import numpy as np

    run = _Search(predictor, rows, box, seed)
    if run.columns.size == 0:
        return Found.nothing(rows.n)
    spent = run.ends_alone(budget // 2)
    spent += run.ends_together(budget - spent)
    while spent < budget and run.alive.any():
        spent += run.proposals(min(PROPOSALS, budget - spent), spent / budget)
    return Found(run.flipped, run.queries, np.where(run.flipped[:, None], run.best, run.start), run.columns)


class _Search:
    """The state of one search over n rows and the k columns with a radius."""

    def __init__(self, predictor: Predictor, rows: EvaluationRows, box: Box, seed: int) -> None:
        import numpy as np

        self.predictor, self.rows = predictor, rows
        self.columns = np.flatnonzero(box.radius > 0)
        self.start = rows.features[:, self.columns].astype(np.float64)
        narrow = replace(
            box, radius=box.radius[self.columns], floor=box.floor[self.columns], ceiling=box.ceiling[self.columns]
        )
        self.low, self.high = narrow.limits(self.start)
        self.is_integer, self.rules = box.is_integer[self.columns], box.rules
        self.numbers = np.zeros(rows.features.shape)  # text stands as 0, because no rule is about text
        is_number = np.flatnonzero(rows.is_number)
        self.numbers[:, is_number] = rows.features[:, is_number].astype(np.float64)
        self.rng = np.random.default_rng(seed)
        self.has_scores = Capability.SCORES in predictor.capabilities and self._scores_decide()
        self.best, self.lowest = self.start.copy(), np.full(rows.n, np.inf)
        self.flipped, self.queries = np.zeros(rows.n, bool), np.zeros(rows.n, np.int64)
        self.gain = np.zeros(self.start.shape)  # how far moving one column alone lowered the margin
        self.end = self.low.copy()  # the end of that column that lowered it more

    @property
    def alive(self) -> Flags:
        """Rows that did not flip yet."""
        return ~self.flipped

    def ends_alone(self, budget: int) -> int:
        """Phase 1 for as many random columns as the budget allows; returns the queries spent per row."""
        import numpy as np

        size = min(self.columns.size, budget // 2)
        alive = np.flatnonzero(self.alive)
        picked = self.rng.permutation(self.columns.size)[:size]
        points = np.repeat(self.start[alive][:, None, :], 2 * size, axis=1)
        for at, column in enumerate(picked):
            points[:, 2 * at, column] = self.low[alive, column]
            points[:, 2 * at + 1, column] = self.high[alive, column]
        margins = self._ask(alive, points)
        if self.has_scores and size:
            down, up = margins[:, 0::2], margins[:, 1::2]
            base = np.maximum(down, up)
            self.gain[np.ix_(alive, picked)] = base - np.minimum(down, up)
            ends = np.where(down <= up, self.low[np.ix_(alive, picked)], self.high[np.ix_(alive, picked)])
            self.end[np.ix_(alive, picked)] = ends
        return 2 * size

    def ends_together(self, budget: int) -> int:
        """Phase 2: all columns at their better end, then the better half, quarter, ... of them."""
        import numpy as np

        alive = np.flatnonzero(self.alive)
        if not self.has_scores or not alive.size:
            return 0
        order = np.argsort(np.argsort(-self.gain[alive], axis=1), axis=1)
        sizes = sorted({max(1, self.columns.size >> half) for half in range(4)}, reverse=True)[:budget]
        masks = np.stack([order < size for size in sizes], axis=1)
        points = np.where(masks, self.end[alive][:, None, :], self.start[alive][:, None, :])
        self._ask(alive, points)
        return len(sizes)

    def proposals(self, count: int, progress: float) -> int:
        """Phase 3: `count` random changes of the best point; fewer columns change as the budget runs out."""
        import numpy as np

        alive = np.flatnonzero(self.alive)
        shape = (alive.size, count, self.columns.size)
        share = max(0.5 * (1 - progress), 1.5 / self.columns.size) if self.has_scores else 0.7
        changed = self.rng.random(shape) < share
        low, high = self.low[alive][:, None, :], self.high[alive][:, None, :]
        inside = low + self.rng.random(shape) * (high - low)
        inside = np.where(self.is_integer, np.clip(np.round(inside), low, high), inside)
        ends = np.where(self.rng.random(shape) < 0.5, low, high)
        to = np.where(self.rng.random(shape) < 0.3, inside, ends)
        base = (self.best if self.has_scores else self.start)[alive][:, None, :]
        self._ask(alive, np.where(changed, to, base))
        return count

    def _ask(self, alive: Ints, points: Floats) -> Floats:
        """Margins of `points`, shape (alive, asked, k); a margin below 0 is a flip. Keeps the lowest of each row."""
        import numpy as np

        count, asked = points.shape[:2]
        if not count or not asked:
            return np.empty((count, asked))
        self._keep_rules(alive, points)
        owners = np.repeat(alive, asked)
        flat = points.reshape(-1, self.columns.size)
        parts = [
            self._margins(owners[at : at + MAX_BATCH_ROWS], flat[at : at + MAX_BATCH_ROWS])
            for at in range(0, len(flat), MAX_BATCH_ROWS)
        ]
        margins = np.concatenate(parts).reshape(count, asked)
        lowest = margins.argmin(axis=1)
        value = margins[np.arange(count), lowest]
        better = value < self.lowest[alive]
        self.best[alive[better]] = points[np.arange(count), lowest][better]
        self.lowest[alive] = np.minimum(self.lowest[alive], value)
        self.queries[alive] += asked
        self.flipped[alive] = value < 0
        return margins

    def _keep_rules(self, alive: Ints, points: Floats) -> None:
        """Changes `points`, shape (alive, asked, k), to rows that keep the rules between features."""
        import numpy as np

        if not self.rules.places:
            return
        start = self.numbers[alive][:, None, :]
        whole = np.repeat(start, points.shape[1], axis=1)
        whole[..., self.columns] = points
        self.rules.keep(whole, np.broadcast_to(start, whole.shape))
        points[:] = whole[..., self.columns]

    def _margins(self, owners: Ints, points: Floats) -> Floats:
        """Score of the true class minus the best other, shape (m,); 1 or -1 where only labels are known."""
        import numpy as np

        batch = self.rows.features[owners]
        batch[:, self.columns] = points
        target = self.rows.target[owners]
        if not self.has_scores:
            return np.where(self.predictor.labels(batch) == target, 1.0, -1.0)
        scores = self.predictor.scores(batch)
        at = np.arange(len(owners))
        mine = scores[at, target]
        scores[at, target] = -np.inf
        rival = scores.argmax(axis=1)
        margin = mine - scores[at, rival]
        # A tie goes to the first class, as argmax decides it.
        return np.where((margin == 0) & (rival < target), -1e-300, margin)

    def _scores_decide(self) -> bool:
        """Whether the highest score is the label, for the rows as they are; else scores may mislead."""
        import numpy as np

        scores = self.predictor.scores(self.rows.features)
        return bool(np.array_equal(scores.argmax(axis=1), self.predictor.labels(self.rows.features)))


def _numbers(rows: EvaluationRows, place: int) -> Floats:
    """The values of one column that are there; none where it holds text."""
    import numpy as np

    if not rows.is_number[place]:
        return np.empty(0)
    values = rows.features[:, place].astype(np.float64)
    found: Floats = values[~np.isnan(values)]
    return found
