"""Assets and their names: manifests of bytes, named by the digest of the manifest.

A manifest is `{"entries":[{"path","sha256","size"}...],"ignored":[],"kind":...,"schema":"urn:assay:manifest:v1"}` in
canonical JSON; the sha256 of those bytes is the asset. Modes, times and empty folders are not identity.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from assay.core.canonical import MAX_INTEGER, Json, canonical, parse
from assay.core.digests import Digest, is_digest, read_digest, sha256
from assay.core.errors import MalformedInput, UsageError

MANIFEST_SCHEMA = "urn:assay:manifest:v1"
MAX_ENTRIES = 1_000_000
MAX_MANIFEST_BYTES = 256 << 20
MAX_PATH_BYTES = 1024
MAX_PATH_DEPTH = 64

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}(/[a-z0-9][a-z0-9._-]{0,127})?")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DRIVE = re.compile(r"[A-Za-z]:")


class Kind(StrEnum):
    """What an asset is."""

    DATASET = "dataset"
    CODE = "code"
    MODEL = "model"
    PROMPT = "prompt"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True, order=True)
class Entry:
    """One file of an asset: relative path, digest and size in bytes."""

    path: str
    sha256: Digest
    size: int


@dataclass(frozen=True)
class Manifest:
    """What an asset is made of. Build it with `Manifest.of` or read it with `Manifest.parse`; both validate."""

    kind: Kind
    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: Kind, entries: Iterable[Entry], ignored: Iterable[str] = ()) -> Manifest:
        """Sorts and validates; the result does not depend on the order of `entries`.

        Raises:
            MalformedInput: a name that is refused, two names that collide, no entry, or too many.
        """
        ordered = tuple(sorted(entries, key=lambda entry: entry.path.encode("utf-8", "surrogatepass")))
        manifest = cls(kind, ordered, tuple(sorted(ignored)))
        _validate(manifest)
        return manifest

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Reads canonical manifest bytes.

        Raises:
            MalformedInput: any other shape, or bytes that are not the canonical form of what they say.
        """
        value = parse(data, what="manifest", max_bytes=MAX_MANIFEST_BYTES, max_depth=4)
        try:
            if set(value) != {"entries", "ignored", "kind", "schema"} or value["schema"] != MANIFEST_SCHEMA:
                raise MalformedInput("manifest has another schema", f"expected {MANIFEST_SCHEMA}")
            if any(set(entry) != {"path", "sha256", "size"} for entry in value["entries"]):
                raise MalformedInput("manifest entry has other fields", "expected path, sha256 and size")
            manifest = cls(Kind(value["kind"]), tuple(Entry(**e) for e in value["entries"]), tuple(value["ignored"]))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise MalformedInput("manifest is malformed", str(error)) from error
        _validate(manifest)
        if manifest.canonical_bytes != data:
            raise MalformedInput("manifest is not in canonical form", "its bytes differ from RFC 8785 of its value")
        return manifest

    @cached_property
    def canonical_bytes(self) -> bytes:
        """The RFC 8785 bytes whose digest names the asset."""
        entries = [{"path": e.path, "sha256": e.sha256, "size": e.size} for e in self.entries]
        value: Json = {
            "entries": entries,
            "ignored": list(self.ignored),
            "kind": str(self.kind),
            "schema": MANIFEST_SCHEMA,
        }
        return canonical(value)

    @cached_property
    def digest(self) -> Digest:
        """The name of the asset."""
        return sha256(self.canonical_bytes)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def by_path(self) -> Mapping[str, Entry]:
        """Entries by their path."""
        return {entry.path: entry for entry in self.entries}


@dataclass(frozen=True)
class Differences:
    """How the bytes on disk differ from a manifest; empty means not at all."""

    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.missing or self.changed or self.renamed)

    def __str__(self) -> str:
        said = [f"{label} {_some(names)}" for label, names in
                (("added", self.added), ("missing", self.missing), ("changed", self.changed)) if names]  # fmt: skip
        said += [f"renamed {old} to {new}" for old, new in self.renamed[:3]]
        return "; ".join(said)


def differences(expected: Manifest, found: Manifest) -> Differences:
    """What was added, removed, changed or renamed between two manifests."""
    old, new = expected.by_path(), found.by_path()
    added, missing = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    renamed: list[tuple[str, str]] = []
    gone = {old[path].sha256: path for path in missing}
    for path in list(added):
        if (source := gone.pop(new[path].sha256, None)) is not None:
            renamed.append((source, path))
            added.remove(path)
            missing.remove(source)
    changed = tuple(path for path in sorted(set(old) & set(new)) if old[path] != new[path])
    return Differences(tuple(added), tuple(missing), changed, tuple(renamed))


def check_path(path: str) -> None:
    """Accepts only a relative NFC path that means the same on every system.

    Raises:
        MalformedInput: empty, absolute, `.` or `..` steps, backslash, control characters, drive letters, not NFC,
            longer than 1,024 bytes or deeper than 64 steps.
    """
    problem = _path_problem(path)
    if problem:
        raise MalformedInput(
            f"file name {str(path)[:120]!r} is refused", problem, "rename the file, or leave it out with `ignore`"
        )


