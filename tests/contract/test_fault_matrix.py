"""Every way in which evidence or a decision can be wrong, at every door: none lets a model through, each says why.

The rows are faults that are made for real: statements signed by the wrong people, bytes that no schema knows, ledgers
that cannot be read. The columns are `assay gate`, `assay verify` and `guard.load`. The gate asks for evidence; verify
and guard ask for the gate's decision, so a fault of evidence reaches them through the decision that the gate then makes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import quarantine_of, registration_of
from tests.surface.shop import Ran
from tests.surface.small import STAGE, Small, evaluation, small

from assay.core.statements import Statement, Subject
from assay.evidence import store
from assay.evidence.files import manifest_of

LONG_AGO = timedelta(days=31)
NOT_A_PASS = (1, 3)


def old() -> datetime:
    return datetime.now(UTC) - LONG_AGO


def about_other_bytes(project: Small, statement: Statement) -> Statement:
    other = project.team.registered(project.workspace, "other", content=b"other weights")
    return replace(statement, subjects=(Subject(f"assay:{other}", other.digest),))


def with_nan(statement: Statement) -> bytes:
    payload = statement.payload
    return payload.replace(b'"value":0.95', b'"value":NaN').replace(b'"timeVerified":"', b'"nan":NaN,"timeVerified":"')


def twice_keyed(statement: Statement) -> bytes:
    """The same keys with two values, the good one last, as lenient parsers keep it."""
    payload = statement.payload
    return payload.replace(b'"state":"done"', b'"state":"failed","state":"done"').replace(
        b'"verificationResult"', b'"verificationResult":"FAILED","verificationResult"'
    )


@dataclass(frozen=True)
class Fault:
    """A fault of the evaluation: how it is logged, and the words of which one must be among the gate's reasons."""

    name: str
    log: Callable[[Small], object]
    reasons: tuple[str, ...]


EVIDENCE = [
    Fault("missing", lambda p: None, ("missing",)),
    Fault("stale", lambda p: p.log(p.evaluated(at=old()), "eve"), ("stale",)),
    Fault("unsigned", lambda p: p.log(p.evaluated(), "mallory"), ("unsigned", "missing")),
    Fault("wrong signer", lambda p: p.log(p.evaluated(), "tess"), ("wrong-signer",)),
    Fault("wrong subject", lambda p: p.log(about_other_bytes(p, p.evaluated()), "eve"), ("missing", "wrong-subject")),
    Fault("malformed", lambda p: force(p, replace(p.evaluated(), predicate={"head": 1}), "eve"), ("malformed", "missing")),
    Fault("no JSON", lambda p: p.force(b"{", p.evaluated(), "eve"), ("malformed", "missing")),
    Fault("NaN", lambda p: p.force(with_nan(p.evaluated()), p.evaluated(), "eve"), ("malformed", "missing")),
    Fault("empty suite", lambda p: p.log(p.evaluated(measurements=[]), "eve"), ("missing", "absent-field", "empty")),
    Fault("no rows", lambda p: p.force(p.evaluated(n=0).payload, p.evaluated(n=0), "eve"), ("empty", "malformed", "too-few-rows", "missing")),
    Fault("duplicate keys", lambda p: p.force(twice_keyed(p.evaluated()), p.evaluated(), "eve"), ("malformed", "missing")),
    Fault("contradicting duplicates", lambda p: duplicated(p), ("ambiguous", "inconsistent", "malformed")),
    Fault("failed run", lambda p: p.log(p.evaluated(state="failed", failure="timeout: 1 s of wall time", measurements=[]), "eve"), ("failed-run",)),
    Fault("newer failed run", lambda p: (p.log(p.evaluated(), "eve"), p.log(p.evaluated(state="failed", failure="timeout"), "eve")), ("failed-run",)),
    Fault("future", lambda p: p.log(p.evaluated(at=datetime.now(UTC) + LONG_AGO), "eve"), ("future",)),
    Fault("a scanner's word", lambda p: p.log(p.evaluated(), "runner"), ("wrong-signer", "missing")),
    Fault("too few rows", lambda p: p.log(p.evaluated(n=100), "eve"), ("too-few-rows",)),
]  # fmt: skip


