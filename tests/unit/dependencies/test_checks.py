"""The two checks and the statement: names that mislead, pins that are missing, advisories that hit."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO

import pytest
from tests.unit.dependencies.advice import NOW, OTHER, imported, matched, record

from assay.app.runner.discovery import discover
from assay.checks.dependency.advisories import FILE, advisories
from assay.checks.dependency.matching import Match
from assay.checks.dependency.names import mistaken_for, names, popular_names
from assay.checks.dependency.predicate import dependencies_of, hit_names, known_names, vulns_predicate
from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.canonical import Json
from assay.core.checks import Check
from assay.core.digests import sha256
from assay.core.outcomes import FileVerdict, Finding, Outcome, Skipped
from assay.core.statements import Statement, Subject
from assay.evidence.predicates import Predicate, problem_of
from assay.formats.dependencies.database import Database
from assay.formats.dependencies.values import Dependency, unread

V = [{"introduced": "0"}, {"fixed": "2.0"}]
LOCK = b"acme==1.0\nnumpy==2.1.0\n"


@dataclass(frozen=True)
class Held:
    """Files in memory, and the folder of the advisory database."""

    files: Mapping[str, bytes]
    database: Path | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    seed: int = 0

    def open(self, asset: Asset, path: str) -> IO[bytes]:
        return io.BytesIO(self.files[path])

    def folder(self, asset: Asset) -> PurePath:
        assert self.database is not None
        return self.database

    def related(self, role: str) -> tuple[Asset, ...]:
        return (code({FILE: b"x"}),) if role == "advisories" and self.database else ()


def code(files: Mapping[str, bytes], declared: Mapping[str, Json] | None = None) -> Asset:
    entries = [Entry(path, sha256(data), len(data)) for path, data in files.items()]
    return Asset("it", 1, Manifest.of(Kind.CODE, entries), declared or {})


def run(
    check: Check, files: Mapping[str, bytes], database: Path | None = None, declared: Mapping[str, Json] | None = None
) -> list[Outcome]:
    return list(check.body(code(files, declared), Held(files, database, check.defaults)))


def verdicts(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(o.path, str(o.verdict)) for o in outcomes if isinstance(o, FileVerdict)]


def rules(outcomes: list[Outcome]) -> list[str]:
    return [o.rule for o in outcomes if isinstance(o, Finding)]


def test_both_checks_are_discovered_and_need_nothing() -> None:
    found = discover().checks
    for check in (advisories, names):
        assert found[check.id] is check and not check.needs and check.kinds == {Kind.CODE, Kind.INFRASTRUCTURE}


def test_without_a_database_no_file_is_clean() -> None:
    found = run(advisories, {"requirements.txt": LOCK})
    assert verdicts(found) == [("requirements.txt", "inconclusive")]
    assert rules(found) == [] and [o.what for o in found if isinstance(o, Skipped)] == ["it@1"]


def test_an_asset_without_lock_files_is_skipped_and_not_cleared() -> None:
    for check in (advisories, names):
        assert [type(o) for o in run(check, {"train.py": b"import x"})] == [Skipped]


def test_a_hit_makes_its_file_unclean_and_names_the_fix(tmp_path: Path) -> None:
    imported(tmp_path, [record(events=V, aliases=["CVE-1"])])
    (tmp_path / "adv.sqlite").rename(tmp_path / FILE)
    found = run(
        advisories,
        {"a/uv.lock": b'version=1\n[[package]]\nname="numpy"\nversion="2.1"\n', "requirements.txt": LOCK},
        tmp_path,
    )
    assert verdicts(found) == [("a/uv.lock", "clean"), ("requirements.txt", "unknown")]
    (finding,) = [o for o in found if isinstance(o, Finding)]
    assert (
        finding.rule == "dependency.advisory"
        and "CVE-1" in finding.summary
        and finding.remedy == "upgrade to 2.0 or later"
    )


def test_the_declared_lock_file_is_read_whatever_its_name() -> None:
    assert verdicts(run(names, {"deps.lock": b"numpy==1.0\n"}, declared={"lock": "deps.lock"})) == [
        ("deps.lock", "clean")
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("nunpy", "numpy"), ("numpyy", "numpy"), ("nmupy", "numpy"), ("tensorfow", "tensorflow"), ("tensor-flow", "tensorflow"),
     ("scikitlearn", "scikit-learn"), ("requestz", "requests"), ("huggingfacehub", "huggingface-hub"), ("torchs", "torch")],
)  # fmt: skip
def test_a_name_one_step_from_a_popular_one_is_found(name: str, meant: str) -> None:
    assert mistaken_for(Dependency("PyPI", name, "1", "x")) == meant


@pytest.mark.parametrize(
    "name", ["numpy", "NumPy", "scikit_learn", "torch", "flask", "black", "my-own-package", "abc", "x" * 300, "ünïcode"]
)
def test_popular_and_distant_names_are_left_alone(name: str) -> None:
    assert mistaken_for(Dependency("PyPI", name, "1", "x")) == ""
    assert mistaken_for(Dependency("Maven", "nunpy", "1", "x")) == ""


def test_no_popular_name_is_mistaken_for_another() -> None:
    for ecosystem, listed in popular_names().items():
        assert not [name for name in listed if mistaken_for(Dependency(ecosystem, name, "1", "x"))]


def test_lookalikes_and_missing_pins_are_findings() -> None:
    found = run(names, {"requirements.txt": b"nunpy==1.0\ntorch>=2\nscipy==1.0\n"})
    assert rules(found) == ["dependency.lookalike-name", "dependency.unpinned"]
    assert verdicts(found) == [("requirements.txt", "unknown")]
    assert verdicts(run(names, {"uv.lock": b"= ="})) == [("uv.lock", "inconclusive")]


def statement_of(folder: Path, matches: list[Match]) -> Json:
    database = Database(folder / "adv.sqlite")
    database.close()
    return vulns_predicate(matches, database.facts, version="0", started=NOW, finished=NOW)


def test_the_statement_follows_its_schema_and_says_what_stays_unknown(tmp_path: Path) -> None:
    score = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
    four = [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}]
    imported(
        tmp_path,
        [
            record(events=V, severity=score, aliases=["CVE-1"]),
            record("PYSEC-4", "four", events=V, severity=four),
            OTHER,
        ],
    )
    asked = [
        Dependency("PyPI", "acme", "1.0", "r:1"),
        Dependency("PyPI", "four", "1.0", "r:2"),
        Dependency("PyPI", "ok", "1.0", "r:3"),
        unread("r:4", "no"),
    ]
    matches = [matched(tmp_path, one) for one in asked]
    said = statement_of(tmp_path, matches)
    assert problem_of(Statement((Subject("x", "ab" * 32),), Predicate.VULNERABILITIES, said)) == ""
    assert [(r["id"], r["severity"][0]["score"]) for r in said["scanner"]["result"]] == [
        ("PYSEC-1", "9.8"),
        ("PYSEC-4", "CVSS:4.0/AV:N"),
    ]
    assert said["assay_coverage"]["looked"] == 3 and [u["reason"] for u in said["assay_coverage"]["unknown"]] == ["no"]
    assert said["scanner"]["db"]["newestRecord"] == "2026-11-22T00:00:00Z"
    assert list(dependencies_of(said)) == asked
    assert hit_names(matches[0].advisories[0], asked[0]) <= known_names(said)
    assert not hit_names(matches[0].advisories[0], asked[1]) & known_names(said)


@pytest.mark.parametrize(
    "predicate",
    [
        None,
        [],
        {},
        {"scanner": 1, "assay_coverage": 2},
        {"scanner": {"result": [1, {"id": 2}]}, "assay_coverage": {"dependencies": [1, {"name": 3}]}},
    ],
)
def test_a_foreign_statement_names_nothing(predicate: Json) -> None:
    assert dependencies_of(predicate) == () and known_names(predicate) == frozenset()


@pytest.mark.parametrize("name", ["dash", "moto", "tensorboardx", "nvidia-cudnn-cu13", "psycopg-binary", "markdown2"])
def test_a_name_that_many_people_use_is_no_typing_error(name: str) -> None:
    assert mistaken_for(Dependency("PyPI", name, "1.0", "r:1")) == ""
