"""An empirical lower bound on the epsilon of differential privacy: how private the training cannot have been.

| way | needs | coins |
|---|---|---|
| canaries | scores, a way to train again | test rows with wrong labels, each thrown in or left out of one new training by a fair coin |
| pairs | scores | a training row and a test row, paired by chance; which of the two was trained on |

Canaries audit the recipe for adding or removing a row, and find most, as nothing but memory explains a wrong label. Pairs audit this very
model for replacing a row, and only hold where training and test rows were split by chance.
Limits: a bound from below can refute a claim of privacy and never prove one; a better attacker may find more. Where the model makes no
claim, the bound says how much the attacker learns of one row at least, in nats of odds.
Source: Steinke, Nasr, Jagielski, Privacy auditing with one (1) training run, 2023; Jagielski, Ullman, Oprea, Auditing differentially
private machine learning, 2020 (canaries, bounds from counts).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.privacy.confidence import confidence
from assay.checks.privacy.one_run_audit import SHARES, Audit, audited, epsilon_bound
from assay.checks.privacy.sides import Sides, sides
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.plan import Way, strongest
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.subject import SCORES, Subject, of_model, unseen_classes

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


ID = "privacy.dp_audit"
LEAST_COINS = 100
ALPHA = 0.05


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.000",),
    defaults={"canaries": 500, "claimed_epsilon": 0.0, "delta": 1e-5, "max_rows": 20_000}, tasks={"classification"},
)  # fmt: skip
@of_model(ID)
def dp_audit(examined: Subject, context: Context) -> Iterator[Outcome]:
    """The epsilon that the training exceeded at least, at 95 % confidence.

    `epsilon_lower_bound`, in nats like every epsilon, has the bound as `value` and `low`, and as `high` what the share of right guesses
    would mean without allowance for chance; a limit passes only below both, and fails only above the bound. `audit_accuracy` is the share
    of coins guessed right (0..1, 0.5 is chance). `delta` belongs to the claim. At most `max_rows` rows a side are drawn with the seed, and
    `canaries` of the test rows at most are made canaries. Fewer than 100 coins are not measured; if even a perfect attacker could not
    refute `claimed_epsilon` with the coins there are, a skip says so.
    """
    yield from unseen_classes(examined.rows, ID)
    otherwise = "the model gives no scores, and labels alone are no match for an epsilon"
    way = yield from strongest(WAYS, examined.predictor.capabilities, otherwise)
    rows = sides(examined, context, int(context.options.get("max_rows", 20_000)))
    coins = yield from way.run(examined.predictor, rows, context)
    yield from _measured(coins, way.name, context)
    yield Progress(1, 1, f"{examined.predictor.rows_queried} rows queried")


@dataclass(frozen=True)
class Coins:
    """How sure the attacker is of each guess and whether it is right, shape (m,) each."""

    confidence: Floats = field(repr=False)
    right: Flags = field(repr=False)


Run = Callable[[Predictor, Sides, Context], Generator[Outcome, None, Coins]]


def _canaries(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, Coins]:
    """Trains once more with half of the canaries, and guesses which from what the model says of them now and before."""
    import numpy as np

    rng = np.random.default_rng(context.seed)
    count = min(int(context.options.get("canaries", 500)), rows.others.n, rows.members.n // 2)
    _enough(count, f"{rows.others.n} test rows to make canaries of, among {rows.members.n} training rows")
    chosen = rng.permutation(rows.others.n)[:count]
    features, classes = rows.others.features[chosen], len(predictor.info.classes)
    wrong = ((rows.others.target[chosen] + rng.integers(1, max(2, classes), count)) % classes).astype(np.int32)
    inside = rng.random(count) < 0.5
    yield Progress(0, 1, f"training with {int(inside.sum())} of {count} canaries")
    model = predictor.trainer().train(
        np.concatenate([rows.members.features, features[inside]]),
        np.concatenate([rows.members.target, wrong[inside]]),
        context.seed,
    )
    gained = confidence(model, features, wrong).log_odds - confidence(predictor, features, wrong).log_odds
    surplus = gained - np.median(gained)
    return Coins(np.abs(surplus), (surplus > 0) == inside)


def _pairs(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, Coins]:
    """Calls the one of two rows a member that the model is surer of."""
    import numpy as np

    rng = np.random.default_rng(context.seed)
    count = min(rows.members.n, rows.others.n)
    _enough(count, f"{rows.members.n} training rows and {rows.others.n} test rows")
    yield Progress(0, 1, "predicting")
    said = [confidence(predictor, side.features, side.target).log_odds for side in (rows.members, rows.others)]
    lead = rng.permutation(said[0])[:count] - rng.permutation(said[1])[:count]
    return Coins(np.abs(lead), np.where(lead == 0, rng.random(count) < 0.5, lead > 0))


def _enough(count: int, have: str) -> None:
    if count < LEAST_COINS:
        raise Undecided("too few rows for an audit", f"{have}; they give {count} coins, and {LEAST_COINS} are needed")


def _measured(coins: Coins, way: str, context: Context) -> Iterator[Outcome]:
    from assay.statistics.measurements import measured_share

    delta, claim = (float(context.options.get(name, 0.0)) for name in ("delta", "claimed_epsilon"))
    m = coins.right.size
    if claim > (most := epsilon_bound(m, m, m, delta, ALPHA / len(SHARES))):
        why = f"{m} coins cannot show more than {most:.2f}, and the claim is {claim:g}"
        yield Skipped("certainty of epsilon_lower_bound", why)
    found: Audit = audited(coins.confidence, coins.right, delta, ALPHA)
    yield Measurement(
        metric="epsilon_lower_bound", value=found.bound, unit="nats", better="lower", n=m, low=found.bound,
        high=max(found.bound, found.plain), kind="mean", threat_model=f"{way},delta:{delta:g}",
        method=f"one-run audit: {found.right} of {found.guesses} guesses right, {m} coins; lower bound one-sided",
    )  # fmt: skip
    yield measured_share("audit_accuracy", int(coins.right.sum()), m, better="lower", threat_model=way)


WAYS: tuple[Way[Run], ...] = (
    Way("canaries", SCORES | {Capability.RETRAIN}, _canaries),
    Way("pairs", SCORES, _pairs),
)
