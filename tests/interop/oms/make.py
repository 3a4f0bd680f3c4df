"""Makes the signatures in this folder with the reference tool, so that "theirs verify here" runs without it.

How to run: ~/.cache/assay-bench/oms/bin/python tests/interop/oms/make.py
Private keys are not kept: every run makes new keys, signatures and public keys together.
"""

import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing

HERE = Path(__file__).resolve().parent
FILES = {"config.json": b"{}\n", "weights.bin": bytes(range(200)), "sub/vocab.txt": b"a\nb\n"}
SHARD_BYTES = 64


def main() -> None:
    shutil.rmtree(HERE / "model", ignore_errors=True)
    for name, content in FILES.items():
        (HERE / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / "model" / name).write_bytes(content)
    with tempfile.TemporaryDirectory() as folder:
        for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
            sign_all(Path(folder), curve)


def sign_all(folder: Path, curve: ec.EllipticCurve) -> None:
    key, path = ec.generate_private_key(curve), folder / "key.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))  # fmt: skip
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (HERE / f"{curve.name}.pub").write_bytes(public)
    signer = signing.Config().use_elliptic_key_signer(private_key=path)
    if curve.name != "secp256r1":
        signer.sign(HERE / "model", HERE / f"files-sha256-{curve.name}.json")
        return
    for algorithm in ("sha256", "blake2", "blake3"):
        by_file = hashing.Config().use_file_serialization(hashing_algorithm=algorithm)
        signer.set_hashing_config(by_file).sign(HERE / "model", HERE / f"files-{algorithm}.json")
    for algorithm in ("sha256", "blake2"):
        in_shards = hashing.Config().use_shard_serialization(hashing_algorithm=algorithm, shard_size=SHARD_BYTES)
        signer.set_hashing_config(in_shards).sign(HERE / "model", HERE / f"shards-{algorithm}.json")
    inside = hashing.Config().set_ignored_paths(paths=["model.sig"])
    signer.set_hashing_config(inside).sign(HERE / "model", HERE / "files-sha256-inside.json")
    one = hashing.Config().use_shard_serialization(shard_size=SHARD_BYTES)
    signer.set_hashing_config(hashing.Config()).sign(HERE / "model" / "weights.bin", HERE / "one-sha256.json")
    signer.set_hashing_config(one).sign(HERE / "model" / "weights.bin", HERE / "one-shards.json")


if __name__ == "__main__":
    main()
