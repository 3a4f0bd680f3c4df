"""Attacks that follow the gradient: PGD with a fixed step and APGD, which chooses its own.

Rows that are fooled leave at once, so that later steps cost only what is left. Each step costs one query a row.
Sources: Madry et al., Towards deep learning models resistant to adversarial attacks, 2018 (PGD); Croce and Hein, Reliable evaluation
of adversarial robustness with an ensemble of diverse parameter-free attacks, 2020, algorithm 1 (APGD) and section 4.1 (DLR).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.robustness.ball import Attacked, Ball, Target, margins_of
from assay.predictors.predictor import Loss

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints, Labels


MOMENTUM = 0.75
ENOUGH_STEPS_UP = 0.75
FEWEST_CLASSES_FOR_DLR = 3


def pgd(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """Projected gradient descent on cross-entropy from a random start, step 2.5 eps / steps; `budget` steps."""
    import numpy as np

    run = _Run.begun(target, ball, seed)
    step = 2.5 * ball.eps / max(1, budget)
    for _ in range(budget):
        places = run.alive
        if not places.size:
            break
        gradient = run.ask(places, run.now[places], Loss.CROSS_ENTROPY).gradient
        run.now[places] = np.clip(run.now[places] + step * np.sign(gradient), run.low[places], run.high[places])
    run.look_at_the_end()
    return run.found


def apgd_ce(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """APGD on cross-entropy."""
    return _apgd(target, ball, budget, seed, Loss.CROSS_ENTROPY)


def apgd_dlr(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """APGD on the difference of logits ratio, or on the margin where there are two classes only."""
    classes = len(target.predictor.info.classes)
    return _apgd(target, ball, budget, seed, Loss.DLR if classes >= FEWEST_CLASSES_FOR_DLR else Loss.MARGIN)


def checkpoints(budget: int) -> tuple[int, ...]:
    """The steps at which APGD asks whether to halve its step. Source: Croce and Hein, 2020, section 3.2."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return tuple(sorted({math.ceil(round(share * budget, 6)) for share in shares if share <= 1}))


def _apgd(target: Target, ball: Ball, budget: int, seed: int, loss: Loss) -> Attacked:
    """Algorithm 1, numbered as there: 4-5 first step, 7-8 step with momentum, 10-11 keep the best, 13-16 halve and go back."""
    import numpy as np

    run = _Run.begun(target, ball, seed)
    state = _Steps.fresh(run.now, ball.eps)
    turns = set(checkpoints(budget)[1:])
    gradient = np.zeros_like(run.now)
    since = 0
    for turn in range(budget):
        places = run.alive
        if not places.size:
            break
        said = run.ask(places, run.now[places], loss)
        gradient[places] = said.gradient
        state.keep_best(places, run.now, _losses_of(said.logits, target.truth[places], loss), gradient)
        since += 1
        if turn in turns:
            state.halve_where_stuck(places, since, run.now, gradient)
            since = 0
        free = run.alive
        x, before = run.now[free], state.before[free]
        step = state.step[free][:, None]
        z = np.clip(x + step * np.sign(gradient[free]), run.low[free], run.high[free])
        weight = MOMENTUM if turn else 1.0
        moved = np.clip(x + weight * (z - x) + (1 - weight) * (x - before), run.low[free], run.high[free])
        state.before[free], run.now[free] = x, moved
    run.look_at_the_end()
    return run.found


@dataclass
class _Steps:
    """What APGD remembers of each row: its step, best point with loss and gradient, and how often the loss went up."""

    step: Floats
    before: Floats
    best: Floats
    best_loss: Floats
    best_gradient: Floats
    last_loss: Floats
    ups: Ints
    checked_loss: Floats
    was_halved: Flags

    @classmethod
    def fresh(cls, start: Floats, eps: float) -> _Steps:
        import numpy as np

        n, low = len(start), np.full(len(start), -np.inf)
        return cls(
            np.full(n, 2 * eps), start.copy(), start.copy(), low.copy(), np.zeros_like(start), low.copy(),
            np.zeros(n, np.int64), low.copy(), np.zeros(n, bool),
        )  # fmt: skip

    def keep_best(self, places: Ints, now: Floats, losses: Floats, gradient: Floats) -> None:
        self.ups[places] += losses > self.last_loss[places]
        self.last_loss[places] = losses
        better = places[losses > self.best_loss[places]]
        self.best[better], self.best_gradient[better] = now[better], gradient[better]
        self.best_loss[better] = self.last_loss[better]

    def halve_where_stuck(self, places: Ints, since: int, now: Floats, gradient: Floats) -> None:
        """Condition 1: too few steps went up. Condition 2: neither step nor best loss changed since the last checkpoint."""
        few = self.ups[places] < ENOUGH_STEPS_UP * since
        same = ~self.was_halved[places] & (self.checked_loss[places] >= self.best_loss[places])
        stuck = few | same
        self.was_halved[places], self.checked_loss[places] = stuck, self.best_loss[places]
        self.ups[places] = 0
        back = places[stuck]
        self.step[back] /= 2
        now[back], gradient[back] = self.best[back], self.best_gradient[back]
        self.before[back] = self.best[back]


@dataclass
class _Run:
    """Points on their way, shape (n, d), and which of them fool the model already."""

    target: Target
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    now: Floats = field(repr=False)
    fooled: Flags = field(repr=False)
    queries: Ints = field(repr=False)
    points: Floats = field(repr=False)

    @classmethod
    def begun(cls, target: Target, ball: Ball, seed: int) -> _Run:
        import numpy as np

        low, high = ball.limits(target.start)
        now = low + np.random.default_rng(seed).random(target.start.shape) * (high - low)
        n = len(now)
        return cls(target, low, high, now, np.zeros(n, bool), np.zeros(n, np.int64), target.start.copy())

    @property
    def alive(self) -> Ints:
        """Places of rows that are not fooled yet."""
        import numpy as np

        return np.flatnonzero(~self.fooled)

    @property
    def found(self) -> Attacked:
        """The answer."""
        return Attacked(self.points, self.fooled, self.queries)

    def ask(self, places: Ints, points: Floats, loss: Loss) -> _Said:
        slope = self.target.predictor.slope(points, self.target.truth[places], loss)
        self._note(places, points, slope.logits)
        return _Said(slope.logits, slope.gradient)

    def look_at_the_end(self) -> None:
        """The last step was taken and not yet looked at."""
        places = self.alive
        if places.size:
            self._note(places, self.now[places], self.target.predictor.logits(self.now[places]))

    def _note(self, places: Ints, points: Floats, logits: Floats) -> None:
        self.queries[places] += 1
        wrong = margins_of(logits.copy(), self.target.truth[places]) < 0
        self.points[places[wrong]] = points[wrong]
        self.fooled[places[wrong]] = True


@dataclass(frozen=True)
class _Said:
    logits: Floats
    gradient: Floats


def _losses_of(logits: Floats, truth: Labels, loss: Loss) -> Floats:
    """The loss that the gradient was taken of, shape (n,), from logits (n, classes)."""
    import numpy as np

    rows = np.arange(len(truth))
    mine = logits[rows, truth]
    if loss is Loss.CROSS_ENTROPY:
        top = logits.max(axis=1)
        answer: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - mine
        return answer
    others = logits.copy()
    others[rows, truth] = -np.inf
    gap: Floats = others.max(axis=1) - mine
    if loss is Loss.MARGIN:
        return gap
    ordered = np.sort(logits, axis=1)[:, ::-1]
    return gap / (ordered[:, 0] - ordered[:, 2] + 1e-12)
