"""Tests of a policy, written as YAML beside it: made-up evidence, and the outcome that each rule should have.

    tests:
      - name: a clean model passes
        evidence: {scan: {files: [{path: m.skops, verdict: clean}]}, quality: {measurements: [{metric: accuracy, right: 930, n: 1000}]}}
        baseline: {quality: {measurements: [{metric: accuracy, right: 925, n: 1000}]}}
        expect: {files-clean: pass, accurate: pass, decision: undecided}

`anchor:` beside them is evidence about the asset that the policy pins. What is given under an alias are fields of its
predicate; required fields that a test does not care about are filled in. An alias about `built_by` and its like speaks of a
made-up asset that the candidate names so. `age: 3d` and `signed_by: ROLE` stand beside them. A measurement with `right` gets
outcomes whose first rows are right. The evidence goes through `decide`, so a test sees what a gate would see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.digests import Digest, digest_of, sha256
from assay.core.errors import MalformedInput, PolicyError, UsageError
from assay.core.times import duration, instant, stamp
from assay.evidence.predicates import Predicate
from assay.formats.yaml_nodes import Node, nearest
from assay.formats.yaml_strict import load_located
from assay.policy.evaluate import decide
from assay.policy.grammar import EvidenceSpec, Policy
from assay.policy.view import Evidence, Head, Standing, View

_NOW = "2026-01-01T00:00:00Z"
_CANDIDATE, _BASELINE = sha256(b"candidate"), sha256(b"baseline")
_OUTCOMES = ("pass", "fail", "undecided", "waived", "not-applicable")


@dataclass(frozen=True)
class TestResult:
    """What one test came to; `differences` is empty if every rule came out as expected."""

    __test__ = False  # for pytest, which would collect it by its name

    name: str
    line: int
    differences: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.differences


def run_policy_tests(policy: Policy, tests_yaml: bytes, what: str = "policy tests") -> tuple[TestResult, ...]:
    """Runs every test of a file against a policy.

    Raises:
        PolicyError: the file is malformed, names an unknown alias or rule, or holds no test.
    """
    try:
        document = load_located(tests_yaml, what)
    except UsageError as error:
        raise PolicyError(error.what, error.why, error.fix) from error
    tests = Node(document.value, (), document, what).fields(("tests",), ("tests",))["tests"]
    if not tests.items():
        raise tests.error("there is no test here")
    return tuple(_run(policy, node) for node in tests.items())


def _run(policy: Policy, node: Node) -> TestResult:
    known = ("name", "evidence", "baseline", "anchor", "asset", "expect")
    part = node.fields(known, required=("name", "expect"))
    made = _Maker(policy)
    if "anchor" in part and policy.anchor is None:
        raise part["anchor"].error("the policy pins no anchor", "add anchor: sha256:HEX to its baseline")
    for name, about in (("evidence", _CANDIDATE), ("baseline", _BASELINE), ("anchor", policy.anchor or "")):
        for alias, item in (part[name].entries() if name in part else {}).items():
            if alias not in policy.evidence:
                raise item.error(f"there is no evidence {alias!r}", nearest(alias, policy.evidence))
            made.add(policy.evidence[alias], item, about)
    scope = policy.applies_to
    subject = replace(_standing(policy, part.get("asset"), _CANDIDATE), related=made.related)
    baseline = _standing(policy, None, _BASELINE) if "baseline" in part else None
    view = View(scope.stages[0], subject, baseline, Head("test", 1000, "0" * 64), tuple(made.evidence), made.tables.get)
    decision = decide(view, [policy], _NOW)
    found = {rule.id: str(rule.outcome) for rule in decision.rules} | {"decision": str(decision.answer)}
    return TestResult(part["name"].text(), node.line, tuple(_differences(part["expect"], found)))


def _differences(expect: Node, found: Mapping[str, str]) -> list[str]:
    said = []
    for rule, node in expect.entries().items():
        if rule not in found:
            raise node.error(f"there is no rule {rule!r}", nearest(rule, found))
        wanted = node.choice(("allow", "deny", "undecided") if rule == "decision" else _OUTCOMES)
        if wanted != found[rule]:
            said.append(f"{rule}: expected {wanted}, found {found[rule]}")
    return said


def _standing(policy: Policy, node: Node | None, digest: Digest) -> Standing:
    """An asset that the policy applies to, unless the test says otherwise."""
    part = node.fields(("kind", "labels", "task", "origin", "source", "quarantined")) if node else {}
    scope = policy.applies_to
    labels = {key: values[0] for key, values in scope.labels.items()}
    if "labels" in part:
        labels |= {key: item.text() for key, item in part["labels"].entries().items()}
    task = part["task"].text() if "task" in part else next(iter(scope.tasks), "")
    kind = part["kind"].choice([str(k) for k in Kind]) if "kind" in part else scope.kinds[0]
    origin = part["origin"].choice(("internal", "external")) if "origin" in part else scope.origin or "internal"
    quarantined = part["quarantined"].flag() if "quarantined" in part else False
    source = {key: item.text() for key, item in part["source"].entries().items()} if "source" in part else {}
    return Standing("asset", 1, digest, Kind(kind), "candidate", labels, {"task": task}, origin, source, quarantined)


class _Maker:
    """Makes statements in ledger order, with the tables that they name."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.evidence: list[Evidence] = []
        self.tables: dict[Digest, bytes] = {}
        self.related: dict[str, tuple[Digest, ...]] = {}

    def add(self, spec: EvidenceSpec, node: Node, about: Digest) -> None:
        if spec.about != "asset":
            about = sha256(spec.about.encode())
            self.related[spec.about] = (about,)
        given = {key: item.value for key, item in node.entries().items()}
        age, role = given.pop("age", "1h"), given.pop("signed_by", next(iter(spec.signed_by), "evaluator"))
        when = stamp(instant(_NOW) - _age(node, age))
        narrowed = self.policy.trust.get(role)
        key = next(iter(narrowed.keys), "") if narrowed else "key"
        identity = next(((i.issuer, i.subject) for i in narrowed.identities), ("", "")) if narrowed else ("", "")
        predicate = self.predicate(spec, given)
        self.evidence.append(
            Evidence(digest_of([len(self.evidence), predicate]), len(self.evidence), spec.type, (about,), predicate,
                     key, f"{role}-owner", (role,), when, when, identity=identity)
        )  # fmt: skip

    def predicate(self, spec: EvidenceSpec, given: Mapping[str, Json]) -> dict[str, Json]:
        check = next(iter(spec.checks), "test.check").replace("*", "check").replace("?", "x")
        made: dict[str, Json] = _blank(spec.type, check) | dict(given)
        if isinstance(made.get("files"), list):
            made["files"] = [{"path": "file", "sha256": "0" * 64, "format": "unknown", **f} for f in made["files"]]
        if isinstance(made.get("measurements"), list):
            made["measurements"] = [self.measurement(dict(m)) for m in made["measurements"]]
        return made

    def measurement(self, given: dict[str, Json]) -> dict[str, Json]:
        right = given.pop("right", None)
        made: dict[str, Json] = {"unit": "share", "better": "higher", "n": 1000} | given
        if right is not None:
            made |= {"value": right / made["n"], "limit": {"hits": right, "n": made["n"]}, "kind": "share"}
            made["outcomes"] = self.table(int(right), int(made["n"]))
        return made

    def table(self, right: int, n: int) -> Digest:
        import numpy as np

        from assay.statistics.tables import row_ids, write_table

        data = write_table(row_ids([b"%d" % i for i in range(n)]), {"ok": np.arange(n) < right}, {"metric": "test"})
        self.tables[sha256(data)] = data
        return sha256(data)


