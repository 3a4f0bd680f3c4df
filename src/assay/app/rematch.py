"""After an import: everything that was matched or listed before is matched again, without its files.

Bills of materials and earlier matches are read from signed statements that count. Each asset gets a new match; a hit
that no earlier match and no incident names opens an incident on every production asset that is, or was made from, it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from assay import __version__
from assay.app.dependencies import Answer, Collected, look_up
from assay.app.incidents import newest_incidents
from assay.app.lifecycle import open_incident
from assay.app.reader import Reader
from assay.app.register import subject_of
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.checks.dependency.matching import DEFAULT_MAX_AGE, Advisory
from assay.checks.dependency.predicate import dependencies_of, hit_names, known_names, vulns_predicate
from assay.core.digests import Digest
from assay.core.errors import AssayError, EvidenceError
from assay.core.outcomes import Severity
from assay.core.statements import Statement
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.formats.dependencies.bills import read_bill
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.vex import VEX_TYPE, Claim, claims_in
from assay.policy.view import Evidence
from assay.registry.queries import Version

BILL_TYPES = ("https://cyclonedx.org/bom", "https://spdx.dev/Document")
STAGE = "production"


@dataclass(frozen=True)
class Stored:
    """What the ledger knows of an asset's dependencies, and the hits that it knows of already."""

    subject: Digest
    dependencies: tuple[Dependency, ...]
    known: frozenset[str]


@dataclass(frozen=True)
class Opened:
    """An incident that an import opened."""

    id: str
    asset: str
    events: tuple[str, ...]
    receipt: Receipt


@dataclass(frozen=True)
class Rematched:
    """What was matched again: assets, new matches logged, incidents opened, and what could not be done."""

    assets: int = 0
    statements: tuple[Receipt, ...] = ()
    incidents: tuple[Opened, ...] = ()
    problems: tuple[str, ...] = ()


def rematch(workspace: Workspace, database: Path, *, max_age: timedelta = DEFAULT_MAX_AGE) -> Rematched:
    """Matches all stored dependencies against the database at `database`."""
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.chain)
    claims = trusted_claims(reader, sound)
    receipts: list[Receipt] = []
    problems: list[str] = []
    opened: list[Opened] = []
    stored = _stored(reader, sound)
    for one in stored:
        answer = look_up(
            Collected(one.dependencies),
            database,
            workspace.clock(),
            max_age=max_age,
            claims=claims,
            subject=one.subject,
        )
        try:  # NOTE: the incident first: once a match names the hit it is no longer new, and a kill between would lose it
            opened += _incidents(workspace, reader, one, answer)
            if (receipt := log_match(workspace, one.subject, answer)) is not None:
                receipts.append(receipt)
        except EvidenceError as error:
            problems.append(f"{error.what}: {error.why}")
    return Rematched(len(stored), tuple(receipts), tuple(opened), tuple(dict.fromkeys(problems)))


def log_match(workspace: Workspace, subject: Digest, answer: Answer) -> Receipt | None:
    """Signs the match of an asset as a scanner; None if nobody registered the asset.

    Raises:
        EvidenceError: no key here has the role.
    """
    versions = workspace.registry.with_digest(subject)
    if not versions:
        return None
    now = workspace.clock()
    predicate = vulns_predicate(answer.matches, answer.facts, version=__version__, started=now, finished=now)
    statement = Statement((subject_of(versions[0]),), Predicate.VULNERABILITIES, predicate)
    return workspace.sign_and_log(statement, "scanner")


def workspace_claims(workspace: Workspace) -> tuple[Claim, ...]:
    """The VEX claims of a workspace that may count."""
    sound = SoundLedger.of(workspace)
    return trusted_claims(Reader(sound, sound.chain), sound)


def trusted_claims(reader: Reader, sound: SoundLedger) -> tuple[Claim, ...]:
    """Claims of VEX statements whose signer has a role that may say so, oldest first."""
    found: list[Claim] = []
    for evidence in _counting(reader, sound, (VEX_TYPE,)):
        found += claims_in(evidence.predicate, evidence.subjects[0], evidence.digest)
    return tuple(found)


