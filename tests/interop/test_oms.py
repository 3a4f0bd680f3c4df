"""OpenSSF Model Signing: the reference tool verifies ours and we verify theirs.

Theirs were made by `oms/make.py` and are kept, so that this half always runs. The other half runs the tool's command in
an environment of its own: ~/.cache/assay-bench/oms, or the folder that OMS_ENV names. To make it:
    python -m venv ~/.cache/assay-bench/oms
    ~/.cache/assay-bench/oms/bin/pip install model-signing==1.1.1 pyOpenSSL blake3 cryptography
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sigstore_models.bundle.v1 import Bundle as Model

from assay.app.sign import ModelAnswer, save_p256, sign_path, signing_key, verify_path_oms
from assay.app.workspace import no_passphrase
from assay.core.errors import EvidenceError, MissingExtra
from assay.evidence.keys import P256Key

HERE = Path(__file__).parent / "oms"
PEER = Path(os.environ.get("OMS_ENV") or Path.home() / ".cache" / "assay-bench" / "oms") / "bin" / "python"
needs_peer = pytest.mark.skipif(
    not PEER.exists(), reason=f"model-signing 1.1.1 is not installed at {PEER.parent.parent}"
)
needs_blake3 = pytest.mark.skipif(importlib.util.find_spec("blake3") is None, reason="pip install blake3")
THEIRS = ("files-sha256", "files-blake2", "shards-sha256", "shards-blake2", "files-sha256-inside",
          pytest.param("files-blake3", marks=needs_blake3))  # fmt: skip


def verify(path: Path, signature: str, key: str = "secp256r1") -> ModelAnswer:
    return verify_path_oms(path, HERE / f"{signature}.json", HERE / f"{key}.pub")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "model", tmp_path / "model"))


@pytest.mark.parametrize("signature", THEIRS)
def test_theirs_verify_here(model: Path, signature: str) -> None:
    assert verify(model, signature).ok


@pytest.mark.parametrize("signature", ["one-sha256", "one-shards"])
def test_their_signatures_of_one_file_verify_here(model: Path, signature: str) -> None:
    assert verify(model / "weights.bin", signature).ok
    assert not verify(model / "config.json", signature).ok
    assert not verify(model, signature).ok


@pytest.mark.parametrize("curve", ["secp384r1", "secp521r1"])
def test_their_larger_keys_verify_here_each_with_its_own_digest(model: Path, curve: str) -> None:
    assert verify(model, f"files-sha256-{curve}", curve).ok
    for other in {"secp256r1", "secp384r1", "secp521r1"} - {curve}:
        with pytest.raises(EvidenceError):
            verify(model, f"files-sha256-{curve}", other)


def test_their_blake3_is_undecided_without_the_library(model: Path) -> None:
    if importlib.util.find_spec("blake3") is None:
        with pytest.raises(MissingExtra):
            verify(model, "files-blake3")


@pytest.mark.parametrize("signature", THEIRS[:4])
def test_their_signatures_do_not_cover_what_they_ignore(model: Path, signature: str) -> None:
    for name in (".git/hooks/post-checkout", ".gitignore"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).touch()
    assert verify(model, signature).differences.added == (".git/hooks/post-checkout", ".gitignore")


@pytest.mark.parametrize("signature", THEIRS[:4])
def test_a_changed_byte_is_seen_through_their_signatures(model: Path, signature: str) -> None:
    weights = bytearray((model / "weights.bin").read_bytes())
    weights[150] ^= 1
    (model / "weights.bin").write_bytes(weights)
    assert verify(model, signature).differences.changed == ("weights.bin",)


def test_sigstore_parses_our_bundle(model: Path) -> None:
    key = P256Key.generate()
    made = Model.from_json(sign_path(model, key).bundle)
    assert made.dsse_envelope is not None
    assert made.dsse_envelope.signatures[0].keyid == key.public.key_id
    theirs = json.loads((HERE / "files-sha256.json").read_bytes())
    assert made.media_type == theirs["mediaType"]


@pytest.fixture
def signed(model: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Ours: folder, signature, public key as `assay key new` writes it."""
    key = P256Key.generate()
    public = save_p256(tmp_path / "workspace", "oms", key, None)
    (model / "empty").touch()
    (model / "a-b").mkdir()
    for name in ("a-b/x", "a", "ünï", ".hidden", "b c", "ab:0:1"):
        (model / name).write_text(name)
    signature = tmp_path / "model.oms.json"
    signature.write_bytes(sign_path(model, key).bundle)
    return model, signature, public


def theirs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PEER, "-m", "model_signing", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def their_verdict(path: Path, signature: Path, public: Path, *more: str) -> bool:
    done = theirs("verify", "key", path, "--signature", signature, "--public_key", public, *more)
    assert done.returncode == 0 or "Verification failed" in done.stderr
    return done.returncode == 0


@needs_peer
def test_ours_verify_there(signed: tuple[Path, Path, Path]) -> None:
    assert their_verdict(*signed)
    assert their_verdict(*signed, "--no-ignore-git-paths")


@needs_peer
def test_ours_are_refused_there_when_a_file_differs(signed: tuple[Path, Path, Path]) -> None:
    (signed[0] / "weights.bin").write_bytes(b"x")
    assert not their_verdict(*signed)


@needs_peer
def test_ours_of_one_file_verify_there(model: Path, tmp_path: Path) -> None:
    key = P256Key.generate()
    public = save_p256(tmp_path / "workspace", "oms", key, None)
    signature = tmp_path / "weights.oms.json"
    signature.write_bytes(sign_path(model / "weights.bin", key).bundle)
    assert their_verdict(model / "weights.bin", signature, public)


@needs_peer
def test_their_library_verifies_ours_and_gives_the_tree_the_same_subject(
    signed: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    code = ("import sys; from model_signing import hashing, signing, verifying; from model_signing._signing import signing as s\n"
            "verifying.Config().use_elliptic_key_verifier(public_key=sys.argv[3]).verify(sys.argv[1], sys.argv[2])\n"
            "print(s.Payload(hashing.hash(sys.argv[1])).statement.pb.subject[0].digest['sha256'])")  # fmt: skip
    done = subprocess.run([str(part) for part in (PEER, "-c", code, *signed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == verify_path_oms(*signed).signed.subject


@needs_peer
def test_keys_and_signatures_go_both_ways(model: Path, tmp_path: Path) -> None:
    made, path, signature = ec.generate_private_key(ec.SECP256R1()), tmp_path / "their.pem", tmp_path / "model.sig"
    path.touch(0o600)
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    done = theirs("sign", "key", model, "--signature", signature, "--private_key", path)
    assert done.returncode == 0, done.stderr
    key = signing_key(tmp_path, str(path), no_passphrase)
    public = tmp_path / "their.pub"
    public.write_text(key.public.public)
    assert verify_path_oms(model, signature, public).ok
    assert verify_path_oms(model, signature, public).key_id == key.public.key_id
