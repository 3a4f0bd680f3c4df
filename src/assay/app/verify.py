"""May exactly these bytes run? The order of checks that every door shares: command, guard, webhook.

    (1)-(6)   bundles, payload types, keys, signatures, statements, trust and roles      app/reader, evidence/
    (7)       the log: rehashed, or proven by inclusion in a fresh signed checkpoint      app/sound, app/offline
    (9)       deny facts: quarantined, retired, tainted by a quarantined ancestor         here
    (10)      the newest decision of a trusted gate for this digest and stage             here
    (11)      the bytes: every file, nothing added, missing, changed or renamed           here, app/guarded

Each failure is a reason with a code. Denied reasons win over undecided ones; only no reason at all is a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from assay.app.reader import Reader
from assay.app.sound import SoundLedger, age_problem, holds_log_key, trust_problem, witness_problem
from assay.app.workspace import Workspace
from assay.core.assets import Kind, Manifest, differences
from assay.core.digests import Digest, short
from assay.core.times import age_text, instant
from assay.evidence.files import manifest_of
from assay.evidence.predicates import Predicate
from assay.policy.view import Evidence
from assay.registry.queries import Version

DECISION_MAX_AGE = timedelta(days=30)
FUTURE = timedelta(minutes=5)


@dataclass(frozen=True)
class Reason:
    """Why something may not run. `is_undecided` reasons name what is not known rather than what is wrong."""

    code: str
    text: str
    fix: str = ""
    is_undecided: bool = False


@dataclass(frozen=True)
class Verification:
    """The answer about one digest; `ok` only without any reason. `decision` is the gate's statement that allows it."""

    digest: Digest
    name: str
    stage: str | None
    reasons: tuple[Reason, ...]
    decision: Digest | None = None

    @property
    def ok(self) -> bool:
        """Whether it may run."""
        return not self.reasons

    @property
    def exit_code(self) -> int:
        """0 yes, 1 denied, 3 undecided."""
        return 0 if self.ok else 3 if all(reason.is_undecided for reason in self.reasons) else 1


@dataclass(frozen=True)
class Demand:
    """What a verification asks for. `policies` gives the policy digests that count for an asset; None accepts any."""

    now: datetime
    stage: str | None = None
    policies: Callable[[Digest], tuple[Digest, ...]] | None = None
    max_age: timedelta = DECISION_MAX_AGE


def verify_path(workspace: Workspace, path: Path, demand: Demand, version: Version | None = None) -> Verification:
    """Hashes what lies at `path` and asks whether it may run. With `version` it must be exactly that one.

    Raises:
        UsageError: nothing at `path`.
        LedgerDamaged: the ledger cannot be relied on.
    """
    found, expected = _identify(workspace, path, version)
    if expected is None:
        return verify_digest(workspace, found.digest, demand, path.name)
    if found.digest != expected.digest:
        changed = differences(workspace.manifest(expected.digest), found)
        return Verification(found.digest, expected.name, demand.stage, (bytes_differ(str(expected), str(changed)),))
    return verify_digest(workspace, found.digest, demand, expected.name, as_name=expected.name)


def verify_digest(
    workspace: Workspace, digest: Digest, demand: Demand, name: str = "", *, as_name: str = ""
) -> Verification:
    """Whether the asset `digest` may run, by the workspace's ledger; no bytes of it are read.

    `name` is for messages; under `as_name`, if given, a trusted registrar must have registered these bytes.

    Raises:
        LedgerDamaged: the ledger cannot be relied on.
    """
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.chain)
    fresh: list[Reason] = []
    if problem := trust_problem(reader.trust, demand.now):
        fresh.append(trust_expired(problem))
    elif not holds_log_key(workspace):
        covered = sound.signed is not None and sound.signed.size == sound.size
        stale = (
            age_problem(sound.signed, reader.trust, demand.now)
            or ("" if covered else "entries follow the last checkpoint")
            or witness_problem(workspace.ledger.newest_checkpoint() or b"", reader.trust)
        )
        fresh += [checkpoint_stale(stale)] if stale else []
    return judged(reader, digest, demand, name, fresh, as_name=as_name)


