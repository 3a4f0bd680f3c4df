"""DSSE envelopes inside Sigstore bundles: how a statement is signed, and how hostile bundle bytes are read.

The signature covers PAE(payloadType, payload), so a payload can never be taken for another type. Nothing inside the
payload is looked at before a signature held.
Source: DSSE protocol v1.0.2; Sigstore bundle v0.3 (dev.sigstore.bundle.v1.Bundle).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest, sha256
from assay.core.errors import EvidenceError, MalformedInput
from assay.core.statements import Statement
from assay.evidence.keys import PublicKey, Signer

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_PAYLOAD = "application/vnd.in-toto+json"
MAX_BUNDLE_BYTES = 16 << 20
MAX_SIGNATURES = 64
_STANDARD, _URL_SAFE = b"+/", b"-_"


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope whose signatures nobody checked yet; `signatures` are (key id hint, signature)."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def pae(self) -> bytes:
        """The bytes that were signed. Source: DSSE v1, "Pre-Authentication Encoding"."""
        return pae(self.payload_type, self.payload)

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """The distinct keys of `keys` that made one of the signatures; hints only order the search."""
        pool = list(keys)
        message = self.pae
        found: dict[str, PublicKey] = {}
        for hint, signature in self.signatures:
            for key in sorted(pool, key=lambda k: k.key_id != hint)[:MAX_SIGNATURES]:
                if key.key_id not in found and key.verifies(signature, message):
                    found[key.key_id] = key
                    break
        return tuple(found.values())


@dataclass(frozen=True)
class Signed:
    """A statement with the bundle that carries it and the key that signed it. Made by `sign` or `open_bundle` only."""

    statement: Statement
    bundle: bytes
    key_id: str

    @property
    def digest(self) -> Digest:
        """The digest of the statement."""
        return self.statement.digest

    @property
    def bundle_digest(self) -> Digest:
        """The digest of the bundle bytes."""
        return sha256(self.bundle)


def pae(payload_type: str, payload: bytes) -> bytes:
    """`DSSEv1 SP len SP type SP len SP body`."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def sign(statement: Statement, signer: Signer) -> Signed:
    """Signs a statement into a bundle."""
    key_id = signer.public.key_id
    signature = signer.sign(pae(STATEMENT_PAYLOAD, statement.payload))
    envelope = envelope_json(STATEMENT_PAYLOAD, statement.payload, [(key_id, signature)])
    bundle = canonical({
        "dsseEnvelope": envelope,
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
    })  # fmt: skip
    return Signed(statement, bundle, key_id)


def open_bundle(bundle: bytes, keys: Iterable[PublicKey]) -> Signed:
    """Verifies a bundle with one of `keys`, and only then parses its statement.

    Raises:
        MalformedInput: the bundle or the statement is malformed, or holds another payload type.
        EvidenceError: no given key made the signature.
    """
    envelope = read_bundle(bundle)
    signers = envelope.signers(keys)
    if not signers:
        raise EvidenceError(
            "signature is not by a trusted key",
            f"the bundle names key {envelope.signatures[0][0][:16] or 'nobody'}",
            "add the key to the trust policy with `assay key trust`, or ask for a statement by a trusted key",
            reason="unsigned",
        )
    return Signed(Statement.parse(envelope.payload), bundle, signers[0].key_id)


def read_bundle(bundle: bytes, max_bytes: int = MAX_BUNDLE_BYTES) -> Envelope:
    """Steps (1) and (2) of verification: bounds and form, no trust yet.

    Raises:
        MalformedInput: another media type, another payload type, not exactly one signature, loose base64.
    """
    value = parse(bundle, what="bundle", max_bytes=max_bytes)
    if not isinstance(value, dict) or value.get("mediaType") != BUNDLE_TYPE:
        raise MalformedInput("bundle has another media type", f"expected {BUNDLE_TYPE}")
    material = value.get("verificationMaterial")
    if not isinstance(material, dict) or "dsseEnvelope" not in value:
        raise MalformedInput("bundle is malformed", "verificationMaterial or dsseEnvelope is missing")
    envelope = read_envelope(value["dsseEnvelope"], STATEMENT_PAYLOAD)
    if len(envelope.signatures) != 1:
        raise MalformedInput("bundle is malformed", f"{len(envelope.signatures)} signatures, exactly one is read")
    hint = material.get("publicKey", {}).get("hint") if isinstance(material.get("publicKey"), dict) else None
    if not envelope.signatures[0][0] and isinstance(hint, str):
        return Envelope(envelope.payload_type, envelope.payload, ((hint, envelope.signatures[0][1]),))
    return envelope


def read_envelope(value: Json, payload_type: str) -> Envelope:
    """A DSSE envelope of exactly `payload_type`.

    Raises:
        MalformedInput: any other shape or type, no signature, more than 64, loose base64.
    """
    if not isinstance(value, dict) or value.get("payloadType") != payload_type:
        raise MalformedInput("envelope holds another payload type", f"expected {payload_type}")
    signatures = value.get("signatures")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise MalformedInput("envelope is malformed", f"1 to {MAX_SIGNATURES} signatures are read")
    read = []
    for item in signatures:
        if not isinstance(item, dict) or not isinstance(item.get("keyid", ""), str):
            raise MalformedInput("envelope is malformed", "a signature is no object")
        read.append((item.get("keyid", ""), _base64(item.get("sig"))))
    return Envelope(payload_type, _base64(value.get("payload")), tuple(read))


def envelope_json(payload_type: str, payload: bytes, signatures: Iterable[tuple[str, bytes]]) -> Json:
    """The JSON value of an envelope."""
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id, "sig": base64.b64encode(s).decode()} for key_id, s in signatures],
    }


def _base64(text: Json) -> bytes:
    """Strict standard or URL-safe base64; DSSE allows both."""
    if not isinstance(text, str):
        raise MalformedInput("envelope is malformed", "payload or signature is no text")
    try:
        data = text.encode("ascii")
        if b"-" in data or b"_" in data:
            if b"+" in data or b"/" in data:
                raise ValueError("two alphabets are mixed")
            data = data.translate(bytes.maketrans(_URL_SAFE, _STANDARD))
        decoded = base64.b64decode(data, validate=True)
        if base64.b64encode(decoded) != data:
            raise ValueError("padding bits are not zero")
        return decoded
    except (ValueError, binascii.Error) as error:
        raise MalformedInput("envelope is malformed", f"base64: {error}") from error
