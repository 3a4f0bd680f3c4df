"""OpenSSF Model Signing (OMS) v1.0: signatures that the reference tool `model_signing` verifies, and reading theirs.

A signature is a Sigstore bundle of a DSSE envelope of an in-toto statement whose predicate lists every file:

    {"resources": [{"algorithm": "sha256", "digest": HEX, "name": "d/b.txt"}, ...],
     "serialization": {"allow_symlinks": false, "hash_type": "sha256", "ignore_paths": [], "method": "files"}}

The subject is the folder's name and SHA-256 over the raw digests of all resources in their order. It leaves the names
out, so two trees with swapped names share it; therefore only the list of resources is ever compared with files. One
file has the name "."; a shard of a file has the name "PATH:START:END". Rules that this page keeps:

- The curve of the given public key decides the algorithm; the envelope and its hints decide nothing.
- Nothing in the payload is read before its signature held. After that it is still bounded: sizes, names, shards.
- `ignore_paths` is read, and never believed: whoever compares files refuses what the list of resources leaves out.
- We sign no folder that holds .git, .github, .gitignore or .gitattributes: the reference tool leaves these out when it
  verifies, so it would refuse a list with them, and a list without them would let anybody add files there.

Source: model-signing 1.1.1, `_signing/signing.py`, `manifest.py`, `_signing/sign_ec_key.py`; OMS specification v1.0.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from assay.core.assets import MAX_ENTRIES, Entry, check_path
from assay.core.canonical import MAX_INTEGER, Json, canonical, parse
from assay.core.digests import Digest, sha256
from assay.core.errors import EvidenceError, MalformedInput, UsageError
from assay.core.statements import STATEMENT_TYPE, Statement, Subject
from assay.evidence.envelope import BUNDLE_TYPE, STATEMENT_PAYLOAD, envelope_json, pae, read_bundle
from assay.evidence.keys import P256Key, PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

PREDICATE = "https://model_signing/signature/v1.0"
GIT_NAMES = (".git", ".gitattributes", ".github", ".gitignore")
ONE_FILE = "."
MAX_OMS_BYTES = 64 << 20  # about 200,000 files; parsing takes some ten times as much memory
DIGEST_HEX = {"sha256": 64, "blake2b": 128, "blake3": 64}
_HEX = re.compile(r"[0-9a-f]+")
_OFFSET = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class Resource:
    """One signed digest: of a whole file (`end` is None) or of its bytes from `start` to before `end`."""

    path: str
    digest: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class ModelSignature:
    """What a verified signature says. `name` is what the signed file or folder was called; no tool holds to it."""

    name: str
    subject: Digest
    hash_type: str
    shard_size: int | None
    allow_symlinks: bool
    ignored: tuple[str, ...]
    resources: tuple[Resource, ...]

    @property
    def is_one_file(self) -> bool:
        """Whether a single file was signed, not a folder."""
        return all(resource.path == ONE_FILE for resource in self.resources)

    @cached_property
    def by_path(self) -> Mapping[str, Sequence[Resource]]:
        """The resources of each file, in the order of their offsets."""
        found: dict[str, list[Resource]] = {}
        for resource in sorted(self.resources, key=lambda resource: resource.start):
            found.setdefault(resource.path, []).append(resource)
        return found


@dataclass(frozen=True)
class ModelKey:
    """A public key on P-256, P-384 or P-521; its curve alone decides how signatures are checked."""

    _key: EllipticCurvePublicKey

    @classmethod
    def read(cls, pem: bytes) -> ModelKey:
        """Reads SubjectPublicKeyInfo in PEM.

        Raises:
            UsageError: anything else, a key of another type or curve.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError("this is no public key in PEM", str(error)[:200], "give the .pub of the key") from error
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _hashes():
            raise UsageError(
                "this key cannot sign models", "OMS v1.0 keys are on curve P-256, P-384 or P-521", "ask for such a key"
            )
        return cls(key)

    @property
    def hint(self) -> str:
        """How a bundle names the key: SHA-256 of its PEM. Source: model-signing, `sign_ec_key.py`."""
        return sha256(self._pem)

    @property
    def key_id(self) -> str:
        """How Assay names the key; the hint for curves on which it makes none."""
        return PublicKey("ecdsa", self._pem.decode()).key_id if self._key.curve.name == "secp256r1" else self.hint

    @cached_property
    def _pem(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key made the signature."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        try:
            self._key.verify(signature, message, ECDSA(_hashes()[self._key.curve.name]))
        except (InvalidSignature, ValueError):
            return False
        return True


def refuse_git(names: Iterable[str]) -> None:
    """Refuses to sign a folder on which we and the reference tool could not agree; `names` lie at its top.

    Raises:
        UsageError: one of them is `.git`, `.gitattributes`, `.github` or `.gitignore`.
    """
    found = sorted(set(names) & set(GIT_NAMES))
    if found:
        raise UsageError(
            f"a folder with {', '.join(found)} is not signed in the OMS format",
            "its reference tool leaves these out when it verifies: a list with them would be refused there,"
            " and one without them would let anybody add files under them",
            f"remove {', '.join(found)}, or sign a copy without (`git archive`)",
        )


def model_statement(name: str, entries: Iterable[Entry], *, is_one_file: bool) -> Statement:
    """The statement that signs files by their SHA-256.

    Resources stand in the order of the reference tool, path steps compared one by one, so that both tools give the same
    tree the same subject digest.

    Raises:
        UsageError: `entries` hold files of git at the top.
    """
    ordered = sorted(entries, key=lambda entry: entry.path.split("/"))
    if not is_one_file:
        refuse_git(entry.path.split("/", 1)[0] for entry in ordered)
    resources = [
        {"algorithm": "sha256", "digest": e.sha256, "name": ONE_FILE if is_one_file else e.path} for e in ordered
    ]
    serialization = {"allow_symlinks": False, "hash_type": "sha256", "ignore_paths": [], "method": "files"}
    predicate = {"resources": resources, "serialization": serialization}
    return Statement((Subject(name, _subject_digest(e.sha256 for e in ordered)),), PREDICATE, predicate)


def sign_model(statement: Statement, key: P256Key) -> bytes:
    """The bundle of a signed statement.

    Raises:
        UsageError: so many files that no reader would take the bundle.
    """
    public = key.public
    signature = key.sign(pae(STATEMENT_PAYLOAD, statement.payload))
    # NOTE: the reference tool compares this hint with SHA-256 of the PEM; it never looks at the envelope's key id.
    material = {"publicKey": {"hint": sha256(public.public.encode())}, "tlogEntries": []}
    envelope = envelope_json(STATEMENT_PAYLOAD, statement.payload, [(public.key_id, signature)])
    bundle = canonical({"dsseEnvelope": envelope, "mediaType": BUNDLE_TYPE, "verificationMaterial": material})
    if len(bundle) > MAX_OMS_BYTES:
        raise UsageError("too many files for one signature", f"it would take {len(bundle)} bytes, at most {MAX_OMS_BYTES}")  # fmt: skip
    return bundle


def open_model_signature(bundle: bytes, key: ModelKey) -> ModelSignature:
    """Verifies a bundle with the given key, and only then reads what it says.

    Raises:
        MalformedInput: bundle or statement do not follow the format, or contradict themselves.
        EvidenceError: another key made the signature, or the payload was edited.
    """
    envelope = read_bundle(bundle, MAX_OMS_BYTES)
    hint, signature = envelope.signatures[0]
    if not key.verifies(signature, envelope.pae):
        named = f"it names key {hint[:16]}…" if hint else "it names no key"
        raise EvidenceError(
            "the signature is not by the given key",
            "what was signed has been edited"
            if hint in (key.hint, key.key_id)
            else f"{named}, you gave {key.key_id[:16]}…",
            "verify with the public key of whoever signed, taken from them and not from beside the signature",
            reason="unsigned",
        )
    return read_model_statement(envelope.payload)


def read_model_statement(payload: bytes) -> ModelSignature:
    """Reads a payload whose signature held.

    Raises:
        MalformedInput: another type or method, a refused name, shards with gaps, a subject digest that does not fit.
    """
    value = parse(payload, what="statement", max_bytes=MAX_OMS_BYTES)
    if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE or value.get("predicateType") != PREDICATE:
        raise MalformedInput("this is no model signature", f"expected the predicate type {PREDICATE}")
    try:
        signed = _signed(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedInput("model signature is malformed", f"{type(error).__name__}: {str(error)[:200]}") from error
    if _subject_digest(resource.digest for resource in signed.resources) != signed.subject:
        raise MalformedInput("model signature contradicts itself", "its subject is not the digest of its resources")
    _check_resources(signed)
    return signed


def _hashes() -> Mapping[str, HashAlgorithm]:
    """The digest that goes with each curve. Source: model-signing, `sign_ec_key.get_ec_key_hash`."""
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    return {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}


def _signed(value: Json) -> ModelSignature:
    ((name, subject),) = [(item["name"], item["digest"]["sha256"]) for item in value["subject"]]
    how = value["predicate"]["serialization"]
    hash_type, shard_size = _hash_type(how), _shard_size(how)
    listed = value["predicate"]["resources"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_ENTRIES:
        raise ValueError(f"1 to {MAX_ENTRIES} resources are read")
    resources = tuple(_resource(item, hash_type, shard_size) for item in listed)
    return ModelSignature(_text(name), _text(subject), hash_type, shard_size, _flag(how), _ignored(how), resources)


def _subject_digest(digests: Iterable[str]) -> Digest:
    hasher = hashlib.sha256()
    for digest in digests:
        hasher.update(bytes.fromhex(digest))
    return hasher.hexdigest()


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError("a name or digest is no text")
    return value


def _flag(how: Json) -> bool:
    value = how["allow_symlinks"]
    if not isinstance(value, bool):
        raise ValueError("allow_symlinks is neither true nor false")
    return value


def _ignored(how: Json) -> tuple[str, ...]:
    value = how.get("ignore_paths", [])
    if not isinstance(value, list):
        raise ValueError("ignore_paths is no list")
    return tuple(_text(item) for item in value)


def _hash_type(how: Json) -> str:
    value = how["hash_type"]
    if value not in DIGEST_HEX:
        raise ValueError(f"hash_type {str(value)[:40]!r} is not known; {', '.join(DIGEST_HEX)} are")
    return str(value)


def _shard_size(how: Json) -> int | None:
    """None for method `files`. The reference tool writes 1e9 as a float and then cannot read it; whole floats are fine."""
    if how["method"] == "files":
        return None
    if how["method"] != "shards":
        raise ValueError(f"method {str(how['method'])[:40]!r} is not known; files and shards are")
    size = how["shard_size"]
    if isinstance(size, bool) or not isinstance(size, int | float) or size != int(size) or not 0 < size <= MAX_INTEGER:
        raise ValueError("shard_size is no positive whole number")
    return int(size)


def _resource(item: Json, hash_type: str, shard_size: int | None) -> Resource:
    name, algorithm, digest = _text(item["name"]), _text(item["algorithm"]), _text(item["digest"])
    if len(digest) != DIGEST_HEX[hash_type] or not _HEX.fullmatch(digest):
        raise ValueError(f"the digest of {name[:120]!r} is no {hash_type}")
    if algorithm not in _algorithms(hash_type, shard_size):
        raise ValueError(f"{name[:120]!r} has algorithm {algorithm[:40]!r}, expected {hash_type}")
    if shard_size is None:
        return Resource(_path(name), digest)
    path, first, last = name.rsplit(":", 2)
    if not _OFFSET.fullmatch(first) or not _OFFSET.fullmatch(last):
        raise ValueError(f"{name[:120]!r} is not PATH:START:END")
    return Resource(_path(path), digest, int(first), int(last))


def _algorithms(hash_type: str, shard_size: int | None) -> tuple[str, ...]:
    """How resources may call the algorithm; the float is what the reference tool makes of its own shard size."""
    return (hash_type,) if shard_size is None else tuple(f"{hash_type}-sharded-{n}" for n in (shard_size, float(shard_size)))  # fmt: skip


def _path(name: str) -> str:
    if name != ONE_FILE:
        check_path(name)
    return name


def _check_resources(signed: ModelSignature) -> None:
    """Each file once or, in shards, from its first byte on without a gap; "." stands alone."""
    if ONE_FILE in signed.by_path and not signed.is_one_file:
        raise MalformedInput("model signature contradicts itself", "it signs a single file and a folder at once")
    for path, parts in signed.by_path.items():
        if signed.shard_size is None:
            problem = "is listed twice" if len(parts) > 1 else ""
        else:
            expected = _shards(parts[-1].end or 0, signed.shard_size, len(parts))
            problem = "" if [(p.start, p.end) for p in parts] == list(expected) else "has shards with gaps or overlaps"
        if problem:
            raise MalformedInput("model signature contradicts itself", f"{path[:120]!r} {problem}")


def _shards(size: int, shard_size: int, count: int) -> Iterator[tuple[int, int]]:
    """The `count` ranges that a file of `size` bytes must have; an endless list of others cannot be asked for."""
    if -(-size // shard_size) == count:
        yield from ((start, min(start + shard_size, size)) for start in range(0, size, shard_size))
