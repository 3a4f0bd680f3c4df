"""Writing trust policies: the first one of a workspace, a key more or less, or a whole document.

The first policy of one person gives the machine (`runner`) what machines do (scan, evaluate, decide, keep the log)
and the person what persons do, so that nobody evaluates what they trained or approves what they built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from assay.app.workspace import Workspace, public_id
from assay.core.assets import Kind
from assay.core.canonical import Json, canonical
from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.core.times import stamp
from assay.evidence.keys import PublicKey, Signer
from assay.evidence.predicates import Predicate
from assay.evidence.trust import TRUST_SCHEMA, Trust, read_trust
from assay.formats.dependencies.vex import VEX_TYPE

_P = Predicate
BILLS = ("https://cyclonedx.org/bom", "https://spdx.dev/Document")
PREDICATES_OF: Mapping[str, tuple[str, ...]] = {
    "registrar": (_P.REGISTRATION, _P.LABEL),
    "data-owner": (_P.REGISTRATION, _P.LABEL),
    "trainer": (_P.PROVENANCE,),
    "scanner": (_P.SCAN_RESULT, _P.VULNERABILITIES, *BILLS),
    "evaluator": (_P.EVAL_RESULT,),
    "approver": (_P.APPROVAL, _P.WAIVER, _P.WAIVER_REVOCATION, _P.QUARANTINE, VEX_TYPE),
    "releaser": (_P.PROMOTION, _P.LIFECYCLE, _P.DEPLOYMENT),
    "gate": (_P.DECISION, _P.COMPLIANCE),
    "observer": (_P.OBSERVATION,),
    "incident": (_P.QUARANTINE, _P.INCIDENT),
}
SEPARATION = (("trainer", "evaluator"), ("trainer", "approver"))


@dataclass(frozen=True)
class Member:
    """A key, who owns it, and the roles that it gets over all names, kinds and checks."""

    key: PublicKey
    owner: str
    roles: tuple[str, ...]


def first_policy(origin: str, members: Sequence[Member], now: datetime, *, days: int = 365) -> bytes:
    """The canonical bytes of version 1: members with role `root` sign it, with role `ledger` sign checkpoints."""
    return policy_bytes(origin, members, version=1, previous=None, expires=now + timedelta(days=days))


def policy_bytes(origin: str, members: Sequence[Member], *, version: int, previous: Digest | None, expires: datetime,
                 thresholds: Mapping[str, int] | None = None) -> bytes:  # fmt: skip
    """The canonical bytes of a policy in which every role spans all names, kinds and checks."""
    needed = thresholds or {}
    keys = {
        m.key.key_id: {"keytype": m.key.keytype, "owner": m.owner, "public": m.key.public, "scheme": m.key.scheme}
        for m in members
    }
    value: dict[str, Json] = {
        "expires": stamp(expires),
        "fast_digests": [],
        "identities": {},
        "keys": keys,
        "log": {"keys": _having("ledger", members), "max_checkpoint_age": "24h", "origin": origin,
                "witnesses": {"keys": [], "threshold": 0}},
        "roles": {role: _role(role, members, needed.get(role, 1)) for role in PREDICATES_OF},
        "root": {"keys": _having("root", members), "threshold": needed.get("root", 1)},
        "schema": TRUST_SCHEMA,
        "separation": [list(pair) for pair in SEPARATION],
        "version": version,
    }  # fmt: skip
    if previous is not None:
        value["previous"] = previous
    return canonical(value)


def _role(role: str, members: Sequence[Member], threshold: int) -> Json:
    return {
        "checks": ["*"], "kinds": [str(kind) for kind in Kind], "members": _having(role, members), "names": ["*"],
        "predicates": [str(p) for p in PREDICATES_OF[role]], "threshold": threshold,
    }  # fmt: skip


def _having(role: str, members: Sequence[Member]) -> list[str]:
    return [m.key.key_id for m in members if role in m.roles]


def extended(trust: Trust, now: datetime, *, add: tuple[PublicKey, str, tuple[str, ...]] | None = None,
             revoke: tuple[str, int, bool] | None = None, days: int = 365) -> bytes:  # fmt: skip
    """The next version of a trust policy with one key added to roles, or one revoked from a ledger index on.

    Raises:
        UsageError: the key belongs to somebody else already.
    """
    value: Json = json.loads(trust.payload)
    value |= {"version": trust.version + 1, "previous": trust.digest, "expires": stamp(now + timedelta(days=days))}
    if add is not None:
        _add(value, *add)
    if revoke is not None:
        key_id, index, is_compromised = revoke
        value["keys"][key_id]["revoked"] = {"atIndex": index, "compromised": is_compromised}
    return canonical(value)


def next_policy(trust: Trust, document: Json) -> bytes:
    """A trust document that somebody wrote, as the next version; version and predecessor are filled in.

    Raises:
        UsageError: it is no mapping, or names another version.
        MalformedInput: the form of trust policies is not kept.
    """
    if not isinstance(document, dict):
        raise UsageError("the trust document is no mapping", fix="begin with `assay key policy > trust.yaml`")
    following: dict[str, Json] = {"version": trust.version + 1, "previous": trust.digest}
    if document.get("version") not in (None, trust.version, trust.version + 1):
        raise UsageError(
            "the trust document is of another version",
            f"it says {document['version']}, the next is {trust.version + 1}",
        )
    payload = canonical(document | following)
    read_trust(payload)
    return payload


def sign_with(workspace: Workspace, names: Sequence[str]) -> list[Signer]:
    """The root keys of this machine, or those called `names`.

    Raises:
        UsageError: there is none.
    """
    roots = workspace.trust().root_keys
    keys = [workspace.key(name) for name in names] or [
        workspace.key(path.stem) for path in workspace.key_files() if public_id(path) in roots
    ]
    if not keys:
        raise UsageError(
            "no root key is on this machine", "only root keys may sign the next trust policy", "ask the root's keepers"
        )
    return list(keys)


def _add(value: Json, key: PublicKey, owner: str, roles: Sequence[str]) -> None:
    known = value["keys"].setdefault(
        key.key_id, {"keytype": key.keytype, "owner": owner, "public": key.public, "scheme": key.scheme}
    )
    if known["owner"] != owner:
        raise UsageError(
            f"key {key.key_id[:12]}… belongs to {known['owner']}",
            "a key has one owner",
            f"use --owner {known['owner']}",
        )
    lists = {"root": value["root"]["keys"], "ledger": value["log"]["keys"]} | {
        r: v["members"] for r, v in value["roles"].items()
    }
    for role in roles:
        if key.key_id not in lists[role]:
            lists[role].append(key.key_id)
