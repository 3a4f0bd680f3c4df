"""The Square attack: random squares of the extreme values, kept where the margin falls. Needs scores, no gradients.

Source: Andriushchenko et al., Square attack: a query-efficient black-box adversarial attack via random search, 2020, algorithms
1 and 2 for the maximum norm. Rows that are not images are attacked as images of one row of pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.checks.robustness.ball import Attacked, Ball, Target, margins

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Floats, Ints


FIRST_SHARE = 0.3
# Shares of the budget after which squares cover half as much. The paper halves nine times, for 10,000 queries; with hundreds,
# squares of one pixel come too early.
HALVED_AT = (0.01, 0.05, 0.2, 0.5)


def square(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """At most `budget` queries a row; the first is a picture of vertical stripes. Rows that are fooled are asked no more."""
    import numpy as np

    shape = image_shape(target)
    rng = np.random.default_rng(seed)
    low, high = (limit.reshape(-1, *shape) for limit in ball.limits(target.start))
    n, (channels, height, width) = len(low), shape
    best = np.where(rng.random((n, channels, 1, width)) < 0.5, high, low)
    queries = np.full(n, min(1, budget), np.int64)
    lowest = margins(target.predictor, best.reshape(n, -1), target.truth) if n else np.empty(0)
    for turn in range(1, budget):
        alive = np.flatnonzero(lowest >= 0)
        if not alive.size:
            break
        trial = best[alive]
        repaint(rng, trial, low, high, alive, side(turn / budget, height, width))
        found = margins(target.predictor, trial.reshape(alive.size, -1), target.truth[alive])
        queries[alive] += 1
        better = found < lowest[alive]
        best[alive[better]], lowest[alive[better]] = trial[better], found[better]
    return Attacked(best.reshape(n, -1), lowest < 0, queries)


def side(progress: float, height: int, width: int) -> int:
    """How wide a square is after a share of the budget, at least 1 pixel and at most the smaller side."""
    halvings = sum(progress > at for at in HALVED_AT)
    share = FIRST_SHARE * 0.5**halvings
    if min(height, width) == 1:
        return max(1, round(share * max(height, width)))
    return int(min(max(1, round((share * height * width) ** 0.5)), height, width))


def repaint(rng: np.random.Generator, images: Floats, low: Floats, high: Floats, rows: Ints, size: int) -> None:
    """Sets a random square of each image (n, channels, height, width) to its lowest or highest values, a channel at a time.

    `low` and `high` hold the limits of all rows, `rows` (n,) the places of these images among them. A square that would
    change nothing takes the other end, as the authors' code does by drawing again: a query is not spent on what is known.
    """
    import numpy as np

    n, channels, height, width = images.shape
    down = rng.integers(0, max(1, height - size + 1), (n, 1)) + np.arange(min(size, height))
    along = rng.integers(0, max(1, width - size + 1), (n, 1)) + np.arange(min(size, width))
    channel = np.arange(channels)[:, None, None] * height
    within = (channel + down[:, None, :, None]) * width + along[:, None, None, :]
    first = np.arange(n)[:, None, None, None], rows[:, None, None, None]
    mine, theirs = (place * (channels * height * width) + within for place in first)
    least, most, now = low.take(theirs), high.take(theirs), images.take(mine)
    up = rng.random((n, channels, 1, 1)) < 0.5
    same = (np.where(up, most, least) == now).all(axis=(1, 2, 3), keepdims=True)
    images.put(mine, np.where(up ^ same, most, least))


def image_shape(target: Target) -> tuple[int, int, int]:
    """Channels, height and width of a row; what is no image is one line of pixels."""
    shape = target.predictor.info.shape
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, shape[0], shape[1]) if len(shape) == 2 else (1, 1, target.start.shape[1])
