"""May exactly these bytes run? Every door asks alike, and every fault is a reason with a code."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import (
    START,
    Clock,
    Team,
    fresh,
    head_of,
    lift,
    location,
    make_workspace,
    provenance_of,
    quarantine_of,
    reopened,
    statement_about,
)

from assay.app import guarded
from assay.app.guarded import copy_hashing, guarded_copy, guarded_copy_offline
from assay.app.init import create_workspace
from assay.app.lifecycle import lift as lift_both
from assay.app.lifecycle import move, quarantine
from assay.app.offline import SEAL_PAYLOAD, open_offline, pack, verify_offline
from assay.app.reader import Reader
from assay.app.register import Description, register
from assay.app.sound import SoundLedger
from assay.app.verify import Demand, Verification, verify_digest, verify_path
from assay.app.workspace import Workspace
from assay.core.assets import Kind
from assay.core.canonical import canonical
from assay.core.digests import sha256
from assay.core.errors import (
    AssayError,
    EvidenceError,
    LedgerDamaged,
    MalformedInput,
    Refused,
    StorageError,
    Undecided,
)
from assay.evidence.envelope import open_bundle, pae
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import Item
from assay.evidence.merkle import leaf_hash, verify_inclusion
from assay.evidence.predicates import Predicate
from assay.registry.lifecycle import State
from assay.registry.queries import Version

Place = tuple[Workspace, Team, Version]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A workspace with a version that may run in production."""
    with make_workspace(tmp_path) as (workspace, team):
        yield workspace, team, team.approved(workspace)


def demand(workspace: Workspace, stage: str | None = "production", **more) -> Demand:  # type: ignore[no-untyped-def]
    return Demand(workspace.clock(), stage, **more)


def codes(answer: Verification) -> list[str]:
    return [reason.code for reason in answer.reasons]


def asked(workspace: Workspace, version: Version, stage: str | None = "production") -> list[str]:
    return codes(verify_digest(workspace, version.digest, demand(workspace, stage)))


def later(workspace: Workspace, **much: float) -> None:
    assert isinstance(workspace.clock, Clock)
    workspace.clock.now += timedelta(**much)


# -- decisions


def test_a_version_that_was_allowed_may_run_and_the_answer_names_the_decision(place: Place) -> None:
    workspace, _, version = place
    answer = verify_path(workspace, location(workspace, version), demand(workspace))
    known = workspace.registry.decision(version.digest, "production")
    assert answer.ok and answer.exit_code == 0 and known and answer.decision == known.statement


def test_a_decision_for_another_stage_or_another_policy_does_not_count(place: Place) -> None:
    workspace, _, version = place
    assert asked(workspace, version, "staging") == ["no-decision"]
    other = Demand(workspace.clock(), "production", policies=lambda digest: (sha256(b"another policy"),))
    answer = verify_digest(workspace, version.digest, other)
    assert codes(answer) == ["other-policy"] and answer.exit_code == 3


@pytest.mark.parametrize(("answer", "code", "exit_code"), [("deny", "denied", 1), ("undecided", "undecided", 3)])
def test_the_newest_decision_counts(place: Place, answer: str, code: str, exit_code: int) -> None:
    workspace, team, version = place
    later(workspace, seconds=5)
    team.allow(workspace, version, "production", answer=answer)
    found = verify_digest(workspace, version.digest, demand(workspace))
    assert (codes(found), found.exit_code) == ([code], exit_code)


def test_a_decision_grows_old_and_one_from_the_future_is_not_believed(place: Place) -> None:
    workspace, team, version = place
    later(workspace, days=31)
    assert asked(workspace, version) == ["decision-stale"]
    team.allow(workspace, version, "production")
    assert asked(workspace, version) == []
    later(workspace, days=-30)
    assert asked(workspace, version) == ["decision-stale"]


