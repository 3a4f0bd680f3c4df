"""A ledger that was edited, cut, restored or replaced: verify, audit or opening says so, and nothing is signed over it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import (
    START,
    Clock,
    Team,
    decision_of,
    fresh,
    make_workspace,
    registration_of,
    reopened,
    scan_of,
    tamper,
)

from assay.app.audit import audit
from assay.app.lifecycle import move, quarantine
from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.verify import Demand, verify_digest
from assay.app.workspace import Workspace
from assay.core.digests import sha256
from assay.core.errors import AssayError, LedgerDamaged, LedgerError, StorageError, TrustError, UsageError
from assay.evidence.envelope import sign
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import Item
from assay.evidence.merkle import completed_nodes, leaf_hash
from assay.registry.lifecycle import State

NOW = Demand(START, "production")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Team, str]:
    """A workspace with a promoted model, closed; tests copy it."""
    root = tmp_path_factory.mktemp("original")
    with make_workspace(root) as (workspace, team):
        version = team.approved(workspace)
        team.promote(workspace, version)
        for n in range(5):
            team.registered(workspace, "other", content=bytes([n]))
    return root, team, version.digest


@pytest.fixture
def copy(original: tuple[Path, Team, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(original[0], tmp_path / "copy"))


def is_noticed(folder: Path, digest: str) -> bool:
    """Whether verify refuses to answer or the workspace refuses to open."""
    try:
        with reopened(folder) as workspace:
            return not verify_digest(workspace, digest, NOW).ok
    except AssayError:
        return True


def problems(folder: Path, state: Path | None = None) -> set[str]:
    with closing(Workspace(folder / ".assay", clock=Clock(), state=state or folder / "state")) as workspace:
        return {problem.code for problem in audit(workspace).problems}


def test_the_untouched_copy_verifies_and_audits_clean(copy: Path, original: tuple[Path, Team, str]) -> None:
    assert not is_noticed(copy, original[2]) and problems(copy) == set()


EDITS = {
    "leaf edited": "UPDATE entry SET leaf=CAST(replace(leaf, '\"v\":1', '\"v\":2') AS BLOB) WHERE idx=3",
    "leaf edited into text": "UPDATE entry SET leaf=replace(leaf, '\"v\":1', '\"v\":2') WHERE idx=3",
    "node turned into text": "UPDATE node SET hash='text' WHERE level=(SELECT max(level) FROM node)",
    "leaf type edited": "UPDATE entry SET leaf=CAST(replace(CAST(leaf AS TEXT), 'verification_summary', 'verification_summery') AS BLOB) WHERE idx=4",
    "leaves swapped": "UPDATE entry SET leaf=(SELECT leaf FROM entry e WHERE e.idx=7-entry.idx) WHERE idx IN (3, 4)",
    "entry removed": "DELETE FROM entry WHERE idx=4",
    "first entry removed": "DELETE FROM entry WHERE idx=0",
    "tail cut": "DELETE FROM entry WHERE idx>=9",
    "all removed": "DELETE FROM entry",
    "node edited": "UPDATE node SET hash=zeroblob(32) WHERE level=(SELECT max(level) FROM node)",
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_log_is_noticed_by_verify_and_by_audit(copy: Path, original: tuple[Path, Team, str], name: str) -> None:  # fmt: skip
    tamper(copy, EDITS[name])
    assert is_noticed(copy, original[2])
    with contextlib.suppress(AssayError):  # or it does not even open
        assert problems(copy)


@pytest.mark.parametrize("name", [name for name in EDITS if name != "all removed"])
def test_an_edit_is_noticed_by_the_checkpoint_alone_where_the_memory_is_lost(copy: Path, original: tuple[Path, Team, str], name: str) -> None:  # fmt: skip
    shutil.rmtree(copy / "state")
    tamper(copy, EDITS[name])
    assert is_noticed(copy, original[2])


def test_a_history_written_anew_with_its_tree_is_noticed_by_memory(
    copy: Path, original: tuple[Path, Team, str]
) -> None:
    """The whole tree is recomputed and every checkpoint removed; only who remembers can tell."""
    _rewrite(copy, lambda leaf: leaf.replace(b'"v":1', b'"v":3'))
    with pytest.raises(LedgerDamaged) as caught:
        reopened(copy)
    assert caught.value.reason == "split-view"


def _rewrite(folder: Path, change: Callable[[bytes], bytes]) -> None:
    tamper(folder, "DELETE FROM node", "DELETE FROM checkpoint")
    with closing(sqlite3.connect(folder / ".assay" / "ledger.sqlite")) as db:
        leaves = [
            (i, change(leaf) if i == 5 else leaf) for i, leaf in db.execute("SELECT idx, leaf FROM entry ORDER BY idx")
        ]
        hashes = [leaf_hash(leaf) for _, leaf in leaves]
        db.executemany("UPDATE entry SET leaf=?, leaf_hash=? WHERE idx=?",
                       [(leaf, h, i) for (i, leaf), h in zip(leaves, hashes, strict=True)])  # fmt: skip
        db.executemany("INSERT INTO node VALUES(?,?,?)", completed_nodes(0, hashes, lambda level, index: b""))
        db.commit()


def test_a_ledger_edited_while_it_is_open_is_neither_signed_nor_remembered(copy: Path, original: tuple[Path, Team, str]) -> None:  # fmt: skip
    """A running server signed a checkpoint over the rewritten history and forgot the true one."""
    team, memory = original[1], (copy / "state" / "seen")
    before = {path.name: path.read_bytes() for path in memory.iterdir()}
    workspace = reopened(copy)
    team.registered(workspace, "new", content=b"new")
    _rewrite(copy, lambda leaf: leaf.replace(b'"v":1', b'"v":3'))
    with pytest.raises(LedgerDamaged):
        workspace.sign_checkpoint()
    with pytest.raises(LedgerDamaged):
        workspace.close()
    assert {path.name: path.read_bytes() for path in memory.iterdir()} == before


# -- what the tables say does not count


TABLES = {
    "quarantine hidden": ["DELETE FROM denial", "UPDATE version SET state='production'"],
    "subject rows removed": ["DELETE FROM subject"],
    "versions removed": ["DELETE FROM version"],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_quarantine_cannot_be_hidden_by_editing_tables(copy: Path, original: tuple[Path, Team, str], name: str) -> None:  # fmt: skip
    digest = original[2]
    with reopened(copy) as workspace:
        quarantine(workspace, workspace.registry.with_digest(digest)[0], "stolen data")
    tamper(copy, *TABLES[name])
    with reopened(copy) as workspace:
        answer = verify_digest(workspace, digest, NOW)
        assert "quarantined" in [reason.code for reason in answer.reasons] and answer.exit_code == 1
    assert problems(copy)


def test_a_forged_decision_row_allows_nothing(copy: Path, original: tuple[Path, Team, str]) -> None:
    team = original[1]
    with reopened(copy) as workspace:
        version = team.candidate(workspace, "forged", content=b"forged")
    row = f"('{version.digest}','%s',3,'{'ab' * 32}','allow','{'cd' * 32}','enforce','2026-11-22T18:00:00Z')"
    tamper(copy, *(f"INSERT INTO decision VALUES {row % target}" for target in ("approved", "production")))
    with reopened(copy) as workspace:
        move(workspace, fresh(workspace, version), State.APPROVED, "the table says so")  # the fold reads its table
        answer = verify_digest(workspace, version.digest, NOW)
        assert [reason.code for reason in answer.reasons] == ["no-decision"]
    assert {"projection"} <= problems(copy)


def test_a_forged_trust_row_lets_nobody_in(copy: Path, original: tuple[Path, Team, str]) -> None:
    """Verify read its keys from a table: one inserted row, and a stranger's decisions counted."""
    team, digest = original[1], original[2]
    coup = Team(keys=team.keys, roles=dict(team.roles) | {"mallory": ("root", "gate", "registrar")})
    policy = coup.policy(version=99, previous="ab" * 32)
    envelope = coup.envelope(policy, ["mallory"])
    tamper(copy, f"INSERT INTO trust VALUES(99, 3, x'{sha256(policy)}', x'{envelope.hex()}')")
    with closing(reopened(copy)) as workspace:
        with pytest.raises(TrustError):
            workspace.append_trust(team.envelope(team.policy(version=2, previous=sha256(team.policy()))))
        stranger = registration_of("evil", 1, sha256(b"evil"))
        coup.log(workspace, stranger, "mallory")
        version = workspace.registry.with_digest(sha256(b"evil"))[0]
        coup.allow(workspace, version, "production", signer="mallory")
        sound = SoundLedger.of(workspace)
        assert sound.trust.version == 1
        answer = verify_digest(workspace, version.digest, NOW)
        assert [reason.code for reason in answer.reasons] == ["unregistered"]
        assert verify_digest(workspace, digest, NOW).ok
    assert "projection" in problems(copy)


