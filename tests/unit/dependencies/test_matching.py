"""Clean, vulnerable or unknown: hits are never lost, and nothing is clean while anything is in doubt."""

from __future__ import annotations

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.dependencies.advice import NOW, OTHER, imported, matched, record

from assay.app.dependencies import Answer, Collected, look_up
from assay.checks.dependency.matching import State
from assay.core.errors import StorageError
from assay.formats.dependencies.database import Database
from assay.formats.dependencies.values import Dependency, unpinned, unread
from assay.formats.dependencies.vex import claims_in

V = [{"introduced": "0"}, {"fixed": "2.0"}]
SUBJECT = "ab" * 32


def test_the_three_states(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    assert matched(tmp_path, "acme==1.0").state is State.VULNERABLE
    assert matched(tmp_path, "AcMe==1.0").advisories[0].fixed == ("2.0",)
    assert matched(tmp_path, "acme==2.0").state is State.CLEAN
    assert matched(tmp_path, "someone-else==1.0").state is State.CLEAN
    assert matched(tmp_path, unpinned("PyPI", "acme", "x")).state is State.UNKNOWN
    assert matched(tmp_path, unread("r:1", "no")).state is State.UNKNOWN
    assert matched(tmp_path, "acme==not a version").state is State.UNKNOWN
    assert matched(tmp_path, Dependency("npm", "acme", "1.0.0", "x")).state is State.UNKNOWN
    assert matched(tmp_path, Dependency("Maven", "a:b", "1.0", "x")).state is State.UNKNOWN


def test_records_that_name_each_other_are_one_advisory(tmp_path: Path) -> None:
    ghsa = record(
        "GHSA-a",
        events=V,
        aliases=["CVE-1"],
        severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    )
    pysec = record(
        "PYSEC-1", events=[{"introduced": "0"}, {"fixed": "1.5"}], aliases=["CVE-1", "GHSA-a"], summary="bad"
    )
    imported(tmp_path, [ghsa, pysec, record("PYSEC-2", events=V)])
    found = matched(tmp_path, "acme==1.0").advisories
    assert [(one.id, one.aliases) for one in found] == [("PYSEC-1", ("GHSA-a", "CVE-1")), ("PYSEC-2", ())]
    assert (found[0].cvss, found[0].severity, found[0].fixed) == (9.8, "critical", ("2.0", "1.5"))
    assert (found[1].cvss, found[1].severity) == (None, "unknown")
    assert [one.id for one in matched(tmp_path, "acme==1.7").advisories] == ["GHSA-a", "PYSEC-2"]


def test_a_withdrawn_record_says_nothing_but_its_alias_does(tmp_path: Path) -> None:
    gone = record("PYSEC-1", events=V, aliases=["GHSA-a"], withdrawn="2024-01-01T00:00:00Z")
    imported(tmp_path, [gone, OTHER])
    assert matched(tmp_path, "acme==1.0").state is State.CLEAN
    imported(tmp_path, [gone, record("GHSA-a", events=V)])
    assert matched(tmp_path, "acme==1.0").state is State.VULNERABLE
    imported(tmp_path, [gone | {"withdrawn": "someday"}])
    assert matched(tmp_path, "acme==1.0").state is State.VULNERABLE


def test_a_record_that_cannot_be_told_makes_its_package_unknown_only(tmp_path: Path) -> None:
    imported(
        tmp_path, [record(events=[{"introduced": "2019-09-12"}]), record("PYSEC-2", "git", events=V, type="GIT"), OTHER]
    )
    assert matched(tmp_path, "acme==1.0").state is State.UNKNOWN
    assert matched(tmp_path, "git==1.0").state is State.UNKNOWN
    assert matched(tmp_path, "unrelated==2").state is State.CLEAN
    assert matched(tmp_path, "unrelated==1").state is State.VULNERABLE


def test_a_hit_counts_even_where_the_rest_is_in_doubt(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    late = matched(tmp_path, "acme==1.0", now=NOW + timedelta(days=900))
    assert late.state is State.VULNERABLE and late.reasons
    assert matched(tmp_path, Dependency("PyPI", "acme", "1.0", "x", "from git", "direct")).state is State.VULNERABLE
    conda = Dependency("conda", "acme", "1.0", "x")
    assert matched(tmp_path, conda).state is State.VULNERABLE
    assert matched(tmp_path, Dependency("conda", "acme", "3.0", "x")).state is State.UNKNOWN


def test_npm_is_matched_by_semver(tmp_path: Path) -> None:
    imported(
        tmp_path,
        [
            record(
                "GHSA-n", "@s/p", ecosystem="npm", events=[{"introduced": "1.0.0"}, {"fixed": "1.2.0"}], type="SEMVER"
            )
        ],
    )
    states = [
        matched(tmp_path, Dependency("npm", "@s/p", v, "x")).state.value
        for v in ("1.0.0-rc.1", "1.0.0", "1.10.0", "1.2.0-rc.1")
    ]
    assert states == ["clean", "vulnerable", "clean", "vulnerable"]


def vex(
    status: str, *, products: object = ("pkg:pypi/acme@1.0",), name: str = "CVE-1", subject: str = SUBJECT
) -> list[object]:
    predicate = {
        "statements": [{"vulnerability": {"name": name}, "status": status, "products": [{"@id": p} for p in products]}]
    }  # type: ignore[attr-defined]
    return list(claims_in(predicate, subject, "cd" * 32))


def test_a_vex_claim_settles_exactly_what_it_names(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V, aliases=["CVE-1"])])

    def state(claims: list[object], dependency: str = "acme==1.0", subject: str | None = None) -> str:
        return matched(tmp_path, dependency, claims=claims, subject=subject).state.value  # type: ignore[arg-type]

    assert state(vex("not_affected")) == state(vex("fixed")) == "clean"
    assert state(vex("affected")) == state(vex("under_investigation")) == "vulnerable"
    assert state(vex("not_affected"), "acme==1.1") == "vulnerable"
    assert state(vex("not_affected", products=["pkg:pypi/acme"]), "acme==1.1") == "clean"
    assert state(vex("not_affected", name="CVE-2")) == "vulnerable"
    assert state([*vex("not_affected"), *vex("affected")]) == "vulnerable"
    assert state([*vex("affected"), *vex("not_affected")]) == "clean"
    whole = vex("not_affected", products=[])
    assert state(whole) == state(whole, subject="ef" * 32) == "vulnerable"
    assert state(whole, subject=SUBJECT) == "clean"
    assert state(vex("not_affected", products=["pkg:pypi/other@1.0"]), subject=SUBJECT) == "vulnerable"
    assert matched(tmp_path, "acme==1.0", claims=vex("fixed")).settled[0].status == "fixed"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "predicate",
    [
        None,
        [],
        {},
        {"statements": 1},
        {"statements": [1, {}, {"status": "not_affected"}, {"status": "no", "vulnerability": "CVE-1"}]},
    ],
)
def test_a_malformed_vex_document_claims_nothing(predicate: object) -> None:
    assert list(claims_in(predicate, SUBJECT, SUBJECT)) == []


