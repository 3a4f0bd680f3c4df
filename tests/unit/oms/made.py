"""What the tests of model signatures share: a small folder, a key, and bundles that say whatever a test wants."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from assay.app.sign import sign_path
from assay.core.digests import sha256
from assay.evidence.envelope import BUNDLE_TYPE, STATEMENT_PAYLOAD, envelope_json, pae
from assay.evidence.keys import P256Key
from assay.evidence.oms import PREDICATE, ModelKey

KEY = P256Key.generate()
PUBLIC = ModelKey.read(KEY.public.public.encode())
FILES = {"a.bin": b"alpha", "d/b.txt": b"beta", "d/c.txt": b"gamma"}


def make_folder(where: Path, files: dict[str, bytes] = FILES) -> Path:
    """A folder `model` with small files."""
    for name, content in files.items():
        path = where / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return where / "model"


def make_signed(where: Path, path: Path | None = None) -> tuple[Path, Path, Path]:
    """A folder, its signature and the public key, as files."""
    path = path or make_folder(where)
    signature, public = where / "model.oms.json", where / "key.pub"
    signature.write_bytes(sign_path(path, KEY).bundle)
    public.write_text(KEY.public.public)
    return path, signature, public


def statement(files: dict[str, bytes] = FILES, **changes: Any) -> dict[str, Any]:
    """A well-formed statement; `changes` replace parts of its predicate."""
    listed = [{"algorithm": "sha256", "digest": sha256(data), "name": name} for name, data in sorted(files.items())]
    how = {"allow_symlinks": False, "hash_type": "sha256", "ignore_paths": [], "method": "files"}
    predicate = {"resources": listed, "serialization": how} | changes
    return with_subject(
        {"_type": "https://in-toto.io/Statement/v1", "predicateType": PREDICATE, "predicate": predicate}
    )


def with_subject(value: dict[str, Any]) -> dict[str, Any]:
    """Sets the subject digest that fits the resources, as far as they can be read."""
    digests = "".join(str(r.get("digest", "")) for r in value["predicate"]["resources"] if isinstance(r, dict))
    raw = bytes.fromhex(digests) if len(digests) % 2 == 0 and all(c in "0123456789abcdef" for c in digests) else b""
    return {**value, "subject": [{"name": "model", "digest": {"sha256": hashlib.sha256(raw).hexdigest()}}]}


def shards(files: dict[str, bytes], size: int, *, hash_type: str = "sha256") -> dict[str, Any]:
    """A statement in shards, as the reference tool writes it: the size as a float, empty files left out."""
    new = {"sha256": hashlib.sha256, "blake2b": hashlib.blake2b}[hash_type]
    listed = [
        {"algorithm": f"{hash_type}-sharded-{size}", "digest": new(data[at : at + size]).hexdigest(),
         "name": f"{name}:{at}:{min(at + size, len(data))}"}
        for name, data in sorted(files.items()) for at in range(0, len(data), size)
    ]  # fmt: skip
    how = {"allow_symlinks": False, "hash_type": hash_type, "method": "shards", "shard_size": float(size)}
    return statement(resources=listed, serialization=how)


def bundle_of(value: Any, key: P256Key = KEY) -> bytes:
    """Signs whatever `value` is."""
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    envelope = envelope_json(STATEMENT_PAYLOAD, payload, [("", key.sign(pae(STATEMENT_PAYLOAD, payload)))])
    material = {"publicKey": {"hint": "x"}, "tlogEntries": []}
    return json.dumps({"mediaType": BUNDLE_TYPE, "dsseEnvelope": envelope, "verificationMaterial": material}).encode()


def payload_of(bundle: bytes) -> dict[str, Any]:
    """The statement inside a bundle."""
    value: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    return value
