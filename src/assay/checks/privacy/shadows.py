"""Shadow models: trained like the target on random halves of the rows, so that it is known what membership does to each row."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.privacy.confidence import confidence
from assay.checks.privacy.sides import Sides
from assay.core.outcomes import Progress
from assay.predictors.predictor import Trainer

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Flags, Floats


@dataclass(frozen=True)
class Shadows:
    """What s shadow models say of n rows, shape (s, n) each: `inside` where a shadow was trained on the row."""

    inside: Flags = field(repr=False)
    log_p: Floats = field(repr=False)
    log_odds: Floats = field(repr=False)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.inside)


def halves(is_member: Flags, count: int, rng: np.random.Generator) -> Flags:
    """Complementary halves, shape (count, n): each row is inside half of the shadows, each side is halved for itself."""
    import numpy as np

    drawn = np.zeros((count // 2, is_member.size), dtype=bool)
    for half in drawn:
        for side in (np.flatnonzero(is_member), np.flatnonzero(~is_member)):
            half[rng.permutation(side)[: side.size // 2]] = True
    return np.concatenate([drawn, ~drawn])


def trained_shadows(trainer: Trainer, rows: Sides, count: int, seed: int) -> Generator[Progress, None, Shadows]:
    """Trains `count` models (rounded down to an even number) and asks each about all rows.

    Raises:
        Undecided: the recipe cannot be fitted to a half of the rows.
    """
    import numpy as np

    inside = halves(rows.is_member, count, np.random.default_rng(seed))
    said = []
    yield Progress(0, len(inside), "training shadow models")
    for place, shadow in enumerate(trainer.train_each(rows.features, rows.target, inside, seed)):
        said.append(confidence(shadow, rows.features, rows.target))
        yield Progress(place + 1, len(inside), "training shadow models")
    return Shadows(inside, np.stack([one.log_p for one in said]), np.stack([one.log_odds for one in said]))
