"""Reads a policy document. Unknown words are errors with the nearest known one, and every error names its line.

The digest of a policy is the sha256 of the RFC 8785 form of the parsed YAML value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assay.core.assets import Kind
from assay.core.digests import digest_of
from assay.core.errors import MalformedInput, PolicyError, UsageError
from assay.core.outcomes import Severity
from assay.core.times import duration
from assay.evidence.predicates import full_type
from assay.formats.yaml_nodes import Node, nearest
from assay.formats.yaml_strict import load_located
from assay.policy.grammar import (
    Approvals,
    Baseline,
    Compare,
    EvidenceSpec,
    Expr,
    Identity,
    OnFail,
    Policy,
    Rule,
    Scope,
    Threshold,
    TrustedRole,
    Waivers,
)

__all__ = ["Policy", "read_policy"]

POLICY_SCHEMA: Final = "assay/policy/v1"
MAX_RULES = 200
MAX_LOOKS = 100
MAX_EXPR_BYTES = 2048
SAME_FIELDS = ("suite", "suite_digest", "dataset", "threat_model", "check_version", "options", "seed")
SEVERITIES = tuple(str(severity) for severity in Severity)

_KEBAB, _KEBAB_MEANS = r"[a-z0-9]+(-[a-z0-9]+){0,15}", "lower-case words with - between them"
_STAGE, _STAGE_MEANS = r"[a-z][a-z0-9-]{0,62}", "the name of a stage"
_ROLE, _ROLE_MEANS = r"[a-z][a-z0-9-]{0,62}", "the name of a role"
_ALIAS, _ALIAS_MEANS = r"[a-z][a-z0-9_]{0,62}", "lower-case letters, digits and _"
_METRIC, _METRIC_MEANS = r"[a-z][a-z0-9_]{0,62}(\.[a-z0-9_]{1,62}){1,8}", "ALIAS.METRIC"
_PATH, _PATH_MEANS = r"[a-z][a-z0-9_]{0,62}(\.([A-Za-z_][A-Za-z0-9_]{0,62}|\*)){1,8}", "ALIAS.FIELD"
_ANCHOR, _ANCHOR_MEANS = r"sha256:[0-9a-f]{64}", "the digest of an asset, sha256:HEX"
_GLOB, _GLOB_MEANS = r"[a-z0-9_.*?-]{1,128}", "the name of a check, * for any part"
_TYPE, _TYPE_MEANS = r"[a-z][a-z0-9-]*|[a-z][a-z0-9+.-]*:[!-~]{1,400}", "a short name or URI of a statement type"
_RESERVED = {"asset", "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let",
             "loop", "package", "namespace", "null", "return", "true", "var", "void", "while", "has", "all", "exists",
             "size", "timestamp", "duration", "type", "int", "uint", "double", "bool", "string", "bytes", "list", "map",
             "dyn"}  # fmt: skip


def read_policy(data: bytes, source: str) -> Policy:
    """Reads one policy; `source` names it in errors.

    Raises:
        PolicyError: not strict YAML, or not the grammar; names the line and the nearest known word.
    """
    try:
        document = load_located(data, source)
        digest = digest_of(document.value)
    except (UsageError, MalformedInput) as error:
        raise PolicyError(error.what, error.why, error.fix) from error
    return _policy(Node(document.value, (), document, source), digest)


def _policy(top: Node, digest: str) -> Policy:
    known = ("policy", "name", "description", "mode", "frameworks", "applies_to", "trust", "evidence", "baseline",
             "rules", "approvals", "waivers", "on_fail")  # fmt: skip
    part = top.fields(known, required=("policy", "name", "applies_to", "rules"))
    part["policy"].choice([POLICY_SCHEMA])
    frameworks = {name: node.text() for name, node in _entries(part.get("frameworks")).items()}
    evidence = {alias: _evidence(alias, node) for alias, node in _entries(part.get("evidence")).items()}
    rules = tuple(_rule(node, evidence, frameworks) for node in part["rules"].items(MAX_RULES))
    _check_rules(part["rules"], rules, has_baseline="baseline" in part)
    return Policy(
        name=part["name"].text(_KEBAB, _KEBAB_MEANS),
        digest=digest,
        applies_to=_scope(part["applies_to"], required=("kind", "stage")),
        rules=rules,
        evidence=evidence,
        description=part["description"].text() if "description" in part else "",
        mode=part["mode"].choice(("enforce", "warn")) if "mode" in part else "enforce",
        frameworks=frameworks,
        trust={name: _trusted_role(name, node) for name, node in _entries(part.get("trust")).items()},
        baseline=_baseline(part["baseline"]) if "baseline" in part else None,
        approvals=_approvals(part["approvals"]) if "approvals" in part else None,
        waivers=_waivers(part["waivers"]) if "waivers" in part else None,
        on_fail=_on_fail(part["on_fail"]) if "on_fail" in part else None,
        source=top.what,
    )


def _entries(node: Node | None) -> Mapping[str, Node]:
    return {} if node is None else node.entries()


def _seconds(node: Node) -> int:
    try:
        found = int(duration(node.text(meaning="a duration such as 7d")).total_seconds())
    except MalformedInput as error:
        raise node.error(error.what, error.why) from error
    if found < 1:
        raise node.error("a duration must be longer than nothing")
    return found


def _scope(node: Node, required: tuple[str, ...] = ()) -> Scope:
    part = node.fields(("kind", "stage", "task", "origin", "labels"), required)
    kinds = part["kind"].one_or_more(_ALIAS, "a kind of asset") if "kind" in part else ()
    for kind in kinds:
        if kind not in set(Kind):
            raise part["kind"].error(f"{kind!r} is no kind of asset", nearest(kind, [str(k) for k in Kind]))
    return Scope(
        kinds,
        part["stage"].one_or_more(_STAGE, _STAGE_MEANS) if "stage" in part else (),
        part["task"].one_or_more(r".{1,100}", "a task") if "task" in part else (),
        part["origin"].choice(("internal", "external")) if "origin" in part else "",
        {key: v.one_or_more(r".{1,200}", "a value of a label") for key, v in _entries(part.get("labels")).items()},
    )


def _trusted_role(name: str, node: Node) -> TrustedRole:
    part = node.fields(("keys", "identities", "threshold"))
    if not ("keys" in part or "identities" in part):
        raise node.error(f"role {name!r} names nobody", "list keys or identities")
    identities = part["identities"].items() if "identities" in part else ()
    return TrustedRole(
        part["keys"].texts(r"[0-9A-Za-z:_-]{1,200}", "the id of a key") if "keys" in part else (),
        tuple(_identity(item) for item in identities),
        part["threshold"].whole() if "threshold" in part else 1,
    )


def _identity(node: Node) -> Identity:
    part = node.fields(("issuer", "subject"), required=("issuer", "subject"))
    return Identity(part["issuer"].text(), part["subject"].text())


def _evidence(alias: str, node: Node) -> EvidenceSpec:
    known = ("type", "checks", "max_age", "signed_by", "about", "database_max_age")
    part = node.fields(known, required=("type",))
    node.at(alias, alias).text(_ALIAS, _ALIAS_MEANS)
    if alias in _RESERVED:
        raise node.error(f"{alias!r} is a reserved word", "call it something else")
    return EvidenceSpec(
        alias,
        full_type(part["type"].text(_TYPE, _TYPE_MEANS)),
        part["checks"].one_or_more(_GLOB, _GLOB_MEANS) if "checks" in part else (),
        _seconds(part["max_age"]) if "max_age" in part else None,
        part["signed_by"].one_or_more(_ROLE, _ROLE_MEANS) if "signed_by" in part else (),
        part["about"].choice(("asset", "trained_on", "built_by", "served_by", "base")) if "about" in part else "asset",
        _seconds(part["database_max_age"]) if "database_max_age" in part else None,
        node.line,
    )


def _baseline(node: Node) -> Baseline:
    part = node.fields(("stage", "if_absent", "anchor"), required=("stage",))
    absent = part["if_absent"].choice(("undecided", "absolute-only")) if "if_absent" in part else "undecided"
    anchor = part["anchor"].text(_ANCHOR, _ANCHOR_MEANS) if "anchor" in part else None
    return Baseline(
        part["stage"].text(_STAGE, _STAGE_MEANS), absent, anchor.removeprefix("sha256:") if anchor else None
    )


def _rule(node: Node, evidence: Mapping[str, EvidenceSpec], frameworks: Mapping[str, str]) -> Rule:
    tests = ("threshold", "compare", "expr")
    known = ("id", "severity", *tests, "nonempty", "may_be_empty", "when", "waivable", "refs", "remedy", "title")
    part = node.fields(known, required=("id", "severity"))
    if len(given := [name for name in tests if name in part]) != 1:
        raise node.error(f"exactly one of {', '.join(tests)} is expected", f"found {' and '.join(given) or 'none'}")
    severity = Severity(part["severity"].choice(SEVERITIES))
    waivable = part["waivable"].flag() if "waivable" in part else severity is not Severity.CRITICAL
    if waivable and severity is Severity.CRITICAL:
        raise part["waivable"].error("a critical rule can never be waived", "leave `waivable` out")
    return Rule(
        part["id"].text(_KEBAB, _KEBAB_MEANS),
        severity,
        _test(given[0], part, evidence),
        _scope(part["when"]) if "when" in part else Scope(),
        waivable,
        _refs(part["refs"], frameworks) if "refs" in part else (),
        part["remedy"].text() if "remedy" in part else "",
        part["title"].text() if "title" in part else "",
        node.line,
    )


def _test(kind: str, part: Mapping[str, Node], evidence: Mapping[str, EvidenceSpec]) -> Threshold | Compare | Expr:
    for name in ("nonempty", "may_be_empty"):
        if name in part and kind != "expr":
            raise part[name].error(f"{name!r} belongs beside `expr` only")
    if kind == "threshold":
        return _threshold(part["threshold"], evidence)
    if kind == "compare":
        return _compare(part["compare"], evidence)
    text = part["expr"].text()
    if len(text.encode()) > MAX_EXPR_BYTES:
        raise part["expr"].error(f"{len(text.encode())} bytes, at most {MAX_EXPR_BYTES}", "make it two rules")
    lists = [part[name].texts(_PATH, _PATH_MEANS) if name in part else () for name in ("nonempty", "may_be_empty")]
    return Expr(text, lists[0], lists[1])


def _metric(node: Node, evidence: Mapping[str, EvidenceSpec]) -> tuple[str, str]:
    alias, _, path = node.text(_METRIC, _METRIC_MEANS).partition(".")
    if alias not in evidence:
        raise node.error(f"there is no evidence {alias!r}", nearest(alias, evidence))
    return alias, path


def _threshold(node: Node, evidence: Mapping[str, EvidenceSpec]) -> Threshold:
    known = ("metric", "op", "value", "bound", "level", "min_n", "min_per_group", "looks")
    part = node.fields(known, required=("metric", "op", "value"))
    alias, path = _metric(part["metric"], evidence)
    return Threshold(
        alias,
        path,
        part["op"].choice((">=", ">", "<=", "<", "==")),
        part["value"].number(),
        part["bound"].choice(("worst", "estimate")) if "bound" in part else "worst",
        _level(part),
        part["min_n"].whole() if "min_n" in part else 0,
        part["min_per_group"].whole() if "min_per_group" in part else 0,
        _looks(part),
    )


def _compare(node: Node, evidence: Mapping[str, EvidenceSpec]) -> Compare:
    known = ("metric", "better", "margin", "scale", "level", "min_n", "same", "total_margin", "claim", "looks")
    part = node.fields(known, required=("metric", "better", "margin"))
    alias, path = _metric(part["metric"], evidence)
    if evidence[alias].about != "asset":
        raise part["metric"].error("only evidence about the asset itself can be compared")
    if not part["margin"].number() > 0:
        raise part["margin"].error("a margin must be greater than 0", "it is the loss that you would accept")
    same = part["same"].texts() if "same" in part else ()
    if unknown := next((name for name in same if name not in SAME_FIELDS), None):
        raise part["same"].error(f"{unknown!r} is nothing that can be the same", nearest(unknown, SAME_FIELDS))
    return Compare(
        alias,
        path,
        part["better"].choice(("higher", "lower")),
        part["margin"].number(),
        part["scale"].choice(("absolute", "relative")) if "scale" in part else "absolute",
        _level(part),
        part["min_n"].whole() if "min_n" in part else 0,
        same,
        _total_margin(part),
        part["claim"].choice(("artifact", "recipe")) if "claim" in part else "artifact",
        _looks(part),
    )


def _total_margin(part: Mapping[str, Node]) -> float | None:
    if "total_margin" not in part:
        return None
    total = part["total_margin"].number()
    if total < part["margin"].number():
        raise part["total_margin"].error("the loss since the anchor may not be smaller than that of one release",
                                         "leave it out for twice the margin")  # fmt: skip
    return total


def _looks(part: Mapping[str, Node]) -> int:
    looks = part["looks"].whole() if "looks" in part else 1
    if not 1 <= looks <= MAX_LOOKS:
        raise part["looks"].error(
            f"between 1 and {MAX_LOOKS} looks can be planned", "each costs power: alpha is shared"
        )
    return looks


def _level(part: Mapping[str, Node]) -> float:
    level = part["level"].number() if "level" in part else 0.95
    if not 0.5 < level < 1:
        raise part["level"].error("a level lies between 0.5 and 1", "0.95 is usual")
    return level


def _refs(node: Node, frameworks: Mapping[str, str]) -> tuple[str, ...]:
    for item in node.items():
        framework, _, control = item.text(meaning="FRAMEWORK:ID").partition(":")
        if not control:
            raise item.error("FRAMEWORK:ID is expected here")
        if framework not in frameworks:
            raise item.error(f"{framework!r} is not among `frameworks`", nearest(framework, frameworks))
    return node.texts()


def _not_by(part: Mapping[str, Node], known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item.choice(known) for item in part["not_by"].items()) if "not_by" in part else ()


def _approvals(node: Node) -> Approvals:
    part = node.fields(("count", "roles", "not_by", "max_age"), required=("count", "roles"))
    return Approvals(
        part["count"].whole(),
        part["roles"].one_or_more(_ROLE, _ROLE_MEANS),
        _not_by(part, ("author", "builder", "evaluator")),
        _seconds(part["max_age"]) if "max_age" in part else None,
    )


def _waivers(node: Node) -> Waivers:
    part = node.fields(("severities", "max_duration", "roles", "not_by"), required=("severities", "roles"))
    severities = tuple(item.choice(SEVERITIES) for item in part["severities"].items())
    if "critical" in severities:
        raise part["severities"].error("a critical rule can never be waived")
    return Waivers(
        severities,
        part["roles"].one_or_more(_ROLE, _ROLE_MEANS),
        _seconds(part["max_duration"]) if "max_duration" in part else None,
        _not_by(part, ("author", "builder", "evaluator", "requester")),
    )


def _on_fail(node: Node) -> OnFail:
    part = node.fields(("open_incident", "quarantine_after"))
    return OnFail(
        part["open_incident"].choice(SEVERITIES) if "open_incident" in part else "",
        _seconds(part["quarantine_after"]) if "quarantine_after" in part else None,
    )


def _check_rules(node: Node, rules: tuple[Rule, ...], has_baseline: bool) -> None:
    if not rules:
        raise node.error("a policy without a rule decides nothing", "write at least one rule")
    seen: set[str] = set()
    for rule, item in zip(rules, node.items(MAX_RULES), strict=True):
        if rule.id in seen:
            raise item.error(f"a second rule is called {rule.id!r}", "every id stands once")
        seen.add(rule.id)
        if isinstance(rule.test, Compare) and not has_baseline:
            raise item.error("`compare` needs a `baseline` in the policy", "add baseline: {stage: production}")