def _age(node: Node, text: Json) -> timedelta:
    try:
        return duration(text)
    except MalformedInput as error:
        raise node.error(error.what, error.why) from error


def _blank(of_type: str, check: str) -> dict[str, Json]:
    """Required fields of the types that policies ask for most."""
    head = {"producer": {"name": "test", "version": "0"}, "check": {"id": check, "version": 1}, "startedOn": _NOW,
            "finishedOn": _NOW}  # fmt: skip
    counts = {"low": 0, "medium": 0, "high": 0, "critical": 0}
    suite = {"name": "test", "version": 1, "sha256": "0" * 64}
    window = {"start": _NOW, "end": _NOW}
    built = {"buildType": "urn:assay:build:train:v1", "externalParameters": {}, "resolvedDependencies": []}
    blanks: dict[str, dict[str, Json]] = {
        Predicate.SCAN_RESULT: {"head": head, "state": "done", "files": [], "findings": [], "skipped": [],
                                "counts": counts, "lookedAt": {"files": 0, "bytes": 0}},
        Predicate.EVAL_RESULT: {"head": head, "state": "done", "suite": suite, "measurements": [], "findings": [],
                                "skipped": [], "outcomes": []},
        Predicate.OBSERVATION: {"head": head, "deployment": "test", "window": window, "measurements": [],
                                "eventCounts": {}},
        Predicate.PROVENANCE: {"buildDefinition": built, "runDetails": {"builder": {"id": "test"}}},
        Predicate.VULNERABILITIES: {"scanner": {"uri": "test", "result": []},
                                    "metadata": {"scanStartedOn": _NOW, "scanFinishedOn": _NOW}},
    }  # fmt: skip
    return blanks.get(of_type, {})
