"""Cost of `expr` rules beside plain cel-expr-python, and of a whole gate; one JSON line a claim.

expr    one rule of eight conditions over a 5 KB document. Ours: presence and type of every path, CEL, and the trace, on a
        document that is converted once (as for many rules of one asset). Peer: cel-expr-python in the same process, fresh
        document each time, and reused.
gate    one asset with 200 statements and 20 rules, 10 of them comparisons over 1,000-row tables; signatures are not part.

Run:  python bench/policy_expr.py [--seconds 2] [--seed 0] [--data DIR]     (DIR is not needed; the data are made)
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.unit.policy.made_evidence import NOW, Ledger, compared, evaluation, number, scan, share

from assay.evidence.predicates import Predicate
from assay.policy.documents import read_policy
from assay.policy.evaluate import decide
from assay.policy.expr import compile_expr, make_document, run
from assay.policy.grammar import Expr

E = "ev.predicate."
RULE = (
    f'{E}scan.verdict == "clean" && {E}scan.age_hours < 168.0'
    f' && !{E}scan.findings.exists(f, f.severity == "critical" && !f.waived)'
    f" && {E}eval.robustness.pgd_linf_8 >= {E}baseline.robustness.pgd_linf_8 - 0.02"
    f" && {E}eval.fairness.dp_gap <= 0.05 && {E}eval.privacy.mia_auc - {E}baseline.privacy.mia_auc <= 0.02"
    f" && {E}sbom.vulns.all(v, v.cvss < 9.0 || v.fixed)"
    f' && {E}signatures.exists(s, s.role == "approver" && s.valid)'
)
TEST = Expr(RULE, nonempty=(f"{E}sbom.vulns",), may_be_empty=(f"{E}scan.findings",))
TYPES = {"ev": "https://example.com/evidence/v1"}


def document() -> dict[str, Any]:
    """The document of design/bench/governance/bench_policy.py."""
    findings = [{"id": f"F{i}", "severity": ["low", "medium"][i % 2], "path": f"layers/{i}.bin", "waived": i % 3 == 0}
                for i in range(12)]  # fmt: skip
    return {
        "subject": {"digest": "sha256:" + "ab" * 32, "kind": "model", "name": "fraud-v7", "stage": "production",
                    "risk_tier": "high", "formats": ["safetensors"], "parameters": 124_000_000},
        "scan": {"tool": "assay-scan", "verdict": "clean", "age_hours": 3.5, "findings": findings},
        "eval": {"robustness": {"pgd_linf_8": 0.61, "square": 0.66, "n": 2000, "ci_low": 0.589},
                 "fairness": {"dp_gap": 0.031, "eo_gap": 0.044},
                 "privacy": {"mia_tpr_at_1fpr": 0.013, "mia_auc": 0.541}, "redteam": {"asr": 0.04, "attempts": 1500}},
        "baseline": {"robustness": {"pgd_linf_8": 0.62}, "fairness": {"dp_gap": 0.030},
                     "privacy": {"mia_auc": 0.537}, "redteam": {"asr": 0.05}},
        "sbom": {"components": [{"name": f"pkg{i}", "version": f"1.{i}.0", "license": "Apache-2.0"} for i in range(40)],
                 "vulns": [{"id": f"CVE-2026-{1000 + i}", "cvss": 3.0 + i % 5, "fixed": i % 2 == 0} for i in range(10)]},
        "signatures": [{"keyid": f"k{i}", "role": r, "valid": True}
                       for i, r in enumerate(["builder", "evaluator", "approver"])],
    }  # fmt: skip


def per_cpu_second(once: Callable[[], object], seconds: float) -> float:
    """Calls a CPU second."""
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for _ in range(20):
            once()
        count += 20
    return count / (time.process_time() - start)


def expressions(seconds: float) -> None:
    from cel_expr_python import cel

    value = {"ev": {"predicate": document()}}
    bad = {
        "ev": {"predicate": document() | {"eval": document()["eval"] | {"fairness": {"dp_gap": 0.2, "eo_gap": 0.0}}}}
    }
    program = compile_expr(TEST, TYPES)
    made = make_document(value, TYPES)
    env = cel.NewEnv(variables={"ev": cel.Type.DYN})
    plain = env.compile(RULE)
    reused = env.Activation(value)
    assert run(program, made).value is True and run(program, make_document(bad, TYPES)).value is False
    assert plain.eval(data=value).plain_value() is True and plain.eval(data=bad).plain_value() is False
    fresh, warm, ours, cold = (sorted(figures)[1] for figures in zip(*(
        (per_cpu_second(lambda: plain.eval(data=value).plain_value(), seconds / 3),
         per_cpu_second(lambda: plain.eval(activation=reused).plain_value(), seconds / 3),
         per_cpu_second(lambda: run(program, made), seconds / 3),
         per_cpu_second(lambda: run(program, make_document(value, TYPES)), seconds / 3))
        for _ in range(3)), strict=True))  # fmt: skip
    say("expr with trace, document reused", ours, "evaluations/CPU-s", "cel-expr-python, fresh document", fresh, 20_000)
    say(
        "expr with trace, times fresh cel-expr-python", ours / fresh, "ratio", "cel-expr-python, fresh document", 1, 1.6
    )
    say("expr with trace, document reused", ours, "evaluations/CPU-s", "cel-expr-python, document reused", warm, None)
    say(
        "expr with trace, new document each time",
        cold,
        "evaluations/CPU-s",
        "cel-expr-python, fresh document",
        fresh,
        None,
    )


def gate(seed: int, rounds: int) -> None:
    """p95 of `decide` over 200 statements and 20 rules."""
    rng = np.random.default_rng(seed)
    ledger, metrics = Ledger(), [f"m{i}" for i in range(10)]
    for _ in range(200 - 22):
        ledger.add(Predicate.EVAL_RESULT, evaluation("quality.old", [number("old", 0.5)]), "evaluator", when=NOW)
    for metric in metrics:
        theirs = rng.random(1000) < 0.9
        ours = np.where(rng.random(1000) < 0.03, ~theirs, theirs)
        compared(ledger, metric, f"quality.{metric}", ours, theirs)
    ledger.add(Predicate.SCAN_RESULT, scan(), "scanner")
    ledger.add(Predicate.EVAL_RESULT, evaluation("robustness.x", [share("robust", 600)]), "evaluator")
    rules = [
        f"  - {{id: kept-{m}, severity: high, compare: {{metric: quality.{m}, better: higher, margin: 0.03}}}}"
        for m in metrics
    ]
    rules += [
        f"  - {{id: floor-{m}, severity: high, threshold: {{metric: quality.{m}, op: '>=', value: 0.8}}}}"
        for m in metrics[:7]
    ]
    rules += ["  - {id: clean, severity: high, threshold: {metric: scan.files_not_clean, op: '==', value: 0}}",
              "  - {id: robust, severity: high, threshold: {metric: robustness.robust, op: '>=', value: 0.5}}",
              "  - {id: formats, severity: high, expr: 'scan.formats.all(f, f in [\"skops\"])', nonempty: [scan.formats]}"]  # fmt: skip
    text = "\n".join([
        "policy: assay/policy/v1", "name: bench", "applies_to: {kind: model, stage: production}", "evidence:",
        "  quality: {type: eval-result, checks: ['quality.*']}", "  scan: {type: scan-result}",
        "  robustness: {type: eval-result, checks: ['robustness.*']}", "baseline: {stage: production}", "rules:", *rules,
    ])  # fmt: skip
    policy, view = read_policy(text.encode(), "bench"), ledger.view()
    decide(view, [policy], NOW)
    wall = []
    for _ in range(rounds):
        start = time.perf_counter()
        decision = decide(view, [policy], NOW)
        assert decision.body
        wall.append((time.perf_counter() - start) * 1e3)
    assert len(view.evidence) == 200 and len(policy.rules) == 20
    say("gate, 200 statements x 20 rules, p95", float(np.quantile(wall, 0.95)), "ms", "", None, 100, less=True)


def say(
    claim: str, value: float, unit: str, peer: str, peer_value: float | None, target: float | None, less: bool = False
) -> None:
    met = None if target is None else (value < target if less else value >= target)
    line = {"claim": claim, "value": round(value, 2), "unit": unit, "peer": peer,
            "peer_value": None if peer_value is None else round(peer_value, 2), "target": target,
            "better": "lower" if less else "higher", "met": met}  # fmt: skip
    print(json.dumps(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="not used; accepted so that all benchmarks are called alike")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds for each engine")
    parser.add_argument("--rounds", type=int, default=60, help="gates timed")
    options = parser.parse_args()
    random.seed(options.seed)
    expressions(options.seconds)
    gate(options.seed, options.rounds)


if __name__ == "__main__":
    main()
