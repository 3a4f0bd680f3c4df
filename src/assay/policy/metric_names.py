"""What the last word of a metric's name says about how it is computed from labels, predictions and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assay.core.canonical import Json
from assay.core.outcomes import Measurement

_QUESTIONS: Final[Mapping[str, str]] = {
    "selection_rate_gap": "all", "demographic_parity_gap": "all", "equal_opportunity_gap": "label", "tpr_gap": "label",
    "fpr_gap": "other", "precision_gap": "pred", "ppv_gap": "pred", "error_gap": "right", "accuracy_gap": "right",
}  # fmt: skip
_MEASURES = ("precision", "recall", "f1", "balanced_accuracy", "mcc")


def rank_metric(metric: str) -> str:
    """`auc`, `roc_auc`, or `tpr_at_fpr:0.01` for a metric called `tpr_at_fpr_001`: the digits after the first are decimals.

    Raises:
        ValueError: the name says neither.
    """
    last = metric.rsplit(".", 1)[-1]
    rate = last.removeprefix("tpr_at_fpr_")
    if rate != last and rate.isdigit() and len(rate) > 1:
        return f"tpr_at_fpr:{rate[0]}.{rate[1:]}"
    if last == "roc_auc":
        return last
    if last == "auc" or last.endswith("_auc"):
        return "auc"
    raise ValueError(f"{metric!r} is no rank metric that can be computed: auc, roc_auc or tpr_at_fpr_001")


def gap_question(metric: str) -> str:
    """Which rows a gap divides by: `all`, `label` (of the positive class), `other` (not of it), `pred` (called positive),
    or `right` (all rows, and what counts is whether the answer is right).

    Raises:
        ValueError: the name says none of them.
    """
    last = metric.rsplit(".", 1)[-1]
    if last not in _QUESTIONS:
        raise ValueError(f"{metric!r} is no gap that can be computed from labels: {', '.join(_QUESTIONS)}")
    return _QUESTIONS[last]


def cells_measure(m: Measurement, header: Mapping[str, Json]) -> tuple[str, int | None]:
    """The measure and the class it is of; None means the mean over all classes.

    `limit` of the measurement may say `measure` and `positive`; else the name ends with the measure (`f1`, `macro_f1`), and
    the table's header may name the `positive` class. A name with `macro_` is always the mean.

    Raises:
        ValueError: nothing says which measure.
    """
    said = m.limit if isinstance(m.limit, dict) else {}
    last = m.metric.rsplit(".", 1)[-1]
    name = said.get("measure", last.removeprefix("macro_"))
    if name not in _MEASURES:
        raise ValueError(f"{m.metric!r} is no measure that can be computed: {', '.join(_MEASURES)}")
    positive = said.get("positive", header.get("positive"))
    return name, positive if type(positive) is int and not last.startswith("macro_") else None
