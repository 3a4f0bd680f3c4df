"""Importing advisories: every layout and archive gives the same database, and hostile ones give a named problem."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.dependencies.advice import ARCHIVE, NOW, OTHER, imported, matched, record, write

from assay.app.advisories import import_advisories
from assay.app.advisory_sources import files_in
from assay.checks.dependency.ranges import reach
from assay.core.errors import AssayError, MalformedInput, StorageError, UsageError
from assay.formats.dependencies.database import Database
from assay.formats.dependencies.osv import read_record, rfc3339
from assay.formats.dependencies.recognise import read_listing
from assay.formats.dependencies.text_yaml import read_text_yaml

V = [{"introduced": "0"}, {"fixed": "2.0"}]
RECORDS = [record(events=V), OTHER]


def tarred(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_folder_zip_and_tar_in_json_give_one_digest(tmp_path: Path) -> None:
    files = {f"{n}.json": json.dumps(one).encode() for n, one in enumerate(RECORDS)}
    folder = write(tmp_path / "folder", RECORDS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    sources = [
        folder,
        tmp_path / "a.zip",
        *(tarred(tmp_path / f"a{m[2:]}", files, m) for m in ("w:", "w:gz", "w:bz2", "w:xz")),
    ]
    digests = {import_advisories([one], tmp_path / "x.sqlite", NOW).facts.digest for one in sources}
    assert len(digests) == 1


def test_yaml_and_git_checkouts_are_read_and_other_files_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "x.json").write_text("{")
    (root / "vulns" / "acme").mkdir(parents=True)
    (root / "vulns" / "acme" / "P.yaml").write_text(yaml.safe_dump(RECORDS[0]))
    (root / "vulns" / "o.yml").write_text(yaml.safe_dump(RECORDS[1]))
    (root / "vulns" / "UPPER.JSON").write_text(json.dumps(record("PYSEC-8", "upper", versions=["1"])))
    (root / "renovate.json").write_text("{}")
    (root / "LICENSE").write_text("x")
    made = import_advisories([root], tmp_path / "adv.sqlite", NOW)
    assert (made.facts.records, made.others, made.unreadable_count) == (3, 1, 0)
    assert matched(tmp_path, "acme==1.0").state == "vulnerable"


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff\xfe", b'{"id": 1, "modified": "2024-01-01T00:00:00Z"}', b'{"id": "A", "modified": "yesterday"}', b"[" * 9000,
     b'{"id":"A","id":"B","modified":"2024-01-01T00:00:00Z"}', b'{"id":"\\ud800","modified":"2024-01-01T00:00:00Z"}',
     b'{"id":"A","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"name":""}}]}', b'{"id":"A","modified":"2024-01-01T00:00:00Z","affected":7}',
     b'{"id":"A","pad":"' + b"x" * (5 << 20) + b'"}'],
)  # fmt: skip
def test_an_unreadable_record_is_named_and_then_nothing_is_clean(tmp_path: Path, data: bytes) -> None:
    folder = write(tmp_path / "records", RECORDS)
    (folder / "bad.json").write_bytes(data)
    made = import_advisories([folder], tmp_path / "adv.sqlite", NOW)
    assert [u.path for u in made.unreadable] == ["bad.json"] and made.facts.unreadable == 1
    assert matched(tmp_path, "acme==3.0").state == "unknown"
    assert matched(tmp_path, "acme==1.0").state == "vulnerable"
    accepted = import_advisories([folder], tmp_path / "adv.sqlite", NOW, leave_unreadable=True)
    assert (accepted.facts.unreadable, accepted.facts.left_out) == (0, 1)
    assert matched(tmp_path, "acme==3.0").state == "clean"


def test_a_malformed_record_that_names_its_package_makes_only_that_unknown(tmp_path: Path) -> None:
    bad = record("has blanks", "acme", events=V)
    odd = record("PYSEC-3", "odd", events=[{"wrong": "1"}])
    none = record("PYSEC-4", "none")
    made = imported(tmp_path, [bad, odd, none, OTHER])
    assert [u.packages for u in made.unreadable] == [1] and made.facts.unreadable == 0
    states = [matched(tmp_path, f"{name}==1.0").state.value for name in ("acme", "odd", "none", "fine")]
    assert states == ["unknown", "unknown", "unknown", "clean"]


def test_of_two_records_with_one_id_the_later_stays(tmp_path: Path) -> None:
    old = record(events=V, modified="2026-11-01T00:00:00Z")
    new = record(events=[{"introduced": "0"}, {"fixed": "3.0"}], modified="2026-11-20T00:00:00Z")
    for order in ([old, new], [new, old]):
        made = imported(tmp_path, order)
        assert (made.facts.records, made.superseded) == (1, 1)
        assert matched(tmp_path, "acme==2.5").state == "vulnerable"


@pytest.mark.parametrize("name", ["cut.zip", "cut.tar.gz", "text.zip", "noise.tar.gz", "pax.tar", "cut.tar"])
def test_a_broken_archive_is_an_error_and_the_old_database_stays(tmp_path: Path, name: str) -> None:
    imported(tmp_path, RECORDS)
    before = (tmp_path / "adv.sqlite").read_bytes()
    files = {f"{n}.json": json.dumps(record(f"P-{n}", versions=["1"])).encode() for n in range(50)}
    source = tmp_path / name
    if name == "cut.zip":
        with zipfile.ZipFile(source, "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        source.write_bytes(source.read_bytes()[:-40])
    elif name == "cut.tar.gz":
        source.write_bytes(tarred(source, files).read_bytes()[:-60])
    elif name == "cut.tar":  # after a whole member, at a block
        source.write_bytes(tarred(source, files, "w:").read_bytes()[: 1024 * 20])
    elif name == "pax.tar":
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, 1 << 40
        source.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048)
    else:
        source.write_bytes(b"PK" + b"x" * 500 if name == "text.zip" else b"\x1f\x8b" + os.urandom(500))
    with pytest.raises(MalformedInput):
        import_advisories([source], tmp_path / "adv.sqlite", NOW)
    assert (tmp_path / "adv.sqlite").read_bytes() == before
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_hostile_members_are_named_and_nothing_is_written_outside(tmp_path: Path) -> None:
    source = tmp_path / "x.tar"
    with tarfile.open(source, "w") as archive:
        for name, kind in (("l.json", tarfile.SYMTYPE), ("h.json", tarfile.LNKTYPE), ("d.json", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        data = json.dumps(RECORDS[0]).encode()
        for name in ("../../up.json", "/abs.json", "a\nb\x1b.json", "ok.json"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("big.json")
        member.size = 6 << 20
        archive.addfile(member, io.BytesIO(b"x" * (6 << 20)))
    items = {item.path: item.problem for item in files_in(source)}
    assert [path for path, problem in items.items() if problem] == ["l.json", "h.json", "d.json", "big.json"]
    assert "a\\x0ab\\x1b.json" in items
    assert not (tmp_path.parent / "up.json").exists()


def test_a_zip_bomb_is_read_only_up_to_a_record(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", b" " * (200 << 20))
        archive.writestr("a.json", json.dumps(RECORDS[0]))
    items = list(files_in(tmp_path / "b.zip"))
    assert items[0].problem and len(items[0].data) == 0 and not items[1].problem


def test_nothing_to_import_is_wrong_use_and_keeps_the_old_database(tmp_path: Path) -> None:
    imported(tmp_path, RECORDS)
    before = (tmp_path / "adv.sqlite").read_bytes()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "package.json").write_text("{}")
    for source in (tmp_path / "empty", tmp_path / "gone", Path("/dev/null")):
        with pytest.raises(UsageError):
            import_advisories([source], tmp_path / "adv.sqlite", NOW)
    assert (tmp_path / "adv.sqlite").read_bytes() == before


def test_two_imports_at_once_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "r", RECORDS)

    def meanwhile(_: int) -> None:
        with pytest.raises(StorageError, match="another import"):
            import_advisories([source], tmp_path / "adv.sqlite", NOW)

    import_advisories([source], tmp_path / "adv.sqlite", NOW, progress=meanwhile)


KILLED = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from assay.app.advisories import import_advisories
def slowly(count):
    print("begun", flush=True)
    time.sleep(60)
import_advisories([Path(sys.argv[1])], Path(sys.argv[2]), datetime(2026, 11, 23, tzinfo=UTC), progress=slowly)
"""


