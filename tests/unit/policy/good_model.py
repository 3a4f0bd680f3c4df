"""A candidate with everything that the shipped pack for table classifiers asks for, so that tests can spoil one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
from tests.unit.policy.made_evidence import (
    BASELINE,
    CANDIDATE,
    DATA,
    NOW,
    Ledger,
    approval,
    compared,
    evaluation,
    number,
    outcomes,
    provenance,
    registration,
    right,
    scan,
)

from assay.core.decisions import Decision, RuleResult
from assay.evidence.predicates import Predicate
from assay.policy.documents import Policy, read_policy
from assay.policy.evaluate import decide
from assay.policy.view import View


def pack(name: str = "production-tabular-classifier") -> Policy:
    data = resources.files("assay.policy").joinpath("packs", f"{name}.yaml").read_bytes()
    return read_policy(data, f"{name}.yaml")


def good_ledger(accuracy: int = 930, calibration: float = 0.04, approved: bool = True) -> Ledger:
    """Every rule of the pack passes; `accuracy` of 1,000 rows right, production 925."""
    ledger = Ledger()
    ledger.add(Predicate.REGISTRATION, registration("home", "dataset"), "registrar", DATA)
    ledger.add(Predicate.REGISTRATION, registration(), "registrar")
    inputs = [{"digest": {"sha256": DATA}, "annotations": {"role": "trained_on"}}]
    ledger.add(Predicate.PROVENANCE, provenance(inputs), "trainer")
    ledger.add(Predicate.SCAN_RESULT, scan(), "scanner")
    compared(ledger, "accuracy", "quality.classifier", right(accuracy), right(925))
    error = number(
        "expected_calibration_error",
        calibration,
        better="lower",
        low=calibration - 0.02,
        high=calibration + 0.02,
        kind="mean",
    )
    quality = ledger.evidence[-1]
    both = [*quality.predicate["measurements"], error]
    ledger.evidence[-1] = replace(quality, predicate={**quality.predicate, "measurements": both})
    _gaps(ledger)
    compared(ledger, "tabular.robust_accuracy", "robustness.tabular", right(630), right(625), threatModel="t1")
    leak = number("tpr_at_fpr_001", 0.015, better="lower", low=0.01, high=0.03, kind="rank")
    ledger.add(Predicate.EVAL_RESULT, evaluation("privacy.membership", [leak]), "evaluator")
    if approved:
        ledger.add(Predicate.APPROVAL, approval(pack().digest), "approver")
    return ledger


def _gaps(ledger: Ledger) -> None:
    groups = (np.arange(1000) % 2).astype("i4")
    for about, ok in ((BASELINE, right(930)), (CANDIDATE, right(928))):
        table = ledger.keep(outcomes(ok, group=groups))
        hits = [int(ok[groups == g].sum()) for g in (0, 1)]
        limit = {"groups": ["a", "b"], "hits": hits, "counts": [500, 500]}
        gap = number(
            "equal_opportunity_gap",
            abs(hits[0] - hits[1]) / 500,
            better="lower",
            kind="gap",
            limit=limit,
            outcomes=table,
        )
        ledger.add(Predicate.EVAL_RESULT, evaluation("fairness.groups", [gap]), "evaluator", about)


def decided(view: View, *policies: Policy, now: str = NOW) -> Decision:
    return decide(view, policies or (pack(),), now)


def rule(decision: Decision, name: str) -> RuleResult:
    return next(result for result in decision.rules if result.id == name)


def small_policy(rules: str, evidence: str = "{ev: {type: eval-result}}", more: str = "") -> Policy:
    """A policy around some rules, for tests of one thing."""
    text = (
        "policy: assay/policy/v1\nname: small\napplies_to: {kind: model, stage: production}\n"
        f"frameworks: {{owasp-ml: '2023'}}\nevidence: {evidence}\nbaseline: {{stage: production}}\n{more}\nrules:\n{rules}\n"
    )
    return read_policy(text.encode(), "small.yaml")


def spoiled(ledger: Ledger, at: int, /, predicate: Mapping[str, Any] | None = None, **other: Any) -> None:
    """Changes one statement of a ledger in place."""
    evidence = ledger.evidence[at]
    changed = {**evidence.predicate, **(predicate or {})}
    ledger.evidence[at] = replace(evidence, predicate=changed, **other)
