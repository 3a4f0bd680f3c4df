"""Whether inputs that were changed a little flip the model's decision: images and other rows of pixels.

The strongest attacks that the model admits run one after the other, cheap ones first, and each sees only rows that stand so far. A row is
robust if the model gets it right without attack and under every attack; all rows are in the denominator. Then the attack has to prove
itself: flips hold when they are asked again, without a limit on the change nearly every row flips, half of the budget finds no more than
all of it, and gradients are not masked. Where it cannot, the measurement is marked invalid and no rule can pass on it.
Source: Croce and Hein, Reliable evaluation of adversarial robustness, 2020 (ensemble, pointwise worst case).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.robustness.attack_proof import masked_gradients, problems
from assay.checks.robustness.ball import Attack, Attacked, Ball, Target
from assay.checks.robustness.gradient_attacks import apgd_ce, apgd_dlr, pgd
from assay.checks.robustness.ray_search import distances, ray_search
from assay.checks.robustness.square_attack import square
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.plan import Way, plan
from assay.predictors.predictor import Capability, RowKind
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats, Ints

ID = "robustness.evasion"
WHITE = frozenset({Capability.GRADIENTS, Capability.LOGITS})


@dataclass(frozen=True)
class Strike:
    """An attack and the option that bounds its queries a row."""

    attack: Attack
    budget: str


WAYS = (
    Way("PGD on cross-entropy", WHITE, Strike(pgd, "steps")),
    Way("APGD on cross-entropy", WHITE, Strike(apgd_ce, "steps")),
    Way("APGD on the difference of logits ratio", WHITE, Strike(apgd_dlr, "steps")),
    Way("Square", frozenset({Capability.SCORES}), Strike(square, "queries")),
    Way("ray search with labels", frozenset({Capability.LABELS}), Strike(ray_search, "queries")),
)


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"image"},
    maps_to=("mitre-atlas:AML.T0043", "mitre-atlas:AML.T0015"),
    defaults={"eps": 0.03, "steps": 40, "queries": 300, "rows": 500, "curve": [], "distance_rows": 20},
)  # fmt: skip
@of_model(ID)
def evasion(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of images that stay right under the strongest attacks that the model admits.

    `evasion.robust_accuracy` is a share of all rows (0..1). Every pixel moves by at most `eps`, in the unit of the model's input (after its
    `divisor`). With gradients: PGD and APGD of `steps` steps; with scores: Square of `queries` queries a row; with labels alone: a ray
    search of as many. `curve` lists further values of eps, each an `evasion.robust_accuracy_at` on the same rows under the strongest attack
    alone. `rows` bounds how many rows are drawn with the seed. `evasion.median_distance` is how far, in the same unit, the nearest point of
    another class was found by labels alone, over `distance_rows` rows.

    Limits: what no attack broke within its budget may still be breakable; no other norm than the largest change of a pixel is searched.
    """
    predictor = examined.predictor
    if (kind := predictor.info.row_kind) is not RowKind.IMAGE:
        raise Undecided(f"rows are no images but {kind}", "robustness.tabular and robustness.text look at others")
    import numpy as np

    rows = examined.rows.drawn(int(context.options.get("rows", 500)), context.seed)
    low, high = predictor.info.bounds or (float(rows.features.min()), float(rows.features.max()))
    ball = Ball(float(context.options.get("eps", 0.03)), low, high)
    right = predictor.labels(rows.features) == rows.target
    if not right.any():
        raise Undecided("the model gets no row right, so there is nothing to attack")
    target = Target(predictor, np.asarray(rows.features[right], np.float64), rows.target[right])
    yield from _attacked(target, ball, rows, right, context)
    yield Progress(1, 1, f"{predictor.rows_queried} rows queried")


def _attacked(target: Target, ball: Ball, rows: EvaluationRows, right: Flags, context: Context) -> Iterator[Outcome]:
    predictor = target.predictor
    reasons: list[str] = []
    planned = plan(WAYS, predictor.capabilities)
    yield from planned.impossible
    worst = _Worst.untouched(len(target.start))
    for place, way in enumerate(planned.ways):
        yield Progress(place, len(planned.ways) + 2, f"{way.name}, {int((~worst.fooled).sum())} rows stand")
        found = _strike(way, target, ball, worst, context)
        if Capability.GRADIENTS not in way.needs and Capability.GRADIENTS in predictor.capabilities:
            reasons += masked_gradients(target, worst.seen, found)
        worst.take(way.name, found)
    yield Progress(len(planned.ways), len(planned.ways) + 2, "checking the attack")
    strongest = planned.ways[0]
    budget = int(context.options.get(strongest.run.budget, 100))
    reasons += problems(target, ball, strongest.run.attack, budget, worst.seen, context.seed)
    for reason in dict.fromkeys(reasons):
        yield Skipped(f"validity of the attack in {ID}", reason)
    threat = f"linf:{ball.eps:g}, {'white' if predictor.capabilities >= WHITE else 'black'}-box"
    yield from _measured(rows, right, worst, threat, not reasons, context)
    yield from _curve(planned.ways[:1], target, rows.n, ball, threat, not reasons, context)
    yield from _distance(target, ball, context, not reasons)