def _stored(reader: Reader, sound: SoundLedger) -> list[Stored]:
    """The newest bill and match of each asset together."""
    bills: dict[Digest, tuple[Dependency, ...]] = {}
    matches: dict[Digest, Evidence] = {}
    known: dict[Digest, frozenset[str]] = {}
    for evidence in _counting(reader, sound, (*BILL_TYPES, Predicate.VULNERABILITIES)):
        subject = evidence.subjects[0]
        if evidence.type == Predicate.VULNERABILITIES:
            matches[subject] = evidence
            known[subject] = known.get(subject, frozenset()) | known_names(evidence.predicate)
        else:
            bills[subject] = _of_bill(evidence)
    found = []
    for subject in dict.fromkeys((*matches, *bills)):
        listed = [*bills.get(subject, ()), *(dependencies_of(matches[subject].predicate) if subject in matches else ())]
        if listed:
            found.append(Stored(subject, tuple(dict.fromkeys(listed)), known.get(subject, frozenset())))
    return found


def _of_bill(evidence: Evidence) -> tuple[Dependency, ...]:
    """The packages of a bill; in-toto carries CycloneDX bare, and some writers wrap it in `Data`."""
    body = evidence.predicate.get("Data", evidence.predicate)
    try:
        return read_bill(body, f"bill {evidence.digest[:12]}").dependencies
    except AssayError as error:
        return (
            Dependency("", f"bill {evidence.digest[:12]}", None, f"bill {evidence.digest[:12]}", error.what, "unread"),
        )


def _counting(reader: Reader, sound: SoundLedger, types: Sequence[str]) -> Iterator[Evidence]:
    """Statements of the types (a version suffix is accepted) that count in some role, oldest first."""
    leaves = {leaf.index: leaf for text in types for leaf in sound.mentioning(text)}
    about: dict[Digest, tuple[Evidence, ...]] = {}
    for index in sorted(leaves):
        leaf = leaves[index]
        if not any(leaf.type == text or leaf.type.startswith(f"{text}/") for text in types):
            continue
        for subject in leaf.subjects[:1]:
            if subject not in about:
                about[subject] = reader.about(subject)
            yield from (e for e in about[subject] if e.index == index and e.roles and not e.problem)


def _incidents(workspace: Workspace, reader: Reader, stored: Stored, answer: Answer) -> list[Opened]:
    hits = [
        (advisory, match.dependency)
        for match in answer.matches
        for advisory in match.advisories
        if not hit_names(advisory, match.dependency) & stored.known
    ]
    opened = []
    for version in _in_production(workspace, reader, stored.subject) if hits else ():
        told = {event for one in newest_incidents(workspace) if one["asset"] == str(version) for event in one["events"]}
        fresh = [hit for hit in hits if _event(*hit) not in told]
        if fresh:
            opened.append(_open(workspace, version, fresh))
    return opened


def _open(workspace: Workspace, version: Version, hits: Sequence[tuple[Advisory, Dependency]]) -> Opened:
    events = tuple(dict.fromkeys(_event(*hit) for hit in hits))[:1000]
    name = "INC-" + sha256("\n".join((version.digest, *events)).encode()).hexdigest()[:12]
    first, dependency = max(hits, key=lambda hit: (_severity(hit[0]).rank, hit[0].id))
    more = f" and {len(events) - 1} more" if len(events) > 1 else ""
    summary = f"newly known: {first.id} in {dependency.name} {dependency.version or ''}{more}"
    receipt = open_incident(workspace, version, name, summary[:4000], _severity(first), events=events)
    return Opened(name, str(version), events, receipt)


def _event(advisory: Advisory, dependency: Dependency) -> str:
    return f"advisory {advisory.id} hits {dependency.purl}"[:4096]


def _severity(advisory: Advisory) -> Severity:
    """A severity that nobody states counts as high: the asset runs in production."""
    return Severity(advisory.severity) if advisory.severity in tuple(Severity) else Severity.HIGH


def _in_production(workspace: Workspace, reader: Reader, subject: Digest) -> list[Version]:
    """Versions that hold the alias `production` and are the subject or were made from it."""
    found = []
    for version in workspace.registry.versions():
        holds = workspace.registry.aliases(version.name).get(STAGE) == version.digest
        if holds and subject in _made_from(reader, version):
            found.append(version)
    return found


def _made_from(reader: Reader, version: Version) -> set[Digest]:
    """The asset, what it declares to be built by, served by or based on, and what trusted provenance says of all these."""
    said: list[object] = [version.declared.get(key) for key in ("builtBy", "servedBy", "base")]
    found = {version.digest, *(str(text).rpartition("sha256:")[2] for text in said if text)}
    return found.union(*(reader.ancestors(digest) for digest in found))
