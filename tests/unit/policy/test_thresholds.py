"""The truth table of `threshold`."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest
from tests.unit.policy.good_model import decided, rule, small_policy
from tests.unit.policy.made_evidence import Ledger, ago, evaluation, number, observation, provenance, rows, scan, share

from assay.core.decisions import RuleOutcome, RuleResult
from assay.evidence.predicates import Predicate
from assay.statistics.tables import write_table

PASS, FAIL, UNDECIDED = RuleOutcome.PASS, RuleOutcome.FAIL, RuleOutcome.UNDECIDED


def judged(measurement: dict[str, Any], threshold: str, ledger: Ledger | None = None, more: str = "") -> RuleResult:
    made = ledger or Ledger()
    made.add(Predicate.EVAL_RESULT, evaluation("q.one", [measurement]), "evaluator")
    policy = small_policy(f"  - {{id: a, severity: high, threshold: {{metric: ev.x, {threshold}}}}}{more}")
    return rule(decided(made.view(), policy), "a")


TABLE = [
    # a share by its exact one-sided bound
    (share("x", 900), "op: '>=', value: 0.85", PASS, "ok"),
    (share("x", 900), "op: '>=', value: 0.89", UNDECIDED, "straddles"),
    (share("x", 900), "op: '>=', value: 0.91", UNDECIDED, "straddles"),
    (share("x", 900), "op: '>=', value: 0.95", FAIL, "bound-misses"),
    (share("x", 900), "op: '>=', value: 0.89, bound: estimate", PASS, "ok-estimate"),
    (share("x", 900), "op: '>=', value: 0.91, bound: estimate", FAIL, "estimate-misses"),
    (share("x", 20, better="lower"), "op: '<=', value: 0.05", PASS, "ok"),
    (share("x", 20, better="lower"), "op: '<=', value: 0.02", UNDECIDED, "straddles"),
    (share("x", 200, better="lower"), "op: '<=', value: 0.1", FAIL, "bound-misses"),
    (share("x", 30, 30), "op: '>=', value: 0.95", UNDECIDED, "straddles"),
    (share("x", 30, 30), "op: '>=', value: 0.9", PASS, "ok"),
    (share("x", 1000), "op: '>', value: 1", FAIL, "bound-misses"),
    (share("x", 0), "op: '<', value: 0", FAIL, "bound-misses"),
    (share("x", 0), "op: '>=', value: 0", PASS, "ok"),
    (share("x", 500), "op: '>=', value: 1.5", FAIL, "bound-misses"),
    (share("x", 1000), "op: '==', value: 1", UNDECIDED, "not-a-count"),
    (share("x", 900), "op: '>=', value: 0.85, min_n: 2000", UNDECIDED, "too-few-rows"),
    (share("x", 900), "op: '>=', value: 0.95, min_n: 2000", UNDECIDED, "too-few-rows"),
    (share("x", 900), "op: '>=', value: 0.885, level: 0.8", PASS, "ok"),
    # recorded intervals
    (number("x", 0.2, low=0.1, high=0.3, kind="mean"), "op: '<=', value: 0.3", PASS, "ok"),
    (number("x", 0.2, low=0.1, high=0.3, kind="mean"), "op: '<', value: 0.3", UNDECIDED, "straddles"),
    (number("x", 0.2, low=0.1, high=0.3, kind="mean"), "op: '<=', value: 0.05", FAIL, "bound-misses"),
    (number("x", 0.2, low=0.1, high=0.3, kind="mean", level=0.8), "op: '<=', value: 0.3", UNDECIDED, "no-bounds"),
    (number("x", 0.2, low=0.1, high=0.3, kind="mean", level=0.9), "op: '<=', value: 0.3", PASS, "ok"),
    (number("x", 0.2, kind="mean"), "op: '<=', value: 0.3", UNDECIDED, "no-bounds"),
    (number("x", 0.2), "op: '<=', value: 0.3", UNDECIDED, "no-bounds"),
    # exact numbers
    (number("x", 3, low=3, high=3, kind="count"), "op: '<=', value: 3", PASS, "ok"),
    (number("x", 3, kind="count"), "op: '==', value: 3", PASS, "ok"),
    (number("x", 4, kind="count"), "op: '==', value: 3", FAIL, "count-misses"),
    (number("x", 4, kind="count"), "op: '<', value: 4", FAIL, "bound-misses"),
    # numbers that cannot be used
    (share("x", 900, valid=False), "op: '>=', value: 0.1", UNDECIDED, "invalid"),
    (number("x", float("nan"), low=0.1, high=0.2), "op: '<=', value: 0.3", UNDECIDED, "nan"),
    (number("x", 0.2, low=0.1, high=float("inf")), "op: '>=', value: 0.05", UNDECIDED, "nan"),
    (number("x", 0.2, 0, low=0.1, high=0.3), "op: '<=', value: 0.3", UNDECIDED, "empty"),
    (number("x", 0.9, low=0.91, high=0.95), "op: '>=', value: 0.3", UNDECIDED, "inconsistent"),
    (number("x", 0.9, kind="share", limit={"hits": 800, "n": 1000}), "op: '>=', value: 0.3", UNDECIDED, "inconsistent"),
    (number("x", 0.9, kind="share", limit={"hits": 900, "n": 500}), "op: '>=', value: 0.3", UNDECIDED, "inconsistent"),
    (number("x", 0.9, kind="share", limit="many"), "op: '>=', value: 0.3", UNDECIDED, "inconsistent"),
    (share("other", 900), "op: '>=', value: 0.3", UNDECIDED, "missing"),
    (share("x", 900, group="women"), "op: '>=', value: 0.3", UNDECIDED, "missing"),
    (share("x", 900, slice="age > 60"), "op: '>=', value: 0.3", UNDECIDED, "missing"),
]  # fmt: skip


@pytest.mark.parametrize(("measurement", "threshold", "outcome", "reason"), TABLE)
def test_the_bound_decides(measurement: dict[str, Any], threshold: str, outcome: RuleOutcome, reason: str) -> None:
    found = judged(measurement, threshold)
    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.needed and (found.observed.text or found.observed.estimate is not None)
    assert found.outcome is PASS or found.fix


def test_rows_needed_are_named_where_more_rows_would_decide() -> None:
    assert (judged(share("x", 900), "op: '>=', value: 0.89").rows_needed or 0) > 5000
    assert judged(share("x", 900), "op: '>=', value: 0.85, min_n: 2000").rows_needed == 2000
    wide = judged(number("x", 0.2, low=0.1, high=0.3, kind="mean"), "op: '<=', value: 0.25")
    assert wide.rows_needed is not None and wide.rows_needed > 1000


def gap(hits: tuple[int, int], counts: tuple[int, int] = (500, 500)) -> dict[str, Any]:
    value = abs(hits[0] / counts[0] - hits[1] / counts[1])
    limit = {"groups": ["a", "b"], "hits": list(hits), "counts": list(counts)}
    return number("x", value, sum(counts), "lower", kind="gap", limit=limit)


@pytest.mark.parametrize(
    ("measurement", "threshold", "outcome", "reason"),
    [
        (gap((450, 445)), "op: '<=', value: 0.1", PASS, "ok"),
        (gap((450, 420)), "op: '<=', value: 0.08", UNDECIDED, "straddles"),
        (gap((450, 250)), "op: '<=', value: 0.1", FAIL, "bound-misses"),
        (gap((450, 20), (500, 25)), "op: '<=', value: 0.1", UNDECIDED, "small-group"),
        (gap((450, 445), (500, 500)) | {"limit": {"groups": ["a", "b", "c"], "hits": [450, 445, 0], "counts": [500, 500, 0]}},
         "op: '<=', value: 0.5", UNDECIDED, "small-group"),
        (gap((450, 90), (500, 100)), "op: '<=', value: 0.5, min_per_group: 200", UNDECIDED, "small-group"),
        (gap((450, 445)), "op: '<=', value: 5", UNDECIDED, "not-computable"),
        (number("x", 0.1, kind="gap", low=0.05, high=0.15), "op: '<=', value: 0.3", UNDECIDED, "no-bounds"),
        (number("x", 0.3, kind="gap", limit={"groups": ["a", "b"], "hits": [1, 2], "counts": [9, 9]}), "op: '<=', value: 1",
         UNDECIDED, "inconsistent"),
    ],
)  # fmt: skip
def test_a_gap_is_held_by_every_pair_of_groups(
    measurement: dict[str, Any], threshold: str, outcome: RuleOutcome, reason: str
) -> None:
    found = judged(measurement, threshold)
    assert (found.outcome, found.reason) == (outcome, reason)


def test_a_small_group_is_named_with_the_rows_that_it_takes() -> None:
    found = judged(gap((450, 20), (500, 25)), "op: '<=', value: 0.1")
    assert "b (25)" in found.observed.text and found.rows_needed == 630


def test_a_mean_without_an_interval_is_computed_from_its_table() -> None:
    ledger = Ledger()
    values = np.random.default_rng(1).normal(0.2, 0.1, 500)
    table = ledger.keep(write_table(rows(500), {"value": values}, {}))
    measured = number("x", float(values.mean()), 500, "lower", kind="mean", outcomes=table)
    assert judged(measured, "op: '<=', value: 0.25", ledger).outcome is PASS
    ledger.tables.clear()
    assert judged(measured, "op: '<=', value: 0.25", ledger).reason == "no-table"


def test_a_number_in_two_statements_is_ambiguous() -> None:
    ledger = Ledger()
    ledger.add(Predicate.EVAL_RESULT, evaluation("q.two", [share("x", 990)]), "evaluator")
    assert judged(share("x", 900), "op: '>=', value: 0.5", ledger).reason == "ambiguous"


def test_a_miss_that_many_rules_explain_by_chance_is_not_a_failure() -> None:
    more = "".join(
        f"\n  - {{id: b{i}, severity: low, threshold: {{metric: ev.y{i}, op: '>=', value: 0.5}}}}" for i in range(40)
    )
    alone = judged(share("x", 883), "op: '>=', value: 0.9")
    among = judged(share("x", 883), "op: '>=', value: 0.9", more=more)
    assert (alone.outcome, among.outcome, among.reason) == (FAIL, UNDECIDED, "may-be-chance")
    assert judged(share("x", 800), "op: '>=', value: 0.9", more=more).outcome is FAIL


COUNTS = "  - {id: a, severity: high, threshold: {metric: ev.%s, op: '%s', value: %s}}"


@pytest.mark.parametrize(
    ("path", "op", "value", "files", "outcome"),
    [
        ("files_examined", ">=", 2, [("a", "clean"), ("b", "clean")], PASS),
        ("files_examined", ">=", 3, [("a", "clean"), ("b", "clean")], FAIL),
        ("files_not_clean", "==", 0, [("a", "clean")], PASS), ("files_not_clean", "==", 0, [("a", "unknown")], FAIL),
        ("files_not_clean", "==", 0, [("a", "inconclusive")], FAIL), ("files_not_clean", "==", 0, [], UNDECIDED),
        ("files_examined", ">=", 1, [], UNDECIDED), ("skipped", "==", 0, [("a", "clean")], PASS),
        ("findings.high", "<=", 0, [("a", "clean")], PASS), ("findings.high", "<=", 0, [], UNDECIDED),
    ],
)  # fmt: skip
def test_counts_are_exact_and_nothing_looked_at_is_no_zero(
    path: str, op: str, value: int, files: Any, outcome: RuleOutcome
) -> None:
    ledger = Ledger()
    ledger.add(Predicate.SCAN_RESULT, scan(files=files), "scanner")
    policy = small_policy(COUNTS % (path, op, value), "{ev: {type: scan-result}}")
    assert rule(decided(ledger.view(), policy), "a").outcome is outcome


def test_a_file_is_as_bad_as_the_worst_check_says_and_truncated_findings_are_counted() -> None:
    ledger = Ledger()
    ledger.add(Predicate.SCAN_RESULT, scan("m.one", [("a", "clean"), ("b", "clean")]), "scanner")
    counts = {"low": 0, "medium": 0, "high": 7, "critical": 0}
    ledger.add(Predicate.SCAN_RESULT, scan("m.two", [("a", "malicious")], counts=counts), "scanner")
    for path, value in (("files_examined", 2), ("files_not_clean", 1), ("findings.high", 7)):
        policy = small_policy(COUNTS % (path, "==", value), "{ev: {type: scan-result}}")
        assert rule(decided(ledger.view(), policy), "a").outcome is PASS, path


def vulnerabilities(**other: Any) -> dict[str, Any]:
    results = [{"id": "CVE-1", "severity": [{"method": "CVSSv3", "score": "9.8"}], "annotations": {"published": ago(days=30)}},
               {"id": "CVE-2", "severity": [{"method": "note", "score": "bad"}]}]  # fmt: skip
    return {"scanner": {"uri": "x", "db": {"lastUpdate": ago(days=1)}, "result": results},
            "metadata": {"scanStartedOn": ago(hours=2), "scanFinishedOn": ago(hours=1)},
            "assay_coverage": {"looked": 12, "unknown": []}} | other  # fmt: skip


def test_vex_by_a_trusted_signer_removes_a_vulnerability_and_by_others_does_not() -> None:
    evidence = f"{{ev: {{type: '{Predicate.VULNERABILITIES.value}', database_max_age: 3d}}}}"
    two, one = (small_policy(COUNTS % ("findings.critical", "==", n), evidence) for n in (2, 1))
    ledger = Ledger()
    ledger.add(Predicate.VULNERABILITIES, vulnerabilities(), "scanner")
    assert rule(decided(ledger.view(), two), "a").outcome is PASS
    vex = {"statements": [{"vulnerability": {"name": "CVE-1"}, "status": "not_affected"}]}
    ledger.add("https://openvex.dev/ns/v0.2.0", vex, "approver", problem="unsigned", roles=())
    assert rule(decided(ledger.view(), two), "a").outcome is PASS
    ledger.add("https://openvex.dev/ns/v0.2.0", vex, "approver")
    assert rule(decided(ledger.view(), one), "a").outcome is PASS
    back = {"statements": [{"vulnerability": {"name": "CVE-1"}, "status": "affected"}]}
    ledger.add("https://openvex.dev/ns/v0.2.0", back, "approver")
    assert rule(decided(ledger.view(), two), "a").outcome is PASS


def test_vex_settles_an_alias_but_only_in_every_package_that_is_hit() -> None:
    evidence = f"{{ev: {{type: '{Predicate.VULNERABILITIES.value}', database_max_age: 3d}}}}"
    policy = small_policy(COUNTS % ("findings.critical", "==", 0), evidence)
    notes = {"aliases": ["CVE-1"], "packages": ["pkg:pypi/acme@1.0", "pkg:pypi/other@2.0"]}
    result = [{"id": "PYSEC-1", "severity": [{"method": "CVSS", "score": "9.8"}], "annotations": notes}]
    ledger = Ledger()
    scanner = {"uri": "x", "db": {"lastUpdate": ago(days=1)}, "result": result}
    ledger.add(Predicate.VULNERABILITIES, vulnerabilities(scanner=scanner), "scanner")
    for product, outcome in (("pkg:pypi/acme@1.0", FAIL), ("pkg:pypi/other", PASS)):
        said = {"vulnerability": {"name": "CVE-1"}, "status": "not_affected", "products": [{"@id": product}]}
        ledger.add("https://openvex.dev/ns/v0.2.0", {"statements": [said]}, "approver")
        assert rule(decided(ledger.view(), policy), "a").outcome is outcome


def test_an_old_or_undated_advisory_database_is_stale_and_an_empty_match_says_nothing() -> None:
    evidence = f"{{ev: {{type: '{Predicate.VULNERABILITIES.value}', database_max_age: 3d}}}}"
    policy = small_policy(COUNTS % ("findings.critical", "==", 0), evidence)
    for scanner in ({"uri": "x", "db": {"lastUpdate": ago(days=9)}, "result": []}, {"uri": "x", "result": []}):
        ledger = Ledger()
        ledger.add(Predicate.VULNERABILITIES, vulnerabilities(scanner=scanner), "scanner")
        assert rule(decided(ledger.view(), policy), "a").reason == "stale-database"
    ledger = Ledger()
    scanner = {"uri": "x", "db": {"lastUpdate": ago(days=1)}, "result": []}
    ledger.add(
        Predicate.VULNERABILITIES,
        vulnerabilities(scanner=scanner, assay_coverage={"looked": 0, "unknown": []}),
        "scanner",
    )
    assert rule(decided(ledger.view(), policy), "a").reason == "empty"


def test_windows_of_observations_and_provenance_as_evidence() -> None:
    ledger = Ledger()
    ledger.add(Predicate.OBSERVATION, observation("drift.psi", []), "observer")
    ledger.add(Predicate.PROVENANCE, provenance(), "trainer")
    policy = small_policy(
        COUNTS % ("windows", ">=", 1), "{ev: {type: observation}, made: {type: 'https://slsa.dev/provenance/v1'}}"
    )
    assert rule(decided(ledger.view(), policy), "a").outcome is PASS


def test_without_numpy_a_share_is_decided_and_a_gap_is_undecided_with_the_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("assay.statistics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("assay.statistics.claims", raising=False)
    real = builtins.__import__

    def no_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("numpy", "scipy"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_numpy)
    assert judged(share("x", 900), "op: '>=', value: 0.85").outcome is PASS
    assert judged(number("x", 0.2, low=0.1, high=0.3), "op: '<=', value: 0.3").outcome is PASS
    found = judged(gap((450, 445)), "op: '<=', value: 0.1")
    assert (found.reason, found.fix) == ("missing-extra", "pip install 'assay[ml]'")
