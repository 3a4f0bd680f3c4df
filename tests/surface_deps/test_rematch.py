"""After an import: stored bills and matches are matched again, and a new hit in production opens one incident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import START, Team, make_workspace, statement_about
from tests.unit.dependencies.advice import OTHER, record, write

from assay.app.advisories import import_advisories
from assay.app.dependencies import Collected, look_up
from assay.app.incidents import newest_incidents
from assay.app.rematch import BILL_TYPES, Rematched, log_match, rematch, workspace_claims
from assay.app.workspace import Workspace
from assay.core.canonical import Json, canonical
from assay.evidence.predicates import Predicate
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.vex import VEX_TYPE

V = [{"introduced": "0"}, {"fixed": "2.0"}]
FRESH = "2026-11-22T00:00:00Z"
HIT = record(
    events=V, aliases=["CVE-1"], severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
)
BILL: Json = {
    "bomFormat": "CycloneDX",
    "components": [{"type": "library", "name": "acme", "purl": "pkg:pypi/acme@1.0"}],
}


def team_that_may(*types: str) -> tuple[Team, bytes]:
    """Everybody's keys under a policy that lets scanners also say `types`."""
    team = Team()
    said: Any = json.loads(team.policy())
    said["roles"]["scanner"]["predicates"] += types
    return team, canonical(said)


def load(workspace: Workspace, *records: Any) -> Rematched:
    folder = write(workspace.folder.parent / "osv", records)
    target = workspace.folder / "advisories.sqlite"
    import_advisories([folder], target, START, workspace=workspace)
    return rematch(workspace, target)


def test_a_new_advisory_on_a_production_asset_opens_one_incident(tmp_path: Path) -> None:
    team, policy = team_that_may(*BILL_TYPES)
    with make_workspace(tmp_path, team=team, policy=policy) as (workspace, _):
        version = team.approved(workspace)
        team.promote(workspace, version)
        team.log(workspace, statement_about(version, BILL_TYPES[0], BILL), "runner")
        quiet = load(workspace, OTHER)
        assert (quiet.assets, len(quiet.statements), quiet.incidents) == (1, 1, ())
        loud = load(workspace, OTHER, HIT)
        (opened,) = loud.incidents
        assert opened.asset == "credit@1" and opened.events == ("advisory PYSEC-1 hits pkg:pypi/acme@1.0",)
        (told,) = newest_incidents(workspace)
        assert (told["id"], told["severity"], told["state"]) == (opened.id, "critical", "open")
        assert load(workspace, OTHER, HIT).incidents == ()
        assert len(newest_incidents(workspace)) == 1


def test_an_earlier_match_is_matched_again_without_its_files(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
        team.promote(workspace, version)
        load(workspace, OTHER)
        answer = look_up(
            Collected((Dependency("PyPI", "acme", "1.0", "r:1"),)), workspace.folder / "advisories.sqlite", START
        )
        assert answer.exit_code == 0
        assert log_match(workspace, version.digest, answer) is not None
        again = load(workspace, OTHER, HIT)
        assert again.assets == 1 and len(again.incidents) == 1
        leaves = [
            leaf
            for leaf in workspace.ledger.leaves(0, workspace.ledger.size())
            if leaf.type == Predicate.VULNERABILITIES
        ]
        assert len(leaves) == 2


def test_an_asset_outside_production_opens_nothing(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
        load(workspace, OTHER)
        answer = look_up(
            Collected((Dependency("PyPI", "acme", "1.0", "r:1"),)), workspace.folder / "advisories.sqlite", START
        )
        log_match(workspace, version.digest, answer)
        again = load(workspace, OTHER, HIT)
        assert again.assets == 1 and again.incidents == () and len(again.statements) == 1


def test_bills_by_strangers_count_for_nothing(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as (workspace, team):
        version = team.approved(workspace)
        team.promote(workspace, version)
        team.log(workspace, statement_about(version, BILL_TYPES[0], BILL), "mallory")
        assert load(workspace, OTHER, HIT).assets == 0


def vex(status: str) -> Json:
    return {
        "statements": [
            {"vulnerability": {"name": "CVE-1"}, "status": status, "products": [{"@id": "pkg:pypi/acme@1.0"}]}
        ]
    }


def test_only_vex_statements_of_a_trusted_role_settle_anything(tmp_path: Path) -> None:
    team, policy = team_that_may(VEX_TYPE)
    with make_workspace(tmp_path, team=team, policy=policy) as (workspace, _):
        version = team.approved(workspace)
        load(workspace, OTHER, HIT)
        listed = Collected((Dependency("PyPI", "acme", "1.0", "r:1"),))

        def code() -> int:
            return look_up(
                listed, workspace.folder / "advisories.sqlite", START, claims=workspace_claims(workspace)
            ).exit_code

        assert code() == 1
        team.log(workspace, statement_about(version, VEX_TYPE, vex("not_affected")), "mallory")
        team.log(workspace, statement_about(version, VEX_TYPE, vex("not_affected")), "eve")
        assert code() == 1
        team.log(workspace, statement_about(version, VEX_TYPE, vex("not_affected")), "runner")
        assert code() == 0
        team.log(workspace, statement_about(version, VEX_TYPE, vex("affected")), "runner")
        assert code() == 1
