"""What the registry accepts: who may say what, about which bytes, from which state; and what a replay cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import (
    Clock,
    Team,
    decision_of,
    fresh,
    lift,
    make_workspace,
    manifest,
    provenance_of,
    quarantine_of,
    registration_of,
    scan_of,
    statement_about,
)

from assay.app.audit import audit
from assay.app.lifecycle import lift as lift_both
from assay.app.lifecycle import move, quarantine
from assay.app.promote import withdraw
from assay.app.reader import Reader
from assay.app.register import set_labels
from assay.app.sound import SoundLedger
from assay.app.view import standing_of
from assay.app.workspace import Workspace
from assay.core.assets import Kind, Reference
from assay.core.digests import sha256
from assay.core.errors import AssayError, EvidenceError, MalformedInput, StateError, TrustError
from assay.core.statements import Statement, Subject
from assay.evidence.envelope import sign
from assay.evidence.ledger import Item
from assay.evidence.predicates import Predicate
from assay.registry.lifecycle import State
from assay.registry.queries import Version

Place = tuple[Workspace, Team]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with make_workspace(tmp_path) as made:
        yield made
        assert audit(made[0]).problems == ()


def later(workspace: Workspace) -> None:
    assert isinstance(workspace.clock, Clock)
    workspace.clock.now += timedelta(minutes=1)


def refused(team: Team, workspace: Workspace, statement: Statement, *signers: str, reason: str = "") -> None:
    before = workspace.ledger.size()
    with pytest.raises(AssayError) as caught:
        team.log(workspace, statement, *signers)
    assert not reason or caught.value.reason == reason
    assert workspace.ledger.size() == before


# -- registration


def test_versions_count_from_one_in_ledger_order(place: Place) -> None:
    workspace, team = place
    made = [team.registered(workspace, content=bytes([n])) for n in range(3)]
    assert [v.n for v in made] == [1, 2, 3]
    assert workspace.registry.resolve(Reference("credit")) == made[-1]
    assert team.registered(workspace, "other").n == 1


@pytest.mark.parametrize("signer", ["eve", "tess", "bob", "runner", "mallory"])
def test_only_registrars_register(place: Place, signer: str) -> None:
    workspace, team = place
    refused(team, workspace, registration_of("credit", 1, manifest({"a": b""}).digest), signer, reason="wrong-signer")


@pytest.mark.parametrize("n", [0, 2, 7])
def test_a_version_number_is_neither_skipped_nor_taken_twice(place: Place, n: int) -> None:
    workspace, team = place
    refused(team, workspace, registration_of("credit", n, "ab" * 32), "ada")
    team.registered(workspace)
    refused(team, workspace, registration_of("credit", 1, "ab" * 32), "ada", reason="version-taken")


def test_a_registration_whose_manifest_is_not_its_subject_is_refused(place: Place) -> None:
    workspace, team = place
    said = {"entries": 1, "sha256": "cd" * 32, "sizeBytes": 1, "symlinks": "refuse"}
    refused(team, workspace, registration_of("credit", 1, "ab" * 32, manifest=said), "ada", reason="wrong-subject")


@pytest.mark.parametrize("name", ["../x", "A", "a/b/c", "", "a\u0301", "x" * 300])
def test_a_name_that_is_no_name_is_refused_in_a_signed_statement_too(place: Place, name: str) -> None:
    workspace, team = place
    refused(team, workspace, registration_of(name, 1, "ab" * 32), "ada")


def test_a_statement_that_does_not_follow_its_schema_is_not_logged(place: Place) -> None:
    workspace, team = place
    with pytest.raises(MalformedInput):
        team.log(workspace, registration_of("credit", 1, "ab" * 32, kind="weights"), "ada")
    with pytest.raises(MalformedInput):
        team.log(workspace, Statement((Subject("a", "ab" * 32),), Predicate.QUARANTINE, {}), "ada")


def test_a_retired_digest_cannot_be_registered_again_under_its_name(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    move(workspace, version, State.RETIRED, "old")
    with pytest.raises(StateError):
        team.registered(workspace)
    refused(team, workspace, registration_of("credit", 2, version.digest), "ada", reason="already-registered")
    assert team.registered(workspace, "other").state is State.SOURCED


def test_quarantined_bytes_and_names_are_registered_into_quarantine(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    quarantine(workspace, version, "bad")
    assert team.registered(workspace, "other").state is State.QUARANTINED
    quarantine(workspace, fresh(workspace, version), "all bad", whole_name=True)
    assert team.registered(workspace, content=b"new").state is State.QUARANTINED


# -- lifecycle


def test_a_model_becomes_a_candidate_only_if_every_scan_is_clean_and_its_origin_known(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    with pytest.raises(StateError, match="not cleared"):
        move(workspace, version, State.CANDIDATE, "r")
    team.log(workspace, scan_of(version), "eve")  # an evaluator is no scanner: logged, clears nothing
    with pytest.raises(StateError, match="not cleared"):
        move(workspace, version, State.CANDIDATE, "r")
    team.log(workspace, scan_of(version, ["clean"]), "runner")
    team.log(workspace, scan_of(version, ["clean", "unknown"], "other.scan"), "runner")
    with pytest.raises(StateError, match="not cleared"):
        move(workspace, version, State.CANDIDATE, "r")
    team.log(workspace, scan_of(version, ["clean", "clean"], "other.scan"), "runner")
    move(workspace, version, State.CANDIDATE, "r")
    unknown = team.registered(workspace, "unknown", content=b"x", origin=False)
    team.log(workspace, scan_of(unknown), "runner")
    with pytest.raises(StateError, match="comes from"):
        move(workspace, unknown, State.CANDIDATE, "r")
    team.log(workspace, provenance_of(unknown, version), "tess")
    move(workspace, unknown, State.CANDIDATE, "r")


@pytest.mark.parametrize("verdicts", [(), ("malicious",), ("inconclusive",), ("clean", "malicious")])
def test_only_a_scan_with_clean_files_and_nothing_else_clears(place: Place, verdicts: tuple[str, ...]) -> None:
    workspace, team = place
    version = team.registered(workspace)
    team.log(workspace, scan_of(version, verdicts), "runner")
    with pytest.raises(StateError):
        move(workspace, version, State.CANDIDATE, "r")


@pytest.mark.parametrize("signer", ["eve", "tess", "bob", "runner", "mallory"])
def test_only_releasers_move(place: Place, signer: str) -> None:
    workspace, team = place
    version = team.candidate(workspace)
    said = {"from": "candidate", "to": "retired", "name": "credit", "reason": "r"}
    refused(team, workspace, statement_about(version, Predicate.LIFECYCLE, said), signer, reason="wrong-signer")


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_lifecycle_statement_moves_only_along_the_table_and_never_into_or_out_of_production(place: Place, before: State, after: State) -> None:  # fmt: skip
    workspace, team = place
    version = team.approved(workspace)
    if before in (State.PRODUCTION, State.QUARANTINED, State.RETIRED):
        {State.PRODUCTION: lambda: team.promote(workspace, version),
         State.QUARANTINED: lambda: quarantine(workspace, version, "r"),
         State.RETIRED: lambda: move(workspace, version, State.RETIRED, "r")}[before]()  # fmt: skip
    elif before is not State.APPROVED:
        version = (
            team.registered(workspace, content=b"n")
            if before is State.SOURCED
            else team.candidate(workspace, content=b"n")
        )
    said = {"from": str(before), "to": str(after), "name": "credit", "reason": "x"}
    statement = statement_about(version, Predicate.LIFECYCLE, said)
    if (before, after) in {(State.APPROVED, State.RETIRED), (State.QUARANTINED, State.RETIRED),
                           (State.SOURCED, State.RETIRED), (State.CANDIDATE, State.RETIRED)}:  # fmt: skip
        team.log(workspace, statement, "ada")
        assert fresh(workspace, version).state is State.RETIRED
    else:
        refused(team, workspace, statement, "ada")
        assert fresh(workspace, version).state is before


def test_a_move_from_a_state_that_it_left_meanwhile_is_refused(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    quarantine(workspace, version, "bad")
    with pytest.raises(StateError) as caught:
        move(workspace, version, State.RETIRED, "r")
    assert caught.value.reason == "state-moved"


def test_the_same_move_can_be_made_again_after_a_lift(place: Place) -> None:
    """The second approval was the first statement again, so it was acknowledged and changed nothing."""
    workspace, team = place
    version = team.approved(workspace)
    quarantine(workspace, version, "bad")
    lift_both(workspace, fresh(workspace, version), "checked", team["bob"])
    team.allow(workspace, version, "approved")
    later(workspace)
    team.allow(workspace, version, "approved")
    move(workspace, fresh(workspace, version), State.APPROVED, "allowed")
    assert fresh(workspace, version).state is State.APPROVED


# -- promotion


def test_a_promotion_needs_the_newest_allow_for_exactly_this_digest_and_stage(place: Place) -> None:
    workspace, team = place
    version = team.approved(workspace)
    older = workspace.registry.decision(version.digest, "production")
    other_stage = workspace.registry.decision(version.digest, "approved")
    assert older and other_stage

    def promotion(decision: str, **changes: object) -> Statement:
        said = {
            "action": "promote",
            "alias": "production",
            "digest": version.digest,
            "name": "credit",
            "decision": decision,
        }
        return statement_about(version, Predicate.PROMOTION, said | changes)

    refused(team, workspace, promotion(other_stage.statement), "ada", reason="decision-replayed")
    refused(team, workspace, promotion(older.statement, alias="staging"), "ada", reason="not-allowed")
    refused(team, workspace, promotion(older.statement, digest="ab" * 32), "ada", reason="wrong-subject")
    refused(team, workspace, promotion(older.statement, previous="ab" * 32), "ada", reason="alias-moved")
    refused(team, workspace, promotion(older.statement, alias="../x"), "ada")
    refused(team, workspace, promotion(older.statement), "eve", reason="wrong-signer")
    later(workspace)
    team.allow(workspace, version, "production", answer="deny")
    refused(team, workspace, promotion(older.statement), "ada", reason="not-allowed")
    team.allow(workspace, version, "production")  # the clock stands still, but the digest is that of a new statement
    newest = workspace.registry.decision(version.digest, "production")
    assert newest and newest.statement != older.statement
    refused(team, workspace, promotion(older.statement), "ada", reason="decision-replayed")
    team.log(workspace, promotion(newest.statement), "ada")
    assert workspace.registry.aliases("credit") == {"production": version.digest}


@pytest.mark.parametrize("signer", ["eve", "tess", "ada", "bob", "mallory"])
def test_a_decision_by_anybody_but_a_gate_is_refused(place: Place, signer: str) -> None:
    workspace, team = place
    version = team.candidate(workspace)
    refused(team, workspace, decision_of(version, "approved", workspace.clock()), signer, reason="wrong-signer")


def test_failed_and_undecided_never_read_as_allow(place: Place) -> None:
    workspace, team = place
    version = team.candidate(workspace)
    statement = decision_of(version, "approved", workspace.clock())
    lying = statement_about(version, Predicate.DECISION, {**statement.predicate, "verificationResult": "FAILED"})
    team.log(workspace, lying, "runner")
    found = workspace.registry.decision(version.digest, "approved")
    assert found and found.answer == "undecided"
    with pytest.raises(StateError):
        move(workspace, version, State.APPROVED, "r")


def test_an_alias_moves_by_compare_and_set_and_the_former_stands_down(place: Place) -> None:
    workspace, team = place
    first = team.approved(workspace, content=b"1")
    team.promote(workspace, first)
    second = team.approved(workspace, content=b"2")
    team.promote(workspace, second)
    assert fresh(workspace, first).state is State.APPROVED and fresh(workspace, second).state is State.PRODUCTION
    withdraw(workspace, "credit", "production")
    assert fresh(workspace, second).state is State.APPROVED and workspace.registry.aliases("credit") == {}


def test_an_alias_can_be_removed_a_second_time(place: Place) -> None:
    """The second removal was the first statement again: acknowledged, and the alias stayed."""
    workspace, team = place
    version = team.approved(workspace)
    for _ in range(2):
        team.allow(workspace, version, "production")
        later(workspace)
        team.allow(workspace, version, "production")
        team.promote(workspace, version)
        withdraw(workspace, "credit", "production")
        assert workspace.registry.aliases("credit") == {}


def test_a_label_can_be_set_back(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    for value in ("1", "2", "1"):
        set_labels(workspace, version, {"tier": value})
        assert fresh(workspace, version).labels == {"tier": value}


# -- quarantine


def test_a_quarantine_works_every_time_it_is_said(place: Place) -> None:
    """A second quarantine for the same reason was the first statement again: acknowledged, and nothing was denied."""
    workspace, team = place
    version = team.registered(workspace)
    for _ in range(3):
        quarantine(workspace, fresh(workspace, version), "drift detected")
        assert fresh(workspace, version).state is State.QUARANTINED
        lift_both(workspace, fresh(workspace, version), "checked", team["bob"])
        assert fresh(workspace, version).state is State.SOURCED  # nothing scanned it


@pytest.mark.parametrize("signer", ["eve", "tess", "runner", "mallory"])
def test_only_the_incident_role_quarantines(place: Place, signer: str) -> None:
    workspace, team = place
    refused(team, workspace, quarantine_of(team.registered(workspace), "quarantine"), signer, reason="wrong-signer")


def test_a_lift_by_one_owner_does_nothing_however_often_it_is_signed(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    quarantine(workspace, version, "bad")
    lift(team, workspace, version, signers=("ada",))
    lift(team, workspace, version, signers=("ada", "ada"))
    lift(team, workspace, version, mark=2, signers=("bob",))  # bob alone, who is both incident and approver
    assert fresh(workspace, version).state is State.QUARANTINED
    with pytest.raises(EvidenceError, match="two persons"):
        lift_both(workspace, version, "r", team["ada"])


def test_a_lift_by_two_owners_counts_in_either_order(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    for mark, signers in enumerate([("ada", "bob"), ("bob", "ada")]):
        team.log(workspace, quarantine_of(version, "quarantine", mark=mark), "ada")
        lift(team, workspace, version, mark=mark, signers=signers)
        assert fresh(workspace, version).state is State.SOURCED  # nothing scanned it


def test_two_keys_of_one_owner_do_not_lift(tmp_path: Path) -> None:
    team = Team(owners={"bob": "ada"})
    with make_workspace(tmp_path, team=team) as (workspace, _):
        version = team.registered(workspace)
        quarantine(workspace, version, "bad")
        lift(team, workspace, version)
        assert fresh(workspace, version).state is State.QUARANTINED


def test_an_old_lift_cannot_be_completed_by_one_person_against_a_new_quarantine(tmp_path: Path) -> None:
    """One approver signed last year's lift again and so lifted today's quarantine alone."""
    team = Team()
    team.roles["eve"] = ("approver",)
    with make_workspace(tmp_path, team=team) as (workspace, _):
        version = team.registered(workspace)
        team.log(workspace, quarantine_of(version, "quarantine", mark=1), "ada")
        lift(team, workspace, version, mark=1)
        team.log(workspace, quarantine_of(version, "quarantine", mark=2), "ada")
        lift(team, workspace, version, mark=1, signers=("eve",))
        assert fresh(workspace, version).state is State.QUARANTINED
        lift(team, workspace, version, mark=3, signers=("ada", "eve"))
        assert fresh(workspace, version).state is State.SOURCED  # nothing scanned it


def test_there_is_nothing_to_lift_where_nothing_is_quarantined(place: Place) -> None:
    workspace, team = place
    refused(team, workspace, quarantine_of(team.registered(workspace), "lift"), "bob", reason="not-quarantined")


@pytest.mark.parametrize(
    "scope", [{}, {"digest": "ab" * 32}, {"name": "other"}, {"name": "nothing"}, {"namePattern": "*"}, {"name": ""}]
)
def test_a_quarantine_whose_scope_is_not_its_subject_is_refused(place: Place, scope: dict[str, str]) -> None:
    workspace, team = place
    version = team.registered(workspace)
    team.registered(workspace, "other", content=b"o")
    said = dict(quarantine_of(version, "quarantine").predicate) | {"scope": scope}
    refused(team, workspace, statement_about(version, Predicate.QUARANTINE, said), "ada")


def test_a_lift_voids_every_decision_made_before(place: Place) -> None:
    workspace, team = place
    version = team.approved(workspace)
    quarantine(workspace, version, "bad")
    assert workspace.registry.decision(version.digest, "production") is None
    team.allow(workspace, version, "production", at=workspace.clock() - timedelta(seconds=1))
    lift_both(workspace, fresh(workspace, version), "checked", team["bob"])
    assert workspace.registry.decision(version.digest, "production") is None


def test_a_quarantine_of_digest_and_name_is_lifted_only_by_both_lifts(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    quarantine(workspace, version, "digest")
    quarantine(workspace, version, "name", whole_name=True)
    lift_both(workspace, fresh(workspace, version), "checked", team["bob"])
    assert fresh(workspace, version).state is State.QUARANTINED
    lift_both(workspace, fresh(workspace, version), "checked", team["bob"], whole_name=True)
    assert fresh(workspace, version).state is State.SOURCED  # nothing scanned it


def test_taint_reaches_what_was_made_from_quarantined_inputs(place: Place) -> None:
    workspace, team = place
    data = team.registered(workspace, "data", content=b"d", kind=Kind.DATASET)
    base = team.registered(workspace, "base", content=b"b")
    model = team.registered(workspace, "model", content=b"m")
    team.log(workspace, provenance_of(base, data), "tess")
    team.log(workspace, provenance_of(model, base), "tess")
    team.log(workspace, provenance_of(data, model), "tess")  # a circle ends too
    quarantine(workspace, data, "poisoned")
    sound = SoundLedger.of(workspace)
    assert standing_of(Reader(sound, sound.chain), model).tainted_by == (data.digest,)


@pytest.mark.parametrize("signer", ["eve", "ada", "mallory"])
def test_provenance_by_somebody_without_the_role_links_nothing(place: Place, signer: str) -> None:
    workspace, team = place
    data, model = team.registered(workspace, "data", content=b"d"), team.registered(workspace, "model", content=b"m")
    team.log(workspace, provenance_of(model, data), signer)
    with workspace.store.reading() as db:
        assert db.execute("SELECT * FROM lineage").fetchall() == []


# -- trust


def test_the_next_trust_policy_is_in_force_at_once_and_an_older_one_never_again(place: Place) -> None:
    workspace, team = place
    first = team.policy()
    without_ada = Team(keys=team.keys, roles={**team.roles, "ada": ("root",)})
    second = without_ada.policy(version=2, previous=sha256(first))
    workspace.append_trust(team.envelope(second))
    refused(team, workspace, registration_of("credit", 1, "ab" * 32), "ada", reason="wrong-signer")
    for envelope, reason in ((team.policy(version=2, previous=sha256(first), expires=workspace.clock()), "trust-rollback"),
                             (team.policy(version=4, previous=sha256(second)), "trust-chain"),
                             (team.policy(version=3, previous=sha256(first)), "trust-chain")):  # fmt: skip
        with pytest.raises(TrustError) as caught:
            workspace.append_trust(team.envelope(envelope))
        assert caught.value.reason == reason
    assert not workspace.append_trust(team.envelope(first)).is_new  # logged long ago, and changes nothing
    assert workspace.trust().version == 2


def test_a_policy_change_that_is_rolled_back_with_its_batch_is_not_remembered(place: Place) -> None:
    workspace, team = place
    second = team.policy(version=2, previous=sha256(team.policy()))
    bad = registration_of("credit", 9, "ab" * 32)
    with pytest.raises(StateError):
        workspace.log([Item.of_trust(team.envelope(second)), Item.of(sign(bad, team["ada"]))])
    assert workspace.trust().version == 1
    assert team.registered(workspace).n == 1


def test_unknown_types_are_logged_and_satisfy_nothing(place: Place) -> None:
    workspace, team = place
    version = team.registered(workspace)
    team.log(workspace, statement_about(version, "urn:assay:scan-result:v2", {"files": []}), "runner", "mallory")
    with pytest.raises(StateError):
        move(workspace, version, State.CANDIDATE, "r")


def test_every_version_is_found_by_each_of_its_names(place: Place) -> None:
    workspace, team = place
    found: Callable[[str], Version] = lambda text: workspace.registry.resolve(Reference.parse(text))  # noqa: E731
    version = team.approved(workspace)
    team.promote(workspace, version)
    for text in ("credit", "credit@1", "credit@production", f"credit@sha256:{version.digest}"):
        assert found(text).digest == version.digest
    for text in ("credit@2", "credit@staging", "nothing", f"credit@sha256:{'0' * 64}"):
        with pytest.raises(AssayError, match="not registered"):
            found(text)


def test_a_role_of_two_persons_acts_with_the_second_signature(place: Place) -> None:
    """A threshold above one used to mean that the role could never act, because the fold saw one key at a time."""
    workspace, team = place
    version = team.registered(workspace)
    both = Team(keys=team.keys, roles=dict(team.roles) | {"mallory": ("gate",)})
    policy = both.policy(version=2, previous=sha256(team.policy()), thresholds={"gate": 2})
    workspace.append_trust(both.envelope(policy))
    statement = decision_of(version, "approved", workspace.clock())
    both.log(workspace, statement, "runner")
    assert workspace.registry.decision(version.digest, "approved") is None
    both.log(workspace, statement, "mallory")
    decided = workspace.registry.decision(version.digest, "approved")
    assert decided is not None
    assert decided.answer == "allow"
    assert audit(workspace).ok
