"""The Square attack: random squares of the extreme values, kept where the margin falls. Needs scores, no gradients.

Source: Andriushchenko et al., Square attack: a query-efficient black-box adversarial attack via random search, 2020, algorithms
1 and 2 for the maximum norm. Rows that are not images are attacked as images of one row of pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.checks.robustness.ball import Attacked, Ball, Target, margins

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]

FIRST_SHARE = 0.3
# Shares of the budget after which squares cover half as much. The paper halves nine times, for 10,000 queries; with hundreds,
# squares of one pixel come too early.
HALVED_AT = (0.01, 0.05, 0.2, 0.5)


def square(target: Target, ball: Ball, budget: int, seed: int) -> Attacked:
    """At most `budget` queries a row; the first is a picture of vertical stripes."""
    import numpy as np

    shape = image_shape(target)
    rng = np.random.default_rng(seed)
    low, high = ball.limits(target.start)
    n, (channels, height, width) = len(low), shape
    stripes = np.broadcast_to(rng.random((n, channels, 1, width)) < 0.5, (n, *shape)).reshape(n, -1)
    best = np.where(stripes, high, low)
    queries = np.full(n, 1, np.int64)
    lowest = margins(target.predictor, best, target.truth) if n else np.empty(0)
    for turn in range(1, budget):
        alive = np.flatnonzero(lowest >= 0)
        if not alive.size:
            break
        mask = squares(rng, alive.size, shape, side(turn / budget, height, width))
        up = np.broadcast_to((rng.random((alive.size, channels, 1, 1)) < 0.5), (alive.size, *shape))
        trial = np.where(mask, np.where(up.reshape(alive.size, -1), high[alive], low[alive]), best[alive])
        found = margins(target.predictor, trial, target.truth[alive])
        queries[alive] += 1
        better = found < lowest[alive]
        best[alive[better]], lowest[alive[better]] = trial[better], found[better]
    return Attacked(best, lowest < 0, queries)


def side(progress: float, height: int, width: int) -> int:
    """How wide a square is after a share of the budget, at least 1 pixel and at most the smaller side."""
    halvings = sum(progress > at for at in HALVED_AT)
    share = FIRST_SHARE * 0.5**halvings
    if min(height, width) == 1:
        return max(1, round(share * max(height, width)))
    return int(min(max(1, round((share * height * width) ** 0.5)), height, width))


def squares(rng: np.random.Generator, n: int, shape: tuple[int, int, int], size: int) -> Flags:
    """A random square of each of n images, shape (n, channels * height * width)."""
    import numpy as np

    channels, height, width = shape
    tall = min(size, height)
    top = rng.integers(0, height - tall + 1, n)[:, None]
    left = rng.integers(0, width - min(size, width) + 1, n)[:, None]
    rows, columns = np.arange(height), np.arange(width)
    inside = (rows >= top) & (rows < top + tall)
    across = (columns >= left) & (columns < left + size)
    mask = inside[:, None, :, None] & across[:, None, None, :]
    return np.broadcast_to(mask, (n, channels, height, width)).reshape(n, -1)


def image_shape(target: Target) -> tuple[int, int, int]:
    """Channels, height and width of a row; what is no image is one line of pixels."""
    shape = target.predictor.info.shape
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, shape[0], shape[1]) if len(shape) == 2 else (1, 1, target.start.shape[1])
