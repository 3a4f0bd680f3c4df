"""Envelopes and keys: what is signed, whose signature counts, and which bundle bytes are read at all."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from assay.core.canonical import canonical
from assay.core.errors import AssayError, EvidenceError, MalformedInput, UsageError
from assay.core.statements import Statement, Subject
from assay.evidence.envelope import (
    MAX_BUNDLE_BYTES,
    MAX_SIGNATURES,
    STATEMENT_PAYLOAD,
    envelope_json,
    open_bundle,
    pae,
    read_bundle,
    read_envelope,
    sign,
)
from assay.evidence.keys import PrivateKey, PublicKey, check_key_name, load_key
from assay.evidence.trust import TRUST_PAYLOAD

KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()
STATEMENT = Statement(
    (Subject("a", "ab" * 32),), "urn:assay:label:v1", {"labels": {"é?>": "~"}, "name": "a", "version": 1}
)
SIGNED = sign(STATEMENT, KEY)
Json = dict[str, object]


def edited(change: Callable[[dict], object]) -> bytes:  # type: ignore[type-arg]
    value = json.loads(SIGNED.bundle)
    change(value)
    return json.dumps(value).encode()


def no_secret() -> bytes:
    raise AssertionError("nobody should be asked")


def test_the_signature_covers_type_and_payload() -> None:
    assert pae("a/b", b"xyz") == b"DSSEv1 3 a/b 3 xyz"
    assert pae("é", b"") == "DSSEv1 2 é 0 ".encode()


def test_a_bundle_by_a_given_key_opens_to_its_statement() -> None:
    opened = open_bundle(SIGNED.bundle, [OTHER.public, KEY.public])
    assert (opened.statement, opened.key_id, opened.digest) == (STATEMENT, KEY.public.key_id, STATEMENT.digest)


def test_a_bundle_by_another_key_is_refused_before_its_payload_is_parsed() -> None:
    garbage = edited(lambda v: v["dsseEnvelope"].update(payload=base64.b64encode(b"{").decode()))
    for data in (SIGNED.bundle, garbage):
        with pytest.raises(EvidenceError) as caught:
            open_bundle(data, [OTHER.public])
        assert caught.value.reason == "unsigned"
    with pytest.raises(EvidenceError):
        open_bundle(SIGNED.bundle, [])


def test_a_hint_is_only_a_hint() -> None:
    lying = edited(lambda v: v["dsseEnvelope"]["signatures"][0].update(keyid=OTHER.public.key_id))
    assert open_bundle(lying, [OTHER.public, KEY.public]).key_id == KEY.public.key_id
    silent = edited(lambda v: v["dsseEnvelope"]["signatures"][0].update(keyid=""))
    assert open_bundle(silent, [OTHER.public, KEY.public]).key_id == KEY.public.key_id
    absent = edited(lambda v: v["dsseEnvelope"]["signatures"][0].pop("keyid"))
    assert read_bundle(absent).signatures[0][0] == KEY.public.key_id


def test_the_hinted_key_is_tried_even_if_the_policy_lists_more_keys_than_are_tried() -> None:
    """With more than 64 keys, statements by the 65th were `unsigned` although the bundle named their key."""
    crowd = [PrivateKey.generate().public for _ in range(MAX_SIGNATURES + 1)]
    assert open_bundle(SIGNED.bundle, [*crowd, KEY.public]).key_id == KEY.public.key_id


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3"),
        lambda v: v.pop("mediaType"),
        lambda v: v.pop("verificationMaterial"),
        lambda v: v.update(verificationMaterial=[]),
        lambda v: v.pop("dsseEnvelope"),
        lambda v: v.update(dsseEnvelope=None),
        lambda v: v["dsseEnvelope"].update(payloadType="application/json"),
        lambda v: v["dsseEnvelope"].update(payloadType=STATEMENT_PAYLOAD.upper()),
        lambda v: v["dsseEnvelope"].update(payloadType=TRUST_PAYLOAD),
        lambda v: v["dsseEnvelope"].pop("payloadType"),
        lambda v: v["dsseEnvelope"].update(signatures=[]),
        lambda v: v["dsseEnvelope"].update(signatures={}),
        lambda v: v["dsseEnvelope"].update(signatures=v["dsseEnvelope"]["signatures"] * 2),
        lambda v: v["dsseEnvelope"].update(signatures=v["dsseEnvelope"]["signatures"] * 100),
        lambda v: v["dsseEnvelope"].update(signatures=[None]),
        lambda v: v["dsseEnvelope"]["signatures"][0].update(keyid=7),
        lambda v: v["dsseEnvelope"]["signatures"][0].pop("sig"),
        lambda v: v["dsseEnvelope"].pop("payload"),
        lambda v: v["dsseEnvelope"].update(payload=v["dsseEnvelope"]["payload"] + "\n"),
        lambda v: v["dsseEnvelope"].update(payload=" " + v["dsseEnvelope"]["payload"]),
        lambda v: v["dsseEnvelope"].update(payload="é"),
        lambda v: v["dsseEnvelope"].update(payload="YQ"),
        lambda v: v["dsseEnvelope"].update(payload="YR=="),
        lambda v: v["dsseEnvelope"].update(payload="YQ==YQ=="),
        lambda v: v["dsseEnvelope"].update(payload="+_" + "A" * 2),
        lambda v: v["dsseEnvelope"].update(payload="-/" + "A" * 2),
    ],
)
def test_a_bundle_of_another_form_is_refused(change: Callable[[Json], object]) -> None:
    with pytest.raises(MalformedInput):
        read_bundle(edited(change))


def test_two_signatures_are_refused_even_if_both_hold() -> None:
    signatures = [(k.public.key_id, k.sign(pae(STATEMENT_PAYLOAD, STATEMENT.payload))) for k in (KEY, OTHER)]
    both = edited(lambda v: v.update(dsseEnvelope=envelope_json(STATEMENT_PAYLOAD, STATEMENT.payload, signatures)))
    with pytest.raises(MalformedInput, match="bundle"):
        open_bundle(both, [KEY.public, OTHER.public])


def test_url_safe_base64_is_the_same_statement() -> None:
    def url_safe(value: dict) -> None:  # type: ignore[type-arg]
        envelope = value["dsseEnvelope"]
        for holder, key in ((envelope, "payload"), (envelope["signatures"][0], "sig")):
            holder[key] = holder[key].replace("+", "-").replace("/", "_")

    changed = edited(url_safe)
    assert open_bundle(changed, [KEY.public]).digest == SIGNED.digest


@pytest.mark.parametrize(
    "data",
    [
        SIGNED.bundle.replace(b'{"dsseEnvelope"', b'{"mediaType":"x","dsseEnvelope"'),
        SIGNED.bundle.replace(b'"payloadType"', b'"payloadType":"x","payloadType"'),
        SIGNED.bundle + b"\x00",
        SIGNED.bundle[:-1],
        b"\xff" + SIGNED.bundle,
        b"[" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"mediaType":NaN}',
        b"x" * (MAX_BUNDLE_BYTES + 1),
        b"",
    ],
    ids=["twice", "twice inside", "tail", "cut", "not text", "deep", "deep object", "nan", "large", "empty"],
)
def test_hostile_bundle_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_bundle(data)


def test_a_trust_policy_cannot_pass_for_a_statement_nor_the_other_way() -> None:
    """The same payload signed as one type does not verify as the other."""
    payload = canonical({"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:x:y:v1", "predicate": {},
                         "subject": [{"digest": {"sha256": "ab" * 32}}]})  # fmt: skip
    as_trust = KEY.sign(pae(TRUST_PAYLOAD, payload))
    confused = edited(lambda v: v.update(dsseEnvelope=envelope_json(STATEMENT_PAYLOAD, payload, [("", as_trust)])))
    with pytest.raises(EvidenceError):
        open_bundle(confused, [KEY.public])
    with pytest.raises(MalformedInput):
        read_envelope(envelope_json(STATEMENT_PAYLOAD, payload, [("", as_trust)]), TRUST_PAYLOAD)


def test_one_key_that_signed_twice_is_one_signer() -> None:
    signature = KEY.sign(pae(TRUST_PAYLOAD, b"{}"))
    envelope = read_envelope(
        envelope_json(TRUST_PAYLOAD, b"{}", [("", signature), ("x", signature), (KEY.public.key_id, signature)]),
        TRUST_PAYLOAD,
    )
    assert envelope.signers([KEY.public, OTHER.public]) == (KEY.public,)


def test_another_spelling_of_a_bundle_is_the_same_statement() -> None:
    assert open_bundle(json.dumps(json.loads(SIGNED.bundle), indent=2).encode(), [KEY.public]).digest == SIGNED.digest


# -- keys


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(63), bytes(1000)])
def test_a_malformed_signature_is_simply_false(signature: bytes) -> None:
    assert not KEY.public.verifies(signature, b"m")


@pytest.mark.parametrize(
    "public", ["", "00", "zz" * 32, "AB" * 32, " " + "ab" * 32, "ab" * 32 + "\n", "ab " * 32, "ab" * 33]
)
def test_an_ed25519_key_has_one_spelling(public: str) -> None:
    """Upper case or blanks would give one key a second id, and its owner a second voice in a threshold."""
    with pytest.raises(MalformedInput):
        PublicKey("ed25519", public)


@pytest.mark.parametrize("keytype", ["rsa", "", "ED25519", "ecdsa-sha2-nistp256"])
def test_another_key_type_is_refused(keytype: str) -> None:
    with pytest.raises(MalformedInput):
        PublicKey(keytype, "ab" * 32)


def test_one_p256_key_in_two_pem_spellings_is_one_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    first, second = PublicKey("ecdsa", pem), PublicKey("ecdsa", "a comment\n" + pem + "\n")
    assert first.key_id != second.key_id and first.material == second.material
    for broken in ("", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "ab" * 32):
        with pytest.raises(MalformedInput):
            _ = PublicKey("ecdsa", broken).material


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "me.pem"
    KEY.save(path, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path, no_secret).public == KEY.public
    with pytest.raises(UsageError, match="exists"):
        OTHER.save(path, None)
    assert load_key(path, no_secret).public == KEY.public


def test_an_encrypted_key_asks_for_its_passphrase_and_refuses_another(tmp_path: Path) -> None:
    path = tmp_path / "me.pem"
    KEY.save(path, b"correct horse")
    assert b"ENCRYPTED" in path.read_bytes()
    assert load_key(path, lambda: b"correct horse").public == KEY.public
    for wrong in (b"wrong", b""):
        with pytest.raises(EvidenceError):
            load_key(path, lambda wrong=wrong: wrong)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "me.pem"
    KEY.save(path, None)
    path.chmod(mode)
    with pytest.raises(EvidenceError, match="read by others"):
        load_key(path, no_secret)


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    p256 = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"garbage", p256, b"-----BEGIN PRIVATE KEY-----\n", b"x" * 1_000_000):
        path = tmp_path / "me.pem"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(EvidenceError):
            load_key(path, no_secret)
    with pytest.raises(UsageError):
        load_key(tmp_path / "none.pem", no_secret)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".hidden", "a\n", "a" * 65])
def test_a_key_name_cannot_leave_the_folder_of_keys(name: str) -> None:
    with pytest.raises(AssayError):
        check_key_name(name)