def test_a_forged_version_row_does_not_make_one_asset_pass_for_another(copy: Path, original: tuple[Path, Team, str]) -> None:  # fmt: skip
    digest = original[2]
    tamper(copy, "UPDATE version SET name='bank/core' WHERE name='credit'")
    with reopened(copy) as workspace:
        version = workspace.registry.with_digest(digest)[0]
        answer = verify_digest(workspace, digest, NOW, version.name, as_name=version.name)
        assert [reason.code for reason in answer.reasons] == ["other-name"] and answer.exit_code == 1


def test_a_leaf_that_names_other_subjects_than_its_statement_counts_for_nothing(tmp_path: Path) -> None:
    """Even whoever keeps the log cannot turn a decision about one asset into one about another."""
    with make_workspace(tmp_path) as (workspace, team):
        good = team.approved(workspace, content=b"good")
        bad = team.candidate(workspace, "bad", content=b"bad")
        workspace.clock.now += timedelta(seconds=1)  # type: ignore[attr-defined]
        item = Item.of(sign(decision_of(good, "production", workspace.clock()), team["runner"]))
        workspace.ledger.append([replace(item, subjects=(bad.digest,))])
        assert [r.code for r in verify_digest(workspace, bad.digest, NOW).reasons] == ["no-decision"]
        assert not audit(workspace).ok