def judged(reader: Reader, digest: Digest, demand: Demand, name: str, fresh: Sequence[Reason], *,
           as_name: str = "") -> Verification:  # fmt: skip
    """Steps (9) and (10) over evidence whose place in the log was verified; `fresh` are reasons found before."""
    names = reader.names(digest)
    if not names:
        reason = Reason(
            "unregistered", "no trusted registrar registered these bytes", "register them, or fetch the registered ones"
        )
        return Verification(digest, name, demand.stage, (*fresh, reason))
    known = sorted({registered for registered, _, _ in names})
    evidence = reader.about(digest)
    active, lifts = quarantines(reader)
    reasons = [*fresh, *_denials(reader, digest, evidence, active)]
    if as_name and as_name not in known:
        reasons.append(other_name(as_name, known))
    decision: Digest | None = None
    if demand.stage is not None:
        scopes = [("digest", digest), *(("name", registered) for registered in known)]
        decision, problems = _decided(digest, evidence, demand, max(lifts.get(scope, -1) for scope in scopes))
        reasons += problems
    return Verification(digest, name or names[0][0], demand.stage, tuple(reasons), decision)


def bytes_differ(expected: str, changes: str) -> Reason:
    """The reason for bytes that are not the registered ones."""
    return Reason(
        "bytes-differ",
        f"these are not the bytes of {expected}: {changes}",
        "restore the registered files, or register anew",
    )


def other_name(asked: str, known: Sequence[str]) -> Reason:
    """The reason for bytes that are registered, but as something else than they are offered as."""
    return Reason("other-name", f"these bytes are registered as {', '.join(known)}, not as {asked}",
                  "use the bytes that are registered under this name")  # fmt: skip


def trust_expired(problem: str) -> Reason:
    """The reason for a trust policy that cannot be relied on now."""
    return Reason("trust-expired", f"trust policy: {problem}", "sign a new version with `assay key trust`", True)


def checkpoint_stale(problem: str) -> Reason:
    """The reason for a log that may have gone on without us."""
    return Reason(
        "checkpoint-stale", problem, "fetch a newer ledger or bundle, or sign with `assay ledger checkpoint`", True
    )


def _identify(workspace: Workspace, path: Path, version: Version | None) -> tuple[Manifest, Version | None]:
    """What lies at `path`, hashed the way that its registration was, and the version that it should be."""
    expected = version or registered_at(workspace, path)
    if expected is not None:
        known = workspace.manifest(expected.digest)
        return manifest_of(path, known.kind, ignored=known.ignored, symlinks=expected.symlinks), expected
    hashed = manifest_of(path, Kind.MODEL)
    made = [Manifest.of(kind, hashed.entries) for kind in Kind]
    return next((m for m in made if workspace.registry.with_digest(m.digest)), hashed), None


def registered_at(workspace: Workspace, path: Path) -> Version | None:
    """The newest version that was registered from this very path."""
    here = path.absolute()
    newest_first = sorted(workspace.registry.versions(), key=lambda v: -v.index)
    return next((v for v in newest_first if workspace.location(v.digest) == here), None)


def quarantines(reader: Reader) -> tuple[dict[tuple[str, str], Evidence], dict[tuple[str, str], int]]:
    """Active quarantines by scope, and the index of the last lift of each scope."""
    active: dict[tuple[str, str], Evidence] = {}
    lifts: dict[tuple[str, str], int] = {}
    signers: dict[Digest, list[Evidence]] = {}
    for item in reader.quarantines():
        scope = item.predicate["scope"]
        key = ("digest", scope["digest"]) if "digest" in scope else ("name", scope.get("name", ""))
        if item.predicate["action"] == "quarantine" and "incident" in item.roles:
            active[key] = item
        elif item.predicate["action"] == "lift":
            signers.setdefault(item.digest, []).append(item)
            if key in active and _is_by_two([s for s in signers[item.digest] if s.index > active[key].index]):
                del active[key]
                lifts[key] = item.index
    return active, lifts


