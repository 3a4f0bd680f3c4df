"""The registry as a fold over the ledger: every row here follows from statements and can be thrown away and rebuilt.

`Projection.fold` runs inside the ledger's transaction. It refuses a statement that would change the registry against
the lifecycle or by a signer without the role; such a statement is never logged. Statements that change nothing here
(evaluations, approvals, observations) are only indexed by their subject.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress

from assay.core.assets import check_alias, check_name
from assay.core.digests import Digest
from assay.core.errors import EvidenceError, StateError, TrustError
from assay.core.statements import Statement
from assay.core.times import instant
from assay.evidence.envelope import read_envelope
from assay.evidence.ledger import Item, Leaf
from assay.evidence.predicates import Predicate, check_predicate
from assay.evidence.trust import TRUST_PAYLOAD, Trust, read_trust, verify_first, verify_next
from assay.registry.lifecycle import State, role_for
from assay.registry.rows import (
    allowed_by,
    check_cleared,
    files_of,
    is_denied,
    lifted_at,
    move,
    names_of,
    quarantined_at,
    stand_down,
    state_after_lift,
    text_of,
    version_row,
)


class Projection:
    """The fold. Holds the current trust policy between calls, keyed by the digest that the database names."""

    def __init__(self, pin: Digest | None) -> None:
        """`pin` is the digest that the first trust policy must have; None trusts the first one seen."""
        self._pin = pin
        self._trust: Trust | None = None
        self._handlers: Mapping[str, Callable[[sqlite3.Connection, Leaf, Statement], None]] = {
            Predicate.REGISTRATION: self._register,
            Predicate.LABEL: self._label,
            Predicate.SCAN_RESULT: self._scan,
            Predicate.PROVENANCE: self._provenance,
            Predicate.DECISION: self._decision,
            Predicate.LIFECYCLE: self._lifecycle,
            Predicate.PROMOTION: self._promotion,
            Predicate.QUARANTINE: self._quarantine,
        }

    def fold(self, db: sqlite3.Connection, leaf: Leaf, item: Item) -> None:
        """Applies one entry. Where a role asks for several persons, it takes effect with the signature that completes them.

        Raises:
            MalformedInput: the predicate does not follow its schema.
            EvidenceError: the signer may not say this.
            StateError: the registry does not allow it from where it stands.
        """
        if item.type == TRUST_PAYLOAD:
            self._adopt(db, leaf, item)
            return
        if item.statement is None:
            raise EvidenceError("entry holds no statement", item.type)
        check_predicate(item.statement)
        if (handler := self._handlers.get(item.type)) is not None:
            with suppress(_Awaited):
                handler(db, leaf, item.statement)

    def trust(self, db: sqlite3.Connection) -> Trust:
        """The trust policy in force.

        Raises:
            TrustError: there is none yet.
        """
        row = db.execute("SELECT version, digest FROM trust ORDER BY version DESC LIMIT 1").fetchone()
        if row is None:
            raise TrustError(
                "there is no trust policy", "nobody may say anything yet", "run `assay init`", reason="trust-missing"
            )
        trust = self._trust
        if trust is None or trust.digest != row[1].hex():
            data = db.execute("SELECT envelope FROM trust WHERE version=?", row[:1]).fetchone()[0]
            trust = self._trust = read_trust(read_envelope(json.loads(data), TRUST_PAYLOAD).payload)
        return trust

    def _adopt(self, db: sqlite3.Connection, leaf: Leaf, item: Item) -> None:
        first = db.execute("SELECT count(*) FROM trust").fetchone()[0] == 0
        trust = verify_first(item.bundle, self._pin) if first else verify_next(item.bundle, self.trust(db))
        db.execute(
            "INSERT INTO trust VALUES(?,?,?,?)", (trust.version, leaf.index, bytes.fromhex(trust.digest), item.bundle)
        )

    def _register(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said, digest = statement.predicate, statement.subject
        name, n, kind = check_name(said["name"]), said["version"], said["kind"]
        self._require(db, leaf, statement.type, name, kind, ("registrar", "data-owner"))
        if said["manifest"]["sha256"] != digest:
            raise EvidenceError(
                "registration is about another asset", "its manifest is not its subject", reason="wrong-subject"
            )
        if row := db.execute("SELECT n, state FROM version WHERE name=? AND digest=?", (name, digest)).fetchone():
            raise StateError(
                f"{name} has these bytes already, as version {row[0]} ({row[1]})", reason="already-registered"
            )
        last = db.execute("SELECT coalesce(max(n), 0) FROM version WHERE name=?", (name,)).fetchone()[0]
        if n != last + 1:
            raise StateError(
                f"{name}@{n} cannot be registered", f"the next version is {last + 1}", reason="version-taken"
            )
        state = State.QUARANTINED if is_denied(db, name, digest) else State.SOURCED
        db.execute("INSERT INTO version VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", (
            name, n, digest, kind, state, leaf.index, statement.digest,
            text_of(said.get("labels", {})), text_of(said.get("declared", {})), text_of(said.get("origin", {})),
            said["manifest"]["symlinks"], said["manifest"]["entries"],
        ))  # fmt: skip

    def _label(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said = statement.predicate
        row = version_row(db, said["name"], statement.subject)
        self._require(db, leaf, statement.type, said["name"], row["kind"], ("registrar", "data-owner"))
        labels = json.loads(row["labels"]) | said["labels"]
        db.execute(
            "UPDATE version SET labels=? WHERE name=? AND digest=?", (text_of(labels), said["name"], statement.subject)
        )

    def _scan(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        """A scan by somebody without the role is logged but clears nothing."""
        said, check_id = statement.predicate, statement.predicate["head"]["check"]["id"]
        for name, kind in names_of(db, statement.subject):
            if self._roles(db, leaf, statement.type, name, kind, check_id):
                verdicts = {file["path"]: file["verdict"] for file in said["files"]}
                is_whole = len(verdicts) >= files_of(db, name, statement.subject)
                is_clean = said["state"] == "done" and is_whole and set(verdicts.values()) == {"clean"}
                db.execute(
                    "INSERT OR REPLACE INTO scan VALUES(?,?,?,?)", (statement.subject, check_id, leaf.index, is_clean)
                )
                return

    def _provenance(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        """Provenance by somebody without a role for the asset is logged but links nothing."""
        materials = statement.predicate["buildDefinition"]["resolvedDependencies"]
        for digest in {subject.sha256 for subject in statement.subjects}:
            names = names_of(db, digest)
            if not any(self._roles(db, leaf, statement.type, name, kind) for name, kind in names):
                continue
            for material in materials:
                parent = material.get("digest", {}).get("sha256")
                role = material.get("annotations", {}).get("role", "material")
                if isinstance(parent, str) and isinstance(role, str):
                    db.execute("INSERT OR IGNORE INTO lineage VALUES(?,?,?,?)", (digest, parent, role, leaf.index))

    def _decision(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said = statement.predicate
        for name, kind in names_of(db, statement.subject):
            if (lifted := lifted_at(db, name, statement.subject)) >= said.get("assay_ledgerSize", 0):
                raise StateError("the decision is older than a lift of this asset", f"the lift is ledger entry {lifted}",
                                 "gate it anew", reason="decision-outdated")  # fmt: skip
            if "gate" in self._roles(db, leaf, statement.type, name, kind):
                passed = said["verificationResult"] == "PASSED" and said["assay_decision"] == "allow"
                answer = "allow" if passed else said["assay_decision"].replace("allow", "undecided")
                db.execute("INSERT OR REPLACE INTO decision VALUES(?,?,?,?,?,?,?,?)", (
                    statement.subject, said["assay_target"], leaf.index, statement.digest, answer,
                    said["policy"]["digest"]["sha256"], said.get("assay_mode", "enforce"), said["timeVerified"],
                ))  # fmt: skip
                return
            if self.trust(db).is_awaited(leaf.key_id, ("gate",), predicate=statement.type, name=name, kind=kind):
                return
        raise EvidenceError(
            "decision is not by a gate", "its signer lacks the role `gate` for this asset", reason="wrong-signer"
        )

    def _lifecycle(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said, digest = statement.predicate, statement.subject
        row = version_row(db, said["name"], digest)
        before, after = State(said["from"]), State(said["to"])
        if row["state"] != before:
            raise StateError(
                f"{said['name']} is {row['state']}, not {before}", "somebody else moved it", reason="state-moved"
            )
        if (
            State.PRODUCTION in (before, after)
            or after is State.QUARANTINED
            or (before is State.QUARANTINED and after is not State.RETIRED)
        ):
            raise StateError(
                f"a lifecycle statement cannot say {before} to {after}", "promotions and quarantines have their own"
            )
        self._require(db, leaf, statement.type, said["name"], row["kind"], (role_for(before, after),))
        if after is State.CANDIDATE:
            check_cleared(db, digest, row)
        if after is State.APPROVED:
            allowed_by(db, digest, "approved")
        move(db, said["name"], digest, after)

    def _promotion(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said, digest = statement.predicate, statement.subject
        name, alias = said["name"], check_alias(said["alias"])
        row = version_row(db, name, digest)
        self._require(db, leaf, statement.type, name, row["kind"], ("releaser",))
        if said.get("digest", digest) != digest:
            raise EvidenceError(
                "promotion is about another asset", "its digest is not its subject", reason="wrong-subject"
            )
        held = db.execute("SELECT digest FROM alias WHERE name=? AND alias=?", (name, alias)).fetchone()
        if (held[0] if held else None) != said.get("previous"):
            raise StateError(
                f"{name}@{alias} was moved meanwhile",
                "it no longer points where this promotion expects",
                reason="alias-moved",
            )
        if said["action"] == "remove":
            if held is None or held[0] != digest:
                raise StateError(f"{name}@{alias} does not point to this version")
            db.execute("DELETE FROM alias WHERE name=? AND alias=?", (name, alias))
            stand_down(db, name, digest)
            return
        if State(row["state"]) not in (State.APPROVED, State.PRODUCTION):
            raise StateError(f"{name}@{row['n']} is {row['state']}", "only an approved version can be promoted")
        if allowed_by(db, digest, alias) != said.get("decision"):
            raise StateError(
                "promotion names another decision",
                f"the newest decision for {alias} counts",
                reason="decision-replayed",
            )
        db.execute("INSERT OR REPLACE INTO alias VALUES(?,?,?,?)", (name, alias, digest, leaf.index))
        if held and held[0] != digest:
            stand_down(db, name, held[0])
        move(db, name, digest, State.PRODUCTION)

    def _quarantine(self, db: sqlite3.Connection, leaf: Leaf, statement: Statement) -> None:
        said, scope = statement.predicate, statement.predicate["scope"]
        kind_of_scope, value = ("digest", scope.get("digest")) if "digest" in scope else ("name", scope.get("name"))
        if not value or (kind_of_scope == "digest" and value != statement.subject):
            raise EvidenceError(
                "quarantine is about another asset", "its scope is not its subject", reason="wrong-subject"
            )
        where = f"{kind_of_scope}=?"
        rows = db.execute(f"SELECT name, digest, kind, state FROM version WHERE {where}", (value,)).fetchall()  # noqa: S608
        if not rows:
            raise StateError(f"nothing is registered under {kind_of_scope} {value[:40]}")
        if statement.subject not in {digest for _, digest, _, _ in rows}:
            raise EvidenceError(
                "quarantine is about another asset", "its subject is no version of the name", reason="wrong-subject"
            )
        if said["action"] == "quarantine":
            self._require(db, leaf, statement.type, rows[0][0], rows[0][2], ("incident",))
            row = (kind_of_scope, value, leaf.index, said["reason"], said["severity"], said.get("incident", ""))
            db.execute("INSERT OR REPLACE INTO denial VALUES(?,?,?,?,?,?)", row)
        elif self._lifted(db, leaf, statement, quarantined_at(db, kind_of_scope, value), rows[0][0], rows[0][2]):
            db.execute("DELETE FROM denial WHERE scope=? AND value=?", (kind_of_scope, value))
            db.execute("INSERT OR REPLACE INTO lift VALUES(?,?,?)", (kind_of_scope, value, leaf.index))
        else:
            return
        for name, digest, _, state in rows:
            is_now_denied = is_denied(db, name, digest)
            if state != State.RETIRED and is_now_denied != (state == State.QUARANTINED):
                move(db, name, digest, State.QUARANTINED if is_now_denied else state_after_lift(db, name, digest))
                db.execute("DELETE FROM decision WHERE digest=?", (digest,))  # gated anew after a lift

    def _lifted(
        self, db: sqlite3.Connection, leaf: Leaf, statement: Statement, since: int, name: str, kind: str
    ) -> bool:
        """A lift counts once an incident and an approver key of two owners signed it, both after entry `since`."""
        self._require(db, leaf, statement.type, name, kind, ("incident", "approver"))
        trust = self.trust(db)
        earlier = db.execute(
            "SELECT key FROM entry WHERE statement=? AND idx>?", (bytes.fromhex(statement.digest), since)
        ).fetchall()
        owners: dict[str, set[str]] = {"incident": set(), "approver": set()}
        for key_id in {leaf.key_id, *(row[0].hex() for row in earlier)}:
            for role in set(self._roles(db, leaf, statement.type, name, kind, key_id=key_id)) & set(owners):
                owners[role].add(trust.owner_of(key_id))
        return any(a != b for a in owners["incident"] for b in owners["approver"])

    def _roles(self, db: sqlite3.Connection, leaf: Leaf, predicate: str, name: str, kind: str,
               check: str = "", key_id: str = "") -> tuple[str, ...]:  # fmt: skip
        trust = self.trust(db)
        signers = [key_id] if key_id else _signers(db, trust, leaf)
        return trust.roles_of(signers, index=leaf.index, time=instant(leaf.time),
                              predicate=predicate, name=name, kind=kind, check=check)  # fmt: skip

    def _require(
        self, db: sqlite3.Connection, leaf: Leaf, predicate: str, name: str, kind: str, roles: tuple[str, ...]
    ) -> None:
        if not set(self._roles(db, leaf, predicate, name, kind)) & set(roles):
            if self.trust(db).is_awaited(leaf.key_id, roles, predicate=predicate, name=name, kind=kind):
                raise _Awaited
            raise EvidenceError(
                f"the signer may not say this about {name}",
                f"key {leaf.key_id[:16]}… has none of the roles {', '.join(roles)} for {kind} {name}",
                "sign with a key that has the role, or add it with `assay key trust`",
                reason="wrong-signer",
            )


class _Awaited(Exception):
    """The signer may say this, but the role's threshold asks for another person too."""


def _signers(db: sqlite3.Connection, trust: Trust, leaf: Leaf) -> list[str]:
    """This signer and, where some role asks for several persons, those who signed the same statement before."""
    if all(role.threshold == 1 for role in trust.roles.values()):
        return [leaf.key_id]
    earlier = db.execute("SELECT key FROM entry WHERE statement=?", (bytes.fromhex(leaf.statement),)).fetchall()
    return [leaf.key_id, *(row[0].hex() for row in earlier)]