def test_a_leaf_whose_type_is_not_that_of_its_statement_counts_for_nothing(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.registered(workspace)
        item = Item.of(sign(scan_of(version), team["runner"]))
        workspace.ledger.append([replace(item, type="urn:test:other:v1")])
        sound = SoundLedger.of(workspace)
        found = Reader(sound, sound.chain).about(version.digest)
        assert [e.problem for e in found] == ["", "malformed"] and found[1].roles == ()


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("UPDATE small_blob SET body=CAST(body||x'20' AS BLOB)", "blob-damaged"),
        ("UPDATE small_blob SET body=body||x'20'", "blob-damaged"),
        ("UPDATE entry SET leaf_hash=zeroblob(32) WHERE idx=10", "leaf-hash"),
        ("UPDATE entry SET leaf_hash='text' WHERE idx=10", "leaf-hash"),
        ("DELETE FROM small_blob", "blob-missing"),
        ("DELETE FROM subject WHERE idx=3", "subject-index"),
        ("INSERT INTO subject VALUES(zeroblob(32), 3)", "subject-index"),
        ("UPDATE checkpoint SET root=zeroblob(32)", "checkpoint"),
        ("UPDATE checkpoint SET note=replace(note, 'time', 'tame')", "checkpoint"),
        ('UPDATE version SET labels=\'{"a":"b"}\'', "projection"),
        ("UPDATE alias SET digest=(SELECT digest FROM version WHERE name='other' LIMIT 1)", "projection"),
        ("DELETE FROM scan", "projection"),
        ("UPDATE entry SET statement=zeroblob(32) WHERE idx=5", "leaf"),
    ],
)
def test_an_audit_names_what_was_edited(copy: Path, sql: str, code: str) -> None:
    tamper(copy, sql)
    try:
        found = problems(copy)
    except LedgerError:
        assert code.startswith("blob")  # without the first trust policy it does not even open
        return
    assert code in found


# -- backups and memory


