"""What tests build again and again: a clock that stands still, people with keys, and a workspace of several owners.

    from tests.support import Clock, Team, make_workspace

    def test_something(tmp_path):
        with make_workspace(tmp_path) as (workspace, team):
            version = team.registered(workspace, "credit/model")
            ...

`Team` holds one key for each person below, so that thresholds and separations can be broken one by one:

    ada      root, registrar, data-owner, releaser, incident
    bob      root, approver, incident
    tess     trainer
    eve      evaluator
    runner   ledger, scanner, gate, observer; its key lies in the workspace, like ada's
    mallory  nothing: no policy knows the key
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from assay.app.lifecycle import move
from assay.app.register import Description, register, subject_of
from assay.app.trust_setup import Member, first_policy, policy_bytes
from assay.app.workspace import Workspace, save_key
from assay.core.assets import Entry, Kind, Manifest, Reference
from assay.core.canonical import Json
from assay.core.digests import Digest, sha256
from assay.core.statements import Statement, Subject
from assay.core.times import stamp
from assay.evidence.envelope import sign
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import Item, Receipt
from assay.evidence.predicates import Predicate
from assay.evidence.trust import sign_trust
from assay.registry.lifecycle import State
from assay.registry.queries import Version

START = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
ORIGIN = "assay.test/ledger"
POLICY = sha256(b"policy")
ROLES: Mapping[str, tuple[str, ...]] = {
    "ada": ("root", "registrar", "data-owner", "releaser", "incident"),
    "bob": ("root", "approver", "incident"),
    "tess": ("trainer",),
    "eve": ("evaluator",),
    "runner": ("ledger", "scanner", "gate", "observer"),
}
ON_THIS_MACHINE = ("ada", "runner")


class Clock:
    """A clock that moves only when told to: `clock.now += timedelta(days=1)`."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Team:
    """Everybody's keys, and the statements that tests sign with them."""

    keys: dict[str, PrivateKey] = field(
        default_factory=lambda: {name: PrivateKey.generate() for name in (*ROLES, "mallory")}
    )
    roles: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(ROLES))
    owners: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> PrivateKey:
        return self.keys[name]

    def members(self) -> list[Member]:
        """Everybody with a role; a person owns the key of the same name unless `owners` says otherwise."""
        return [
            Member(self.keys[name].public, self.owners.get(name, name), roles) for name, roles in self.roles.items()
        ]

    def policy(self, **changes: Json) -> bytes:
        """A first trust policy; `version`, `previous`, `expires` and `thresholds` make it another."""
        if not changes:
            return first_policy(ORIGIN, self.members(), START)
        said: dict[str, Json] = {"version": 1, "previous": None, "expires": START + timedelta(days=365)} | changes
        return policy_bytes(ORIGIN, self.members(), **said)

    def envelope(self, policy: bytes, signers: Iterable[str] = ("ada",)) -> bytes:
        """`policy` signed by people."""
        return sign_trust(policy, [self.keys[name] for name in signers])

    def log(self, workspace: Workspace, statement: Statement, *signers: str) -> tuple[Receipt, ...]:
        """Logs `statement`, one entry for each signer."""
        return workspace.log([Item.of(sign(statement, self.keys[name])) for name in signers])

    def registered(self, workspace: Workspace, name: str = "credit", *, content: bytes = b"weights",
                   kind: Kind = Kind.MODEL, origin: bool = True) -> Version:  # fmt: skip
        """A version whose only file `model.bin` holds `content`; it lies beside the workspace folder."""
        folder = workspace.folder.parent / "assets" / f"{name.replace('/', '-')}-{sha256(content)[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.bin").write_bytes(content)
        about = Description(name, kind, origin={"uri": "https://example.org/m"} if origin else {})
        return register(workspace, folder, about).version

    def candidate(self, workspace: Workspace, name: str = "credit", *, content: bytes = b"weights") -> Version:
        """A version that was scanned clean and became a candidate."""
        version = self.registered(workspace, name, content=content)
        self.log(workspace, scan_of(version), "runner")
        move(workspace, version, State.CANDIDATE, "scanned clean")
        return fresh(workspace, version)

    def approved(self, workspace: Workspace, name: str = "credit", *, content: bytes = b"weights") -> Version:
        """A version with an allow for `approved` and `production`, in state approved."""
        version = self.candidate(workspace, name, content=content)
        self.allow(workspace, version, "approved")
        move(workspace, version, State.APPROVED, "allowed")
        self.allow(workspace, version, "production")
        return fresh(workspace, version)

    def allow(self, workspace: Workspace, version: Version, stage: str, *, answer: str = "allow",
              signer: str = "runner", policy: Digest = POLICY, at: datetime | None = None) -> Receipt:  # fmt: skip
        """A gate decision, signed by `signer`."""
        statement = decision_of(version, stage, at or workspace.clock(), answer=answer, policy=policy,
                                seen=workspace.ledger.size())  # fmt: skip
        return self.log(workspace, statement, signer)[0]

    def promote(self, workspace: Workspace, version: Version, stage: str = "production") -> Receipt:
        """Points an alias to an approved version by its newest decision."""
        decision = workspace.registry.decision(version.digest, stage)
        held = workspace.registry.aliases(version.name).get(stage)
        predicate: dict[str, Json] = {
            "action": "promote", "alias": stage, "digest": version.digest, "name": version.name,
            "decision": decision.statement if decision else "0" * 64,
        }  # fmt: skip
        if held is not None:
            predicate["previous"] = held
        return self.log(workspace, statement_about(version, Predicate.PROMOTION, predicate), "ada")[0]


