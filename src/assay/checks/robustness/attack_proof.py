"""Whether an attack on a model proves anything: an attack that cannot work says nothing about robustness.

Source: Carlini et al., On evaluating adversarial robustness, 2019, section 5; Athalye, Carlini, Wagner, Obfuscated gradients give a
false sense of security, 2018, section 3.1 (signs of masked gradients); Tramer et al., On adaptive attacks, 2020 (randomness).
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.checks.robustness.ball import Attack, Attacked, Ball, Target
from assay.predictors.predictor import Capability, Loss

PROBE_ROWS = 50
BREAKS_LEAST = 0.95
FLAT_SHARE = 0.05
SURPRISE = 2.576  # two-sided 99 % normal quantile


def problems(target: Target, ball: Ball, attack: Attack, budget: int, found: Attacked, seed: int) -> Iterator[str]:
    """Why what the strongest attack found proves nothing, one reason at a time.

    Flips must hold when asked again; over the whole range of the inputs nearly every row must flip; half of the budget must
    not find more than all of it, beyond what chance explains.
    """
    import numpy as np

    if found.fooled.any():
        again = target.predictor.labels(found.points[found.fooled], again=True)
        if (again == target.truth[found.fooled]).any():
            yield "some flips do not hold when they are asked again"
    rng = np.random.default_rng(seed)
    sample = np.zeros(len(target.start), bool)
    sample[rng.permutation(len(sample))[:PROBE_ROWS]] = True
    probe = target.only(sample)
    whole = attack(probe, ball.whole, budget, seed).fooled.mean()
    if whole < BREAKS_LEAST:
        yield f"with no limit on the change it still fools {whole:.0%} of rows only: the attack does not work on this model"
    half = attack(probe, ball, max(1, budget // 2), seed).fooled.mean()
    full = found.fooled[sample].mean()
    if half - full > SURPRISE * (max(full * (1 - full), 1e-9) / sample.sum()) ** 0.5:
        yield f"half of the budget fools more rows ({half:.2f}) than all of it ({full:.2f})"


def masked_gradients(target: Target, white: Attacked, black: Attacked) -> Iterator[str]:
    """Signs that gradients lead nowhere: they vanish, or an attack without them finds what they miss.

    `black` was run on the very rows that `white` left standing; its finds count beyond what chance explains.
    """
    import numpy as np

    if Capability.GRADIENTS in target.predictor.capabilities and len(target.start):
        probe = target.only(np.arange(len(target.start)) < PROBE_ROWS)
        slope = target.predictor.slope(probe.start, probe.truth, Loss.MARGIN)
        flat = (np.abs(slope.gradient).max(axis=1) == 0).mean()
        if flat > FLAT_SHARE:
            yield f"gradients vanish at {flat:.0%} of rows: they are masked"
    n, more = len(target.start), int((black.fooled & ~white.fooled).sum())
    share = white.fooled.mean() if n else 0.0
    if more > max(1.0, SURPRISE * (n * max(share * (1 - share), 1 / n) if n else 0) ** 0.5):
        yield f"an attack without gradients fools {more} rows that those with gradients miss: gradients are masked"
