"""Reads a firewall policy. Unknown words are errors with the nearest known one, and every error names its line.

    firewall: assay/firewall/v1
    name: shop
    version: 3
    mode: enforce                       # or dry_run: actions are recorded and not taken
    limits: {max_chars: 200000}
    allowed_hosts: [docs.example.com]   # links in answers may lead there; `*.example.com` for every host below
    tools: {search: {side_effect: false, definition: "sha256:…"}}
    canaries: true                      # the proxy marks instructions, so that the scanner `leak` knows them again
    classifier: {folder: models/guard, sha256: 64 hex, low: 0.05, high: 0.5}   # asked between these scores
    routes:
      default:
        - sources: [user]
          scanners:
            secrets: {action: redact}
            injection: {action: block, deadline_ms: 50, on_failure: closed}

The digest of a policy is the sha256 of the RFC 8785 form of the parsed YAML value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from assay.core.digests import digest_of, is_digest
from assay.core.errors import MalformedInput, PolicyError, UsageError
from assay.formats.yaml_nodes import Node
from assay.formats.yaml_strict import load_located
from assay.runtime.firewall.policy import (
    DEADLINE_MS,
    MAX_CHARS,
    Block,
    Classifier,
    FirewallPolicy,
    Limits,
    Route,
    Setting,
    Tool,
    Tools,
)
from assay.runtime.firewall.values import Action, Role, Source

FIREWALL_SCHEMA: Final = "assay/firewall/v1"
MAX_ROUTES, MAX_BLOCKS, MAX_LISTED = 100, 50, 1000
_NAME, _NAME_MEANS = r"[a-z0-9][a-z0-9_./-]{0,62}", "a name in lower case"
_TOOL, _TOOL_MEANS = r"[A-Za-z0-9_.:/-]{1,128}", "the name of a tool"
_RULE, _RULE_MEANS = r"[A-Za-z0-9_.-]{1,80}", "the id of a rule"
_HOST, _HOST_MEANS = r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "a host in lower case, perhaps with *. before it"


def read_firewall_policy(data: bytes, source: str, scanners: Collection[str]) -> FirewallPolicy:
    """Reads one policy; `source` names it in errors and `scanners` are the names that it may use.

    Raises:
        PolicyError: not strict YAML, or not the grammar; names the line and the nearest known word.
    """
    try:
        document = load_located(data, source)
        digest = digest_of(document.value)
    except (UsageError, MalformedInput) as error:
        raise PolicyError(error.what, error.why, error.fix) from error
    top = Node(document.value, (), document, source)
    known = (
        "firewall",
        "name",
        "version",
        "mode",
        "description",
        "limits",
        "allowed_hosts",
        "allowed_texts",
        "canaries",
        "classifier",
        "tools",
        "routes",
    )
    part = top.fields(known, required=("firewall", "name", "version", "routes"))
    part["firewall"].choice([FIREWALL_SCHEMA])
    return FirewallPolicy(
        name=part["name"].text(_NAME, _NAME_MEANS),
        version=part["version"].whole(),
        digest=digest,
        routes=_routes(part["routes"], scanners),
        is_dry_run="mode" in part and part["mode"].choice(("enforce", "dry_run")) == "dry_run",
        limits=_limits(part["limits"]) if "limits" in part else Limits(),
        allowed_hosts=part["allowed_hosts"].texts(_HOST, _HOST_MEANS) if "allowed_hosts" in part else (),
        tools=_tools(part["tools"]) if "tools" in part else Tools(),
        allowed_texts=_allowed_texts(part["allowed_texts"]) if "allowed_texts" in part else frozenset(),
        classifier=_classifier(part["classifier"]) if "classifier" in part else None,
        plants_canaries="canaries" in part and part["canaries"].flag(),
    )


def _classifier(node: Node) -> Classifier:
    part = node.fields(("folder", "sha256", "low", "high"), required=("folder", "sha256"))
    low = _share(part["low"]) if "low" in part else Classifier.low
    high = _share(part["high"]) if "high" in part else Classifier.high
    if low >= high:
        raise node.error("`low` must lie below `high`")
    return Classifier(part["folder"].text(), part["sha256"].text(r"[0-9a-f]{64}", "64 hex characters"), low, high)


def _limits(node: Node) -> Limits:
    part = node.fields(("max_chars", "max_segments"))
    chars = part["max_chars"].whole() if "max_chars" in part else MAX_CHARS
    if chars > MAX_CHARS:
        raise part["max_chars"].error(f"at most {MAX_CHARS} characters can be scanned in one call")
    return Limits(chars, part["max_segments"].whole() if "max_segments" in part else 1000)


def _allowed_texts(node: Node) -> frozenset[str]:
    digests = node.texts(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex characters")
    return frozenset(text.removeprefix("sha256:") for text in digests if is_digest(text.removeprefix("sha256:")))


def _tools(node: Node) -> Tools:
    entries = node.entries()
    if len(entries) > MAX_LISTED:
        raise node.error(f"{len(entries)} tools, at most {MAX_LISTED}")
    return Tools({name: _tool(name, item) for name, item in entries.items()})


def _tool(name: str, node: Node) -> Tool:
    node.at(name, name).text(_TOOL, _TOOL_MEANS)
    part = node.fields(("side_effect", "schema", "definition"))
    has_side_effect = part["side_effect"].flag() if "side_effect" in part else True
    if "schema" in part and not isinstance(part["schema"].value, dict):
        raise part["schema"].error("a JSON Schema is a mapping")
    schema = part["schema"].value if "schema" in part else None
    pin = (
        part["definition"].text(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex characters") if "definition" in part else ""
    )
    return Tool(name, has_side_effect, schema, pin.removeprefix("sha256:") or None)


def _routes(node: Node, scanners: Collection[str]) -> Mapping[str, Route]:
    found: dict[str, Route] = {}
    for name, item in node.entries().items():
        item.at(name, name).text(_NAME, _NAME_MEANS)
        found[name] = Route(name, tuple(_block(block, scanners) for block in item.items(MAX_BLOCKS)))
    if not 1 <= len(found) <= MAX_ROUTES:
        raise node.error(f"{len(found)} routes", f"1 to {MAX_ROUTES} are expected")
    return found


def _block(node: Node, scanners: Collection[str]) -> Block:
    part = node.fields(("roles", "sources", "scanners"), required=("scanners",))
    roles = {Role(item.choice(Role)) for item in part["roles"].items()} if "roles" in part else set()
    sources = {Source(item.choice(Source)) for item in part["sources"].items()} if "sources" in part else set()
    for name in ("roles", "sources"):
        if name in part and not part[name].value:
            raise part[name].error("an empty list would match nothing", "leave it out to mean all of them")
    settings = part["scanners"].fields(scanners)
    return Block(tuple(_setting(name, item) for name, item in settings.items()), frozenset(roles), frozenset(sources))


def _setting(name: str, node: Node) -> Setting:
    part = node.fields(("action", "threshold", "flag_at", "deadline_ms", "on_failure", "rules"), required=("action",))
    threshold = _share(part["threshold"]) if "threshold" in part else 0.5
    flag_at = _share(part["flag_at"]) if "flag_at" in part else None
    if flag_at is not None and flag_at >= threshold:
        raise part["flag_at"].error(f"it must lie below the threshold of {threshold}")
    rules = part["rules"].entries() if "rules" in part else {}
    for rule, item in rules.items():
        item.at(rule, rule).text(_RULE, _RULE_MEANS)
    return Setting(
        scanner=name,
        action=Action(part["action"].choice(Action)),
        threshold=threshold,
        flag_at=flag_at,
        deadline_ms=_milliseconds(part["deadline_ms"]) if "deadline_ms" in part else DEADLINE_MS,
        fails_open="on_failure" in part and part["on_failure"].choice(("open", "closed")) == "open",
        rules={rule: Action(item.choice(Action)) for rule, item in rules.items()},
    )


def _share(node: Node) -> float:
    value = node.number()
    if not 0 < value < 1:
        raise node.error("a score lies between 0 and 1")
    return value


def _milliseconds(node: Node) -> float:
    value = node.number()
    if not 0 <= value <= 60_000:
        raise node.error("0 to 60000 milliseconds are expected here")
    return value