def test_a_restored_backup_is_refused(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.registered(workspace)
    shutil.copytree(tmp_path / ".assay", tmp_path / "backup")
    with reopened(tmp_path) as workspace:
        quarantine(workspace, version, "found later")
    shutil.rmtree(tmp_path / ".assay")
    shutil.copytree(tmp_path / "backup", tmp_path / ".assay")
    with pytest.raises(LedgerDamaged) as caught:
        reopened(tmp_path)
    assert caught.value.reason == "ledger-rollback" and caught.value.exit_code == 1


def test_a_backup_that_went_on_its_own_way_is_refused(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        team.registered(workspace)
    shutil.copytree(tmp_path / ".assay", tmp_path / "fork" / ".assay")
    with reopened(tmp_path) as workspace:
        team.registered(workspace, "one", content=b"1")
    other = Workspace(tmp_path / "fork" / ".assay", clock=Clock(), state=tmp_path / "elsewhere")
    for n in range(3):
        team.registered(other, "two", content=bytes([n]))
    other.close()
    with pytest.raises(LedgerDamaged) as caught:
        Workspace(tmp_path / "fork" / ".assay", clock=Clock(), state=tmp_path / "state")
    assert caught.value.reason == "split-view"


def test_a_memory_that_is_gone_begins_anew_and_one_that_is_damaged_is_not_ignored(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        team.registered(workspace)
    shutil.rmtree(tmp_path / "state")
    reopened(tmp_path).close()
    with reopened(tmp_path) as workspace:
        assert workspace.seen is not None
        path = workspace.seen.path
    for damage in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"size":"1","root":"x"}',
        b'{"size":true,"root":"' + b"ab" * 32 + b'"}',
        b"\xff",
    ):
        path.write_bytes(damage)
        with pytest.raises(StorageError, match="memory"):
            reopened(tmp_path)
    path.unlink()
    reopened(tmp_path).close()


def test_the_memory_only_moves_forward(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        old = workspace.ledger.head()
        team.registered(workspace)
        assert workspace.seen is not None
        workspace.seen.remember(workspace.ledger.head())
        workspace.seen.remember(old)
        assert workspace.seen.recall() == workspace.ledger.head()


def test_a_checkpoint_by_another_key_does_not_count(copy: Path, original: tuple[Path, Team, str]) -> None:
    with closing(reopened(copy)) as workspace:
        stranger = PrivateKey.generate()
        workspace.ledger.checkpoint(workspace.trust().log.origin, stranger)
        with pytest.raises(LedgerDamaged) as caught:
            verify_digest(workspace, original[2], NOW)
        assert caught.value.reason == "checkpoint-unsigned"


def test_a_workspace_that_is_not_there_or_half_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no workspace"):
        Workspace(tmp_path)
    (tmp_path / "trust.pin").write_text("nonsense")
    with pytest.raises(AssayError):
        Workspace(tmp_path)
    with make_workspace(tmp_path / "x") as (workspace, team), pytest.raises(UsageError, match="already"):
        Workspace.create(workspace.folder, team.envelope(team.policy()), sha256(team.policy()))


def test_a_workspace_whose_first_trust_policy_is_not_the_pinned_one_is_not_made(tmp_path: Path) -> None:
    team = Team()
    with pytest.raises(TrustError) as caught:
        Workspace.create(tmp_path / "w", team.envelope(team.policy()), sha256(b"other"), state=tmp_path / "s")
    assert caught.value.reason == "trust-pin"


def test_a_pin_that_was_exchanged_fits_no_ledger(copy: Path, original: tuple[Path, Team, str]) -> None:
    (copy / ".assay" / "trust.pin").write_text(sha256(b"other"))
    with closing(reopened(copy)) as workspace:
        with pytest.raises(TrustError):
            verify_digest(workspace, original[2], NOW)
        assert not audit(workspace).ok


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_ledger_that_is_gone_is_not_a_new_one(copy: Path, how: str) -> None:
    """An emptied ledger cannot say its origin, so the memory of that origin was not even looked for."""
    if how == "removed":
        for path in (copy / ".assay").glob("ledger.sqlite*"):
            path.unlink()
    else:
        tamper(copy, *(f"DELETE FROM {table}" for table in ("entry", "node", "checkpoint", "trust")))
    with pytest.raises(LedgerDamaged) as caught:
        reopened(copy)
    assert caught.value.reason == "ledger-rollback"


def test_a_gate_key_that_left_the_trust_policy_leaves_undecided_assets_not_a_crash(tmp_path: Path) -> None:
    """Decisions by a key that is listed no more have no predicate that may be read; verify fell over them."""
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
        assert verify_digest(workspace, version.digest, NOW).ok
        other = Team(keys=team.keys, roles={**team.roles, "runner": ("ledger",), "eve": ("gate", "scanner")})
        workspace.append_trust(team.envelope(other.policy(version=2, previous=sha256(team.policy()))))
        assert [r.code for r in verify_digest(workspace, version.digest, NOW).reasons] == ["no-decision"]
        gone = Team(
            keys=team.keys, roles={n: r for n, r in team.roles.items() if n != "runner"} | {"eve": ("gate", "ledger")}
        )
        second = other.policy(version=2, previous=sha256(team.policy()))
        workspace.append_trust(team.envelope(gone.policy(version=3, previous=sha256(second))))
        assert "no-decision" in [r.code for r in verify_digest(workspace, version.digest, NOW).reasons]
