"""Whatever is logged in whatever order, an asset only moves as its lifecycle allows, and the registry can be rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import Team, fresh, make_workspace, quarantine_of, scan_of, statement_about

from assay.app.audit import audit
from assay.core.errors import AssayError, StateError
from assay.evidence.predicates import Predicate
from assay.registry.lifecycle import State, role_for

TEAM = Team()
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from(list(State)), st.sampled_from(list(State))),
        st.tuples(st.just("allow"), st.sampled_from(["approved", "production"]), st.sampled_from(["allow", "deny"])),
        st.tuples(st.just("promote"), st.just("production")),
        st.tuples(st.just("remove"), st.just("production")),
        st.tuples(st.just("scan"), st.sampled_from(["clean", "malicious"])),
        st.tuples(st.just("quarantine"), st.booleans()),
        st.tuples(st.just("lift"), st.booleans(), st.sampled_from([("ada", "bob"), ("bob",), ("ada",)])),
    ),
    max_size=14,
)


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_the_table_knows_every_pair_and_nothing_leaves_retired(before: State, after: State) -> None:
    try:
        role = role_for(before, after)
    except StateError:
        return
    assert before is not State.RETIRED and before is not after and role in ("releaser", "incident")
    assert (after is State.RETIRED) <= (before is not State.PRODUCTION)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_no_order_of_statements_breaks_the_lifecycle_or_the_rebuild(tmp_path_factory, acts: list[tuple]) -> None:  # type: ignore[no-untyped-def,type-arg]  # fmt: skip
    root: Path = tmp_path_factory.mktemp("life")
    with make_workspace(root, team=TEAM) as (workspace, team):
        version = team.registered(workspace)
        team.log(workspace, scan_of(version), "runner")
        seen = {State.SOURCED}
        for mark, act in enumerate(acts):
            before = fresh(workspace, version).state
            try:
                _do(workspace, team, fresh(workspace, version), act, mark)
            except AssayError:
                assert fresh(workspace, version).state is before
                continue
            after = fresh(workspace, version).state
            if after is not before:
                role_for(before, after)
            seen.add(after)
            held = workspace.registry.aliases(version.name).get("production") == version.digest
            assert (after is State.PRODUCTION) <= held
            assert held <= (
                after in (State.PRODUCTION, State.QUARANTINED, State.CANDIDATE, State.APPROVED, State.RETIRED)
            )
            assert (State.RETIRED in seen) <= (after is State.RETIRED)
            denied = bool(workspace.registry.denials(version.digest, version.name))
            assert after is State.RETIRED or denied == (after is State.QUARANTINED)
        assert audit(workspace, with_signatures=False).problems == ()


def _do(workspace, team: Team, version, act: tuple, mark: int) -> None:  # type: ignore[no-untyped-def,type-arg]  # fmt: skip
    kind, *rest = act
    if kind == "move":
        said = {"from": str(rest[0]), "to": str(rest[1]), "name": version.name, "reason": "r", "ledgerSize": mark}
        team.log(workspace, statement_about(version, Predicate.LIFECYCLE, said), "ada")
    elif kind == "allow":
        team.allow(workspace, version, rest[0], answer=rest[1])
    elif kind == "promote":
        team.promote(workspace, version, rest[0])
    elif kind == "remove":
        said = {"action": "remove", "alias": rest[0], "digest": version.digest, "name": version.name,
                "previous": version.digest, "ledgerSize": mark}  # fmt: skip
        team.log(workspace, statement_about(version, Predicate.PROMOTION, said), "ada")
    elif kind == "scan":
        team.log(workspace, scan_of(version, rest), "runner")
    elif kind == "quarantine":
        team.log(workspace, quarantine_of(version, "quarantine", whole_name=rest[0], mark=mark), "ada")
    else:
        team.log(workspace, quarantine_of(version, "lift", whole_name=rest[0], mark=mark), *rest[1])
