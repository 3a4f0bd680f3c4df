"""How sure a model is of each row's true class: from logits where it gives them, else from scores, else not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.predictors.predictor import Capability, Predictor

if TYPE_CHECKING:
    from assay.predictors.predictor import Batch, Floats, Labels

LEAST = 1e-12
COARSEST = 0.05


@dataclass(frozen=True)
class Confidence:
    """Of n rows, shape (n,) each: `log_p` of the true class in nats, and `log_odds`, log p - log(1 - p)."""

    log_p: Floats = field(repr=False)
    log_odds: Floats = field(repr=False)


def confidence(predictor: Predictor, features: Batch, target: Labels) -> Confidence:
    """What the model says of the true class `target` (n,) of `features` (n, d).

    The log odds are log p_y - logsumexp(others), which logits give without rounding. Scores may be exactly 0, as those of
    forests: a 0 is taken as half of the smallest score seen, between 1e-12 and 0.05.
    Source: Carlini et al., Membership inference attacks from first principles, 2022, section IV.C.

    Raises:
        Undecided: as `Predictor.scores`.
    """
    import numpy as np
    from scipy.special import log_softmax, logsumexp

    rows = np.arange(len(target))
    if Capability.LOGITS in predictor.capabilities:
        logs = log_softmax(predictor.logits(features), axis=1)
    else:
        scores = predictor.scores(features)
        logs = np.log(np.maximum(scores, _floor(scores)))
    mine = logs[rows, target]
    others = logs.copy()
    others[rows, target] = -np.inf
    return Confidence(mine, mine - logsumexp(others, axis=1))


def modified_entropy(predictor: Predictor, features: Batch, target: Labels) -> Floats:
    """Minus the entropy of the answer, with the true class turned round, shape (n,); higher for members.

    Source: Song and Mittal, Systematic evaluation of privacy risks of machine learning models, 2021, equation 8.
    """
    import numpy as np

    p = np.clip(predictor.scores(features), LEAST, 1 - LEAST)
    rows = np.arange(len(target))
    wrong = p * np.log(1 - p)
    right = (1 - p[rows, target]) * np.log(p[rows, target])
    found: Floats = wrong.sum(axis=1) - wrong[rows, target] + right
    return found


def _floor(scores: Floats) -> float:
    """What a score of 0 is taken for."""
    positive = scores[scores > 0]
    return min(max(float(positive.min()) / 2, LEAST), COARSEST) if positive.size else LEAST