def check_name(name: str) -> str:
    """Returns `name` if assets may be called so.

    Raises:
        UsageError: not lower-case letters, digits, `.`, `_`, `-`, with at most one `/`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of an asset", "lower-case letters, digits, . _ - and at most one /"
        )
    return name


def check_alias(alias: str) -> str:
    """Returns `alias` if it may point to a version.

    Raises:
        UsageError: not lower-case letters, digits and `-`.
    """
    if not _ALIAS.fullmatch(alias):
        raise UsageError(f"{alias[:80]!r} cannot be a stage or alias", "lower-case letters, digits and -, at most 63")
    return alias


@dataclass(frozen=True)
class Reference:
    """How people name an asset: `NAME`, `NAME@2`, `NAME@production` or `NAME@sha256:HEX`; exactly one part is set."""

    name: str
    version: int | None = None
    alias: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads the four forms.

        Raises:
            UsageError: a name, version or alias outside its grammar.
        """
        name, at, rest = text.partition("@")
        check_name(name)
        if not at:
            return cls(name)
        if rest.startswith("sha256:"):
            return cls(name, digest=read_digest(rest))
        if rest.isascii() and rest.isdigit() and 0 < len(rest) < 10:
            return cls(name, version=int(rest))
        return cls(name, alias=check_alias(rest))


@dataclass(frozen=True)
class Asset:
    """An asset as a check sees it: its manifest and what was declared about it when it was registered.

    `name` and `version` are for messages only; `digest` is identity.
    """

    name: str
    version: int
    manifest: Manifest
    declared: Mapping[str, Json] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """The digest that names the asset."""
        return self.manifest.digest

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.manifest.kind

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def _validate(manifest: Manifest) -> None:
    if not manifest.entries:
        raise MalformedInput(
            "nothing to register", "there is no file in it", "name a file or a folder that holds files"
        )
    if len(manifest.entries) > MAX_ENTRIES:
        raise MalformedInput("too many files", f"{len(manifest.entries)}, at most {MAX_ENTRIES}")
    if not all(isinstance(pattern, str) for pattern in manifest.ignored):
        raise MalformedInput("manifest is malformed", "`ignored` holds something that is no text")
    seen: dict[str, str] = {}
    last = b""
    for entry in manifest.entries:
        check_path(entry.path)
        if not is_digest(entry.sha256) or type(entry.size) is not int or not 0 <= entry.size <= MAX_INTEGER:
            raise MalformedInput(f"entry {entry.path[:120]!r} is malformed", "digest or size is out of range")
        encoded = entry.path.encode()
        if encoded < last:
            raise MalformedInput("manifest is not sorted", f"at {entry.path[:120]!r}")
        last = encoded
        _check_collisions(entry.path, seen)


def _check_collisions(path: str, seen: dict[str, str]) -> None:
    """Every prefix must be spelt one way: `A/x` and `a/y` collide as folders on many systems."""
    if path.isascii() and path == path.lower() and path not in seen:
        folded, spelled = path, path
    else:
        folded, spelled = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold()), path
    if folded in seen or f"{folded}/" in seen:
        raise _collision(seen.get(folded) or seen[f"{folded}/"], path)
    seen[folded] = spelled
    parent, folded_parent = path.rpartition("/")[0], folded.rpartition("/")[0]
    while parent and (known := seen.get(f"{folded_parent}/")) != f"{parent}/":
        if known is not None or folded_parent in seen:
            raise _collision(known or seen[folded_parent], f"{parent}/")
        seen[f"{folded_parent}/"] = f"{parent}/"
        parent, folded_parent = parent.rpartition("/")[0], folded_parent.rpartition("/")[0]


def _collision(first: str, second: str) -> MalformedInput:
    return MalformedInput(
        f"two names collide: {first[:120]!r} and {second[:120]!r}",
        "they are equal where case or Unicode form is ignored, or one is both a file and a folder",
        "rename one of them",
    )


def _path_problem(path: str) -> str:
    if not isinstance(path, str) or not path:
        return "it is empty or no text"
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size > MAX_PATH_BYTES:
        return f"longer than {MAX_PATH_BYTES} bytes"
    steps = path.split("/")
    if len(steps) > MAX_PATH_DEPTH:
        return f"deeper than {MAX_PATH_DEPTH} folders"
    if any(step in ("", ".", "..") for step in steps):
        return "it is absolute or has an empty, `.` or `..` step"
    if any(step.endswith((".", " ")) for step in steps):
        return "a step ends in a dot or a blank, which other systems drop"
    if "\\" in path or _DRIVE.match(path):
        return "it holds a backslash or a drive letter, which other systems read as a path"
    is_plain = path.isascii() and path.isprintable()
    if not is_plain and any(unicodedata.category(c) in ("Cc", "Cs") for c in path):
        return "it holds control characters"
    if not path.isascii() and not unicodedata.is_normalized("NFC", path):
        return "it is not in Unicode form NFC, so another system would write it with other bytes"
    return ""


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