def test_a_killed_import_leaves_the_old_database(tmp_path: Path) -> None:
    imported(tmp_path, RECORDS)
    before = (tmp_path / "adv.sqlite").read_bytes()
    source = write(tmp_path / "new", [record("NEW-1", versions=["1"])])
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(source), str(tmp_path / "adv.sqlite")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "adv.sqlite").read_bytes() == before
    assert list(tmp_path.glob(".*.part"))
    import_advisories([source], tmp_path / "adv.sqlite", NOW)
    assert not list(tmp_path.glob(".*.part"))
    assert matched(tmp_path, "acme==1").advisories[0].id == "NEW-1"


@pytest.mark.parametrize(
    "text",
    ["2024-01-01T00:00:00Z", "2024-01-01 00:00:00+00:00", "2024-01-01T00:00:00.123456789Z", "2024-01-01t00:00:00z"],
)
def test_times_are_read_as_records_write_them(text: str) -> None:
    assert rfc3339(text) == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-13-01T00:00:00Z",
        "2024-01-01T25:00:00Z",
        "2024-01-01T00:00:00+02:00",
        None,
        7,
        "9999-12-31T00:00:00Z",
    ],
)
def test_other_times_are_no_times(text: object) -> None:
    assert rfc3339(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1",
        "a: *x",
        "!!python/object:os.system x",
        "a: 1\na: 2",
        "--- 1\n--- 2",
        "? [1]\n: 2",
        "- " * 60,
        "",
        '"\\ud800"',
        "a: \x00",
    ],
)
def test_yaml_that_two_readers_could_take_differently_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        read_text_yaml(text.encode("utf-8", "surrogatepass"), "x")


