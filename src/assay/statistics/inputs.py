"""What the room accepts: every public function passes its arguments through here before it computes.

A NaN, an empty table or a margin of zero would otherwise turn into a p-value that looks like an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.statistics.results import Limit

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]

OPS = (">=", ">", "<=", "<")
DIRECTIONS = {"higher": 1, "lower": -1}


def finite(values: ArrayLike, name: str, at_least: int = 1) -> Floats:
    """The values as float64, shape (n,), all finite and at least `at_least` of them, or ValueError."""
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 1:
        raise ValueError(f"{name} must be one number a row, not an array of shape {out.shape}")
    if out.size < at_least:
        raise ValueError(f"{name} has {out.size} rows; at least {at_least} are needed")
    if not np.isfinite(out).all():
        raise ValueError(f"{name} holds NaN or infinity in {int((~np.isfinite(out)).sum())} rows")
    return out


def flags(values: ArrayLike, name: str) -> Bools:
    """The values as bool, shape (n,); anything but 0 and 1 is a ValueError."""
    out = np.asarray(values)
    if out.dtype != np.bool_:
        numbers = finite(out, name)
        if not ((numbers == 0) | (numbers == 1)).all():
            raise ValueError(f"{name} must be true or false (1 or 0) in every row")
        out = numbers == 1
    if out.ndim != 1 or out.size == 0:
        raise ValueError(f"{name} must be one flag a row and not empty, not an array of shape {out.shape}")
    return out.astype(np.bool_)


def same_rows(**columns: Floats | Bools | Ints) -> None:
    """Raises ValueError unless all named columns have one length."""
    if len({column.size for column in columns.values()}) > 1:
        raise ValueError("not the same rows: " + ", ".join(f"{name} has {c.size}" for name, c in columns.items()))


def checked_count(hits: int, n: int) -> tuple[int, int]:
    """`hits` of `n` as whole numbers with 0 <= hits <= n and n > 0, or ValueError."""
    if int(hits) != hits or int(n) != n or not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} of {n} is not a count: it needs whole numbers, 0 <= hits <= n and n > 0")
    return int(hits), int(n)


def checked_groups(hits: Sequence[int], counts: Sequence[int]) -> tuple[Floats, Floats]:
    """Hits and rows of two or more groups, shape (groups,) each; an empty group is a ValueError, never dropped."""
    if len(hits) != len(counts):
        raise ValueError(f"{len(hits)} groups have hits and {len(counts)} have counts")
    if len(counts) < 2:
        raise ValueError(f"a gap needs two groups or more, not {len(counts)}")
    checked = [checked_count(h, n) for h, n in zip(hits, counts, strict=True)]
    return np.array([h for h, _ in checked], np.float64), np.array([n for _, n in checked], np.float64)


def checked_alpha(alpha: float) -> float:
    """`alpha` strictly between 0 and .5, or ValueError."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
    return float(alpha)


def checked_level(level: float) -> float:
    """Two-sided confidence `level` strictly between 0 and 1, or ValueError."""
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, not {level}")
    return float(level)


def checked_margin(margin: float, at_most: float = np.inf) -> float:
    """A finite `margin` above 0 and below `at_most`, or ValueError."""
    if not (0 < margin < at_most and np.isfinite(margin)):
        reach = "" if np.isinf(at_most) else f" and below {at_most:g}"
        raise ValueError(f"the margin must be above 0{reach}, not {margin}")
    return float(margin)


def checked_limit(limit: Limit, low: float = -np.inf, high: float = np.inf) -> int:
    """+1 where the limit asks for large values and -1 where it asks for small ones; `value` must lie in low..high."""
    if limit.op not in OPS:
        raise ValueError(f"a limit is written with one of {', '.join(OPS)}, not {limit.op!r}")
    if not (np.isfinite(limit.value) and low <= limit.value <= high):
        raise ValueError(f"this metric lies in {low:g}..{high:g}, so {limit.value} cannot be its limit")
    return 1 if limit.op.startswith(">") else -1


def sign_of(better: str) -> int:
    """+1 for `higher`, -1 for `lower`, ValueError for anything else."""
    if better not in DIRECTIONS:
        raise ValueError(f"better is 'higher' or 'lower', not {better!r}")
    return DIRECTIONS[better]


def checked_power(metrics: int) -> float:
    """The power each of `metrics` claims needs so that all of them pass together with 90 %: 1 - .10 / metrics."""
    if int(metrics) != metrics or metrics < 1:
        raise ValueError(f"a gate has one metric or more, not {metrics}")
    return 1 - 0.10 / metrics
