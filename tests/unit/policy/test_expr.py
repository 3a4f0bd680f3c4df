"""What expressions may say, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.policy.good_model import decided, rule, small_policy
from tests.unit.policy.made_evidence import (
    DATA,
    Ledger,
    ago,
    evaluation,
    number,
    provenance,
    registration,
    scan,
)

from assay.core.decisions import RuleOutcome, RuleResult
from assay.core.errors import PolicyError
from assay.evidence.predicates import Predicate
from assay.policy.checked_expr import Call, Const, ListOf, Name, Quantifier, Select, decode
from assay.policy.documents import Policy

EVIDENCE = (
    "{scan: {type: scan-result}, quality: {type: eval-result}, origin: {type: 'https://slsa.dev/provenance/v1'}, "
    "free: {type: 'https://example.com/free/v1'}}"
)
FREE = {"n": 5, "zero": 0, "t": "text", "yes": True, "l": [1, 2, 3], "empty": [], "when": "2026-01-01T00:00:00Z",
        "d": [{"x": 1}, {"x": 2, "y": 3}], "period": "90s", "m": {"a b": 4}}  # fmt: skip


def ledger() -> Ledger:
    made = Ledger()
    made.add(Predicate.REGISTRATION, registration("data", "dataset"), "registrar", DATA)
    made.add(Predicate.SCAN_RESULT, scan(files=[("a", "clean"), ("b", "clean")]), "scanner")
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [number("pgd.accuracy", 1, low=0.9, high=1)]), "evaluator")
    inputs = [{"digest": {"sha256": DATA}, "annotations": {"role": "trained_on"}},
              {"digest": {"gitCommit": "c" * 40}, "annotations": {"role": "built_by", "licence": "MIT"}}]  # fmt: skip
    made.add(Predicate.PROVENANCE, provenance(inputs), "trainer")
    made.add("https://example.com/free/v1", FREE, "scanner")
    return made


def policy(expr: str, **lists: str) -> Policy:
    more = "".join(f", {name}: [{value}]" for name, value in lists.items())
    return small_policy(f"  - {{id: a, severity: high, expr: '{expr}'{more}}}", EVIDENCE)


def judged(expr: str, made: Ledger | None = None, **lists: str) -> RuleResult:
    return rule(decided((made or ledger()).view(), policy(expr, **lists)), "a")


@pytest.mark.parametrize(
    ("expr", "lists"),
    [
        ("scan.files_examined == 2 && scan.files_not_clean == 0", {}),
        ('scan.formats.all(f, f in ["skops", "onnx"])', {"nonempty": "scan.formats"}),
        ('scan.formats.exists(f, f == "skops")', {}), ('!scan.formats.exists(f, f == "pickle")', {"nonempty": "scan.formats"}),
        ('scan.findings.all(f, f.severity != "critical")', {"may_be_empty": "scan.findings"}),
        ('scan.counts.high <= 3 && scan.skipped < 1', {}), ('scan.predicate.state == "done"', {}),
        ('quality.metrics["pgd.accuracy"].low >= 0.5 && quality.metrics["pgd.accuracy"].value - 0.1 > 0.5', {}),
        ('quality.metrics["pgd.accuracy"].valid == true', {}), ('origin.revision.size() == 40 && origin.licence in ["apache-2.0", "mit"]', {}),
        ('origin.materials.exists(m, m.role == "trained_on" && m.registered)', {}),
        ('asset.kind == "model" && asset.labels.risk == "high" && asset.declared.task == "classification"', {}),
        ("asset.trained_on.all(d, d.registered)", {"nonempty": "asset.trained_on"}), ('asset.stage.startsWith("prod")', {}),
        ("free.predicate.n > 4", {}), ('free.predicate.t.contains("ex")', {}), ("free.predicate.yes == true", {}), ("!(!free.predicate.yes)", {}),
        ("free.predicate.l.all(x, x > 0)", {"nonempty": "free.predicate.l"}), ("2 in free.predicate.l || free.predicate.n == 5", {}),
        ("free.predicate.empty.all(x, x > 0)", {"may_be_empty": "free.predicate.empty"}),
        ('timestamp(free.predicate.when) < timestamp("2027-01-01T00:00:00Z")', {}), ('duration(free.predicate.period) < duration("2m")', {}),
        ("has(free.predicate.nosuch) ? free.predicate.nosuch.x > 1 : true", {}), ("!has(free.predicate.nosuch)", {}),
        ("free.predicate.d.all(d, !has(d.y) || d.y > 2)", {"nonempty": "free.predicate.d"}),
        ("free.predicate.n / 2 == 2 && free.predicate.n * 2 > 9 && -free.predicate.n < 0", {}), ('free.predicate.m["a b"] == 4', {}),
        ("free.predicate.n - free.predicate.zero > 4", {}), ("quality.files_examined == 0", {}),
        ("free.predicate.n > scan.files_examined", {}), ("size(scan.formats) == 1", {}),
    ],
)  # fmt: skip
def test_a_true_expression_over_things_that_are_there_passes(expr: str, lists: dict[str, str]) -> None:
    if expr.startswith("2 in"):
        with pytest.raises(PolicyError):  # the schema cannot say that the list holds numbers
            judged(expr, **lists)
        return
    found = judged(expr, **lists)
    assert (found.outcome, found.observed.text) == (RuleOutcome.PASS, "true"), found.observed.text
    assert found.evidence or "asset." in expr


@pytest.mark.parametrize(
    ("expr", "lists", "outcome", "reason"),
    [
        ("scan.files_examined == 3", {}, RuleOutcome.FAIL, "not-true"),
        ("quality.metrics.nosuch.value > 0.5", {}, RuleOutcome.UNDECIDED, "absent-field"),
        ("free.predicate.d.all(d, d.y > 2)", {"nonempty": "free.predicate.d"}, RuleOutcome.UNDECIDED, "absent-field"),
        ("free.predicate.n < 3 || free.predicate.t > 1", {}, RuleOutcome.UNDECIDED, "wrong-type"),
        ("free.predicate.empty.all(x, x > 0)", {"nonempty": "free.predicate.empty"}, RuleOutcome.UNDECIDED, "empty"),
        ("free.predicate.n / free.predicate.zero > 1", {}, RuleOutcome.UNDECIDED, "wrong-type"),
        ("scan.findings.all(f, f.severity == \"low\")", {"nonempty": "scan.findings"}, RuleOutcome.UNDECIDED, "empty"),
    ],
)  # fmt: skip
def test_anything_short_of_true_is_no_pass(expr: str, lists: dict[str, str], outcome: RuleOutcome, reason: str) -> None:
    found = judged(expr, **lists)
    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.trace and found.fix


def test_the_trace_holds_what_was_read_in_order() -> None:
    found = judged('scan.files_examined == 3 && scan.formats.exists(f, f == "skops")')
    assert found.trace == (("scan.files_examined", 2), ("scan.formats", "1 items"), ("scan.formats.*", ["skops"]))


def test_an_expression_over_evidence_with_a_fault_has_that_fault() -> None:
    made = ledger()
    made.add(Predicate.SCAN_RESULT, scan(state="failed"), "scanner")
    assert judged("scan.files_examined == 2", made).reason == "failed-run"
    assert judged("!has(scan.predicate.failure)", made).reason == "failed-run"


def test_a_material_is_registered_only_by_somebody_trusted() -> None:
    made = ledger()
    expr = 'origin.materials.all(m, m.registered || m.role == "built_by")'
    assert judged(expr, made, nonempty="origin.materials").outcome is RuleOutcome.PASS
    made.evidence[0] = type(made.evidence[0])(**{**made.evidence[0].__dict__, "roles": (), "problem": "unsigned"})
    assert judged(expr, made, nonempty="origin.materials").outcome is RuleOutcome.FAIL


@pytest.mark.parametrize(
    "free",
    [{"n": 2**60}, {"n": 1, "t": "x" * 5000}, {"n": 1, "l": list(range(3000))}, {"n": 1, "t": ["x" * 4000] * 100},
     {"n": 1, "deep": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}],
)  # fmt: skip
def test_evidence_that_is_too_large_is_undecided(free: dict[str, Any]) -> None:
    made = ledger()
    made.add("https://example.com/free/v1", free, "scanner")
    assert judged("free.predicate.n == 1", made).reason == "too-large"


def test_a_refused_expression_names_policy_line_and_rule() -> None:
    with pytest.raises(PolicyError, match=r"small.yaml, line 9: rule a: scan.file_not_clean is unknown"):
        judged("scan.file_not_clean == 0")


def test_days_known_and_scores_of_vulnerabilities() -> None:
    evidence = f"{{deps: {{type: '{Predicate.VULNERABILITIES.value}'}}}}"
    rules = "  - {id: a, severity: high, expr: 'deps.findings.all(v, v.cvss < 9.0 || v.days_known <= 14)', may_be_empty: [deps.findings]}"
    for score, days, outcome in (("9.8", 30, RuleOutcome.FAIL), ("9.8", 3, RuleOutcome.PASS), ("5", 30, RuleOutcome.PASS),
                                 ("unknown", 3, RuleOutcome.UNDECIDED)):  # fmt: skip
        made = Ledger()
        results = [
            {"id": "CVE-1", "severity": [{"method": "x", "score": score}], "annotations": {"published": ago(days=days)}}
        ]
        made.add(Predicate.VULNERABILITIES, {"scanner": {"uri": "x", "result": results},
                                             "metadata": {"scanStartedOn": ago(hours=1), "scanFinishedOn": ago(hours=1)}}, "scanner")  # fmt: skip
        assert rule(decided(made.view(), small_policy(rules, evidence)), "a").outcome is outcome, score


def test_without_the_library_an_expression_is_undecided_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from assay.policy import expr

    expr._environment.cache_clear()
    expr._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    found = judged("scan.files_examined == 2")
    assert (found.outcome, found.reason, found.fix) == (
        RuleOutcome.UNDECIDED,
        "missing-extra",
        "pip install 'assay[cel]'",
    )


def test_the_decoder_reads_what_the_compiler_wrote() -> None:
    from cel_expr_python import cel

    env = cel.NewEnv(variables={"a": cel.Type.DYN})
    assert decode(env.compile('a.b["c"] in [-5, 1.5, "x", true]').serialize()) == Call(
        "@in",
        (
            Call("_[_]", (Select(Name("a"), "b", False), Const("string", "c"))),
            ListOf((Const("int", -5), Const("double", 1.5), Const("string", "x"), Const("bool", True))),
        ),
    )
    found = decode(env.compile("a.l.exists(x, has(x.y))").serialize())
    assert found == Quantifier("exists", Select(Name("a"), "l", False), "x", Select(Name("x"), "y", True))


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\x12\xff\xff", b"\xff" * 40, b"\x12\x02\x22\x00"])
def test_bytes_that_no_compiler_wrote_are_refused(data: bytes) -> None:
    with pytest.raises(PolicyError):
        decode(data)
