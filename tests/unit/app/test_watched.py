"""Watched work: a hang, a memory bomb or a crash loses its own item; the others are answered, each once and in order."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.app import scan as scanning
from assay.app.scan import Scan, scan
from assay.app.watched import Limits, Lost, watched
from assay.core.canonical import Json
from assay.core.outcomes import Verdict
from assay.formats.facts import FileFacts

SHORT = Limits(cpu_s=0.3, memory_bytes=128 << 20)


def misbehaving(index: int, arm: Callable[[], None]) -> Json:
    arm()
    if index == 3:
        while True:
            pass
    if index == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if index == 8:
        os._exit(5)
    if index == 9:
        raise ValueError("a bug")
    return index * index


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("count", [10, 40, 300])
def test_only_the_item_at_fault_is_lost(count: int, jobs: int) -> None:
    found = list(watched(count, misbehaving, jobs, SHORT))
    assert [index for index, _ in found] == list(range(count))
    lost = {index for index, answer in found if isinstance(answer, Lost)}
    assert lost == {3, 7, 8, 9}
    assert all(answer == index * index for index, answer in found if index not in lost)
    assert "processor time" in str(found[3][1])


def test_no_items_need_no_worker() -> None:
    assert list(watched(0, misbehaving, 2, SHORT)) == []


LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the memory that a process asks for")


@LINUX_ONLY
def test_memory_beyond_the_bound_is_an_error_in_the_worker() -> None:
    def greedy(index: int, arm: Callable[[], None]) -> Json:
        try:
            return len(bytearray(1 << 30)) if index == 1 else 0
        except MemoryError:
            return "bounded"

    assert [answer for _, answer in watched(3, greedy, 1, SHORT)] == [0, "bounded", 0]


def test_workers_are_ended_when_nobody_listens_any_more() -> None:
    begun = watched(100, lambda index, arm: os.getpid(), 1, SHORT)
    _, pid = next(begun)
    begun.close()  # type: ignore[attr-defined]  # a generator has it
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@LINUX_ONLY
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_reader_that_hangs_or_eats_memory_makes_its_file_inconclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    def reader(data: bytes, name: str) -> FileFacts:
        while name == "hangs.pkl":
            pass
        hoard = [bytes(1 << 20) for _ in range(4000 if name == "hoards.pkl" else 0)]
        if name == "fails.pkl":
            raise KeyError(len(hoard))
        return FileFacts("pickle")

    names = ["a.pkl", "fails.pkl", "hangs.pkl", "hoards.pkl", "z.pkl"]
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps(1))
    monkeypatch.setattr(scanning, "read_facts", reader)
    found = list(scan([str(tmp_path)], Scan(limits=SHORT, jobs=jobs)))
    assert [Path(f.path).name for f in found] == names
    said = {Path(f.path).name: [p.rule for p in f.judgement.problems] for f in found}
    assert said["hangs.pkl"] == said["hoards.pkl"] == ["ASY-FIL-003"] and said["fails.pkl"] == ["ASY-FIL-004"]
    digests = {Path(f.path).name: f.sha256 for f in found}
    assert digests["hangs.pkl"] == digests["z.pkl"]  # the parent names the file whose worker died with it
    assert [f.judgement.verdict for f in found] == [
        Verdict.CLEAN, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.CLEAN
    ]  # fmt: skip


def test_workers_say_what_one_process_says(tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / f"{number:03}.pkl").write_bytes(pickle.dumps(number) if number % 3 else b"cos\nsystem\n.")
    one = list(scan([str(tmp_path)], Scan(jobs=1)))
    assert list(scan([str(tmp_path)], Scan(jobs=4))) == one
    assert [scanning.scan_file(found.path, Scan()) for found in one] == one
