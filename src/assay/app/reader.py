"""Reading evidence so that it may count: signatures verified, roles found, separations kept.

Works over a workspace and over an offline bundle alike, and believes neither's tables: which entries name an asset is
read from the leaves, and under which names it is known from signed registrations. Nothing of a statement is parsed
before its signature held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import AssayError, EvidenceError, MalformedInput
from assay.core.statements import Statement
from assay.core.times import instant
from assay.evidence.envelope import open_bundle
from assay.evidence.ledger import Leaf, subjects_in_leaf
from assay.evidence.predicates import Predicate, problem_of
from assay.evidence.trust import TRUST_PAYLOAD, Trust
from assay.policy.view import Evidence

MAX_HOPS = 32


class Source(Protocol):
    """Entries whose place in the log was verified."""

    def mentioning(self, text: str) -> Sequence[Leaf]:
        """Every entry whose leaf holds `text` (a digest or a predicate type), oldest first."""
        ...

    def bundle(self, leaf: Leaf) -> bytes:
        """The signed bundle of an entry."""
        ...


@dataclass(frozen=True)
class _Read:
    leaf: Leaf
    statement: Statement | None
    problem: str


class Reader:
    """Reads the evidence of one source under the trust policy of today.

    `chain` are all versions of the policy, oldest first, each verified. Quarantines alone are also judged by the version
    that was in force when they were logged: who loses the role later does not take them back by that.
    """

    def __init__(self, source: Source, chain: Sequence[Trust]) -> None:
        self._source = source
        self._chain = {trust.digest: trust for trust in chain}
        self.trust = chain[-1]
        self._statements: dict[tuple[Digest, str], _Read] = {}

    def about(self, digest: Digest) -> tuple[Evidence, ...]:
        """Every statement that names `digest`, with the roles in which it counts; the others say why they do not."""
        read = [self._read(leaf) for leaf in self._source.mentioning(digest) if digest in leaf.subjects]
        names = self._names(digest, read)
        return tuple(_separated(self.trust, [self._evidence(item, names, read) for item in read]))

    def names(self, digest: Digest) -> tuple[tuple[str, int, Kind], ...]:
        """(name, version, kind) under which trusted registrars registered these bytes."""
        return self._names(digest, [self._read(leaf) for leaf in self._source.mentioning(digest)])

    def quarantines(self) -> tuple[Evidence, ...]:
        """Every quarantine and lift, oldest first; roles are those for the asset that each names."""
        leaves = [leaf for leaf in self._source.mentioning(Predicate.QUARANTINE) if leaf.type == Predicate.QUARANTINE]
        now = [item for leaf in leaves for item in self._quarantines_under(self, [leaf], leaves)]
        if len(self._chain) == 1:
            return tuple(now)
        then = {leaf.index: self._in_force(leaf.index) for leaf in leaves}
        past = [item for leaf in leaves for item in self._quarantines_under(then[leaf.index], [leaf], leaves)]
        counted = {item.index: item for item in now if item.roles}
        for item in past:  # a lift has to hold today, a quarantine only when it was said
            if item.roles and item.predicate["action"] == "quarantine":
                counted.setdefault(item.index, item)
        return tuple(counted[index] for index in sorted(counted))

    def _quarantines_under(self, reader: Reader, leaves: Sequence[Leaf], others: Sequence[Leaf]) -> Iterator[Evidence]:
        read = [reader._read(leaf) for leaf in others]
        for leaf in leaves:
            item = reader._read(leaf)
            if item.statement is not None:
                yield reader._evidence(
                    item, self.names(item.statement.subject) or reader.names(item.statement.subject), read
                )

    def _in_force(self, index: int) -> Reader:
        """A reader under the policy that the log held when entry `index` was made."""
        logged = [
            leaf for leaf in self._source.mentioning(TRUST_PAYLOAD) if leaf.type == TRUST_PAYLOAD and leaf.index < index
        ]
        known = [self._chain[leaf.statement] for leaf in logged if leaf.statement in self._chain]
        return Reader(self._source, known[-1:] or [self.trust])

    def holder(self, name: str, alias: str) -> Digest | None:
        """The digest that signed promotions point an alias to; None if none does."""
        held: Digest | None = None
        for leaf in self._source.mentioning(Predicate.PROMOTION):
            item = self._read(leaf)
            if leaf.type != Predicate.PROMOTION or item.statement is None:
                continue
            said, digest = item.statement.predicate, item.statement.subject
            counts = any("releaser" in e.roles for e in self.about(digest) if e.index == leaf.index)
            if counts and (said["name"], said["alias"]) == (name, alias):
                held = None if said["action"] == "remove" else digest
        return held

    def ancestors(self, digest: Digest) -> set[Digest]:
        """Everything that trusted provenance says `digest` was made from, at most 32 steps back."""
        found: set[Digest] = set()
        frontier = {digest}
        for _ in range(MAX_HOPS):
            frontier = {parent for child in frontier for parent in self._parents(child)} - found - {digest}
            found |= frontier
            if not frontier:
                break
        return found

    def _parents(self, digest: Digest) -> Iterator[Digest]:
        for item in self.about(digest):
            if item.type == Predicate.PROVENANCE and item.roles:
                for material in item.predicate["buildDefinition"]["resolvedDependencies"]:
                    if isinstance(parent := material.get("digest", {}).get("sha256"), str):
                        yield parent

    def _read(self, leaf: Leaf) -> _Read:
        key = (leaf.statement, leaf.key_id)
        if key not in self._statements:
            self._statements[key] = self._verified(leaf)
        return self._statements[key]

    def _verified(self, leaf: Leaf) -> _Read:
        if leaf.type == TRUST_PAYLOAD:
            return _Read(leaf, None, "trust-policy")
        listed = [self.trust.keys[leaf.key_id].key] if leaf.key_id in self.trust.keys else []
        try:
            signed = open_bundle(self._source.bundle(leaf), listed)
            named = (signed.digest, signed.statement.type, subjects_in_leaf(signed.statement))
            if named != (leaf.statement, leaf.type, leaf.subjects):
                raise MalformedInput(f"ledger entry {leaf.index} names another statement")
            if problem := problem_of(signed.statement):
                raise MalformedInput(f"statement {leaf.statement[:16]}… is malformed", problem)
        except EvidenceError as error:
            return _Read(leaf, None, error.reason or "unsigned")
        except AssayError:
            return _Read(leaf, None, "malformed")
        return _Read(leaf, signed.statement, "")

    def _names(self, digest: Digest, read: Iterable[_Read]) -> tuple[tuple[str, int, Kind], ...]:
        found = []
        for item in read:
            if item.statement is None or item.leaf.type != Predicate.REGISTRATION or item.statement.subject != digest:
                continue
            said = item.statement.predicate
            if self._roles(item, [item.leaf.key_id], said["name"], said["kind"]):
                found.append((said["name"], said["version"], Kind(said["kind"])))
        return tuple(found)

    def _evidence(self, item: _Read, names: Sequence[tuple[str, int, Kind]], others: Sequence[_Read]) -> Evidence:
        leaf, statement = item.leaf, item.statement
        owner = self.trust.owner_of(leaf.key_id)
        if statement is None:
            return Evidence(leaf.statement, leaf.index, leaf.type, leaf.subjects, {}, leaf.key_id, owner, (),
                            leaf.time, leaf.time, item.problem)  # fmt: skip
        valid = [
            other.leaf.key_id
            for other in others
            if other.leaf.statement == leaf.statement and self._is_valid(other.leaf)
        ]
        together = {role for name, _, kind in names for role in self._roles(item, valid, name, kind)}
        roles = {role for role in together if leaf.key_id in self.trust.roles[role].members and self._is_valid(leaf)}
        problem = "" if roles else ("wrong-signer" if self._is_valid(leaf) else "revoked")
        subjects = tuple(subject.sha256 for subject in statement.subjects)
        return Evidence(leaf.statement, leaf.index, leaf.type, subjects, statement.predicate, leaf.key_id, owner,
                        tuple(sorted(roles)), _signed_at(statement, leaf), leaf.time, problem)  # fmt: skip

    def _roles(self, item: _Read, key_ids: Iterable[str], name: str, kind: str) -> tuple[str, ...]:
        check = _check_id(item.statement.predicate) if item.statement else ""
        return self.trust.roles_of(key_ids, index=item.leaf.index, time=instant(item.leaf.time),
                                   predicate=item.leaf.type, name=name, kind=kind, check=check)  # fmt: skip

    def _is_valid(self, leaf: Leaf) -> bool:
        key = self.trust.keys.get(leaf.key_id)
        return key is not None and key.is_valid(leaf.index, instant(leaf.time))


def _separated(trust: Trust, evidence: Sequence[Evidence]) -> Iterator[Evidence]:
    """Takes the checking role from whoever also acted in the making role for the same asset."""
    makers = {maker: {e.owner for e in evidence if maker in e.roles} for maker, _ in trust.separation}
    for item in evidence:
        lost = {checker for maker, checker in trust.separation if checker in item.roles and item.owner in makers[maker]}
        if not lost:
            yield item
            continue
        roles = tuple(role for role in item.roles if role not in lost)
        yield replace(item, roles=roles, problem="" if roles else "separation")


def _signed_at(statement: Statement, leaf: Leaf) -> str:
    head = statement.predicate.get("head")
    said: Json = head.get("finishedOn") if isinstance(head, dict) else statement.predicate.get("timeVerified")
    try:
        return said if instant(said) else leaf.time
    except MalformedInput:
        return leaf.time


def _check_id(predicate: Json) -> str:
    head = predicate.get("head")
    check = head.get("check") if isinstance(head, dict) else None
    return str(check.get("id", "")) if isinstance(check, dict) else ""