@dataclass
class _Worst:
    """The pointwise worst case over attacks: what each row was fooled by, and the queries spent on it in all."""

    fooled: Flags
    queries: Ints
    points: Floats | None = None
    by: dict[str, int] = field(default_factory=dict)

    @classmethod
    def untouched(cls, n: int) -> _Worst:
        import numpy as np

        return cls(np.zeros(n, bool), np.zeros(n, np.int64))

    @property
    def seen(self) -> Attacked:
        import numpy as np

        points = np.empty((len(self.fooled), 0)) if self.points is None else self.points
        return Attacked(points, self.fooled.copy(), self.queries.copy())

    def take(self, name: str, found: Attacked) -> None:
        new = found.fooled & ~self.fooled
        self.points = found.points.copy() if self.points is None else self.points
        self.points[new] = found.points[new]
        self.by[name] = int(new.sum())
        self.fooled |= found.fooled
        self.queries += found.queries


def _strike(way: Way[Strike], target: Target, ball: Ball, worst: _Worst, context: Context) -> Attacked:
    """Attacks what stands; the answer is spread over all rows."""
    import numpy as np

    standing = ~worst.fooled
    budget = int(context.options.get(way.run.budget, 100))
    points, fooled, queries = target.start.copy(), np.zeros(len(standing), bool), np.zeros(len(standing), np.int64)
    if standing.any():
        found = way.run.attack(target.only(standing), ball, budget, context.seed)
        points[standing], fooled[standing], queries[standing] = found.points, found.fooled, found.queries
    return Attacked(points, fooled, queries)


def _measured(
    rows: EvaluationRows, right: Flags, worst: _Worst, threat: str, valid: bool, context: Context
) -> Iterator[Outcome]:
    import numpy as np

    from assay.statistics.measurements import measured_share

    ok, queries = right.copy(), np.zeros(rows.n, np.int64)
    ok[right], queries[right] = ~worst.fooled, worst.queries
    columns = {"ok": ok, "label": rows.target, "flag": right, "queries": queries}
    header = {"check": ID, "dataset": rows.dataset, "threat_model": threat, "seed": context.seed, "fooled_by": worst.by}
    table = outcome_table(rows.ids, columns, header)
    yield table
    fooled_by = ", ".join(f"{name} {count}" for name, count in worst.by.items())
    yield measured_share(
        "evasion.robust_accuracy", int(ok.sum()), rows.n, about=f"rows fooled by {fooled_by}", table=sha256(table.data),
        threat_model=threat, valid=valid,
    )  # fmt: skip


def _curve(
    ways: tuple[Way[Strike], ...], target: Target, n: int, ball: Ball, threat: str, valid: bool, context: Context
) -> Iterator[Outcome]:
    """Robust accuracy of the same rows at other distances, by the strongest attack alone."""
    from assay.statistics.measurements import measured_share

    for way in ways:
        for eps in sorted({float(value) for value in context.options.get("curve") or ()}):
            other = Ball(eps, ball.low, ball.high)
            found = way.run.attack(target, other, int(context.options.get(way.run.budget, 100)), context.seed)
            yield measured_share(
                "evasion.robust_accuracy_at", int((~found.fooled).sum()), n, about=way.name, slice=f"eps={eps:g}",
                threat_model=threat.replace(f"{ball.eps:g}", f"{eps:g}", 1), valid=valid,
            )  # fmt: skip


def _distance(target: Target, ball: Ball, context: Context, valid: bool) -> Iterator[Outcome]:
    import numpy as np

    from assay.checks.robustness.tabular import median_bounds

    count = min(int(context.options.get("distance_rows", 20)), len(target.start))
    if not count:
        return
    sample = target.only(np.arange(len(target.start)) < count)
    found = distances(sample, ball.whole, int(context.options.get("queries", 300)))
    reach = np.sort(found.radius)
    if not np.isfinite(reach).all():
        yield Skipped("evasion.median_distance", f"of {count} rows, {int(np.isinf(reach).sum())} were never fooled")
        return
    low, high = median_bounds(reach, 0.0, ball.high - ball.low)
    yield Measurement(
        metric="evasion.median_distance", value=float(np.median(reach)), unit="input units", better="higher", n=count, low=low,
        high=high, method="order statistics; ray search with labels", kind="mean", threat_model="linf, black-box", valid=valid,
    )  # fmt: skip
