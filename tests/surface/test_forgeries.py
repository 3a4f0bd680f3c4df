"""Somebody with the files but without a key: edited ledgers, forged tables, spoilt or stale bundles. Nobody is fooled."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.surface.conftest import Played
from tests.surface.shop import Shop

from assay import guard
from assay.app.guarded import guarded_copy_offline
from assay.app.offline import pack, verify_offline
from assay.app.verify import Demand
from assay.core.assets import Kind, Reference
from assay.core.digests import read_digest
from assay.core.errors import AssayError, Refused, Undecided
from assay.evidence.files import manifest_of

FLIPS = 200
DENIED_STATE = "UPDATE version SET state='production' WHERE state='quarantined'"

# SQL that somebody may run on the ledger file, and whether the audit must call it by the table that was forged.
FORGED_TABLES = {
    "a denial is deleted": ("DELETE FROM denial", DENIED_STATE),
    "the alias is moved": ("UPDATE alias SET digest=(SELECT digest FROM version WHERE name='loan-scorer' AND n=4)",),
    "a decision is flipped": ("UPDATE decision SET answer='allow'",),
    "everything is flipped": ("DELETE FROM denial", DENIED_STATE, "UPDATE decision SET answer='allow'", "UPDATE scan SET is_clean=1",
                              "DELETE FROM lineage"),
    "the trust table is cut": ("UPDATE trust SET version=version+7",),
}  # fmt: skip


def replaced(column: str, old: str, new: str) -> str:
    return f"CAST(replace(CAST({column} AS TEXT), '{old}', '{new}') AS BLOB)"


EDITED_LOG = {
    "a leaf is edited": f"UPDATE entry SET leaf={replaced('leaf', '2', '3')} WHERE idx=20",
    "a leaf and its hash": f"UPDATE entry SET leaf={replaced('leaf', '2', '3')}, leaf_hash=zeroblob(32) WHERE idx=20",
    "the newest entry is cut": "DELETE FROM entry WHERE idx=(SELECT max(idx) FROM entry)",
    "an entry in the middle is cut": "DELETE FROM entry WHERE idx=30",
    "all entries are cut": "DELETE FROM entry",
    "a node is edited": "UPDATE node SET hash=zeroblob(32) WHERE level=3 AND idx=0",
    "two entries change places": "UPDATE entry SET idx=CASE idx WHEN 20 THEN -1 ELSE idx END",
    "the checkpoint is edited": f"UPDATE checkpoint SET note={replaced('note', '8', '9')}",
    "the statements are edited": f"UPDATE small_blob SET body={replaced('body', 'payload', 'payloae')}",
    "the statements are gone": "DELETE FROM small_blob",
}  # fmt: skip


def loads(shop: Shop, path: str) -> AssayError | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_STATE", str(shop.state))
        patch.chdir(shop.folder)
        try:
            guard.load(path, stage="production").close()
        except AssayError as error:
            return error
    return None


@pytest.mark.parametrize("name", FORGED_TABLES)
def test_forged_tables_let_nothing_through_and_the_audit_sees_them(name: str, shop: Shop) -> None:
    shop.forge(*FORGED_TABLES[name])
    ran = shop.run("verify", "models/better", "--stage", "production")
    assert ran.code in (1, 3), ran.said
    assert loads(shop, "models/better") is not None
    gated = shop.run("gate", "loan-scorer@4", "--to", "production", "--dry-run", "--format", "json")
    assert gated.code in (1, 3) and "allow" not in gated.out.partition('"rules"')[0], gated.said
    audit = shop.run("ledger", "verify", "--format", "json")
    assert audit.code == 1
    if audit.out:
        assert "projection" in {problem["code"] for problem in audit.json["problems"]}


@pytest.mark.parametrize("name", EDITED_LOG)
def test_an_edited_log_lets_nothing_through_and_the_audit_sees_it(name: str, shop: Shop) -> None:
    shop.forge(EDITED_LOG[name])
    audit = shop.run("ledger", "verify")
    assert audit.code == 1, audit.said
    better = shop.run("verify", "models/better", "--stage", "production")
    assert better.code in (1, 3), better.said
    assert loads(shop, "models/better") is not None
    for ran in (audit, better):
        assert "Traceback" not in ran.said and "[A-INTERNAL]" not in ran.said


@pytest.mark.parametrize("name", [name for name in EDITED_LOG if name != "a node is edited"])
def test_an_edited_log_gives_no_new_allow(name: str, shop: Shop) -> None:
    shop.forge(EDITED_LOG[name])
    ran = shop.run("gate", "loan-scorer@1", "--to", "production")
    assert ran.code in (1, 3), ran.said


def test_a_policy_that_was_edited_after_the_decision_makes_it_undecided(shop: Shop) -> None:
    policy = shop.folder / "policies" / "production.yaml"
    policy.write_text(policy.read_text().replace("value: 0.80", "value: 0.10"))
    ran = shop.run("verify", "models/first", "--stage", "production", "--format", "json")
    assert ran.code == 3 and ran.json["reasons"][0]["code"] == "other-policy"
    error = loads(shop, "models/first")
    assert isinstance(error, Undecided) and error.reason == "other-policy"


def test_an_edited_policy_is_only_edited_where_it_says_something_else(shop: Shop) -> None:
    policy = shop.folder / "policies" / "production.yaml"
    policy.write_text("# a comment\n" + policy.read_text())
    assert shop.run("verify", "models/first", "--stage", "production").code == 0


def test_a_decision_ages(glass: Shop) -> None:
    for age, code in (("30d", 0), ("0s", 3)):
        ran = glass.run("verify", "models/first", "--stage", "production", "--max-age", age, "--format", "json")
        assert ran.code == code
    assert ran.json["reasons"][0]["code"] == "decision-stale"


def test_evidence_ages_at_the_gate(glass: Shop) -> None:
    later = f"{datetime.now(UTC) + timedelta(days=31):%Y-%m-%dT%H:%M:%SZ}"
    ran = glass.run("gate", "loan-scorer@1", "--to", "production", "--now", later, "--format", "json")
    assert ran.code == 3
    assert "stale" in {rule["reason"] for rule in ran.json["rules"]}


def test_a_restored_backup_is_noticed_by_everybody_who_saw_the_newer_ledger(shop: Shop) -> None:
    older = shop.database.read_bytes()
    assert shop.run("quarantine", "loan-scorer@1", "--reason", "drift").code == 0
    shop.database.write_bytes(older)
    for words in (
        ("verify", "models/first", "--stage", "production"),
        ("gate", "loan-scorer@1", "--to", "production"),
        ("log",),
    ):
        ran = shop.run(*words)
        assert ran.code == 1 and "[A-DAMAGED]" in ran.err
    assert loads(shop, "models/first") is not None


# --- offline


@pytest.fixture(scope="module")
def bundle(played: Played, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str, Shop]:
    copy = played.shop.copy(tmp_path_factory.mktemp("bundled"))
    assert copy.run("bundle", "loan-scorer@1", "-o", "b.json").code == 0
    return (copy.folder / "b.json").read_bytes(), copy.pin, copy


def offline(shop: Shop, pin: str, *more: str, path: str = "models/first", file: str = "b.json") -> tuple[int, set[str]]:
    ran = shop.run("verify", path, "--stage", "production", "--bundle", file, "--trust", pin, "--format", "json", *more)
    return ran.code, {reason["code"] for reason in ran.json["reasons"]}


def test_a_bundle_speaks_for_exactly_its_bytes(bundle: tuple[bytes, str, Shop]) -> None:
    _, pin, shop = bundle
    assert offline(shop, pin) == (0, set())
    assert offline(shop, pin, path="models/better") == (1, {"bytes-differ"})
    assert offline(shop, pin, path="data") == (1, {"bytes-differ"})


def test_a_bundle_does_not_vouch_for_a_path_that_is_not_there(bundle: tuple[bytes, str, Shop]) -> None:
    _, pin, shop = bundle
    ran = shop.run("verify", "models/absent", "--stage", "production", "--bundle", "b.json", "--trust", pin)
    assert ran.code == 2 and not ran.out
    (shop.folder / "dangling").unlink(missing_ok=True)
    (shop.folder / "dangling").symlink_to("nowhere")
    assert shop.run("verify", "dangling", "--stage", "production", "--bundle", "b.json", "--trust", pin).code in (1, 2)
    assert offline(shop, pin, path="loan-scorer@1") == (0, set())  # asked about the statements only, by name


def test_a_wrong_pin_is_denied(bundle: tuple[bytes, str, Shop]) -> None:
    _, pin, shop = bundle
    code, reasons = offline(shop, pin[:-1] + ("0" if pin[-1] != "0" else "1"))
    assert code == 1 and reasons


def test_a_stale_bundle_is_undecided(bundle: tuple[bytes, str, Shop]) -> None:
    data, pin, shop = bundle
    found = manifest_of(shop.folder / "models" / "first", Kind.MODEL)
    answer = verify_offline(
        data, read_digest(pin), Demand(datetime.now(UTC) + timedelta(hours=25), "production"), found
    )
    assert answer.exit_code == 3 and "checkpoint-stale" in {reason.code for reason in answer.reasons}


def test_a_bundle_for_another_stage_is_undecided(bundle: tuple[bytes, str, Shop]) -> None:
    _, pin, shop = bundle
    ran = shop.run("verify", "models/first", "--stage", "canary", "--bundle", "b.json", "--trust", pin)
    assert ran.code == 3


def without_hints(data: bytes) -> Any:  # Any: a JSON value
    """A bundle without the key ids of its trust envelopes: those only order the search for a key, nobody signs them."""
    value = json.loads(data)
    chain = [json.loads(base64.b64decode(envelope)) for envelope in value.pop("trust")]
    return value, [(e["payload"], e["payloadType"], [s["sig"] for s in e["signatures"]]) for e in chain]


def test_a_bundle_with_a_flipped_bit_is_never_ok_and_never_a_traceback(bundle: tuple[bytes, str, Shop]) -> None:
    """At 200 random places; a flip within an unsigned hint changes nothing, and then the answer is the same one."""
    data, pin, shop = bundle
    draw = random.Random(20261123)
    trust, demand = read_digest(pin), Demand(datetime.now(UTC), "production")
    found = manifest_of(shop.folder / "models" / "first", Kind.MODEL)
    right = verify_offline(data, trust, demand, found)
    assert right.ok
    denied = 0
    for _ in range(FLIPS):
        at, bit = draw.randrange(len(data)), draw.randrange(8)
        spoilt = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        answer = verify_offline(spoilt, trust, demand, found)
        if answer.ok:
            assert answer == right and without_hints(spoilt) == without_hints(data), (at, bit)
        else:
            denied += 1
            assert answer.exit_code in (1, 3) and answer.reasons[0].code
    assert denied > 0.95 * FLIPS


@pytest.mark.parametrize("cut", [0, 1, 1000, -1])
def test_a_bundle_that_ends_early_is_denied(cut: int, bundle: tuple[bytes, str, Shop]) -> None:
    data, pin, shop = bundle
    (shop.folder / "cut.json").write_bytes(data[:cut])
    code, reasons = offline(shop, pin, file="cut.json")
    assert code == 1 and reasons
    with pytest.raises(Refused):
        guarded_copy_offline(
            data[:cut], read_digest(pin), shop.folder / "models" / "first", Demand(datetime.now(UTC), "production")
        )


def test_a_bundle_of_the_quarantined_version_is_denied(shop: Shop) -> None:
    assert shop.run("bundle", "loan-scorer@4", "-o", "b.json").code == 0
    code, reasons = offline(shop, shop.pin, path="models/better")
    assert code == 1 and "quarantined" in reasons


def test_a_bundle_under_the_name_of_another_asset_is_denied(shop: Shop) -> None:
    """The envelope of a bundle is unsigned, so its name is believed only where a registration says it too."""
    with shop.open() as workspace:
        data = pack(workspace, workspace.registry.resolve(Reference("loan-scorer", version=1)))
    renamed = data.replace(b'"name":"loan-scorer"', b'"name":"loan-scoreR"')
    assert renamed != data
    found = manifest_of(shop.folder / "models" / "first", Kind.MODEL)
    assert not verify_offline(renamed, read_digest(shop.pin), Demand(datetime.now(UTC), "production"), found).ok


def test_the_guard_works_offline_from_a_bundle(bundle: tuple[bytes, str, Shop], tmp_path: Path) -> None:
    _, pin, shop = bundle
    file = shop.folder / "b.json"
    with guard.load(shop.folder / "models" / "first", stage="production", bundle=file, trust=pin) as copy:
        assert (copy.path / "model.skops").read_bytes() == (
            shop.folder / "models" / "first" / "model.skops"
        ).read_bytes()
        assert copy.path.parent != shop.folder
    assert not copy.path.exists()
    size = guard.load(shop.folder / "models" / "first", stage="production", bundle=file, trust=pin,
                      loader=lambda path: (path / "model.skops").stat().st_size)  # fmt: skip
    assert size > 0
    with pytest.raises(Refused):
        guard.load(shop.folder / "models" / "better", stage="production", bundle=file, trust=pin)
    with pytest.raises(AssayError) as unpinned:
        guard.load(shop.folder / "models" / "first", stage="production", bundle=file)
    assert unpinned.value.exit_code == 2