def force(project: Small, statement: Statement, signer: str) -> None:
    project.force(statement.payload, statement, signer)


def duplicated(project: Small) -> None:
    good, bad = evaluation(project.version), evaluation(project.version, n=1000)
    measured = dict(bad.predicate["measurements"][0]) | {"value": 0.1, "limit": {"hits": 100, "n": 1000}}
    both = [*good.predicate["measurements"], measured]
    statement = project.evaluated(measurements=both)
    project.force(statement.payload, statement, "eve")


def reasons_of(ran: Ran) -> set[str]:
    return {rule["reason"] for rule in ran.json["rules"]}


def refused_everywhere(project: Small) -> None:
    """Neither verify nor guard lets it through, and both name a reason."""
    verified = project.verify()
    assert verified.code in NOT_A_PASS and not verified.json["ok"], verified.said
    assert all(reason["code"] and reason["text"] for reason in verified.json["reasons"]) and verified.json["reasons"]
    refused = project.load()
    assert refused is not None and refused.exit_code == verified.code
    assert refused.reason in {reason["code"] for reason in verified.json["reasons"]}


def test_without_a_fault_every_door_is_open(tmp_path: Path) -> None:
    with small(tmp_path) as project:
        assert project.verify().code == 3 and project.load() is not None  # nobody decided yet
        ran = project.gate()
        assert (ran.code, ran.json["decision"]) == (0, "allow"), ran.said
        assert project.verify().code == 0
        assert project.load() is None


@pytest.mark.parametrize("fault", EVIDENCE, ids=lambda fault: fault.name)
def test_faulty_evidence_opens_no_door(fault: Fault, tmp_path: Path) -> None:
    with small(tmp_path, fault.log) as project:
        ran = project.gate()
        assert ran.code in NOT_A_PASS and ran.json["decision"] != "allow", ran.said
        assert reasons_of(ran) & set(fault.reasons), reasons_of(ran)
        human = project.shop.run("gate", str(project.version), "--to", STAGE)
        assert human.code == ran.code and "accurate" in human.out
        refused_everywhere(project)


def revoked(project: Small) -> None:
    assert (
        project.shop.run(
            "key", "revoke", project.team["runner"].public.key_id[:16], "--compromised", "--sign-with", "ada"
        ).code
        == 0
    )


