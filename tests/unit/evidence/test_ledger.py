"""The ledger keeps what it acknowledged and acknowledges only what it keeps: clocks, full disks, many writers."""

from __future__ import annotations

import base64
import json
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import START, Clock

from assay.core.canonical import canonical
from assay.core.digests import sha256
from assay.core.errors import AssayError, EvidenceError, LedgerDamaged, LedgerError, MalformedInput, StorageError
from assay.core.statements import Statement, Subject
from assay.evidence.blobs import SMALL_BYTES, Blobs, write_whole
from assay.evidence.envelope import sign
from assay.evidence.keys import PrivateKey
from assay.evidence.ledger import MAX_LEAF_BYTES, MAX_SUBJECTS_IN_LEAF, Item, Leaf, Ledger, subjects_in_leaf
from assay.evidence.store import SCHEMA_VERSION, Store

KEY = PrivateKey.generate()
REPOSITORY = Path(__file__).parents[3]


def item(
    number: int, *, type_: str = "urn:test:note:v1", subjects: int = 1, key: PrivateKey = KEY, size: int = 0
) -> Item:
    names = tuple(Subject("x", sha256(b"%d/%d" % (number, i))) for i in range(subjects))
    return Item.of(sign(Statement(names, type_, {"number": number, "fill": "x" * size}), key))


@contextmanager
def ledger_in(folder: Path, fold=lambda db, leaf, item: None, clock=None) -> Iterator[Ledger]:  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "ledger.sqlite")
    yield Ledger(store, Blobs(store, folder / "blobs"), clock or Clock(), fold)
    store.close()


def numbers(ledger: Ledger) -> list[int]:
    found = []
    for leaf in ledger.leaves():
        envelope = json.loads(ledger.bundle(leaf))["dsseEnvelope"]
        found.append(json.loads(base64.b64decode(envelope["payload"]))["predicate"]["number"])
    return found


# -- what an entry is


def test_a_statement_is_acknowledged_with_its_place_and_found_again(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        receipts = ledger.append([item(0), item(1)])
        assert [(r.index, r.is_new, r.time) for r in receipts] == [(0, True, "2026-11-22T18:00:00.000Z"), (1, True, "2026-11-22T18:00:00.000Z")]  # fmt: skip
        assert [leaf.index for leaf in ledger.find(item(1).digest)] == [1]
        assert [leaf.index for leaf in ledger.about(sha256(b"1/0"))] == [1]
    with ledger_in(tmp_path) as ledger:
        assert numbers(ledger) == [0, 1] and ledger.size() == 2


def test_the_same_statement_by_the_same_key_is_one_entry_and_by_another_key_another(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        again = [ledger.append([item(7)])[0] for _ in range(3)]
        assert [(r.index, r.is_new) for r in again] == [(0, True), (0, False), (0, False)]
        assert ledger.append([item(7, key=PrivateKey.generate())])[0].index == 1
        both = ledger.append([item(8), item(8)])
        assert [(r.index, r.is_new) for r in both] == [(2, True), (2, False)]


def test_a_leaf_that_nobody_could_read_again_is_refused(tmp_path: Path) -> None:
    """A statement with a type of 4,000 characters was logged, and then every append and every reader failed for ever."""
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)])
        with pytest.raises(MalformedInput, match="does not fit"):
            ledger.append([item(1, type_="urn:" + "x" * MAX_LEAF_BYTES)])
        assert ledger.size() == 1
        ledger.append([item(2)])
        assert numbers(ledger) == [0, 2]


def test_the_longest_type_beside_all_subjects_fits_or_is_refused_whole(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        for length in range(1400, 1700, 20):
            try:
                ledger.append([item(length, type_="u:" + "x" * length, subjects=MAX_SUBJECTS_IN_LEAF)])
            except MalformedInput:
                continue
        assert all(len(leaf.data) <= MAX_LEAF_BYTES for leaf in ledger.leaves()) and ledger.size() > 0


def test_the_asset_itself_is_always_among_the_subjects_of_its_entry(tmp_path: Path) -> None:
    """With more aliases than fit, the digests were cut in order of their value, and the asset could be cut off."""
    made = item(0, subjects=200)
    assert made.statement is not None
    assert made.statement.subject in made.subjects and len(made.subjects) == MAX_SUBJECTS_IN_LEAF
    assert made.subjects == tuple(sorted(made.subjects)) == subjects_in_leaf(made.statement)
    with ledger_in(tmp_path) as ledger:
        ledger.append([made])
        assert ledger.about(made.statement.subject)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"x" * 5000, b'{"statement":1}', canonical({"subjects": 1})]
)
def test_bytes_that_are_no_leaf_are_damage(data: bytes) -> None:
    with pytest.raises(LedgerDamaged):
        Leaf.parse(0, data)