@pytest.mark.parametrize(
    ("path", "data"),
    [("uv.lock", b"a." * 200_000 + b"a=1"), ("pylock.toml", b"".join(b"%d.%s=1\n" % (n, b"b." * 15 + b"c") for n in range(9000))),
     ("uv.lock", b'x = ["""\n\'""", {' + b"a." * 50_000 + b"""a=1}, "'"]"""), ("uv.lock", b"a=" + b"[" * 50_000),
     ("requirements.txt", b"a>=1;" + b"(" * 50_000), ("bom.json", b"[" * (1 << 20)), ("environment.yml", b"- " * (1 << 19)),
     ("requirements.txt", b"a\n" * 200_000)],
)  # fmt: skip
@pytest.mark.timeout(60)  # a reader that such a file exhausts takes hours
def test_a_file_made_to_exhaust_a_reader_is_unread_at_once(path: str, data: bytes) -> None:
    assert "unread" in [d.rule for d in read_listing(data, path).dependencies]


TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT | st.sampled_from(["PyPI", "0", "1.0", "ECOSYSTEM", "introduced"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "modified", "affected", "package", "name", "ecosystem", "ranges", "events", "type", "versions",
                                       "severity", "score", "components", "packages", "dependencies", "purl", "bomFormat", "lockfileVersion",
                                       "spdxVersion", "externalRefs", "@context", "@graph", "fixed", "aliases"]) | TEXT, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
PATHS = ["package-lock.json", "bom.json", "x.spdx.json", "Pipfile.lock", "uv.lock", "pylock.toml", "poetry.lock", "environment.yml",
         "conda-lock.yml", "requirements.txt", "METADATA", "conda.txt", "pyproject.toml"]  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.sampled_from(["bomFormat", "lockfileVersion", "spdxVersion", "@context", "_meta", "package"]))
def test_no_document_breaks_a_reader(value: object, mark: str) -> None:
    said = (
        value
        if isinstance(value, dict)
        else {"components": value, "packages": value, "package": value, "dependencies": value}
    )
    marked = {
        **said,
        mark: {"bomFormat": "CycloneDX", "spdxVersion": "SPDX-2.3", "@context": "spdx.org/rdf/3"}.get(mark, 3),
    }
    data = json.dumps(marked, ensure_ascii=True).encode()
    for path in ("package-lock.json", "bom.json", "Pipfile.lock", "environment.yml", "conda-lock.yml"):
        for found in read_listing(data, path).dependencies:
            assert found.purl.isprintable() and (found.version is not None or found.problem)
    document = {
        "id": "A-1",
        "modified": "2024-01-01T00:00:00Z",
        "affected": value if isinstance(value, list) else [value],
    }
    for body in (document, {**document, **said}):
        with contextlib.suppress(AssayError):
            read_record(json.dumps(body).encode(), "x.json")


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(PATHS),
)
def test_no_bytes_break_a_reader(data: bytes, path: str) -> None:
    read_listing(data, path)
    for name in ("x.json", "x.yaml"):
        with contextlib.suppress(AssayError):
            read_record(data, name)


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"the development advisories are not at {ARCHIVE}")
def test_every_version_that_a_real_record_lists_is_hit(tmp_path: Path) -> None:
    made = import_advisories([ARCHIVE], tmp_path / "adv.sqlite", NOW)
    assert (made.facts.records, made.unreadable_count) == (2661, 0)
    database = Database(tmp_path / "adv.sqlite")
    listed = withdrawn = 0
    for item in files_in(ARCHIVE):
        said = read_record(item.data, item.path)
        for affected in said.affected:
            rows = {row.record.id: row for row in database.rows(affected.ecosystem, affected.name)}
            assert said.id in rows
            withdrawn += bool(rows[said.id].record.withdrawn)
            for version in affected.versions:
                listed += 1
                assert reach(rows[said.id].affected, version).hits, (said.id, version)
    database.close()
    assert listed == 140_847 and withdrawn == 10
    assert matched(tmp_path, "numpy==2.1.0").reasons[0].startswith("the newest record of PyPI is")
