"""Scores of membership from shadow models: the likelihood ratio attack, online and offline, and the relative attack.

Each score has shape (n,), and a higher one speaks for membership.
Source: Carlini et al., Membership inference attacks from first principles, 2022 (LiRA); Zarifzadeh et al., Low-cost high-power
membership inference attacks, 2024 (RMIA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.checks.privacy.shadows import Shadows

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


PRIOR_WEIGHT = 16
"""The pooled variance counts like this many shadows beside those of the row."""
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Normal:
    """A normal distribution of log odds a row, shape (n,) each."""

    mean: Floats
    deviation: Floats


def online(log_odds: Floats, shadows: Shadows) -> Floats:
    """log of how much likelier the target's log odds (n,) are among shadows that know the row than among the others."""
    import numpy as np
    from scipy.stats import norm

    known, unknown = fitted(shadows.log_odds, shadows.inside), fitted(shadows.log_odds, ~shadows.inside)
    likely = norm.logpdf(log_odds, known.mean, known.deviation), norm.logpdf(log_odds, unknown.mean, unknown.deviation)
    return np.asarray(likely[0] - likely[1], np.float64)


def offline(log_odds: Floats, shadows: Shadows) -> Floats:
    """log P(a shadow that does not know the row is less sure than the target), from those shadows alone."""
    import numpy as np
    from scipy.stats import norm

    unknown = fitted(shadows.log_odds, ~shadows.inside)
    # NOTE: the logarithm, because the probability itself is exactly 1 for the surest rows, and ties say nothing.
    return np.asarray(norm.logcdf(log_odds, unknown.mean, unknown.deviation), np.float64)


def relative(log_p: Floats, shadows: Shadows) -> Floats:
    """log p(row | target) - log p(row), the latter averaged over shadows of both kinds in equal parts.

    RMIA compares this ratio with that of rows of a population and counts how many it beats. The count rises with the
    ratio, so the order of rows, and with it every rate, is the same; no population has to be set aside.
    """
    import numpy as np
    from scipy.special import logsumexp

    parts = [
        logsumexp(shadows.log_p, axis=0, b=side) - np.log(np.maximum(side.sum(axis=0), 1))
        for side in (shadows.inside, ~shadows.inside)
    ]
    found: Floats = log_p - (np.logaddexp(*parts) - np.log(2))
    return found


def fitted(values: Floats, chosen: Flags) -> Normal:
    """The normal of the chosen shadows' values in each column; both have shape (s, n).

    A few shadows cannot say how a row varies. So its variance is drawn towards that of all rows together, which counts
    like 16 more shadows: nearly the pooled variance for few shadows, nearly the row's own for hundreds.
    """
    import numpy as np

    count = chosen.sum(axis=0)
    mean = (values * chosen).sum(axis=0) / np.maximum(count, 1)
    squares = ((values - mean) ** 2 * chosen).sum(axis=0)
    freedom = np.maximum(count - 1, 0)
    pooled = squares.sum() / max(1, freedom.sum())
    variance = (squares + PRIOR_WEIGHT * pooled) / (freedom + PRIOR_WEIGHT)
    return Normal(mean, np.sqrt(np.maximum(variance, LEAST_VARIANCE)))
