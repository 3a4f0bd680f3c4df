"""Signing keys: Ed25519 for statements, ECDSA P-256 for tools that know no other; PKCS8 files that only their owner reads.

Key ids are securesystemslib's (sha256 over the canonical key value), so that other in-toto tools find the same key.
Verification takes its algorithm from the key that the trust policy lists, never from the envelope.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from assay.core.digests import sha256
from assay.core.errors import EvidenceError, MalformedInput, StorageError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_SCHEMES = {"ed25519": "ed25519", "ecdsa": "ecdsa-sha2-nistp256"}
_RAW_HEX = re.compile(r"[0-9a-f]{64}")
_KEY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_KEY_FILE = 64 << 10


@dataclass(frozen=True)
class PublicKey:
    """A public key as trust policies list it: hex of 32 bytes for `ed25519`, PEM for `ecdsa`."""

    keytype: str
    public: str

    def __post_init__(self) -> None:
        if self.keytype not in _SCHEMES:
            raise MalformedInput(f"key type {self.keytype[:40]!r} is not supported", "ed25519 and ecdsa (P-256) are")
        if self.keytype == "ed25519" and not _RAW_HEX.fullmatch(self.public):
            # NOTE: upper case or spaces would give one key a second id, and so a second voice in a threshold.
            raise MalformedInput("public key is malformed", "expected 64 lower-case hex characters")

    @property
    def scheme(self) -> str:
        """The one signature scheme that goes with the key type."""
        return _SCHEMES[self.keytype]

    @cached_property
    def key_id(self) -> str:
        """64 hex characters, equal to securesystemslib's default key id."""
        # NOTE: OLPC canonical JSON escapes no newline, so PEM text goes in as it is.
        value = f'{{"keytype":"{self.keytype}","keyval":{{"public":"{self.public}"}},"scheme":"{self.scheme}"}}'
        return sha256(value.encode())

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key, as signed notes want them."""
        return bytes.fromhex(self.public)

    @property
    def material(self) -> bytes:
        """The same bytes for the same key, however it is written down."""
        return self.raw if self.keytype == "ed25519" else _p256_material(self.public)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` over `message` was made by this key; a malformed signature is simply false."""
        try:
            self._check(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    @cached_property
    def _check(self) -> Callable[[bytes, bytes], None]:
        try:
            if self.keytype == "ed25519":
                return Ed25519PublicKey.from_public_bytes(self.raw).verify
            return _p256(self.public)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MalformedInput("public key is malformed", str(error)) from error


class Signer(Protocol):
    """Whatever can sign: a key file now, a hardware token or a key service elsewhere."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The raw signature over `message`."""
        ...


@dataclass(frozen=True)
class PrivateKey:
    """An Ed25519 private key in memory."""

    _key: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @cached_property
    def public(self) -> PublicKey:
        """The key that verifies."""
        return PublicKey("ed25519", self._key.public_key().public_bytes_raw().hex())

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature over `message`. Source: RFC 8032."""
        return self._key.sign(message)

    def save(self, path: Path, passphrase: bytes | None) -> None:
        """Writes PKCS8 PEM with mode 0600; never overwrites.

        Raises:
            UsageError: the file exists.
            StorageError: it cannot be written.
        """
        _save(self._key, path, passphrase)


@dataclass(frozen=True)
class P256Key:
    """An ECDSA P-256 private key in memory, for OpenSSF Model Signing (`evidence/oms`), whose tool knows no Ed25519."""

    _key: EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> P256Key:
        """A new random key."""
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        return cls(generate_private_key(SECP256R1()))

    @cached_property
    def public(self) -> PublicKey:
        """The key that verifies; its `public` is SubjectPublicKeyInfo in PEM."""
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey("ecdsa", pem.decode())

    def sign(self, message: bytes) -> bytes:
        """The DER signature over SHA-256 of `message`. Source: FIPS 186-5, section 6."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(message, ECDSA(SHA256()))

    def save(self, path: Path, passphrase: bytes | None) -> None:
        """Like `PrivateKey.save`."""
        _save(self._key, path, passphrase)


def load_key(path: Path, passphrase: Callable[[], bytes]) -> PrivateKey:
    """Reads a key file; asks for the passphrase only if the file is encrypted.

    Raises:
        UsageError: there is no such file.
        EvidenceError: others can read it, the passphrase is wrong, or it is no Ed25519 key.
    """
    key = _load(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"key {path.name} is no Ed25519 key", type(key).__name__)
    return PrivateKey(key)


def load_p256(path: Path, passphrase: Callable[[], bytes]) -> P256Key:
    """Like `load_key`, for a key on curve P-256."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

    key = _load(path, passphrase)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise EvidenceError(
            f"key {path.name} is no P-256 key", type(key).__name__, "make one with `assay key new NAME --type p256`"
        )
    return P256Key(key)


def check_key_name(name: str) -> str:
    """Returns `name` if a key file may be called so.

    Raises:
        UsageError: anything but lower-case letters, digits, `.`, `_` and `-`.
    """
    if not _KEY_NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} cannot be the name of a key", "lower-case letters, digits, . _ -, at most 64")
    return name


def _save(key: PrivateKeyTypes, path: Path, passphrase: bytes | None) -> None:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"key {path.name} exists already", str(path), "choose another name") from error
    except OSError as error:
        raise StorageError(f"cannot write key {path.name}", str(error)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would only be in the way
        raise StorageError(f"cannot write key {path.name}", str(error)) from error


def _load(path: Path, passphrase: Callable[[], bytes]) -> PrivateKeyTypes:
    try:
        with path.open("rb") as file:
            mode, pem = os.fstat(file.fileno()).st_mode, file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise UsageError(f"cannot read key {path.name}", str(error), "make one with `assay key new NAME`") from error
    if mode & 0o077:
        raise EvidenceError(f"key {path.name} can be read by others", f"mode {mode & 0o777:o}", f"chmod 600 {path}")
    secret = passphrase() if b"ENCRYPTED" in pem else None
    try:
        return load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"cannot open key {path.name}", "wrong passphrase or damaged file") from error


def _p256(pem: str) -> Callable[[bytes, bytes], None]:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _p256_key(pem)
    return lambda signature, message: key.verify(signature, message, ECDSA(SHA256()))


def _p256_material(pem: str) -> bytes:
    try:
        return _p256_key(pem).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedInput("public key is malformed", str(error)) from error


def _p256_key(pem: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(pem.encode())
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("the key is not on curve P-256")
    return key
