"""Whether small changes to the numbers of a row flip the model's decision.

An attacker without the model's inner workings moves numeric features inside a box around each row that the model gets right, within a
budget of queries. Robust means right without attack and under attack; every row counts in the denominator. The attack has to prove itself:
flips hold when they are asked again, and a box over the whole range of the features flips rows, about as many as the narrow one or more.
Where it cannot, the measurement is marked invalid and no rule can pass on it.
Source: Carlini et al., On evaluating adversarial robustness, 2019, for the checks of the attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.checks.robustness.box_search import Box, Found, search
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import sha256
from assay.core.errors import Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.predictor import Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import Subject, of_model, training_rows
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Flags, Floats


ID = "robustness.tabular"
PROBE_ROWS = 100
PROBE_BUDGET = 100
WIDE_SHARE = 0.02


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, tasks={"classification"}, inputs={"table"}, maps_to=("mitre-atlas:AML.T0043",),
    defaults={"eps": 0.05, "budget": 200, "rows": 5_000, "ranges": {}, "change_binary": False, "one_hot": [], "ordered": []},
)  # fmt: skip
@of_model(ID)
def tabular(examined: Subject, context: Context) -> Iterator[Outcome]:
    """Share of rows that stay right when numeric features move a little.

    `tabular.robust_accuracy` is a share of all rows (0..1), `tabular.median_queries` how many queries the flips took, of at most `budget` a
    row. Each feature moves by at most `eps` of the range between the 1st and 99th percentile of the training data (of the test data where
    none are declared), or by `ranges[feature]` in its own unit. Sensitive and immutable features, features of two values and text stay
    (`change_binary` lets features of two values move); integers stay integers. `rows` bounds how many rows are looked at, drawn with the
    seed. `one_hot` lists groups of features of which exactly one is 1, `ordered` pairs of features of which the first is at most the
    second: changed rows keep both.

    Limits: the search is bounded by its queries and moves numbers only; what it did not find may exist.
    """
    training = training_rows(examined.predictor, context) or examined.rows
    rows = examined.rows.drawn(int(context.options.get("rows", 5_000)), context.seed)
    box = Box.around(training, context.options)
    if not box.movable.any():
        raise Undecided("no feature may move", "all are immutable, of two values, constant or text")
    if rows.has_one_class:
        raise Undecided("one class only", "no decision to flip")
    yield from _attacked(examined.predictor, rows, box, context)


def _attacked(predictor: Predictor, rows: EvaluationRows, box: Box, context: Context) -> Iterator[Outcome]:
    budget = int(context.options.get("budget", 200))
    yield Progress(0, 3, "predicting")
    right = predictor.labels(rows.features) == rows.target
    found = Found.nothing(rows.n)
    if right.any():
        yield Progress(1, 3, f"attacking {int(right.sum())} rows")
        found = search(predictor, rows.subset(right), box, budget, context.seed).spread_over(right)
    yield Progress(2, 3, "checking the attack")
    problems = attack_problems(predictor, rows, right, found, box, context.seed)
    for problem in problems:
        yield Skipped(f"validity of the attack in {ID}", problem)
    yield from _measured(rows, right, found, f"linf:{box.eps:g},budget:{budget}", not problems, context)
    yield Progress(3, 3, f"{predictor.rows_queried} rows queried")


def attack_problems(
    predictor: Predictor, rows: EvaluationRows, right: Flags, found: Found, box: Box, seed: int
) -> tuple[str, ...]:
    """Why the attack proves nothing, or (). Source: design, 3.4, "Attack validity".

    Flips must hold when asked again; over the whole range of the features the attack must flip rows, and at least about as many
    as inside the box.
    """
    import numpy as np

    problems = []
    rng = np.random.default_rng(seed)
    if found.flipped.any():
        asked = predictor.labels(found.moved(rows.features)[found.flipped], again=True)
        if (asked == rows.target[found.flipped]).any():
            problems.append("some flips do not hold when they are asked again")
    sample = np.flatnonzero(right)
    if not sample.size:
        return (*problems, "the model gets no row right, so there is nothing to attack")
    sample = np.sort(rng.permutation(sample)[:PROBE_ROWS])
    wide = search(predictor, rows.subset(sample), box.widened(), PROBE_BUDGET, seed).flipped.mean()
    near = found.flipped[sample].mean()
    if wide == 0:
        problems.append("moving the features over their whole range flips no row: they may not decide at all")
    elif wide < near - WIDE_SHARE:
        problems.append(f"a wider box flips fewer rows ({wide:.2f}) than the narrow one ({near:.2f})")
    return tuple(problems)


def _measured(
    rows: EvaluationRows, right: Flags, found: Found, threat: str, valid: bool, context: Context
) -> Iterator[Outcome]:
    import numpy as np

    from assay.statistics.measurements import measured_share

    ok = right & ~found.flipped
    columns = {"ok": ok, "label": rows.target, "flag": right, "queries": found.queries}
    header = {"check": ID, "dataset": rows.dataset, "threat_model": threat, "seed": context.seed}
    table = outcome_table(rows.ids, columns, header)
    yield table
    yield measured_share(
        "tabular.robust_accuracy", int(ok.sum()), rows.n, table=sha256(table.data), threat_model=threat, valid=valid
    )
    spent = np.sort(found.queries[found.flipped]).astype(float)
    if not spent.size:
        yield Skipped("tabular.median_queries", "no decision was flipped within the budget")
        return
    low, high = median_bounds(spent, 1.0, float(context.options.get("budget", 200)))
    yield Measurement(
        metric="tabular.median_queries", value=float(np.median(spent)), unit="queries", better="higher", n=spent.size,
        low=low, high=high, method="order statistics", kind="mean", threat_model=threat, valid=valid,
    )  # fmt: skip


def median_bounds(ascending: Floats, least: float, most: float) -> tuple[float, float]:
    """Bounds of the median at 95 % from order statistics, for ascending values, shape (n,); `least`..`most` for fewer than six.

    Source: Conover, Practical nonparametric statistics, 1999, section 3.2 (normal approximation of the ranks).
    """
    n = ascending.size
    if n < 6:  # even lowest and highest together cover the median with less than 95 %
        return least, most
    reach = 0.98 * n**0.5
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    return float(ascending[low]), float(ascending[high])