DENIED = {"assay_decision": "deny", "verificationResult": "FAILED"}
DECISIONS: dict[str, tuple[Callable[[Small], object], set[str]]] = {
    "missing": (lambda p: None, {"no-decision"}),
    "stale": (lambda p: p.log(p.decided(timeVerified=f"{old():%Y-%m-%dT%H:%M:%SZ}"), "runner"), {"decision-stale"}),
    "future": (lambda p: p.log(p.decided(timeVerified="2999-01-01T00:00:00Z"), "runner"), {"decision-future"}),
    "unsigned": (lambda p: force(p, p.decided(), "mallory"), {"no-decision"}),
    "wrong signer": (lambda p: force(p, p.decided(), "tess"), {"no-decision"}),
    "wrong subject": (lambda p: force(p, about_other_bytes(p, p.decided()), "runner"), {"no-decision"}),
    "wrong stage": (lambda p: p.log(p.decided(assay_target="production"), "runner"), {"no-decision"}),
    "wrong policy": (lambda p: p.log(p.decided(policy={"digest": {"sha256": "0" * 64}}), "runner"), {"other-policy"}),
    "malformed": (lambda p: force(p, p.decided(verifier=1), "runner"), {"no-decision"}),
    "no JSON": (lambda p: p.force(b"[]", p.decided(), "runner"), {"no-decision"}),
    "NaN": (lambda p: p.force(with_nan(p.decided()), p.decided(), "runner"), {"no-decision"}),
    "duplicate keys": (lambda p: p.force(twice_keyed(p.decided()), p.decided(), "runner"), {"no-decision"}),
    "contradicting words": (lambda p: p.log(p.decided(verificationResult="FAILED"), "runner"), {"undecided"}),
    "an allow, then a deny": (lambda p: (p.log(p.decided(), "runner"), p.log(p.decided(**DENIED), "runner")), {"denied"}),
    "an allow, then a quarantine": (lambda p: (p.log(p.decided(), "runner"), p.log(quarantine_of(p.version, "quarantine"), "ada")), {"quarantined"}),
    "a revoked gate": (lambda p: (p.log(p.decided(), "runner"), revoked(p)), {"no-decision", "checkpoint-stale"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DECISIONS))
def test_a_faulty_decision_opens_no_door(name: str, tmp_path: Path) -> None:
    make, codes = DECISIONS[name]
    with small(tmp_path) as project:
        make(project)
        ran = project.verify()
        if name == "a revoked gate":  # its key signed the log's checkpoints too, so the log itself cannot be relied on
            assert ran.code in NOT_A_PASS, ran.said
            assert project.load() is not None
            return
        assert codes <= {reason["code"] for reason in ran.json["reasons"]}, ran.said
        refused_everywhere(project)


def test_a_registration_by_somebody_else_opens_no_door(tmp_path: Path) -> None:
    with small(tmp_path) as project:
        project.gate()
        (project.path / "model.bin").write_bytes(b"swapped")
        assert project.verify().json["reasons"][0]["code"] == "bytes-differ"
        refused_everywhere(project)


@pytest.mark.parametrize("change", ["added", "missing", "emptied", "renamed", "link"])
def test_changed_bytes_open_no_door(change: str, tmp_path: Path) -> None:
    with small(tmp_path) as project:
        assert project.gate().code == 0
        file = project.path / "model.bin"
        {
            "added": lambda: (project.path / "more.bin").write_bytes(b""),
            "missing": lambda: file.unlink(),
            "emptied": lambda: file.write_bytes(b""),
            "renamed": lambda: file.rename(project.path / "other.bin"),
            "link": lambda: (file.rename(tmp_path / "away"), file.symlink_to(tmp_path / "away")),
        }[change]()
        ran = project.shop.run("verify", project.path, "--stage", STAGE)
        assert ran.code in (1, 2, 3) and ran.said.strip()
        refused = project.load()
        assert refused is not None and str(refused)


SLOW = '''"""A check that never ends."""
import time
from assay.core.assets import Kind
from assay.core.checks import check

@check("quality.slow", kinds={Kind.MODEL}, version=1)
def slow(asset, context):
    """Sleeps."""
    time.sleep(60)
    yield from ()
'''


def test_a_check_that_runs_out_of_time_opens_no_door(tmp_path: Path) -> None:
    """A plug-in that sleeps is run by a real command; what is logged is a failed run, and that is no pass."""
    plugin = tmp_path / "plugin"
    (plugin / "slow-0.dist-info").mkdir(parents=True)
    (plugin / "slow_checks.py").write_text(SLOW)
    (plugin / "slow-0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 0\n")
    (plugin / "slow-0.dist-info" / "entry_points.txt").write_text("[assay.checks]\nslow = slow_checks\n")
    (tmp_path / "small").mkdir()
    with small(tmp_path / "small") as project:
        assert project.shop.run("key", "trust", "runner", "--owner", "runner", "--role", "evaluator").code == 0
        path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
        ran = project.shop.child("check", str(project.version), "--only", "quality.slow", "--timeout", "1", "--format", "json",
                                 environment={"PYTHONPATH": path})  # fmt: skip
        assert ran.code == 3, ran.said
        assert ran.json["results"][0]["state"] == "failed" and "longer than 1 s" in ran.json["results"][0]["reason"]
        gated = project.gate()
        assert gated.code == 3 and "failed-run" in reasons_of(gated)
        refused_everywhere(project)


def garbage(project: Small) -> None:
    project.shop.database.write_bytes(os.urandom(8192))


def emptied(project: Small) -> None:
    project.shop.database.write_bytes(b"")


def gone(project: Small) -> None:
    project.shop.database.unlink()


def folder_instead(project: Small) -> None:
    project.shop.database.unlink()
    project.shop.database.mkdir()


def truncated(project: Small) -> None:
    data = project.shop.database.read_bytes()
    project.shop.database.write_bytes(data[: len(data) // 2])


def restored_from_before(project: Small) -> None:
    """The copy that was taken before the decision."""
    (project.shop.folder / "before").rename(project.shop.database)


def unreadable(project: Small) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    project.shop.database.chmod(0)


@pytest.mark.parametrize("spoil", [garbage, emptied, gone, folder_instead, truncated, restored_from_before, unreadable],
                         ids=lambda spoil: spoil.__name__)  # fmt: skip
def test_a_ledger_that_cannot_be_read_opens_no_door(spoil: Callable[[Small], None], tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        project = stack.enter_context(small(tmp_path))
        (tmp_path / "before").write_bytes(project.shop.database.read_bytes())
        stack.close()
        assert project.gate().code == 0
        for extra in ("-wal", "-shm"):
            project.shop.database.with_name(project.shop.database.name + extra).unlink(missing_ok=True)
        path = next((tmp_path / "assets").iterdir())
        spoil(project)
        for words in (("gate", "credit@1", "--to", STAGE), ("verify", path, "--stage", STAGE)):
            ran = project.shop.run(*words)
            assert ran.code in NOT_A_PASS or (ran.code == 2 and "not registered" in ran.err), ran.said
            assert not ran.out and "  [A-" in ran.err and "  why   " in ran.err, ran.said
        refused = project.load_path(path)
        assert refused is not None and refused.exit_code in NOT_A_PASS


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        yield


def test_a_locked_ledger_opens_no_door_to_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small(tmp_path) as project:
        assert project.gate().code == 0
    monkeypatch.setattr(store, "_BUSY_S", 0.2)
    with locked(project.shop.database):
        ran = project.shop.run("gate", "credit@1", "--to", STAGE)
    assert ran.code == 3 and "locked" in ran.err


def test_a_name_given_to_two_assets_does_not_lend_a_decision(tmp_path: Path) -> None:
    """Other bytes under the same name are another version; the allow of the first is not theirs."""
    with small(tmp_path) as project:
        assert project.gate().code == 0
        other = project.team.registered(project.workspace, content=b"other weights")
        ran = project.shop.run("verify", str(other), "--stage", STAGE)
        assert ran.code == 3 and "no-decision" in ran.out


def test_a_forged_registration_does_not_lend_a_name(tmp_path: Path) -> None:
    with small(tmp_path) as project:
        assert project.gate().code == 0
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"mallory's")
        digest = manifest_of(folder, project.version.kind).digest
        forged = registration_of("credit", 2, digest)
        project.force(forged.payload, forged, "mallory")
        ran = project.shop.run("verify", folder, "--stage", STAGE, "--format", "json")
        assert ran.code == 1 and ran.json["reasons"][0]["code"] == "unregistered"


def test_the_matrix_names_every_fault_of_the_design() -> None:
    rows = {fault.name for fault in EVIDENCE}
    assert {
        "missing",
        "stale",
        "unsigned",
        "wrong signer",
        "wrong subject",
        "malformed",
        "NaN",
        "empty suite",
        "duplicate keys",
    } <= rows
    assert {
        "missing",
        "stale",
        "unsigned",
        "wrong signer",
        "wrong subject",
        "malformed",
        "NaN",
        "duplicate keys",
    } <= set(DECISIONS)
