"""Whether the model's loss gives away which rows it was trained on.

The attack is the plainest there is: a row with a small loss is called a member. It bounds the leak from below only; stronger
attacks with shadow models find more. Ties count against the model.
Source: Yeom et al., Privacy risk in machine learning, 2018; Carlini et al., Membership inference attacks from first
principles, 2022 (judge by the true positive rate at a low false positive rate).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.assets import Asset, Kind
from assay.core.checks import Context, check
from assay.core.digests import Digest, sha256
from assay.core.errors import AssayError, MalformedInput
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped, Table
from assay.predictors.predictor import Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, skipped, subject, training_rows
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from assay.predictors.predictor import Floats

    RowIds = npt.NDArray[np.uint8]

ID = "privacy.membership"
RATE = 0.01
MIN_SIDE = 2
ENOUGH_FALSE_POSITIVES = 20
LEAST_PROBABILITY = 1e-12
DRAWS = 1_000
BLOCK_CELLS = 4_000_000


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"}, maps_to=("mitre-atlas:AML.T0024.000",),
    defaults={"max_rows": 20_000},
)  # fmt: skip
def membership(asset: Asset, context: Context) -> Iterator[Outcome]:
    """How well a small loss tells training rows from test rows.

    Members are the rows of `trained_on`, others those of `tested_on` that are not among them; of each side at most
    `max_rows` are drawn with the seed. `membership_auc`, `tpr_at_fpr_001` (true positive rate where 1 % of the others are
    accused) and `membership_advantage` (largest gap between the two rates).
    """
    examined = subject(asset, context, ID, needs=SCORES)
    if isinstance(examined, Skipped):
        yield examined
        return
    try:
        members = training_rows(examined.predictor, context)
        if members is None:
            yield Skipped(ID, "no training data: declare a dataset as `trained_on` of the model")
            return
        limit = int(context.options.get("max_rows", 20_000))
        sides = _sides(members, examined.rows, limit, context.seed)
        if sides.shared:
            yield Skipped(f"{ID} of {sides.shared} test rows", "they are among the training rows")
        if min(sides.members.n, sides.others.n) < MIN_SIDE:
            yield Skipped(ID, f"too few rows: {sides.members.n} members, {sides.others.n} others that the model knows")
            return
        yield Progress(0, 2, "predicting")
        scores = tuple(log_likelihood(examined.predictor, side) for side in (sides.members, sides.others))
    except MalformedInput:
        raise
    except AssayError as error:
        yield skipped(ID, error)
        return
    yield Progress(1, 2, "comparing")
    yield from _measured(sides, scores[0], scores[1], context.seed)
    yield Progress(2, 2, "done")


@dataclass(frozen=True)
class Sides:
    """Rows that the model was trained on, rows that it was not, and how many test rows turned out to be both."""

    members: EvaluationRows
    others: EvaluationRows
    shared: int


def _sides(members: EvaluationRows, others: EvaluationRows, limit: int, seed: int) -> Sides:
    import numpy as np

    known = {row.tobytes() for row in members.ids}
    fresh = np.array([row.tobytes() not in known for row in others.ids], dtype=bool)
    rng = np.random.default_rng(seed)

    def drawn(rows: EvaluationRows) -> EvaluationRows:
        labelled = rows.subset(rows.target >= 0)
        if labelled.n <= limit:
            return labelled
        return labelled.subset(np.sort(rng.choice(labelled.n, limit, replace=False)))

    return Sides(drawn(members), drawn(others.subset(fresh)), int((~fresh).sum()))


def log_likelihood(predictor: Predictor, rows: EvaluationRows) -> Floats:
    """log p(true class) of each row in nats, shape (n,), at least log 1e-12; minus the loss, higher meaning member."""
    import numpy as np

    scores = predictor.scores(rows.features)
    found: Floats = np.log(np.maximum(scores[np.arange(rows.n), rows.target], LEAST_PROBABILITY))
    return found


def _measured(sides: Sides, members: Floats, others: Floats, seed: int) -> Iterator[Outcome]:
    from assay.statistics.ranks import rank_interval

    table = _table(sides, members, others)
    yield table
    digest = sha256(table.data)
    auc = rank_interval(members, others, "auc", seed)
    yield _measurement("membership_auc", "area", auc.estimate, auc.low, auc.high, auc.method, auc.n, digest)
    expected = RATE * others.size
    if expected < 1:
        yield Skipped("tpr_at_fpr_001", f"{others.size} others cannot show a false positive rate of {RATE:.0%}")
    else:
        found = rank_interval(members, others, f"tpr_at_fpr:{RATE}", seed)
        method = found.method
        if expected < ENOUGH_FALSE_POSITIVES:
            need = int(ENOUGH_FALSE_POSITIVES / RATE)
            method += f"; rests on {int(expected)} false positives"
            yield Skipped(
                "certainty of tpr_at_fpr_001", f"{others.size} others; {need} are needed for a firm threshold"
            )
        yield _measurement("tpr_at_fpr_001", "share", found.estimate, found.low, found.high, method, found.n, digest)
    gap = advantage(members, others, seed)
    # NOTE: no table here, because a policy reads the table of a rank as an area or a rate, and this is neither.
    yield _measurement("membership_advantage", "share", *gap, f"bootstrap of both sides, B={DRAWS}", auc.n, None)


def _measurement(
    metric: str, unit: str, value: float, low: float, high: float, method: str, n: int, table: Digest | None
) -> Measurement:
    return Measurement(
        metric=metric, value=value, unit=unit, better="lower", n=n, low=low, high=high, method=method, kind="rank",
        table=table, threat_model="black-box, loss of each row",
    )  # fmt: skip


def _table(sides: Sides, members: Floats, others: Floats) -> Table:
    import numpy as np

    ids = np.concatenate([sides.members.ids, sides.others.ids])
    is_member = np.repeat([1, 0], [sides.members.n, sides.others.n])
    header = {"check": ID, "trained_on": sides.members.dataset, "tested_on": sides.others.dataset}
    return outcome_table(ids, {"score": np.concatenate([members, others]), "member": is_member}, header)


def advantage(members: Floats, others: Floats, seed: int) -> tuple[float, float, float]:
    """Largest gap between true and false positive rate over all thresholds, with the bounds of a 95 % interval.

    It is what an attacker would really win, so ties are as they fall, unlike in the area and the rate, where they count
    against the model. The largest of noisy gaps is biased upwards. Source: Yeom et al., 2018, definition 4.
    """
    import numpy as np

    cuts = np.unique(np.concatenate([members, others]))
    counts = [np.bincount(np.searchsorted(cuts, side), minlength=cuts.size) for side in (members, others)]
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // cuts.size)

    def largest(drawn: list[npt.NDArray[np.int64]]) -> Floats:
        above = [np.cumsum(c[..., ::-1], axis=-1) / side.size for c, side in zip(drawn, (members, others), strict=True)]
        found: Floats = np.maximum((above[0] - above[1]).max(axis=-1), 0.0)
        return found

    draws = [
        largest([rng.multinomial(c.sum(), c / c.sum(), size=min(block, DRAWS - start)) for c in counts])
        for start in range(0, DRAWS, block)
    ]
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    value = float(largest(counts))
    return value, float(min(low, value)), float(max(high, value))
