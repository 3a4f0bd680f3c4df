"""Other implementations verify our envelopes, compute our key ids and parse our statements and bundles."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.protobuf.json_format import MessageToJson, Parse
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as PeerStatement
from in_toto_attestation.v1.statement_pb2 import Statement as PeerMessage
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey
from sigstore.models import Bundle, InvalidBundle
from sigstore_models.bundle.v1 import Bundle as Model
from tests.support import Team, registration_of

from assay.core.errors import MalformedInput
from assay.core.statements import Statement, Subject
from assay.evidence.envelope import BUNDLE_TYPE, STATEMENT_PAYLOAD, envelope_json, open_bundle, pae, read_envelope, sign
from assay.evidence.keys import PrivateKey, PublicKey
from assay.evidence.predicates import Predicate
from assay.evidence.trust import TRUST_PAYLOAD, sign_trust

KEY = PrivateKey.generate()
SIGNED = sign(registration_of("credit/model", 3, "ab" * 32), KEY)


def peer_key(key: PublicKey) -> SSlibKey:
    return SSlibKey(key.key_id, key.keytype, key.scheme, {"public": key.public})


def peer_envelope(bundle: bytes) -> PeerEnvelope:
    return PeerEnvelope.from_dict(json.loads(bundle)["dsseEnvelope"])


def p256() -> tuple[ec.EllipticCurvePrivateKey, PublicKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return key, PublicKey("ecdsa", pem)


def test_securesystemslib_verifies_our_envelope() -> None:
    accepted = peer_envelope(SIGNED.bundle).verify([peer_key(KEY.public)], 1)
    assert list(accepted) == [KEY.public.key_id]


def test_securesystemslib_refuses_our_envelope_under_another_key_or_payload_type() -> None:
    with pytest.raises(VerificationError):
        peer_envelope(SIGNED.bundle).verify([peer_key(PrivateKey.generate().public)], 1)
    envelope = peer_envelope(SIGNED.bundle)
    envelope.payload_type = TRUST_PAYLOAD
    with pytest.raises(VerificationError):
        envelope.verify([peer_key(KEY.public)], 1)


def test_the_pre_authentication_encoding_is_that_of_securesystemslib() -> None:
    assert pae(STATEMENT_PAYLOAD, SIGNED.statement.payload) == peer_envelope(SIGNED.bundle).pae()


def test_key_ids_are_those_of_securesystemslib() -> None:
    assert SSlibKey.from_crypto(_crypto(KEY)).keyid == KEY.public.key_id
    private, public = p256()
    theirs = SSlibKey.from_crypto(private.public_key())
    assert (theirs.keyid, theirs.keytype, theirs.scheme) == (public.key_id, public.keytype, public.scheme)
    assert theirs.keyval["public"] == public.public


def test_we_verify_what_securesystemslib_signed() -> None:
    signer = CryptoSigner.generate_ed25519()
    envelope = PeerEnvelope(SIGNED.statement.payload, STATEMENT_PAYLOAD, {})
    envelope.sign(signer)
    bundle = json.dumps({
        "mediaType": BUNDLE_TYPE, "dsseEnvelope": envelope.to_dict(), "verificationMaterial": {"publicKey": {"hint": ""}},
    }).encode()  # fmt: skip
    ours = PublicKey("ed25519", signer.public_key.keyval["public"])
    opened = open_bundle(bundle, [ours])
    assert (opened.digest, opened.key_id) == (SIGNED.digest, signer.public_key.keyid)


def test_we_verify_p256_signatures_and_only_on_that_curve() -> None:
    private, public = p256()
    signature = private.sign(pae(STATEMENT_PAYLOAD, SIGNED.statement.payload), ec.ECDSA(SHA256()))
    envelope = read_envelope(
        envelope_json(STATEMENT_PAYLOAD, SIGNED.statement.payload, [("", signature)]), STATEMENT_PAYLOAD
    )
    assert envelope.signers([KEY.public, public]) == (public,)
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert load_pem_public_key(pem.encode())
    with pytest.raises(MalformedInput):
        PublicKey("ecdsa", pem).verifies(signature, b"")


@pytest.mark.parametrize("predicate", list(Predicate))
def test_in_toto_attestation_parses_and_validates_every_type(predicate: Predicate) -> None:
    subjects = (Subject("assay:credit@1", "ab" * 32), Subject("model.bin", "cd" * 32))
    payload = Statement(subjects, predicate, {"value": 0.1, "text": "é", "list": [1, {"a": None}]}).payload
    message = Parse(payload.decode(), PeerMessage())
    PeerStatement.copy_from_pb(message).validate()
    assert message.predicate_type == predicate
    assert [dict(s.digest) for s in message.subject] == [{"sha256": "ab" * 32}, {"sha256": "cd" * 32}]


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5).filter(str.isprintable), st.integers(-9, 9), min_size=1, max_size=4))
def test_in_toto_attestation_reads_the_predicate_that_we_wrote(predicate: dict[str, int]) -> None:
    payload = Statement((Subject("a", "ab" * 32),), "urn:test:x:v1", predicate).payload
    message = Parse(payload.decode(), PeerMessage())
    assert dict(message.predicate.items()) == predicate


def test_we_read_what_in_toto_attestation_wrote() -> None:
    peer = PeerStatement([ResourceDescriptor("a", digest={"sha256": "ab" * 32}).pb], "urn:test:x:v1", {"a": 1.0})
    read = Statement.parse(MessageToJson(peer.pb).encode())
    assert (read.subject, read.type, read.predicate) == ("ab" * 32, "urn:test:x:v1", {"a": 1})


def test_sigstore_python_takes_our_bundle_apart_as_far_as_it_reads_key_bundles() -> None:
    """sigstore-python reads bundles with certificates only; it parses ours and then asks for the certificate."""
    model = Model.from_json(SIGNED.bundle)
    assert model.media_type == BUNDLE_TYPE
    assert model.verification_material.public_key is not None
    assert model.verification_material.public_key.hint == KEY.public.key_id
    assert model.dsse_envelope is not None
    assert model.dsse_envelope.payload_type == STATEMENT_PAYLOAD
    assert model.dsse_envelope.payload == SIGNED.statement.payload
    with pytest.raises(InvalidBundle):
        Bundle.from_json(SIGNED.bundle)


def test_a_trust_policy_is_a_plain_envelope_that_securesystemslib_verifies_by_threshold() -> None:
    team = Team()
    envelope = PeerEnvelope.from_dict(json.loads(sign_trust(team.policy(), [team["ada"], team["bob"]])))
    keys = [peer_key(team[name].public) for name in ("ada", "bob", "eve")]
    assert len(envelope.verify(keys, 2)) == 2
    with pytest.raises(VerificationError):
        envelope.verify(keys, 3)


def _crypto(key: PrivateKey) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key.public.raw)