def test_time_never_runs_backwards(tmp_path: Path) -> None:
    clock = Clock()
    with ledger_in(tmp_path, clock=clock) as ledger:
        ledger.append([item(0)])
        clock.now = START - timedelta(days=400)
        assert ledger.append([item(1)])[0].time == "2026-11-22T18:00:00.000Z"
        clock.now = START + timedelta(seconds=1)
        assert ledger.append([item(2)])[0].time == "2026-11-22T18:00:01.000Z"
        times = [leaf.time for leaf in ledger.leaves()]
        assert times == sorted(times)


def test_asking_for_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)])
        for ask in (lambda: ledger.leaf(1), lambda: ledger.root_at(2), lambda: ledger.root_at(-1)):
            with pytest.raises(LedgerError):
                ask()


# -- refusals and faults


def test_a_refused_request_leaves_nothing_and_the_next_stands(tmp_path: Path) -> None:
    def fold(db, leaf, item):  # type: ignore[no-untyped-def]
        if item.statement.predicate["number"] == 13:
            raise EvidenceError("no")

    with ledger_in(tmp_path, fold) as ledger:
        with pytest.raises(EvidenceError):
            ledger.append([item(1), item(13)], [b"attachment"])
        assert ledger.size() == 0 and ledger.blobs.get(sha256(b"attachment")) is None
        assert ledger.blobs.get(sha256(item(1).bundle)) is None
        ledger.append([item(2)])
        assert numbers(ledger) == [2]


def test_refused_and_accepted_requests_of_one_batch_do_not_mix(tmp_path: Path) -> None:
    def fold(db, leaf, item):  # type: ignore[no-untyped-def]
        if item.statement.predicate["number"] % 3 == 0:
            raise EvidenceError("no")

    results: dict[int, object] = {}
    with ledger_in(tmp_path, fold) as ledger:

        def append(number: int) -> None:
            try:
                results[number] = ledger.append([item(number)])[0].index
            except EvidenceError as error:
                results[number] = error

        threads = [threading.Thread(target=append, args=(n,)) for n in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        logged = numbers(ledger)
        assert sorted(logged) == [n for n in range(60) if n % 3]
        assert all(logged[results[n]] == n for n in range(60) if n % 3)  # type: ignore[index]
        assert all(isinstance(results[n], EvidenceError) for n in range(0, 60, 3))


def test_a_bug_in_the_fold_acknowledges_nobody_and_the_ledger_goes_on(tmp_path: Path) -> None:
    def fold(db, leaf, item):  # type: ignore[no-untyped-def]
        if item.statement.predicate["number"] == 13:
            raise RuntimeError("a bug")

    with ledger_in(tmp_path, fold) as ledger:
        with pytest.raises(RuntimeError):
            ledger.append([item(13)])
        ledger.append([item(1)])
        assert numbers(ledger) == [1]


def test_rows_of_the_log_cannot_be_changed_or_removed_by_accident(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0), item(1)])
        for sql in ("UPDATE entry SET leaf=x''", "DELETE FROM entry", "UPDATE node SET hash=x''", "DELETE FROM node"):
            with pytest.raises(LedgerDamaged, match="append-only"), ledger.store.writing() as db:
                db.execute(sql)
        assert ledger.size() == 2


def test_a_ledger_of_another_layout_or_no_database_is_refused(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "a") as ledger:
        ledger.append([item(0)])
    with sqlite3.connect(tmp_path / "a" / "ledger.sqlite") as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(LedgerError, match="another layout"), ledger_in(tmp_path / "a"):
        pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ledger.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerDamaged), ledger_in(tmp_path / "b"):
        pass
    with pytest.raises(StorageError):
        Store(tmp_path / "none" / "ledger.sqlite")


def test_a_database_cut_in_the_middle_is_damage_not_an_empty_ledger(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(n, size=3000) for n in range(60)])
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AssayError), ledger_in(tmp_path) as ledger:
        numbers(ledger)


def test_a_locked_ledger_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.evidence.store._BUSY_S", 0.05)
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)])
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            ledger.append([item(1)])
        other.execute("ROLLBACK")
        other.close()
        ledger.append([item(2)])
        assert numbers(ledger) == [0, 2]


# -- blobs


def test_large_and_small_blobs_come_back_and_damage_shows(tmp_path: Path) -> None:
    large, small = b"L" * (SMALL_BYTES + 1), b"S" * SMALL_BYTES
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)], [large, small])
        assert (ledger.blobs.get(sha256(large)), ledger.blobs.get(sha256(small))) == (large, small)
        assert [path.name for path in ledger.blobs.files()] == [sha256(large)]
        assert ledger.blobs.get("0" * 64) is None
        next(iter(ledger.blobs.files())).write_bytes(large[:-1])
        with pytest.raises(LedgerDamaged):
            ledger.blobs.get(sha256(large))
        ledger.append([item(1)], [large])
        assert ledger.blobs.get(sha256(large)) == large