def _is_by_two(signed: Sequence[Evidence]) -> bool:
    """A lift counts if an incident key and an approver key of two owners signed it since the quarantine began."""
    return any(
        a.owner != b.owner for a in signed if "incident" in a.roles for b in signed if "approver" in b.roles
    )  # fmt: skip


def _denials(
    reader: Reader, digest: Digest, evidence: Sequence[Evidence], active: dict[tuple[str, str], Evidence]
) -> Iterator[Reason]:
    if any(
        e.type == Predicate.LIFECYCLE and "releaser" in e.roles and e.predicate["to"] == "retired" for e in evidence
    ):
        yield Reason("retired", "this asset is retired; it verifies nowhere", "use another version")
    for scope, value in (("digest", digest), *(("name", name) for name, _, _ in reader.names(digest))):
        if (scope, value) in active:
            yield Reason(
                "quarantined", f"quarantined: {_why(active[scope, value])}", "use another version, or have it lifted"
            )
    for ancestor in sorted(reader.ancestors(digest)) if active else ():
        if ("digest", ancestor) in active:
            yield Reason(
                "tainted",
                f"made from quarantined {short(ancestor)}…: {_why(active['digest', ancestor])}",
                "make it again from clean inputs",
            )


def _why(quarantine: Evidence) -> str:
    return str(quarantine.predicate["reason"])


def _decided(
    digest: Digest, evidence: Sequence[Evidence], demand: Demand, after: int
) -> tuple[Digest | None, list[Reason]]:
    """The newest decision of a trusted gate for the stage, and why it does not allow.

    A decision made before the lift at entry `after` does not count: it must have seen the lift, not only follow it.
    """
    made = [e for e in evidence if e.type == Predicate.DECISION and e.subjects[:1] == (digest,) and e.index > after]
    made = [e for e in made if e.predicate.get("assay_target") == demand.stage]
    made = [e for e in made if after < 0 or e.predicate.get("assay_ledgerSize", 0) > after]
    trusted = [e for e in made if "gate" in e.roles]
    if not trusted:
        why = "only by signers without the role `gate`" if made else "no gate decided"
        return None, [Reason("no-decision", f"nothing allows it for {demand.stage}: {why}", _gate_fix(demand), True)]
    reason = _not_allowing(digest, trusted[-1], demand) or _not_current(trusted[-1], demand)
    return (None, [reason]) if reason else (trusted[-1].digest, [])


def _not_allowing(digest: Digest, newest: Evidence, demand: Demand) -> Reason | None:
    """Why a decision does not allow the asset, whatever its age; None if it does."""
    said = newest.predicate
    policy = said["policy"]["digest"]["sha256"]
    if demand.policies is not None and policy not in demand.policies(digest):
        text = f"it was decided under policy {short(policy)}…, which is not the current one"
        return Reason("other-policy", text, _gate_fix(demand), True)
    if said["assay_decision"] == "deny":
        return Reason("denied", f"the gate denied it for {demand.stage}", "see `assay log ASSET`")
    if said["verificationResult"] != "PASSED" or said["assay_decision"] != "allow":
        return Reason("undecided", f"the gate could not decide it for {demand.stage}", "see `assay log ASSET`", True)
    return None


def _not_current(newest: Evidence, demand: Demand) -> Reason | None:
    """Why a decision is of the wrong time; None if it is of the right one."""
    signed, logged = instant(newest.signed_at), instant(newest.logged_at)
    if signed > logged + FUTURE:
        text = f"the decision is dated {newest.signed_at}, after it was logged"
        return Reason("decision-future", text, _gate_fix(demand), True)
    age = demand.now - min(signed, logged)
    if -FUTURE <= age <= demand.max_age:
        return None
    limit = age_text(demand.max_age.total_seconds())
    text = f"the decision is {age_text(age.total_seconds())} old, at most {limit} is accepted"
    return Reason("decision-stale", text, _gate_fix(demand), True)


def _gate_fix(demand: Demand) -> str:
    return f"run `assay gate ASSET --to {demand.stage}`"
