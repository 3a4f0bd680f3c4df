from __future__ import annotations

from importlib import resources

import pytest
from tests.unit.policy.good_model import pack, small_policy

from assay.core.digests import digest_of
from assay.core.errors import PolicyError
from assay.evidence.trust import ROLES
from assay.formats.yaml_strict import load_yaml
from assay.policy.documents import read_policy
from assay.policy.grammar import WORKSPACE_ROLES, Compare, Threshold
from assay.policy.lint import lint
from assay.policy.trial import run_policy_tests

PACKS = sorted(
    item.name
    for item in resources.files("assay.policy").joinpath("packs").iterdir()
    if item.name.endswith(".yaml") and not item.name.endswith(".test.yaml")
)
RULE = "  - {id: a, severity: high, threshold: {metric: ev.x, op: '>=', value: 1}}"


@pytest.mark.parametrize("name", PACKS)
def test_every_shipped_policy_reads_and_has_no_remark(name: str) -> None:
    policy = pack(name.removesuffix(".yaml"))
    assert policy.rules and lint(policy) == ()


def test_the_digest_is_that_of_the_parsed_value() -> None:
    data = (
        b"policy: assay/policy/v1\nname: a\napplies_to: {kind: model, stage: s}\nevidence: {ev: {type: eval-result}}\nrules:\n"
        + RULE.encode()
    )
    assert read_policy(data, "x").digest == digest_of(load_yaml(data, "x"))
    assert read_policy(b"# a comment\n" + data + b"\n", "y").digest == read_policy(data, "x").digest


def test_what_is_written_is_what_is_read() -> None:
    policy = pack("promote-high-risk-classifier")
    assert policy.applies_to.labels == {"risk": ("high",)} and policy.evidence["scan"].max_age_s == 7 * 86400
    floor, kept = (next(r.test for r in policy.rules if r.id == name) for name in ("robust-floor", "robust-kept"))
    assert isinstance(floor, Threshold) and (floor.alias, floor.path, floor.min_n) == (
        "robustness",
        "pgd.accuracy",
        1000,
    )
    assert isinstance(kept, Compare) and kept.same == ("suite_digest", "threat_model")
    assert (
        policy.approvals
        and policy.approvals.count == 2
        and policy.trust["ci"].identities[0].issuer == "https://ci.example"
    )
    assert [r.line for r in policy.rules] == [14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("name: small", "nmae: small", "did you mean 'name'"), ("severity: high", "severty: high", "did you mean 'severity'"),
        ("op: '>='", "op: '=>'", "known"), ("op: '>='", "op: '>=', vlaue: 2", "did you mean 'value'"),
        ("metric: ev.x", "metric: eva.x", "did you mean 'ev'"), ("metric: ev.x", "metric: x", "ALIAS.METRIC"),
        ("value: 1", "value: yes", "number"), ("value: 1", "value: '1'", "number"), ("value: 1", "value: true", "number"),
        ("severity: high", "severity: severe", "known words"), ("kind: model", "kind: modle", "did you mean 'model'"),
        ("severity: high", "severity: critical, waivable: true", "never be waived"),
        ("severity: high", "severity: high, refs: ['owasp-mll:ML01']", "did you mean 'owasp-ml'"),
        ("severity: high", "severity: high, refs: ['owasp-ml']", "FRAMEWORK:ID"),
        ("severity: high", "severity: high, expr: 'true'", "exactly one"), ("severity: high", "severity: high, nonempty: [ev.x]", "beside `expr`"),
        ("type: eval-result", "type: eval-result, max_age: 7 days", "duration"),
        ("type: eval-result", "type: eval-result, max_age: 0d", "longer than nothing"),
        ("type: eval-result", "type: eval-result, about: parent", "known words"), ("{ev: {", "{in: {", "reserved"),
        ("{ev: {", "{Ev: {", "lower-case"), ("kind: model, ", "", "'kind' is missing"), ("value: 1", "value: 1, level: 1", "level"),
        ("id: a", "id: A_b", "lower-case"), ("value: 1", "value: 1, min_n: 0", "whole number"),
    ],
)  # fmt: skip
def test_an_unclear_word_is_an_error_that_names_line_and_nearest(before: str, after: str, said: str) -> None:
    text = (
        "policy: assay/policy/v1\nname: small\napplies_to: {kind: model, stage: production}\n"
        f"frameworks: {{owasp-ml: '2023'}}\nevidence: {{ev: {{type: eval-result}}}}\nrules:\n{RULE}\n"
    )
    assert read_policy(text.encode(), "p") and before in text
    with pytest.raises(PolicyError, match=r"p, line \d") as caught:
        read_policy(text.replace(before, after, 1).encode(), "p")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        "  []", f"{RULE}\n{RULE}", "  - {id: a, severity: high, compare: {metric: ev.x, better: more, margin: 1}}",
        "  - {id: a, severity: high, compare: {metric: ev.x, better: higher, margin: 0}}",
        "  - {id: a, severity: high, compare: {metric: ev.x, better: higher, margin: -1}}",
        "  - {id: a, severity: high, compare: {metric: ev.x, better: higher, margin: 1, same: [siute]}}",
        "  - {id: a, severity: high, expr: '" + "x" * 2100 + "'}", "  - {id: a, severity: high}", "  - 3",
    ],
)  # fmt: skip
def test_rules_that_say_nothing_clear_are_refused(rules: str) -> None:
    with pytest.raises(PolicyError):
        small_policy(rules)


def test_compare_needs_a_baseline_and_the_asset_itself() -> None:
    rule = "  - {id: a, severity: high, compare: {metric: ev.x, better: higher, margin: 1}}"
    with pytest.raises(PolicyError, match="the asset itself"):
        small_policy(rule, evidence="{ev: {type: eval-result, about: trained_on}}")
    text = "policy: assay/policy/v1\nname: a\napplies_to: {kind: model, stage: s}\nevidence: {ev: {type: eval-result}}\nrules:\n"
    with pytest.raises(PolicyError, match="needs a `baseline`"):
        read_policy((text + rule).encode(), "p")


def test_critical_severities_cannot_be_listed_as_waivable() -> None:
    with pytest.raises(PolicyError, match="never be waived"):
        small_policy(RULE, more="waivers: {severities: [critical], roles: [approver]}")


def test_the_workspace_roles_known_here_are_those_of_the_trust_file() -> None:
    assert WORKSPACE_ROLES == ROLES


def test_the_cases_beside_a_shipped_policy_come_out_as_they_say() -> None:
    folder = resources.files("assay.policy").joinpath("packs")
    cases = [item.name for item in folder.iterdir() if item.name.endswith(".test.yaml")]
    assert "third-party-model-intake.test.yaml" in cases
    for name in cases:
        policy = read_policy(folder.joinpath(name.replace(".test.yaml", ".yaml")).read_bytes(), name)
        results = run_policy_tests(policy, folder.joinpath(name).read_bytes(), name)
        assert results and not [result for result in results if not result.is_passed]