def test_what_a_kill_left_of_a_blob_is_not_taken_for_one(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)], [b"L" * (SMALL_BYTES + 1)])
        path = next(iter(ledger.blobs.files()))
        path.with_name(f".{path.name[:40]}.0123456789ab").write_bytes(b"half")
        assert list(ledger.blobs.files()) == [path]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "c", b"1")
    write_whole(tmp_path / "a" / "b" / "c", b"2")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"2"
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "x", tmp_path / "folder"):
        with pytest.raises(StorageError):
            write_whole(path, b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "file", "folder"]
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["c"]


# -- full disks


def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    with ledger_in(tmp_path) as ledger:
        ledger.append([item(0)])
        pages = ledger.store._writer.execute("PRAGMA page_count").fetchone()[0]
        ledger.store._writer.execute(f"PRAGMA max_page_count={pages + 8}")
        logged = [0]
        with pytest.raises(StorageError, match="disk is full"):
            for number in range(1, 100):
                ledger.append([item(number, size=4000)])
                logged.append(number)
        assert numbers(ledger) == logged and len(logged) < 50
        ledger.store._writer.execute("PRAGMA max_page_count=1000000")
        ledger.append([item(1000)])
        assert numbers(ledger) == [*logged, 1000]
        assert ledger.head().root == ledger.root_at(ledger.size())


_FULL = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.evidence.test_ledger import item, ledger_in
from assay.core.errors import StorageError
folder, how, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if how == "rlimit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with ledger_in(folder) as ledger:
    ledger.append([item(0)])
    print(0, flush=True)
    if how == "rlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for number in range(1, 4000):
        try:
            ledger.append([item(number, size=9000)], [b"%d" % number * 20000] if number % 3 == 0 else [])
            print(number, flush=True)
        except StorageError as error:
            print("full", flush=True)
            break
    os._exit(0)
"""


def _acknowledged(output: str) -> list[int]:
    *said, last = output.split()
    assert last == "full", output[-200:]
    return [int(number) for number in said]


def test_a_limit_on_file_sizes_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _FULL.format(root=str(REPOSITORY)), tmp_path, "rlimit", "2000000"],
                         capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    with ledger_in(tmp_path) as ledger:
        assert set(_acknowledged(run.stdout)) <= set(numbers(ledger))


def test_a_full_file_system_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """On a tmpfs of 3 MiB in a mount namespace of its own; what it holds at the end is copied out."""
    inside = tmp_path / "disk"
    inside.mkdir()
    script = (f'mount -t tmpfs -o size=3m assay "{inside}" && "{sys.executable}" -c "$1" "{inside}/w" disk 0;'
              f' code=$?; cp -r "{inside}/w" "{tmp_path}/copy" && exit $code')  # fmt: skip
    try:
        subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no mount namespaces here")
    run = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", _FULL.format(root=str(REPOSITORY))],
                         capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
    if "mount" in run.stderr and not run.stdout:
        pytest.skip("no tmpfs can be mounted here")
    assert run.returncode == 0, run.stderr[-2000:]
    with ledger_in(tmp_path / "copy") as ledger:
        assert set(_acknowledged(run.stdout)) <= set(numbers(ledger))
        assert not [p for p in (tmp_path / "copy" / "blobs").rglob("*") if p.is_file() and p.name.startswith(".")]


# -- many writers


def test_many_threads_lose_nothing_and_share_no_place(tmp_path: Path) -> None:
    results: dict[int, int] = {}
    with ledger_in(tmp_path) as ledger:

        def write(first: int) -> None:
            for number in range(first, first + 25):
                results[number] = ledger.append([item(number)])[0].index

        threads = [threading.Thread(target=write, args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        logged = numbers(ledger)
        assert len(logged) == 200 and {logged[index]: index for index in results.values()} == results


def _write(folder: Path, first: int, go, pipe) -> None:  # type: ignore[no-untyped-def]
    with ledger_in(folder) as ledger:
        go.wait()
        pipe.send([(n, ledger.append([item(n)])[0].index) for n in range(first, first + 40)])


def test_many_processes_lose_nothing_and_share_no_place(tmp_path: Path) -> None:
    """All open a store that does not exist yet, too: whoever is first makes it."""
    context = multiprocessing.get_context("fork")
    go = context.Event()
    pipes, children = [], []
    for n in range(3):
        mine, theirs = context.Pipe(duplex=False)
        children.append(context.Process(target=_write, args=(tmp_path, 1000 * n, go, theirs)))
        pipes.append(mine)
    for child in children:
        child.start()
    go.set()
    acknowledged = dict(pair for pipe in pipes for pair in pipe.recv())
    for child in children:
        child.join()
    with ledger_in(tmp_path) as ledger:
        logged = numbers(ledger)
        assert len(logged) == 120 and {n: logged.index(n) for n in acknowledged} == acknowledged
        times = [leaf.time for leaf in ledger.leaves()]
        assert times == sorted(times)