# Outages: whatever is wrong with the database, nothing is clean.


def asked(database: Path, *, days: int = 0) -> Answer:
    listed = tuple(Dependency("PyPI", name, "9.9", "x") for name in ("acme", "numpy", "unrelated"))
    return look_up(Collected(listed), database, NOW + timedelta(days=days))


def assert_unknown(answer: Answer) -> None:
    assert {match.state for match in answer.matches} == {State.UNKNOWN}
    assert answer.exit_code == 3
    assert all(match.reasons for match in answer.matches)


def test_a_sound_and_fresh_database_clears(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    assert asked(tmp_path / "adv.sqlite").exit_code == 0
    assert asked(tmp_path / "adv.sqlite", days=5).exit_code == 0


def test_missing_empty_foreign_and_unopenable_databases_clear_nothing(tmp_path: Path) -> None:
    assert_unknown(asked(tmp_path / "none.sqlite"))
    assert_unknown(asked(tmp_path))
    (tmp_path / "empty").write_bytes(b"")
    assert_unknown(asked(tmp_path / "empty"))
    (tmp_path / "text").write_bytes(b"SQLite format 3\x00" + b"x" * 5000)
    assert_unknown(asked(tmp_path / "text"))
    sqlite3.connect(tmp_path / "foreign").execute("CREATE TABLE t(x)").connection.close()
    assert_unknown(asked(tmp_path / "foreign"))
    os.mkfifo(tmp_path / "fifo")
    assert_unknown(asked(tmp_path / "fifo"))
    (tmp_path / "loop").symlink_to("loop")
    assert_unknown(asked(tmp_path / "loop"))


def test_a_stale_database_clears_nothing(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    assert_unknown(asked(tmp_path / "adv.sqlite", days=30))
    imported(
        tmp_path, [record(events=V, modified="2020-01-01T00:00:00Z"), record("N", "n", ecosystem="npm", versions=["1"])]
    )
    assert_unknown(asked(tmp_path / "adv.sqlite"))


def test_records_from_the_future_do_not_make_a_database_fresh(tmp_path: Path) -> None:
    imported(
        tmp_path,
        [
            record(events=V, modified="2099-01-01T00:00:00Z"),
            record("P", "b", versions=["1"], modified="2020-01-01T00:00:00Z"),
        ],
    )
    assert_unknown(asked(tmp_path / "adv.sqlite"))
    imported(tmp_path, [record(events=V, modified="2099-01-01T00:00:00Z")])
    assert_unknown(asked(tmp_path / "adv.sqlite"))


def test_a_database_without_the_ecosystem_clears_nothing(tmp_path: Path) -> None:
    imported(tmp_path, [record("GHSA-n", "p", ecosystem="npm", versions=["1.0.0"])])
    assert_unknown(asked(tmp_path / "adv.sqlite"))


def test_a_locked_database_clears_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.formats.dependencies.database._BUSY_S", 0.05)
    imported(tmp_path, [record(events=V)])
    other = sqlite3.connect(tmp_path / "adv.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    answer = asked(tmp_path / "adv.sqlite")
    other.close()
    assert_unknown(answer)
    assert "locked" in answer.problem


def test_a_flipped_bit_or_a_cut_anywhere_clears_nothing(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    whole = (tmp_path / "adv.sqlite").read_bytes()
    broken = tmp_path / "broken.sqlite"
    for at in range(0, len(whole), 37):
        broken.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(StorageError):
            Database(broken)
    for size in (0, 1, 99, 100, 4096, len(whole) - 1):
        broken.write_bytes(whole[:size])
        assert_unknown(asked(broken))


def test_a_database_that_breaks_after_it_was_opened_clears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(tmp_path, [record(events=V)])

    def breaks(*_: object) -> object:
        raise StorageError("the advisory database cannot be read", "I/O error")

    monkeypatch.setattr(Database, "rows", breaks)
    assert_unknown(asked(tmp_path / "adv.sqlite"))


def test_nothing_listed_is_not_clean(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V)])
    assert look_up(Collected(), tmp_path / "adv.sqlite", NOW).exit_code == 3
