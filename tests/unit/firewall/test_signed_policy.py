"""Is a firewall policy taken up only when it is signed, whole and newer?"""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.app.firewall_policy import PolicyFile, policy_named
from assay.core.errors import AssayError, EvidenceError, PolicyError, UsageError
from assay.evidence.keys import PrivateKey
from assay.firewall import Action, Firewall, Segment
from assay.runtime.firewall.signed import Held, open_firewall_policy, sign_firewall_policy

ADA, MALLORY = PrivateKey.generate(), PrivateKey.generate()


def document(version: int = 1, mode: str = "enforce", action: str = "block") -> bytes:
    return (f"firewall: assay/firewall/v1\nname: shop\nversion: {version}\nmode: {mode}\n"
            f"routes: {{default: [{{scanners: {{secrets: {{action: {action}}}}}}}]}}\n").encode()  # fmt: skip


def test_a_signed_policy_opens_with_the_key_of_its_signer_alone() -> None:
    data = sign_firewall_policy(document(3), "shop.yaml", [ADA])
    assert open_firewall_policy(data, "shop", [ADA.public]).version == 3
    with pytest.raises(EvidenceError):
        open_firewall_policy(data, "shop", [MALLORY.public])


def test_every_changed_byte_of_a_signed_policy_is_refused() -> None:
    data = sign_firewall_policy(document(), "shop.yaml", [ADA])
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            policy = open_firewall_policy(changed, "shop", [ADA.public])
        except AssayError:
            continue
        assert policy.digest == open_firewall_policy(data, "shop", [ADA.public]).digest  # a hint of the key id only


def test_what_is_no_policy_is_not_signed() -> None:
    with pytest.raises(PolicyError):
        sign_firewall_policy(b"firewall: nonsense", "x", [ADA])


def test_a_file_is_taken_up_when_it_changes_and_its_version_rises(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(document(1, action="flag"))
    source = PolicyFile(path)
    held = Held(source.read())
    assert source.refresh(held) is None
    path.write_bytes(document(2))
    before = held.current
    assert (taken := source.refresh(held)) and taken.is_taken and held.current.policy.version == 2
    assert before.policy.version == 1  # a request that began keeps its policy


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"firewall: [",
        document(1).replace(b"block", b"flag"),
        b"\xff\xfe",
        document(2).replace(b"secrets", b"secretz"),
    ],
)
def test_a_bad_file_keeps_the_old_policy_and_says_why_once(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(document(1))
    source = PolicyFile(path)
    held = Held(source.read())
    old = held.current
    path.write_bytes(bad)
    refused = source.refresh(held)
    assert refused and not refused.is_taken and refused.why and held.current is old
    assert source.refresh(held) is None


def test_a_lost_file_keeps_the_old_policy(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(document(1))
    source = PolicyFile(path)
    held = Held(source.read())
    path.unlink()
    assert (lost := source.refresh(held)) and not lost.is_taken and held.current.policy.version == 1


def test_an_unsigned_file_is_refused_where_keys_are_given_and_a_signed_one_where_none_are(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(document())
    with pytest.raises(AssayError):
        PolicyFile(path, [ADA.public]).read()
    path.write_bytes(sign_firewall_policy(document(), "shop.yaml", [ADA]))
    assert PolicyFile(path, [ADA.public]).read().name == "shop"
    with pytest.raises(EvidenceError):
        PolicyFile(path).read()


def test_policies_are_named_by_file_or_by_the_name_of_a_ready_one(tmp_path: Path) -> None:
    assert policy_named("").name == "standard" == policy_named("standard").name
    with pytest.raises(UsageError):
        policy_named("nonsense")
    with pytest.raises(UsageError):
        policy_named(str(tmp_path / "missing.yaml"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("versoin: 1", "did you mean 'version'"), ("mode: dry", "mode"), ("limits: {max_chars: 999999999}", "at most"), ("allowed_hosts: [HTTP://X]", "host"),
        ("routes: {}", "routes"), ("routes: {default: [{sources: [], scanners: {}}]}", "empty list"),
        ("routes: {default: [{scanners: {secretz: {action: flag}}}]}", "did you mean"),
        ("routes: {default: [{scanners: {secrets: {action: drop}}}]}", "none of the known words"), ("tools: {a: {schema: 3}}", "mapping"),
        ("routes: {default: [{scanners: {secrets: {action: flag, threshold: 0.4, flag_at: 0.6}}}]}", "below"),
        ("routes: {default: [{scanners: {secrets: {action: flag, deadline_ms: -1}}}]}", "milliseconds"),
    ],
)  # fmt: skip
def test_every_mistake_names_its_line_and_what_is_known(tmp_path: Path, change: str, said: str) -> None:
    lines = [line for line in document().decode().splitlines() if not line.startswith(change.partition(":")[0])]
    path = tmp_path / "p.yaml"
    path.write_text("\n".join([*lines, change]))
    with pytest.raises(PolicyError) as raised:
        policy_named(str(path))
    assert said in str(raised.value) and "line " in str(raised.value)


def test_a_dry_run_of_a_file_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(document(mode="dry_run"))
    verdict = Firewall(policy_named(str(path))).check(Segment("AKIAQ7M2ZT5RKX3WLN6B"))
    assert (verdict.action, verdict.proposed) == (Action.ALLOW, Action.BLOCK)
