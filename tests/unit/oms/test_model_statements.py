"""Model signatures as bytes: what we write, and which ones we refuse to read."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.oms.made import FILES, KEY, PUBLIC, bundle_of, payload_of, shards, statement, with_subject

from assay.core.assets import Entry
from assay.core.digests import sha256
from assay.core.errors import EvidenceError, MalformedInput, UsageError
from assay.evidence.keys import P256Key
from assay.evidence.oms import (
    MAX_OMS_BYTES,
    ModelKey,
    model_statement,
    open_model_signature,
    read_model_statement,
    sign_model,
)

ENTRIES = [Entry(name, sha256(data), len(data)) for name, data in FILES.items()]
SIGNED = sign_model(model_statement("model", ENTRIES, is_one_file=False), KEY)


def read(value: Any) -> Any:
    return open_model_signature(bundle_of(value), PUBLIC)


def test_what_we_write_is_what_the_format_asks_for() -> None:
    said, bundle = payload_of(SIGNED), json.loads(SIGNED)
    assert said["predicate"]["serialization"] == {
        "method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []
    }  # fmt: skip
    assert [r["name"] for r in said["predicate"]["resources"]] == ["a.bin", "d/b.txt", "d/c.txt"]
    digests = b"".join(hashlib.sha256(data).digest() for data in FILES.values())
    assert said["subject"] == [{"name": "model", "digest": {"sha256": hashlib.sha256(digests).hexdigest()}}]
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == sha256(KEY.public.public.encode())
    assert bundle["dsseEnvelope"]["signatures"][0]["keyid"] == KEY.public.key_id


def test_resources_are_ordered_by_path_steps_not_by_characters() -> None:
    entries = [Entry(path, "ab" * 32, 1) for path in ("a-b/x", "a/x", "a.txt")]
    said = payload_of(sign_model(model_statement("m", entries, is_one_file=False), KEY))
    assert [r["name"] for r in said["predicate"]["resources"]] == ["a/x", "a-b/x", "a.txt"]


def test_we_read_what_we_write() -> None:
    signed = open_model_signature(SIGNED, PUBLIC)
    assert (signed.name, signed.hash_type, signed.shard_size, signed.is_one_file) == ("model", "sha256", None, False)
    assert {path: parts[0].digest for path, parts in signed.by_path.items()} == {e.path: e.sha256 for e in ENTRIES}


def test_a_folder_with_files_of_git_is_not_signed() -> None:
    for name in (".git/hooks/post-checkout", ".gitattributes", ".github/x", ".gitignore"):
        with pytest.raises(UsageError, match="is not signed"):
            model_statement("m", [*ENTRIES, Entry(name, "ab" * 32, 1)], is_one_file=False)
    assert model_statement("m", [Entry("sub/.gitignore", "ab" * 32, 1)], is_one_file=False).subjects[0].name == "m"


def test_a_signature_by_another_key_or_over_another_payload_is_refused() -> None:
    other = P256Key.generate()
    with pytest.raises(EvidenceError, match="not by the given key"):
        open_model_signature(SIGNED, ModelKey.read(other.public.public.encode()))
    bundle = json.loads(SIGNED)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement({"x": b""})).encode()).decode()
    with pytest.raises(EvidenceError, match="has been edited"):
        open_model_signature(json.dumps(bundle).encode(), PUBLIC)


def test_the_payload_is_not_read_before_its_signature_held() -> None:
    with pytest.raises(EvidenceError):
        open_model_signature(bundle_of(b"\xff not json", P256Key.generate()), PUBLIC)
    with pytest.raises(MalformedInput):
        open_model_signature(bundle_of(b"\xff not json"), PUBLIC)


def test_the_algorithm_comes_from_the_key_whatever_the_bundle_says() -> None:
    bundle = json.loads(SIGNED)
    bundle["verificationMaterial"]["publicKey"] |= {"keyDetails": "PKIX_ED25519", "hint": "ed25519"}
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "none"
    assert open_model_signature(json.dumps(bundle).encode(), PUBLIC).name == "model"


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1()),
                                 rsa.generate_private_key(65537, 2048)])  # fmt: skip
def test_keys_of_other_types_and_curves_are_refused(key: Any) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UsageError, match="cannot sign models"):
        ModelKey.read(pem)
    with pytest.raises(UsageError, match="no public key"):
        ModelKey.read(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a//b", "a/./b", "a\\b", "C:x", "", "a\u0000b", "./a", "a/..", "e\u0301", "x" * 1025],
)
def test_resources_with_refused_names_are_refused(name: str) -> None:
    with pytest.raises(MalformedInput):
        read(statement({name: b"x"}))


def test_a_file_that_is_listed_twice_is_refused() -> None:
    value = statement()
    value["predicate"]["resources"].append(value["predicate"]["resources"][0])
    with pytest.raises(MalformedInput, match="listed twice"):
        read(with_subject(value))


def test_a_single_file_beside_a_folder_is_refused() -> None:
    with pytest.raises(MalformedInput, match="at once"):
        read(statement({".": b"x", "a": b"y"}))


def test_a_subject_that_does_not_fit_the_resources_is_refused() -> None:
    value = statement()
    value["subject"][0]["digest"]["sha256"] = "00" * 32
    with pytest.raises(MalformedInput, match="not the digest of its resources"):
        read(value)


@pytest.mark.parametrize("change", [
    {"resources": []}, {"resources": {}}, {"resources": [1]}, {"resources": [{"name": "a", "digest": "ab" * 32}]},
    {"resources": [{"name": "a", "digest": "AB" * 32, "algorithm": "sha256"}]},
    {"resources": [{"name": "a", "digest": "ab" * 31, "algorithm": "sha256"}]},
    {"resources": [{"name": "a", "digest": "ab" * 32, "algorithm": "md5"}]},
    {"serialization": None}, {"serialization": {}},
    {"serialization": {"method": "files", "hash_type": "md5", "allow_symlinks": False}},
    {"serialization": {"method": "files", "hash_type": ["sha256"], "allow_symlinks": False}},
    {"serialization": {"method": "tree", "hash_type": "sha256", "allow_symlinks": False}},
    {"serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": "false"}},
    {"serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": "x"}},
    {"serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [1]}},
])  # fmt: skip
def test_malformed_predicates_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        read(statement(**change))


@pytest.mark.parametrize("key", ["_type", "predicateType", "predicate", "subject"])
def test_statements_without_a_part_or_of_another_type_are_refused(key: str) -> None:
    for changed in (
        {k: v for k, v in statement().items() if k != key},
        {**statement(), key: "x"},
        {**statement(), key: []},
    ):
        with pytest.raises(MalformedInput):
            read(changed)


def test_a_statement_with_two_subjects_is_refused() -> None:
    value = statement()
    with pytest.raises(MalformedInput):
        read({**value, "subject": value["subject"] * 2})


def test_a_whole_float_is_a_shard_size_and_anything_else_is_not() -> None:
    assert read(shards(FILES, 2)).shard_size == 2
    for size in (0, -1, 2.5, True, "2", None, 1e300):
        value = shards(FILES, 2)
        value["predicate"]["serialization"]["shard_size"] = size
        with pytest.raises(MalformedInput):
            read(value)


def test_shards_must_cover_a_file_from_its_start_without_gaps() -> None:
    for drop in range(3):
        value = shards({"a": b"12345"}, 2)
        del value["predicate"]["resources"][drop]
        if drop == 2:  # the end of a file cannot be missed in the list; the size of the file tells
            assert read(with_subject(value)).by_path["a"][-1].end == 4
            continue
        with pytest.raises(MalformedInput, match="gaps"):
            read(with_subject(value))


@pytest.mark.parametrize("name", ["a", "a:0", "a:0:", "a:-0:2", "a:00:2", "a:0:2e0", "a: 0:2", "a:2:0", "a:0:0", "a:0:1:x", ":0:2",
                                  "a:0:9007199254740993", "a:0:99999999999999999999", "a:1:3"])  # fmt: skip
def test_malformed_shard_names_are_refused(name: str) -> None:
    value = shards({"a": b"12"}, 2)
    value["predicate"]["resources"][0]["name"] = name
    with pytest.raises(MalformedInput):
        read(value)


def test_an_absurd_shard_costs_nothing() -> None:
    value = shards({"a": b"1"}, 1)
    value["predicate"]["resources"][0]["name"] = "a:0:9007199254740991"
    with pytest.raises(MalformedInput, match="gaps"):
        read(value)


def test_a_shard_of_a_file_with_a_colon_in_its_name_is_read() -> None:
    assert list(read(shards({"ab:c": b"123"}, 2)).by_path) == ["ab:c"]


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"[" * 5000, b'{"a":1,"a":2}', b"\xff", b'{"_type": NaN}'])
def test_payloads_that_are_no_statement_are_refused(payload: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_model_statement(payload)


def test_bundles_beyond_the_bound_are_refused_unread() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        open_model_signature(b" " * (MAX_OMS_BYTES + 1), PUBLIC)