def test_a_replayed_decision_is_the_old_one(place: Place) -> None:
    workspace, team, version = place
    allowed = workspace.registry.decision(version.digest, "production")
    assert allowed is not None
    bundle = workspace.ledger.bundle(workspace.ledger.find(allowed.statement)[0])
    later(workspace, seconds=5)
    team.allow(workspace, version, "production", answer="deny")
    replayed = workspace.log([Item.of(open_bundle(bundle, workspace.trust().public_keys))])[0]
    assert not replayed.is_new and asked(workspace, version) == ["denied"]


def test_bytes_that_nobody_registered_may_not_run(place: Place, tmp_path: Path) -> None:
    workspace, *_ = place
    (tmp_path / "unknown").write_bytes(b"x")
    answer = verify_path(workspace, tmp_path / "unknown", demand(workspace))
    assert codes(answer) == ["unregistered"] and answer.exit_code == 1


def test_a_registration_by_a_key_that_was_never_trusted_counts_for_nothing(tmp_path: Path) -> None:
    """The log took it while the key had the role; the policy in force now says the key was compromised."""
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
        value = json.loads(team.policy(version=2, previous=sha256(team.policy())))
        value["keys"][team["ada"].public.key_id]["revoked"] = {"atIndex": 0, "compromised": True}
        workspace.append_trust(team.envelope(canonical(value), ["ada", "bob"]))
        assert asked(workspace, version) == ["unregistered"]


def test_an_expired_trust_policy_makes_everything_undecided(place: Place) -> None:
    workspace, _, version = place
    later(workspace, days=366)
    answer = verify_digest(workspace, version.digest, demand(workspace, None))
    assert codes(answer) == ["trust-expired"] and answer.exit_code == 3
    with pytest.raises(EvidenceError, match="expired"):
        move(workspace, version, State.RETIRED, "r")


# -- deny facts


def test_a_quarantine_counts_at_once_for_digest_and_name_and_what_was_made_from_it(place: Place) -> None:
    workspace, team, version = place
    child = team.registered(workspace, "child", content=b"child")
    team.log(workspace, provenance_of(child, version), "tess")
    sibling = team.registered(workspace, content=b"sibling")
    quarantine(workspace, version, "stolen")
    assert "quarantined" in asked(workspace, version, None) and asked(workspace, child, None) == ["tainted"]
    assert asked(workspace, sibling, None) == []
    quarantine(workspace, version, "all of it", whole_name=True)
    assert asked(workspace, sibling, None) == ["quarantined"]


def test_a_lift_by_one_owner_or_a_stranger_does_not_count(place: Place) -> None:
    workspace, team, version = place
    quarantine(workspace, version, "stolen")
    lift(team, workspace, version, signers=("ada",))
    lift(team, workspace, version, mark=2, signers=("bob",))
    assert asked(workspace, version, None) == ["quarantined"]
    lift(team, workspace, version, mark=1, signers=("bob",))
    assert asked(workspace, version, None) == []


@pytest.mark.parametrize("whole_name", [False, True])
def test_a_decision_made_before_a_lift_does_not_count_after_it(place: Place, whole_name: bool) -> None:
    """After the lift of a whole name the decisions from before counted again."""
    workspace, team, version = place
    assert asked(workspace, version) == []
    quarantine(workspace, version, "stolen", whole_name=whole_name)
    lift_both(workspace, fresh(workspace, version), "checked", team["bob"], whole_name=whole_name)
    assert asked(workspace, version, None) == [] and asked(workspace, version) == ["no-decision"]
    later(workspace, seconds=5)
    team.allow(workspace, version, "production")
    assert asked(workspace, version) == []


def test_an_old_lift_completed_later_does_not_lift_a_new_quarantine(tmp_path: Path) -> None:
    team = Team()
    team.roles["eve"] = ("approver",)
    with make_workspace(tmp_path, team=team) as (workspace, _):
        version = team.registered(workspace)
        for mark in (1, 2):
            team.log(workspace, quarantine_of(version, "quarantine", mark=mark), "ada")
            lift(team, workspace, version, mark=1, signers=("ada", "bob") if mark == 1 else ("eve",))
        assert asked(workspace, version, None) == ["quarantined"]


