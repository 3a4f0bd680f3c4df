"""Whether the model gives away which rows it was trained on, by the strongest attack that it admits.

| attack | needs | how |
|---|---|---|
| lira | scores, a way to train again | shadow models of the same recipe on halves of the rows; likelihood ratio of the log odds of each row |
| rmia | scores | reference models of the attacker's own make; the model's confidence relative to theirs |
| loss | scores | a row with a small loss is called a member |
| label-only | labels | a row that keeps its label when it is shaken is called a member |

An attack bounds the leak from below: a stronger one may find more. The attacker knows the rows, their labels, and for the first two attacks
other rows of the kind. Where training and test data come from different times or places, part of what is found is that difference; lira is
hurt least, because it compares each row with itself. Ties count against the model.
Source: Carlini et al., Membership inference attacks from first principles, 2022 (lira, and to judge by the true positive rate at a low
false positive rate); Zarifzadeh et al., Low-cost high-power membership inference attacks, 2024 (rmia); Yeom et al., Privacy risk in machine
learning, 2018 (loss, advantage); Choquette-Choo et al., Label-only membership inference attacks, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.privacy.advantage import advantage
from assay.checks.privacy.confidence import confidence, modified_entropy
from assay.checks.privacy.label_only import shaken_labels
from assay.checks.privacy.likelihood_ratio import offline, online, relative
from assay.checks.privacy.shadows import trained_shadows
from assay.checks.privacy.sides import Sides, sides
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.digests import Digest, sha256
from assay.core.errors import AssayError, MalformedInput, Undecided
from assay.core.outcomes import Measurement, Outcome, Progress, Skipped
from assay.predictors.plan import Way, plan
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.subject import SCORES, Subject, of_model, skipped, unseen_classes
from assay.predictors.substitutes import Shape, Substitutes
from assay.statistics.tables import outcome_table

if TYPE_CHECKING:
    from assay.predictors.predictor import Floats
    from assay.statistics.results import Interval

ID = "privacy.membership"
RATES = {"tpr_at_fpr_001": 0.01, "tpr_at_fpr_0001": 0.001}
LEAST_ROWS = 100
LEAST_OTHERS = 30
LEAST_FALSE_POSITIVES = 5
FIRM_FALSE_POSITIVES = 20
REFERENCES = 4


@check(
    ID, kinds={Kind.MODEL}, version=2, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.000",),
    defaults={"max_rows": 20_000, "shadows": 16}, tasks={"classification"},
)  # fmt: skip
@of_model(ID)
def membership(examined: Subject, context: Context) -> Iterator[Outcome]:
    """How well the strongest attack that the model admits tells training rows from test rows.

    Members are the rows of `trained_on`, others those of `tested_on` that are not among them; of each side at most `max_rows` are drawn
    with the seed. `membership_auc` (0..1, 0.5 is chance), `tpr_at_fpr_001` and `tpr_at_fpr_0001` (true positive rate where 1 % and 0.1 % of
    the others are accused) and `membership_advantage` (largest gap between the two rates) are of that attack, which `threat_model` names.
    Weaker attacks that need no more queries stand beside it as `ATTACK.membership_auc` and `ATTACK.tpr_at_fpr_001`. `shadows` is how many
    models are trained; 0 for none, which leaves the loss. Fewer than 100 members or 30 others are not measured, nor a rate that fewer than
    5 false positives would carry; below 20 of them a skip says so.

    Limits: bounds what these attacks find, not what any attack could; shadows need training rows like the real ones.
    """
    yield from unseen_classes(examined.rows, ID)
    rows = sides(examined, context, int(context.options.get("max_rows", 20_000)))
    if rows.shared:
        yield Skipped(f"{ID} of {rows.shared} test rows", "they are among the training rows")
    if rows.members.n < LEAST_ROWS or rows.others.n < LEAST_OTHERS:
        have = f"{rows.members.n} members and {rows.others.n} others of classes that the model knows"
        raise Undecided("too few rows", f"{have}; {LEAST_ROWS} and {LEAST_OTHERS} are needed")
    found = yield from _strongest(examined.predictor, rows, context)
    if found:
        yield Progress(1, 2, "comparing")
        yield from _measured(rows, found, context.seed)
        yield Progress(2, 2, f"{examined.predictor.rows_queried} rows queried")


@dataclass(frozen=True)
class Attack:
    """What one attack says of each row, shape (n,), higher meaning member; `threat` says what the attacker has."""

    name: str
    score: Floats = field(repr=False)
    threat: str


Run = Callable[[Predictor, Sides, Context], Generator[Outcome, None, tuple[Attack, ...]]]


def _strongest(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, tuple[Attack, ...]]:
    """The first attack that works, with those that came free; says why each stronger one did not."""
    planned = plan(WAYS, predictor.capabilities)
    yield from planned.impossible
    for way in planned.ways:
        if way.name in ("lira", "rmia") and _shadows(context) < 2:
            yield Skipped(way.name, f"the option `shadows` is {_shadows(context)}")
            continue
        try:
            return (yield from way.run(predictor, rows, context))
        except MalformedInput:
            raise
        except AssayError as error:
            yield skipped(way.name, error)
    return ()


def _lira(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, tuple[Attack, ...]]:
    said = confidence(predictor, rows.features, rows.target)
    shadows = yield from trained_shadows(predictor.trainer(), rows, _shadows(context), context.seed)
    having = f"scores,recipe,shadows:{shadows.count}"
    return (
        Attack("lira", online(said.log_odds, shadows), having),
        Attack("lira_offline", offline(said.log_odds, shadows), having),
        Attack("rmia", relative(said.log_p, shadows), having),
        *_by_scores(predictor, rows),
    )


def _rmia(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, tuple[Attack, ...]]:
    said = confidence(predictor, rows.features, rows.target)
    trainer = Substitutes(predictor.info, rows.is_number, Shape.NETWORK)
    references = yield from trained_shadows(trainer, rows, min(REFERENCES, _shadows(context)), context.seed)
    own = Attack("rmia", relative(said.log_p, references), f"scores,references:{references.count}")
    return (own, *_by_scores(predictor, rows))


def _loss(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, tuple[Attack, ...]]:
    yield Progress(0, 2, "predicting")
    return _by_scores(predictor, rows)


def _label_only(predictor: Predictor, rows: Sides, context: Context) -> Generator[Outcome, None, tuple[Attack, ...]]:
    yield Progress(0, 2, "shaking rows")
    return (Attack("label_only", shaken_labels(predictor, rows, context.seed), "labels"),)


def _by_scores(predictor: Predictor, rows: Sides) -> tuple[Attack, ...]:
    """The attacks that need the answer to each row and nothing else."""
    return (
        Attack("loss", confidence(predictor, rows.features, rows.target).log_p, "scores"),
        Attack("entropy", modified_entropy(predictor, rows.features, rows.target), "scores"),
    )


WAYS: tuple[Way[Run], ...] = (
    Way("lira", SCORES | {Capability.RETRAIN}, _lira),
    Way("rmia", SCORES, _rmia),
    Way("loss", SCORES, _loss),
    Way("label_only", frozenset({Capability.LABELS}), _label_only),
)


def _shadows(context: Context) -> int:
    return int(context.options.get("shadows", 16))


def _measured(rows: Sides, attacks: tuple[Attack, ...], seed: int) -> Iterator[Outcome]:
    first = attacks[0]
    header = {"check": ID, "attack": first.name, "trained_on": rows.members.dataset, "tested_on": rows.others.dataset}
    table = outcome_table(rows.ids, {"score": first.score, "member": rows.is_member}, header)
    yield table
    yield from _ranked(rows, first, "", sha256(table.data), seed)
    # NOTE: no table, because a policy reads the table of a rank as an area or a rate, and this is neither.
    gap = advantage(first.score[rows.is_member], first.score[~rows.is_member], seed)
    yield _measurement("membership_advantage", "share", gap, first, None)
    for weaker in attacks[1:]:
        yield from (o for o in _ranked(rows, weaker, f"{weaker.name}.", None, seed) if _is_short(o))


def _is_short(outcome: Outcome) -> bool:
    """Whether a weaker attack shows it: its area and its rate at 1 %, without what is said of the first attack already."""
    return isinstance(outcome, Measurement) and not outcome.metric.endswith("tpr_at_fpr_0001")


def _ranked(rows: Sides, attack: Attack, prefix: str, table: Digest | None, seed: int) -> Iterator[Outcome]:
    from assay.statistics.ranks import rank_interval

    members, others = attack.score[rows.is_member], attack.score[~rows.is_member]
    area = rank_interval(members, others, "auc", seed)
    yield _measurement(f"{prefix}membership_auc", "area", area, attack, table)
    for metric, rate in RATES.items():
        expected, need = rate * others.size, f"{round(FIRM_FALSE_POSITIVES / rate)} are needed"
        if expected < LEAST_FALSE_POSITIVES:
            yield Skipped(metric, f"{others.size} others cannot show a false positive rate of {rate:.1%}; {need}")
            continue
        if expected < FIRM_FALSE_POSITIVES:
            why = f"{others.size} others, so it rests on {int(expected)} false positives; {need} for a firm threshold"
            yield Skipped(f"certainty of {metric}", why)
        found = rank_interval(members, others, f"tpr_at_fpr:{rate}", seed)
        yield _measurement(f"{prefix}{metric}", "share", found, attack, table)


def _measurement(metric: str, unit: str, found: Interval, attack: Attack, table: Digest | None) -> Measurement:
    from assay.statistics.measurements import measured

    threat = f"{attack.name},{attack.threat}"
    return measured(metric, found, unit, "rank", better="lower", about=attack.name, table=table, threat_model=threat)
