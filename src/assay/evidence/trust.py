"""The trust policy: which keys exist, who owns them, and what each role may say. Everything else is refused.

A policy is canonical JSON in a plain DSSE envelope with as many signatures as its root asks for. Version n+1 carries
the digest of version n and is signed by the root thresholds of both. The first is pinned by its digest.
Rules kept: an empty list allows nothing; thresholds count persons, not keys; a key id is computed, never believed;
a policy older than one already seen is a rollback.
Source: The Update Framework specification 1.0, sections 5.3 and 6.1, for root rotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property

from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest, is_digest, sha256
from assay.core.errors import MalformedInput, TrustError
from assay.core.times import duration, instant
from assay.evidence.envelope import Envelope, envelope_json, pae, read_envelope
from assay.evidence.keys import PublicKey, Signer

TRUST_PAYLOAD = "application/vnd.assay.trust.v1+json"
TRUST_SCHEMA = "urn:assay:trust:v1"
ROLES = (
    "registrar", "data-owner", "trainer", "scanner", "evaluator", "approver",
    "releaser", "gate", "observer", "incident", "ledger",
)  # fmt: skip
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class TrustedKey:
    """A key of the policy. From ledger index `revoked_at` on it says nothing; if compromised it never did."""

    key: PublicKey
    owner: str
    not_after: datetime | None = None
    revoked_at: int | None = None
    is_compromised: bool = False

    @property
    def is_revoked(self) -> bool:
        """Whether it is revoked from some index on; a root key that is has no voice in the next policy."""
        return self.is_compromised or self.revoked_at is not None

    def is_valid(self, index: int, time: datetime) -> bool:
        """Whether a statement at ledger `index`, logged at `time`, may count."""
        if self.is_compromised or (self.revoked_at is not None and index >= self.revoked_at):
            return False
        return self.not_after is None or time <= self.not_after


@dataclass(frozen=True)
class Role:
    """What members of a role may say: exact predicate types, globs of names and checks, kinds of asset."""

    members: tuple[str, ...]
    threshold: int
    predicates: frozenset[str]
    names: tuple[str, ...]
    kinds: frozenset[str]
    checks: tuple[str, ...]

    def allows(self, predicate: str, name: str, kind: str, check: str) -> bool:
        """Whether the role covers this statement; `check` is "" where a statement names none."""
        return (
            predicate in self.predicates
            and kind in self.kinds
            and any(fnmatchcase(name, pattern) for pattern in self.names)
            and (not check or any(fnmatchcase(check, pattern) for pattern in self.checks))
        )


@dataclass(frozen=True)
class Log:
    """The ledger that this policy speaks of: origin, checkpoint keys, witnesses, greatest age of a checkpoint."""

    origin: str
    keys: tuple[str, ...]
    witnesses: tuple[str, ...]
    witness_threshold: int
    max_checkpoint_age: timedelta


@dataclass(frozen=True)
class Trust:
    """A trust policy whose form was checked. Whether it is signed is the business of `verified_chain`."""

    version: int
    previous: Digest | None
    expires: datetime
    root_keys: tuple[str, ...]
    root_threshold: int
    keys: Mapping[str, TrustedKey]
    roles: Mapping[str, Role]
    log: Log
    separation: tuple[tuple[str, str], ...]
    payload: bytes

    @cached_property
    def digest(self) -> Digest:
        """The digest of the policy's canonical bytes: what a pin names."""
        return sha256(self.payload)

    @cached_property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Every listed key, for finding out who signed."""
        return tuple(entry.key for entry in self.keys.values())

    def check_current(self, now: datetime) -> None:
        """Refuses an expired policy.

        Raises:
            TrustError: with reason `trust-expired`.
        """
        if now > self.expires:
            raise TrustError("trust policy is expired", f"it ended {self.expires:%Y-%m-%d %H:%M} UTC",
                             "sign a new version with `assay key trust`", reason="trust-expired")  # fmt: skip

    def roles_of(self, key_ids: Iterable[str], *, index: int, time: datetime,
                 predicate: str, name: str, kind: str, check: str = "") -> tuple[str, ...]:  # fmt: skip
        """The roles in which these signers together may make a statement; () if they may not.

        Each role's threshold counts distinct owners among its members whose keys were valid at that index and time.
        """
        valid = {k for k in key_ids if k in self.keys and self.keys[k].is_valid(index, time)}
        return tuple(
            name_
            for name_, role in self.roles.items()
            if role.allows(predicate, name, kind, check)
            and len({self.keys[k].owner for k in valid if k in role.members}) >= role.threshold
        )

    def is_awaited(self, key_id: str, roles: Iterable[str], *, predicate: str, name: str, kind: str) -> bool:
        """Whether a member of one of `roles` signed, whose threshold asks for more persons than one."""
        wanted = [self.roles[role] for role in roles if role in self.roles]
        return any(r.threshold > 1 and key_id in r.members and r.allows(predicate, name, kind, "") for r in wanted)

    def owner_of(self, key_id: str) -> str:
        """The person or machine behind a key; "" if the key is unknown."""
        return self.keys[key_id].owner if key_id in self.keys else ""


def read_trust(payload: bytes) -> Trust:
    """Reads the canonical bytes of a trust policy.

    Raises:
        MalformedInput: any other shape, an unknown field, a key id that is not the key's, a key listed twice.
    """
    value = parse(payload, what="trust policy", max_bytes=_MAX_BYTES)
    try:
        return _trust(value, payload)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedInput("trust policy is malformed", f"{type(error).__name__}: {error}") from error


def sign_trust(payload: bytes, signers: Sequence[Signer]) -> bytes:
    """The envelope bytes of a policy, signed by each of `signers`."""
    message = pae(TRUST_PAYLOAD, payload)
    return canonical(envelope_json(TRUST_PAYLOAD, payload, [(s.public.key_id, s.sign(message)) for s in signers]))


def read_trust_envelope(data: bytes) -> tuple[Envelope, Trust]:
    """Parses an envelope and the policy inside it, without any verification.

    Raises:
        MalformedInput: either is malformed.
    """
    envelope = read_envelope(parse(data, what="trust envelope", max_bytes=2 * _MAX_BYTES), TRUST_PAYLOAD)
    return envelope, read_trust(envelope.payload)


def verify_first(data: bytes, pin: Digest | None) -> Trust:
    """The first policy of a chain: signed by its own root, and equal to the pin.

    Raises:
        TrustError: another digest than the pin, or too few root signatures.
    """
    envelope, trust = read_trust_envelope(data)
    if trust.version != 1 or trust.previous is not None:
        raise TrustError(
            "trust chain does not begin at version 1", f"it begins at {trust.version}", reason="trust-chain"
        )
    if pin is not None and trust.digest != pin:
        raise TrustError("trust policy is not the pinned one", f"found {trust.digest[:16]}…, pinned {pin[:16]}…",
                         "compare the digest with the one that you were given", reason="trust-pin")  # fmt: skip
    _check_threshold(envelope, trust, trust)
    return trust


def verify_next(data: bytes, before: Trust) -> Trust:
    """The policy after `before`: exactly one version later, naming it, signed by both roots.

    Raises:
        TrustError: a rollback, a gap, another predecessor, or too few signatures of either root.
    """
    envelope, trust = read_trust_envelope(data)
    if trust.version <= before.version:
        raise TrustError("trust policy is older than one seen", f"version {trust.version} after {before.version}",
                         "ask for the newest version", reason="trust-rollback")  # fmt: skip
    if trust.version != before.version + 1 or trust.previous != before.digest:
        raise TrustError("trust policy does not follow", f"version {trust.version} after {before.version}",
                         "apply the versions between first", reason="trust-chain")  # fmt: skip
    _check_threshold(envelope, trust, before)
    _check_threshold(envelope, trust, trust)
    return trust


def verified_chain(envelopes: Sequence[bytes], pin: Digest | None) -> tuple[Trust, ...]:
    """Every policy of a chain, oldest first, every link verified; the last is in force.

    Raises:
        TrustError: the chain is empty or a link does not hold.
    """
    if not envelopes:
        raise TrustError(
            "there is no trust policy", "nobody may say anything yet", "run `assay init`", reason="trust-missing"
        )
    chain = [verify_first(envelopes[0], pin)]
    for data in envelopes[1:]:
        chain.append(verify_next(data, chain[-1]))
    return tuple(chain)


def _check_threshold(envelope: Envelope, trust: Trust, root: Trust) -> None:
    roots = [root.keys[key_id].key for key_id in root.root_keys if not root.keys[key_id].is_revoked]
    owners = {root.keys[key.key_id].owner for key in envelope.signers(roots)}
    if len(owners) < root.root_threshold:
        raise TrustError(
            f"trust policy version {trust.version} has too few signatures",
            f"{len(owners)} of {root.root_threshold} root owners of version {root.version} signed",
            reason="trust-threshold",
        )


def _trust(value: Json, payload: bytes) -> Trust:
    _known(value, "schema version previous expires root keys identities fast_digests log roles separation")
    _known(value["root"], "keys threshold")
    if value["schema"] != TRUST_SCHEMA:
        raise ValueError(f"expected schema {TRUST_SCHEMA}")
    if type(value["version"]) is not int or value["version"] < 1:
        raise ValueError("version must be a whole number from 1")
    if "previous" in value and not is_digest(value["previous"]):
        raise ValueError("previous is no digest")
    keys = {key_id: _key(key_id, item) for key_id, item in value["keys"].items()}
    root_keys, root_threshold = _members(value["root"]["keys"], keys), _threshold(value["root"]["threshold"])
    if len({key.key.material for key in keys.values()}) != len(keys):
        raise ValueError("a key is listed twice")
    if len({keys[k].owner for k in root_keys if not keys[k].is_revoked}) < root_threshold:
        raise ValueError("the root threshold is greater than the number of its owners")
    return Trust(
        version=value["version"],
        previous=value.get("previous"),
        expires=instant(value["expires"]),
        root_keys=root_keys,
        root_threshold=root_threshold,
        keys=keys,
        roles={name: _role(name, item, keys) for name, item in value["roles"].items()},
        log=_log(value["log"], keys),
        separation=tuple(_pair(item) for item in value.get("separation", [])),
        payload=payload,
    )


def _key(key_id: str, item: Json) -> TrustedKey:
    _known(item, "keytype scheme public owner notAfter revoked")
    key = PublicKey(item["keytype"], item["public"])
    if key.key_id != key_id or item["scheme"] != key.scheme:
        raise ValueError(f"key {key_id[:16]} is listed under an id or scheme that is not its own")
    if not isinstance(item["owner"], str) or not item["owner"]:
        raise ValueError(f"key {key_id[:16]} has no owner")
    not_after = instant(item["notAfter"]) if "notAfter" in item else None
    if "revoked" not in item:
        return TrustedKey(key, item["owner"], not_after)
    _known(item["revoked"], "atIndex compromised")
    index, is_compromised = item["revoked"]["atIndex"], item["revoked"].get("compromised", False)
    if type(index) is not int or index < 0 or type(is_compromised) is not bool:
        raise ValueError(f"key {key_id[:16]} is revoked from no index")
    return TrustedKey(key, item["owner"], not_after, index, is_compromised)


def _role(name: str, item: Json, keys: Mapping[str, TrustedKey]) -> Role:
    if name not in ROLES:
        raise ValueError(f"role {name!r} is unknown")
    _known(item, "members threshold predicates names kinds checks")
    return Role(
        _members(item["members"], keys),
        _threshold(item["threshold"]),
        frozenset(_texts(item["predicates"])),
        _texts(item["names"]),
        frozenset(_texts(item["kinds"])),
        _texts(item.get("checks", [])),
    )


def _log(item: Json, keys: Mapping[str, TrustedKey]) -> Log:
    _known(item, "origin keys witnesses max_checkpoint_age")
    witnesses = item.get("witnesses", {"keys": [], "threshold": 0})
    _known(witnesses, "keys threshold")
    log_keys = _members(item["keys"], keys)
    if any(keys[key_id].key.keytype != "ed25519" for key_id in log_keys):
        raise ValueError("checkpoints are signed by ed25519 keys only")
    return Log(
        str(item["origin"]),
        log_keys,
        _members(witnesses["keys"], keys),
        int(witnesses["threshold"]),
        duration(item["max_checkpoint_age"]),
    )


def _members(items: Json, keys: Mapping[str, TrustedKey]) -> tuple[str, ...]:
    found = _texts(items)
    if len(set(found)) != len(found):
        raise ValueError("a key is listed twice")
    if unknown := [k for k in found if k not in keys]:
        raise ValueError(f"key {unknown[0][:16]} is not among the keys")
    return found


def _pair(item: Json) -> tuple[str, str]:
    first, second = _texts(item)
    if unknown := {first, second} - set(ROLES):
        raise ValueError(f"separation names unknown roles {sorted(unknown)}")
    return first, second


def _known(item: Json, names: str) -> None:
    if unknown := set(item) - set(names.split()):
        raise ValueError(f"unknown fields {sorted(unknown)}")


def _texts(items: Json) -> tuple[str, ...]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("expected a list of texts")
    return tuple(items)


def _threshold(value: Json) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("a threshold must be a whole number from 1")
    return value