def test_what_is_retired_verifies_nowhere(place: Place) -> None:
    workspace, _, version = place
    move(workspace, version, State.RETIRED, "old")
    assert asked(workspace, version) == ["retired"] and asked(workspace, version, None) == ["retired"]


def test_whoever_trained_it_does_not_count_as_its_evaluator(tmp_path: Path) -> None:
    team = Team(owners={"eve": "tess"})
    with make_workspace(tmp_path, team=team) as (workspace, _):
        data, model = team.registered(workspace, "data", content=b"d"), team.registered(workspace)
        result = {"findings": [], "head": head_of("privacy.x"), "measurements": [], "outcomes": [], "skipped": [],
                  "state": "done", "suite": {"name": "s", "sha256": "0" * 64, "version": 1}}  # fmt: skip
        team.log(workspace, statement_about(model, Predicate.EVAL_RESULT, result), "eve")

        def problems() -> list[str]:
            sound = SoundLedger.of(workspace)
            about = Reader(sound, sound.chain).about(model.digest)
            return [e.problem for e in about if e.type == Predicate.EVAL_RESULT]

        assert problems() == [""]
        team.log(workspace, provenance_of(model, data), "tess")
        assert problems() == ["separation"]


# -- bytes


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "model.bin").write_bytes(b"evil"),
        lambda root: (root / "extra").write_bytes(b""),
        lambda root: ((root / ".git").mkdir(), (root / ".git" / "config").write_bytes(b"")),
        lambda root: (root / "model.bin").rename(root / "other.bin"),
        lambda root: ((root / "model.bin").unlink(), (root / "x").write_bytes(b"")),
    ],
)
def test_any_change_of_the_files_is_a_denial_at_every_door(place: Place, change) -> None:  # type: ignore[no-untyped-def]
    workspace, _, version = place
    root, bundle = location(workspace, version), pack(workspace, version)
    change(root)
    assert codes(verify_path(workspace, root, demand(workspace))) == ["bytes-differ"]
    assert codes(verify_path(workspace, root, demand(workspace), version)) == ["bytes-differ"]
    with pytest.raises(Refused) as caught:
        guarded_copy(workspace, root, version, demand(workspace))
    assert caught.value.reason == "bytes-differ"
    with pytest.raises(Refused):
        guarded_copy_offline(bundle, workspace.pin, root, demand(workspace))


def test_a_link_in_place_of_a_file_is_refused_at_every_door(place: Place, tmp_path: Path) -> None:
    workspace, _, version = place
    root, bundle = location(workspace, version), pack(workspace, version)
    (root / "model.bin").rename(tmp_path / "elsewhere")
    (root / "model.bin").symlink_to(tmp_path / "elsewhere")
    for door in (
        lambda: verify_path(workspace, root, demand(workspace)),
        lambda: guarded_copy(workspace, root, version, demand(workspace)),
        lambda: guarded_copy_offline(bundle, workspace.pin, root, demand(workspace)),
    ):
        with pytest.raises(MalformedInput):
            door()


def test_a_path_registered_under_two_names_is_held_against_the_newest(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, _):
        (tmp_path / "m").write_bytes(b"old")
        register(workspace, tmp_path / "m", Description("zebra", Kind.MODEL))
        (tmp_path / "m").write_bytes(b"new")
        register(workspace, tmp_path / "m", Description("aardvark", Kind.MODEL))
        answer = verify_path(workspace, tmp_path / "m", demand(workspace, None))
        assert answer.ok and answer.name == "aardvark"


def test_bytes_of_another_asset_do_not_pass_for_the_one_that_was_asked_for(place: Place) -> None:
    workspace, team, version = place
    other = team.approved(workspace, "toy", content=b"toy")
    assert codes(verify_path(workspace, location(workspace, other), demand(workspace), version)) == ["bytes-differ"]
    with pytest.raises(Refused):
        guarded_copy(workspace, location(workspace, other), version, demand(workspace))


