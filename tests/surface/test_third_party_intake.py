"""A model from elsewhere with its code, lock file and serving configuration, held against `third-party-model-intake`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.surface.shop import Shop
from tests.unit.dependencies.advice import record, write

PROJECT = """\
project: intake
assets:
  loader:  {kind: code, path: theirs/code, lock: requirements.txt}
  server:  {kind: infrastructure, path: theirs/deploy}
  theirs:
    kind: model
    path: theirs/model
    built_by: loader
    served_by: server
    origin: {uri: "https://models.example/theirs", revision: "0123456789abcdef0123456789abcdef01234567", licence: Apache-2.0, external: true}
policies: ["pack:third-party-model-intake"]
"""
LOADER = "from safetensors.torch import load_file\n\n\ndef weights(path):\n    return load_file(path)\n"
LOCK = "safetensors==0.6.2\ntorch==2.13.0\n"
DOCKERFILE = f'FROM python:3.12@sha256:{"a" * 64}\nUSER app\nCOPY code /app\nCMD ["python", "-m", "app"]\n'
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
TODAY = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")


@pytest.fixture
def cleared(tmp_path: Path) -> Shop:
    """Everything registered and checked against advisories that name nothing of it."""
    shop = made(tmp_path)
    assert shop.run("register").code == 0
    assert shop.run("check").code == 3  # the server has no lock file, so its dependencies were not looked at
    return shop


def made(folder: Path) -> Shop:
    """The project with a workspace and advisories."""
    shop = Shop(folder / "project", folder / "state")
    put(shop, "theirs/model/model.safetensors", len(HEADER).to_bytes(8, "little") + HEADER + bytes(8))
    put(shop, "theirs/model/config.json", b'{"architectures": ["Tiny"], "hidden_size": 2}')
    put(shop, "theirs/code/load.py", LOADER.encode())
    put(shop, "theirs/code/requirements.txt", LOCK.encode())
    put(shop, "theirs/deploy/Dockerfile", DOCKERFILE.encode())
    put(shop, "assay.yaml", PROJECT.encode())
    advise(shop, record("PYSEC-9", "unrelated", versions=["1"], modified=TODAY))
    assert shop.run("init", "--no-passphrase").code == 0
    assert shop.run("advisories", "import", "../osv").code == 0
    return shop


def put(shop: Shop, path: str, data: bytes) -> None:
    (shop.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (shop.folder / path).write_bytes(data)


def advise(shop: Shop, *records: dict[str, Any]) -> None:
    write(shop.folder.parent / "osv", records)


def gated(shop: Shop) -> tuple[str, dict[str, str]]:
    """The decision, and the outcome of each rule."""
    said = shop.run("gate", "theirs", "--to", "approved", "--format", "json").json
    return said["decision"], {rule["id"]: rule["outcome"] for rule in said["rules"]}


def test_a_clean_model_is_let_in_until_a_new_advisory_which_signed_vex_settles(cleared: Shop) -> None:
    decision, rules = gated(cleared)
    assert decision == "allow" and set(rules.values()) == {"pass"}
    hit = record("PYSEC-1", "torch", versions=["2.13.0"], modified=TODAY, aliases=["CVE-2026-1"],
                 severity=[{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}])  # fmt: skip
    advise(cleared, hit)
    assert cleared.run("advisories", "import", "../osv").code == 0
    decision, rules = gated(cleared)
    assert (decision, rules["no-critical-vulnerability"], rules["dependencies-known"]) == ("deny", "fail", "pass")
    put(cleared, "vex.json", json.dumps(triage("torch")).encode())
    assert cleared.run("vex", "loader", "vex.json", "--key", "person").code == 1  # in no role that may say so
    assert cleared.run("key", "new", "grace", "--no-passphrase").code == 0
    assert cleared.run("key", "trust", "grace", "--owner", "grace", "--role", "approver").code == 0
    assert cleared.run("vex", "loader", "vex.json", "--key", "grace").code == 0
    assert gated(cleared)[0] == "allow"
    (cleared.folder / ".assay" / "advisories.sqlite").unlink()
    ran = cleared.run("check", "loader", "--only", "dependency.advisories", "--format", "json")
    assert ran.code in (1, 3) and ran.json["results"][0]["vulnerabilities"].startswith("sha256:")
    decision, rules = gated(cleared)
    assert (
        decision == "undecided" and rules["evidence.dependencies"] == rules["no-critical-vulnerability"] == "undecided"
    )


def triage(package: str) -> dict[str, Any]:
    """A CycloneDX document that says why a vulnerability does not matter here."""
    component = {"type": "library", "name": package, "bom-ref": "a", "purl": f"pkg:pypi/{package}@2.13.0"}
    analysis = {"state": "not_affected", "detail": "the function is never called"}
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.7", "components": [component],
        "vulnerabilities": [{"id": "CVE-2026-1", "analysis": analysis, "affects": [{"ref": "a"}]}],
    }  # fmt: skip


def test_code_that_unpickles_a_near_name_and_an_open_server_are_each_denied(tmp_path: Path) -> None:
    shop = made(tmp_path)
    put(shop, "theirs/code/load.py", b"import pickle\nmodel = pickle.load(open('m.pkl', 'rb'))\n")
    put(shop, "theirs/code/requirements.txt", b"safetensor==0.6.2\ntorch>=2\n")
    put(
        shop, "theirs/deploy/Dockerfile", b'FROM vllm/vllm-openai:v0.6.3\nCMD ["--model", "m", "--trust-remote-code"]\n'
    )
    assert shop.run("register").code == 0
    assert shop.run("check").code == 1
    said = shop.run("gate", "theirs", "--to", "approved", "--format", "json").json
    failed = {rule["id"] for rule in said["rules"] if rule["outcome"] == "fail"}
    assert said["decision"] == "deny"
    assert failed == {"code-clean", "names-true", "versions-pinned", "dependencies-known", "serving-closed"}
