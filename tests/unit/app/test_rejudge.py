"""Facts judged again: what counts is the newest trusted scan, and what cannot be judged is skipped or inconclusive, never clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import Team, make_workspace, scan_of, statement_about

from assay.app.rejudge import rejudge
from assay.app.workspace import Workspace
from assay.checks.model_file.format import ID
from assay.checks.model_file.lists import AddedList
from assay.checks.model_file.stored import Keeper
from assay.core.assets import Entry
from assay.core.digests import sha256
from assay.core.outcomes import Verdict
from assay.core.statements import Statement
from assay.evidence.envelope import read_bundle, sign
from assay.evidence.ledger import Item, Receipt
from assay.evidence.predicates import Predicate, check_predicate
from assay.formats.facts import SCHEMA
from assay.formats.reading import read_facts
from assay.registry.queries import Version

MODEL = b"\x80\x02cours\nThing\n)R."
OURS = AddedList("ours.json", json.dumps(
    {"schema": "urn:assay:allow-list:v1", "entries": {"ours": {"Thing": {"role": "type", "args": []}}}}
).encode())  # fmt: skip
Place = tuple[Workspace, Team, Version]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with make_workspace(tmp_path) as (workspace, team):
        yield workspace, team, team.registered(workspace, content=MODEL)


def facts(version: Version, *, of: bytes = MODEL, path: str = "model.bin") -> bytes:
    keeper = Keeper()
    keeper.keep(Entry(path, sha256(of), len(of)), read_facts(of, path))
    return keeper.blob()


def scanned(
    place: Place, blob: bytes, *, verdict: str = "clean", signer: str = "runner", keep: bool = True, **changes: Any
) -> Statement:
    """Logs a scan that names `blob`; `changes` replace fields of how it names it."""
    workspace, team, version = place
    said = dict(scan_of(version, check=ID).predicate)
    said["files"] = [{"format": "pickle", "path": "model.bin", "sha256": sha256(MODEL), "verdict": verdict}]
    said["facts"] = {"schema": SCHEMA, "sha256": sha256(blob), "size": len(blob)} | changes
    statement = statement_about(version, Predicate.SCAN_RESULT, said)
    workspace.log([Item.of(sign(statement, team[signer]))], [blob] if keep else [])
    return statement


def test_a_verdict_that_got_worse_is_logged_with_what_it_stands_on(place: Place) -> None:
    workspace, _, version = place
    earlier = scanned(place, facts(version))
    found = rejudge(workspace, version, ())
    assert [v.verdict for v in found.verdicts] == [Verdict.UNKNOWN] and found.findings
    assert "1 got worse: model.bin was clean, is unknown" in found.note and found.receipt is not None
    newest = said_by(workspace, found.receipt)
    assert newest["rejudged"]["statement"] == earlier.digest and newest["facts"] == earlier.predicate["facts"]
    assert newest["rejudged"]["worse"] == [{"path": "model.bin", "before": "clean", "after": "unknown"}]
    assert {item["name"] for item in newest["lists"]} >= {"assay/numpy", "assay/python", "assay/skops_types"}


def said_by(workspace: Workspace, receipt: Receipt) -> Any:  # Any: a predicate
    leaf = next(iter(workspace.ledger.leaves(receipt.index, receipt.index + 1)))
    return Statement.parse(read_bundle(workspace.ledger.bundle(leaf)).payload).predicate


def test_judging_again_what_was_judged_again_still_says_when_the_file_was_read(place: Place) -> None:
    workspace, _, version = place
    scanned(place, facts(version), verdict="unknown")
    first, second = rejudge(workspace, version, [OURS]), rejudge(workspace, version, [])
    assert first.verdicts[0].verdict is Verdict.CLEAN and "none got worse" in first.note
    assert second.verdicts[0].verdict is Verdict.UNKNOWN and "was clean, is unknown" in second.note
    assert first.note.partition(";")[0] == second.note.partition(";")[0]


def test_a_dry_run_logs_nothing(place: Place) -> None:
    workspace, _, version = place
    scanned(place, facts(version))
    before = workspace.ledger.size()
    assert rejudge(workspace, version, (), log=False).verdicts and workspace.ledger.size() == before


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("never", "no trusted scanner"), ("bare", "stored no facts"), ("older", "of the schema urn:assay:file-facts:v1"),
        ("gone", "are gone from this workspace"), ("malformed", "cannot be read"), ("stranger", "no trusted scanner"),
        ("older bytes", "another schema"),
    ],
)  # fmt: skip
def test_without_facts_of_this_schema_it_is_skipped_with_a_reason_and_nothing_is_logged(
    what: str, why: str, place: Place
) -> None:
    workspace, team, version = place
    blob = facts(version)
    if what == "bare":
        scanned(place, blob)
        team.log(workspace, scan_of(version, check=ID), "runner")
    elif what == "older":
        scanned(place, blob, schema="urn:assay:file-facts:v1")
    elif what == "older bytes":
        scanned(place, blob.replace(SCHEMA.encode(), b"urn:assay:file-facts:v1"))
    elif what == "gone":
        scanned(place, blob, keep=False)
    elif what == "malformed":
        scanned(place, b"not JSON")
    elif what == "stranger":
        scanned(place, blob, signer="mallory")
    before = workspace.ledger.size()
    found = rejudge(workspace, version, [OURS])
    assert (
        found.state == "skipped" and not found.verdicts and found.receipt is None and workspace.ledger.size() == before
    )
    assert why in found.skipped[0].reason and "assay check" in found.skipped[0].reason


@pytest.mark.parametrize("what", ["left out", "other bytes", "other name", "no sense"])
def test_a_file_without_facts_of_its_own_is_inconclusive(what: str, place: Place) -> None:
    workspace, _, version = place
    blob = facts(
        version, of=MODEL + b" " if what == "other bytes" else MODEL, path="x" if what == "other name" else "model.bin"
    )
    if what == "left out":
        value = json.loads(blob)
        value["files"] = [{"path": "model.bin", "sha256": sha256(MODEL), "size": 1, "leftOut": "too many"}]
        blob = json.dumps(value).encode()
    if what == "no sense":
        value = json.loads(blob)
        value["files"][0]["facts"] = [["use", "", 0, [1, 2]]]
        blob = json.dumps(value).encode()
    scanned(place, blob)
    found = rejudge(workspace, version, [OURS])
    assert found.verdicts == () and found.skipped and found.receipt is not None
    with workspace.store.reading() as db:
        assert db.execute("SELECT is_clean FROM scan WHERE digest=?", (version.digest,)).fetchall() == [(0,)]


def test_the_statement_of_a_rejudged_scan_follows_its_schema(place: Place) -> None:
    workspace, _, version = place
    scanned(place, facts(version))
    receipt = rejudge(workspace, version, ()).receipt
    assert receipt is not None
    check_predicate(statement_about(version, Predicate.SCAN_RESULT, said_by(workspace, receipt)))