# -- guard


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_what_is_loaded_is_the_copy_that_was_hashed_even_if_the_original_is_swapped(
    place: Place, scratch: Path
) -> None:
    workspace, _, version = place
    root = location(workspace, version)
    with guarded_copy(workspace, root, version, demand(workspace)) as copy:
        (root / "model.bin").write_bytes(b"evil")
        loaded = copy.path / "model.bin"
        assert loaded.read_bytes() == b"weights" and loaded.stat().st_mode & 0o777 == 0o444
        assert next(scratch.iterdir()).stat().st_mode & 0o777 == 0o700
    assert not list(scratch.iterdir())


def test_a_file_swapped_while_it_is_copied_is_hashed_as_it_was_copied(place: Place, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    workspace, _, version = place
    root = location(workspace, version)
    real = guarded.find_files

    def swapping(*args, **named):  # type: ignore[no-untyped-def]
        found = list(real(*args, **named))
        (root / "model.bin").write_bytes(b"evil")
        return iter(found)

    monkeypatch.setattr(guarded, "find_files", swapping)
    with pytest.raises(Refused) as caught:
        guarded_copy(workspace, root, version, demand(workspace))
    assert caught.value.reason == "bytes-differ" and not list(scratch.iterdir())


def test_a_refusal_of_any_kind_leaves_no_copy_behind(place: Place, scratch: Path) -> None:
    workspace, _, version = place
    root = location(workspace, version)
    with pytest.raises(Undecided):
        guarded_copy(workspace, root, version, demand(workspace, "staging"))
    quarantine(workspace, version, "stolen")
    with pytest.raises(Refused) as caught:
        guarded_copy(workspace, root, version, demand(workspace))
    assert caught.value.reason == "quarantined"
    with workspace.store.writing() as db:
        db.execute("DROP TRIGGER entry_no_DELETE")
        db.execute("DELETE FROM entry WHERE idx=3")
    with pytest.raises(LedgerDamaged):
        guarded_copy(workspace, root, version, demand(workspace))
    assert not list(scratch.iterdir())
    workspace.seen = None  # the ledger stays damaged, so nothing is remembered at the end


def test_a_full_disk_while_copying_leaves_nothing(place: Place, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _, version = place

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guarded, "hash_open", full)
    with pytest.raises(StorageError):
        guarded_copy(workspace, location(workspace, version), version, demand(workspace))
    assert not list(scratch.iterdir())


def test_a_single_file_and_a_deep_tree_are_copied_to_where_they_are_loaded_from(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "m" / "a" / "b").mkdir(parents=True)
    (tmp_path / "m" / "a" / "b" / "c").write_bytes(b"1")
    with copy_hashing(tmp_path / "m", Kind.MODEL) as copy:
        assert (copy.path / "a" / "b" / "c").read_bytes() == b"1"
    with copy_hashing(tmp_path / "m" / "a" / "b" / "c", Kind.MODEL) as copy:
        assert copy.path.name == "c" and copy.path.read_bytes() == b"1"


# -- offline


@pytest.fixture
def packed(place: Place) -> dict:  # type: ignore[type-arg]
    workspace, _, version = place
    return json.loads(pack(workspace, version))  # type: ignore[no-any-return]


def offline_codes(workspace: Workspace, value: object, stage: str | None = "production", **much: float) -> list[str]:
    data = value if isinstance(value, bytes) else canonical(value)
    return codes(verify_offline(data, workspace.pin, Demand(workspace.clock() + timedelta(**much), stage), None))


def resealed(workspace: Workspace, value: dict) -> dict:  # type: ignore[type-arg]
    """A bundle that the ledger's keeper sealed anew, so that what lies deeper is asked."""
    sealed = {name: item for name, item in value.items() if name != "seal"}
    signer = workspace.signer("ledger")
    signature = signer.sign(pae(SEAL_PAYLOAD, canonical(sealed)))
    return {**sealed, "seal": {"key": signer.public.key_id, "sig": base64.b64encode(signature).decode()}}


def test_nobody_on_the_way_can_leave_a_quarantine_out_of_a_bundle(place: Place) -> None:
    workspace, _, version = place
    quarantine(workspace, version, "drift")
    value = json.loads(pack(workspace, version))
    kept = [entry for entry in value["entries"] if b"quarantine" not in base64.b64decode(entry["leaf"])]
    assert len(kept) == len(value["entries"]) - 1
    assert offline_codes(workspace, {**value, "entries": kept}) == ["seal"]
    unsealed = {name: item for name, item in value.items() if name != "seal"}
    assert offline_codes(workspace, unsealed) == ["bundle-malformed"]
    stranger = PrivateKey.generate()
    seal = {"key": stranger.public.key_id, "sig": value["seal"]["sig"]}
    assert offline_codes(workspace, {**value, "seal": seal}) == ["seal"]


def test_a_bundle_answers_as_the_ledger_does(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    workspace, _, version = place
    assert offline_codes(workspace, packed) == [] and offline_codes(workspace, packed, "staging") == ["no-decision"]
    with guarded_copy_offline(
        canonical(packed), workspace.pin, location(workspace, version), demand(workspace)
    ) as copy:
        assert (copy.path / "model.bin").read_bytes() == b"weights"


def test_a_bundle_knows_quarantines_and_tainted_ancestors(place: Place) -> None:
    workspace, team, version = place
    child = team.approved(workspace, "child", content=b"child")
    team.log(workspace, provenance_of(child, version), "tess")
    assert offline_codes(workspace, pack(workspace, child)) == []
    quarantine(workspace, version, "stolen")
    assert "quarantined" in offline_codes(workspace, pack(workspace, version))
    assert offline_codes(workspace, pack(workspace, child)) == ["tainted"]


@pytest.mark.parametrize(
    ("much", "expected"),
    [
        ({"hours": 25}, ["checkpoint-stale"]),
        ({"hours": 23}, []),
        ({"days": -1}, ["checkpoint-stale", "decision-stale"]),
    ],
)
def test_a_bundle_speaks_for_the_present_only_while_its_checkpoint_is_young(place: Place, packed: dict, much: dict[str, float], expected: list[str]) -> None:  # type: ignore[type-arg]  # fmt: skip
    assert offline_codes(place[0], packed, **much) == expected


def test_a_bundle_with_another_pin_or_another_root_is_refused(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    workspace, team, _ = place
    answer = verify_offline(canonical(packed), sha256(b"other"), demand(workspace), None)
    assert codes(answer) == ["trust-pin"] and answer.exit_code == 1
    forged = {**packed, "trust": [base64.b64encode(team.envelope(team.policy(), ["mallory"])).decode()]}
    assert offline_codes(workspace, forged) == ["trust-threshold"]


def test_entries_of_a_bundle_cannot_be_exchanged_reordered_or_repeated(place: Place, packed: dict) -> None:  # type: ignore[type-arg]  # fmt: skip
    """The newest decision counts, so whoever orders the entries would choose it."""
    workspace, team, version = place
    later(workspace, seconds=5)
    team.allow(workspace, version, "production", answer="deny")
    value = json.loads(pack(workspace, version))
    assert offline_codes(workspace, value) == ["denied"]
    entries = value["entries"]
    for wrong in (
        entries[::-1],
        [*entries, entries[-2]],
        [entries[0], *entries],
        [*entries[:-2], entries[-1], entries[-2]],
    ):
        assert offline_codes(workspace, {**value, "entries": wrong}) == ["seal"]
        assert offline_codes(workspace, resealed(workspace, {**value, "entries": wrong})) == ["bundle-malformed"]
    swapped = [{**entries[0], "bundle": entries[1]["bundle"]}, *entries[1:]]
    assert offline_codes(workspace, resealed(workspace, {**value, "entries": swapped})) == ["not-in-log"]
    moved = [{**entries[0], "index": entries[0]["index"] + 1}, *entries[1:]]
    assert offline_codes(workspace, resealed(workspace, {**value, "entries": moved})) == ["not-in-log"]


def test_a_bundle_cannot_be_renamed(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    assert offline_codes(place[0], {**packed, "name": "bank/core"}) == ["seal"]
    assert offline_codes(place[0], resealed(place[0], {**packed, "name": "bank/core"})) == ["other-name"]


def test_the_manifest_of_a_bundle_is_only_the_registered_one(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    workspace, _, version = place
    other = workspace.manifest(version.digest).canonical_bytes.replace(b"model.bin", b"other.bin")
    changed = {**packed, "manifest": base64.b64encode(other).decode()}
    assert offline_codes(workspace, resealed(workspace, changed)) == ["unregistered"]


def test_a_checkpoint_by_another_key_or_of_another_log_is_refused(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    workspace, *_ = place
    note = workspace.ledger.checkpoint("assay.test/ledger", PrivateKey.generate())
    assert offline_codes(workspace, {**packed, "checkpoint": note.decode()}) == ["checkpoint-unsigned"]
    other = workspace.ledger.checkpoint("assay.test/other", workspace.signer("ledger"))
    assert offline_codes(workspace, {**packed, "checkpoint": other.decode()}) == ["checkpoint-unsigned"]
    workspace.sign_checkpoint()


@pytest.mark.parametrize(
    "field", ["checkpoint", "entries", "manifest", "name", "schema", "symlinks", "trust", "version"]
)
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [None], "é", [{}]])
def test_no_field_of_a_bundle_of_another_shape_crashes_a_host(place: Place, packed: dict, field: str, value: object) -> None:  # type: ignore[type-arg]  # fmt: skip
    changed = {**packed, field: value}
    if changed == packed or (field == "symlinks" and isinstance(value, str)):
        return
    verify_offline(canonical(changed), place[0].pin, demand(place[0]), None)
    with pytest.raises(AssayError):
        open_offline(canonical({key: item for key, item in packed.items() if key != field}), place[0].pin)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"[" * 10_000, b'{"schema":1}', b"\xff"])
def test_a_bundle_that_is_no_bundle_is_a_denial(place: Place, data: bytes) -> None:
    answer = verify_offline(data, place[0].pin, demand(place[0]), None)
    assert codes(answer) == ["bundle-malformed"] and answer.exit_code == 1
    with pytest.raises(Refused):
        guarded_copy_offline(data, place[0].pin, Path("/nowhere"), demand(place[0]))


def test_every_entry_of_a_bundle_proves_itself_against_the_checkpoint(place: Place, packed: dict) -> None:  # type: ignore[type-arg]
    opened = open_offline(canonical(packed), place[0].pin)
    assert opened.signed.size == place[0].ledger.size()
    for entry in packed["entries"]:
        proof = [base64.b64decode(step) for step in entry["proof"]]
        leaf = base64.b64decode(entry["leaf"])
        assert verify_inclusion(entry["index"], opened.signed.size, leaf_hash(leaf), proof, opened.signed.root)


def test_without_the_ledger_key_only_a_covering_checkpoint_is_believed_and_nothing_packed(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
    for path in (tmp_path / ".assay" / "keys").glob("runner.*"):
        path.unlink()
    clock = Clock()
    with reopened(tmp_path, clock) as workspace:
        assert asked(workspace, version) == []
        with pytest.raises(EvidenceError, match="keeper"):
            pack(workspace, version)
        clock.now += timedelta(hours=25)
        assert asked(workspace, version) == ["checkpoint-stale"]
        clock.now = START
        quarantine(workspace, version, "new")
        assert asked(workspace, version, None) == ["checkpoint-stale", "quarantined"]


# -- making workspaces and registering


def test_init_makes_a_workspace_whose_person_cannot_evaluate_what_they_train(tmp_path: Path) -> None:
    with create_workspace(tmp_path / ".assay", owner="ada", clock=Clock(), state=tmp_path / "state") as workspace:
        trust = workspace.trust()
        assert {k.owner for k in trust.keys.values()} >= {"ada"} and len(trust.keys) == 2
        for pair in trust.separation:
            a, b = (set(trust.roles[role].members) for role in pair)
            assert not a & b
        assert oct((tmp_path / ".assay" / "keys" / "person.pem").stat().st_mode)[-3:] == "600"
    with pytest.raises(AssayError, match="already"):
        create_workspace(tmp_path / ".assay", owner="ada", state=tmp_path / "state")


def test_an_encrypted_key_asks_and_without_somebody_to_ask_refuses(tmp_path: Path) -> None:
    where = {"clock": Clock(), "state": tmp_path / "state"}
    made = create_workspace(tmp_path / ".assay", owner="ada", secret=b"s", **where)  # type: ignore[arg-type]
    with made as workspace, pytest.raises(EvidenceError, match="encrypted"):
        workspace.signer("registrar")
    with Workspace(tmp_path / ".assay", passphrase=lambda name: b"s", **where) as workspace:  # type: ignore[arg-type]
        assert workspace.signer("registrar").public.key_id in workspace.trust().roles["registrar"].members


def test_registering_again_is_the_version_that_it_was(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        first = team.registered(workspace)
        size = workspace.ledger.size()
        assert team.registered(workspace) == first and workspace.ledger.size() == size


def test_a_registrar_that_was_second_takes_the_next_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        other = reopened(tmp_path)
        real = type(workspace.registry).next_version
        late: list[int] = []

        def slow(registry, name: str) -> int:  # type: ignore[no-untyped-def]
            n = real(registry, name)
            if not late:
                late.append(n)
                team.registered(other, content=b"first")
            return n

        monkeypatch.setattr(type(workspace.registry), "next_version", slow)
        assert team.registered(workspace, content=b"second").n == 2
        other.close()


def test_names_of_other_assets_in_a_declaration_are_pinned_to_digests(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        data = team.registered(workspace, "data", content=b"d", kind=Kind.DATASET)
        (tmp_path / "m").write_bytes(b"m")
        made = register(
            workspace, tmp_path / "m", Description("model", Kind.MODEL, {"trainedOn": ["data"], "base": "data@1"})
        )
        assert made.version.declared == {
            "trainedOn": [f"data@sha256:{data.digest}"],
            "base": f"data@sha256:{data.digest}",
        }
        (tmp_path / "m").write_bytes(b"other")
        with pytest.raises(AssayError, match="not registered"):
            register(workspace, tmp_path / "m", Description("model", Kind.MODEL, {"trainedOn": ["nothing"]}))


def test_a_workspace_on_a_read_only_folder_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    with make_workspace(tmp_path):
        pass
    shutil.copytree(tmp_path / ".assay", tmp_path / "ro" / ".assay")
    (tmp_path / "ro" / ".assay").chmod(0o500)
    with pytest.raises(AssayError):
        Workspace(tmp_path / "ro" / ".assay", state=tmp_path / "state2")
    (tmp_path / "ro" / ".assay").chmod(0o700)


def test_who_leaves_the_incident_role_does_not_take_a_quarantine_along(place: Place) -> None:
    workspace, team, version = place
    team.log(workspace, quarantine_of(version, "quarantine"), "ada")
    roles = {name: tuple(r for r in held if (name, r) != ("ada", "incident")) for name, held in team.roles.items()}
    later_team = Team(keys=team.keys, roles=roles)
    policy = later_team.policy(version=2, previous=sha256(team.policy()))
    workspace.append_trust(later_team.envelope(policy))
    assert asked(workspace, version) == ["quarantined"]