@contextmanager
def make_workspace(folder: Path, *, team: Team | None = None, clock: Clock | None = None,
                   policy: bytes | None = None) -> Iterator[tuple[Workspace, Team]]:  # fmt: skip
    """A new workspace in `folder / ".assay"`, closed at the end; what the user remembers lies in `folder / "state"`."""
    team, clock = team or Team(), clock or Clock()
    first = policy or team.policy()
    workspace = Workspace.create(
        folder / ".assay", team.envelope(first), sha256(first), clock=clock, state=folder / "state"
    )
    for name in ON_THIS_MACHINE:
        save_key(workspace.folder, name, team[name], None)
    with workspace:
        yield workspace, team


def reopened(folder: Path, clock: Clock | None = None) -> Workspace:
    """The workspace in `folder` opened once more, as another command would."""
    return Workspace(folder / ".assay", clock=clock or Clock(), state=folder / "state")


def fresh(workspace: Workspace, version: Version) -> Version:
    """The same version as the registry knows it now."""
    return workspace.registry.resolve(Reference(version.name, digest=version.digest))


def location(workspace: Workspace, version: Version) -> Path:
    """Where `Team.registered` put the bytes of a version."""
    found = workspace.location(version.digest)
    assert found is not None
    return found


def manifest(files: Mapping[str, bytes], kind: Kind = Kind.MODEL) -> Manifest:
    """The manifest of files given as path to content."""
    return Manifest.of(kind, [Entry(path, sha256(data), len(data)) for path, data in files.items()])


def statement_about(version: Version, predicate_type: str, predicate: Json) -> Statement:
    """A statement whose subject is `version`."""
    return Statement((subject_of(version),), predicate_type, predicate)


def registration_of(name: str, n: int, digest: Digest, **changes: Json) -> Statement:
    """A registration written by hand; `changes` replace fields of the predicate."""
    predicate = {
        "hashCache": False, "kind": "model", "name": name, "version": n, "origin": {"uri": "https://example.org"},
        "manifest": {"entries": 1, "sha256": digest, "sizeBytes": 1, "symlinks": "refuse"},
    } | changes  # fmt: skip
    return Statement((Subject(f"assay:{name}@{n}", digest),), Predicate.REGISTRATION, predicate)


def head_of(check: str, at: datetime = START) -> Json:
    """The head of a scan or evaluation."""
    return {
        "check": {"id": check, "version": 1}, "finishedOn": stamp(at), "startedOn": stamp(at),
        "producer": {"name": "assay", "version": "0"},
    }  # fmt: skip


def scan_of(version: Version, verdicts: Sequence[str] = ("clean",), check: str = "model-file.format") -> Statement:
    """A finished scan with one file for each verdict."""
    files = [{"format": "bin", "path": f"f{i}", "sha256": "0" * 64, "verdict": v} for i, v in enumerate(verdicts)]
    predicate: Json = {
        "counts": {"critical": 0, "high": 0, "low": 0, "medium": 0}, "files": files, "findings": [],
        "head": head_of(check), "lookedAt": {"bytes": 1, "files": len(files)}, "skipped": [], "state": "done",
    }  # fmt: skip
    return statement_about(version, Predicate.SCAN_RESULT, predicate)


def decision_of(version: Version, stage: str, at: datetime, *, answer: str = "allow",
                policy: Digest = POLICY, seen: int = 0) -> Statement:  # fmt: skip
    """A verification summary by a gate that saw `seen` entries."""
    return statement_about(version, Predicate.DECISION, {
        "assay_decision": answer, "assay_ledgerSize": seen, "assay_target": stage, "policy": {"digest": {"sha256": policy}},
        "resourceUri": f"urn:assay:asset:{version}", "timeVerified": stamp(at),
        "verificationResult": "PASSED" if answer == "allow" else "FAILED", "verifier": {"id": "urn:assay:gate"},
    })  # fmt: skip


def quarantine_of(version: Version, action: str, *, reason: str = "drift", whole_name: bool = False,
                  mark: int = 0) -> Statement:  # fmt: skip
    """A quarantine or lift; statements with another `mark` are other statements."""
    scope = {"name": version.name} if whole_name else {"digest": version.digest}
    return statement_about(version, Predicate.QUARANTINE, {
        "action": action, "ledgerSize": mark, "reason": reason, "requestedBy": "ada", "scope": scope, "severity": "high",
    })  # fmt: skip


def provenance_of(version: Version, *parents: Version) -> Statement:
    """Says that `version` was made from `parents`."""
    materials = [{"digest": {"sha256": p.digest}, "annotations": {"role": "dataset"}} for p in parents]
    return statement_about(version, Predicate.PROVENANCE, {
        "buildDefinition": {"buildType": "urn:assay:build:train:v1", "externalParameters": {}, "resolvedDependencies": materials},
        "runDetails": {"builder": {"id": "urn:test"}},
    })  # fmt: skip


def lift(team: Team, workspace: Workspace, version: Version, *, mark: int = 1, whole_name: bool = False,
         signers: Sequence[str] = ("ada", "bob")) -> tuple[Receipt, ...]:  # fmt: skip
    """A lift signed by an incident and an approver key."""
    return team.log(workspace, quarantine_of(version, "lift", mark=mark, whole_name=whole_name), *signers)


def tamper(folder: Path, *statements: str) -> None:
    """Runs SQL on the ledger file of `folder` the way somebody with the file but no key would: triggers dropped first."""
    with closing(sqlite3.connect(folder / ".assay" / "ledger.sqlite")) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()


__all__ = [
    "ON_THIS_MACHINE", "ORIGIN", "POLICY", "ROLES", "START", "Clock", "Team", "decision_of", "fresh", "head_of",
    "lift", "location", "make_workspace", "manifest", "provenance_of", "quarantine_of", "registration_of", "reopened",
    "scan_of", "statement_about", "tamper",
]  # fmt: skip
