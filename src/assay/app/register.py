"""`assay register`: the bytes of an asset become a manifest, and the manifest a version of a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.app.workspace import Workspace
from assay.core.assets import Kind, Manifest, Reference, check_name
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import StateError
from assay.core.statements import Statement, Subject
from assay.evidence.files import Seen, manifest_of
from assay.evidence.hash_cache import HashCache
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate
from assay.registry.queries import Version

_ATTEMPTS = 8
_REFERENCES = ("trainedOn", "testedOn")


@dataclass(frozen=True)
class Description:
    """What is said of an asset beside its bytes. `declared` and `origin` follow the registration schema."""

    name: str
    kind: Kind
    declared: Mapping[str, Json] = field(default_factory=dict)
    origin: Mapping[str, Json] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    symlinks: str = "refuse"


@dataclass(frozen=True)
class Registered:
    """A version and, if it is new, the receipt of its registration."""

    version: Version
    manifest: Manifest
    receipt: Receipt | None


def register(workspace: Workspace, path: Path, about: Description, *, seen: Seen = lambda _: None) -> Registered:
    """Registers the bytes at `path`; the same bytes under the same name are the version that they were.

    Raises:
        MalformedInput: a file name, link or device that is refused, or no file.
        ChangedMeanwhile: a file changed while it was read.
        EvidenceError: no key here may register.
    """
    check_name(about.name)
    memory = HashCache(workspace.folder / "hashes.sqlite", path)
    try:
        manifest = manifest_of(
            path, about.kind, ignored=about.ignored, symlinks=about.symlinks, memory=memory, seen=seen
        )
    finally:
        memory.close()
    made = record(workspace, manifest, about, from_cache=memory.is_used)
    workspace.keep_location(manifest.digest, path)
    return made


def record(workspace: Workspace, manifest: Manifest, about: Description, *, from_cache: bool = False) -> Registered:
    """Logs the registration of a manifest; tries again with the next number if another process was first.

    Raises:
        StateError: these bytes were retired under this name.
    """
    for _ in range(_ATTEMPTS):
        known = workspace.registry.find(Reference(about.name, digest=manifest.digest))
        if known is not None:
            if known.state == "retired":
                raise StateError(f"{known} is retired", "its bytes cannot be registered again under this name")
            return Registered(known, manifest, None)
        statement = registration(workspace, manifest, about, from_cache)
        try:
            receipt = workspace.sign_and_log(statement, "registrar", [manifest.canonical_bytes])
        except StateError as error:
            if error.reason in ("version-taken", "already-registered"):
                continue
            raise
        return Registered(workspace.registry.resolve(Reference(about.name, digest=manifest.digest)), manifest, receipt)
    raise StateError(
        f"{about.name} could not be registered", f"other processes were first {_ATTEMPTS} times", "run again"
    )


def set_labels(workspace: Workspace, version: Version, labels: Mapping[str, str]) -> Receipt:
    """Sets labels of a version; the newest value of a key counts."""
    predicate: Json = {"labels": dict(labels), "ledgerSize": workspace.ledger.size(), "name": version.name,
                       "version": version.n}  # fmt: skip
    return workspace.sign_and_log(Statement((subject_of(version),), Predicate.LABEL, predicate), "registrar")


def registration(workspace: Workspace, manifest: Manifest, about: Description, from_cache: bool) -> Statement:
    """The registration statement of the next version."""
    n = workspace.registry.next_version(about.name)
    predicate: dict[str, Json] = {
        "hashCache": from_cache,
        "kind": str(about.kind),
        "manifest": {"entries": len(manifest.entries), "sha256": manifest.digest, "sizeBytes": manifest.size_bytes,
                     "symlinks": about.symlinks},
        "name": about.name,
        "version": n,
    }  # fmt: skip
    optional = {"declared": _pinned(workspace, about.declared), "origin": about.origin, "labels": about.labels}
    predicate |= {key: dict(value) for key, value in optional.items() if value}
    aliases = tuple(Subject(e.path, e.sha256) for e in manifest.entries) if len(manifest.entries) == 1 else ()
    subjects = (Subject(f"assay:{about.name}@{n}", manifest.digest), *aliases)
    return Statement(subjects, Predicate.REGISTRATION, predicate)


def subject_of(version: Version) -> Subject:
    """How statements name a version."""
    return Subject(f"assay:{version}", version.digest)


def _pinned(workspace: Workspace, declared: Mapping[str, Json]) -> Mapping[str, Json]:
    """References to other assets become digests now, because names move on."""

    def pin(text: str) -> str:
        version = workspace.registry.resolve(Reference.parse(text))
        return f"{version.name}@{shown(version.digest)}"

    lists = {key: [pin(item) for item in declared[key]] for key in _REFERENCES if key in declared}
    single = {key: pin(declared[key]) for key in ("builtBy", "servedBy", "base") if key in declared}
    return {**declared, **lists, **single}
