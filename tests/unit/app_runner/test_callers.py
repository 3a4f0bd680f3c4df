"""Does the runner work from every kind of program, never run that program twice, and never outlive it?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import sys
sys.path.insert(0, {here!r})
print("ran once", flush=True)
from datetime import UTC, datetime
from pathlib import Path
import trial_checks
from assay.app.runner.engine import run
from assay.app.runner.jobs import Finished, Job, Limits, Located
from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.digests import sha256
root = Path({root!r})
subject = Located(Asset("m", 1, Manifest.of(Kind.MODEL, [Entry("f", sha256(b"x"), 1)])), root)
for event in run([Job(trial_checks.by_name()[{name!r}], subject)] * 2, now=lambda: datetime.now(UTC), workers=2):
    print(event.result.state if isinstance(event, Finished) else type(event).__name__, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"x")
    return tmp_path


def _program(folder: Path, name: str) -> str:
    return PROGRAM.format(here=str(HERE), root=str(folder), name=name)


@pytest.mark.parametrize("way", ["stdin", "-c", "file", "-m"])
def test_it_runs_from_every_kind_of_program_and_that_program_runs_once(folder: Path, way: str) -> None:
    text = _program(folder, "random")
    (folder / "program.py").write_text(text)
    arguments = {"stdin": ["-"], "-c": ["-c", text], "file": ["program.py"], "-m": ["-m", "program"]}[way]
    done = subprocess.run(
        [sys.executable, *arguments], input=text if way == "stdin" else "", cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert sorted(done.stdout.split("\n")) == ["", "Started", "Started", "done", "done", "ran once"]


def test_modules_in_the_current_folder_are_not_imported_by_workers(folder: Path) -> None:
    for name in ("json", "random", "numpy", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'hijacked')!r}, 'w').close()")
    done = subprocess.run(
        [sys.executable, "-P", "-"], input=_program(folder, "random"), cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "done" in done.stdout
    assert not (folder / "hijacked").exists()


def test_killing_the_program_leaves_no_process_and_no_scratch_folder(folder: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", _program(folder, "sleep")], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    assert running.stdout is not None
    with running.stdout:
        assert [running.stdout.readline() for _ in range(3)] == ["ran once\n", "Started\n", "Started\n"]
        family = list(_descendants(running.pid))
        assert len(family) == 3
        running.send_signal(signal.SIGKILL)
        running.wait()
    _wait_until(lambda: not any(_is_alive(pid) for pid in family))
    _wait_until(lambda: not any(scratch.iterdir()))


def test_killing_the_worker_server_fails_its_jobs_and_ends_its_children(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _program(folder, "sleep")], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for _ in range(3):
            running.stdout.readline()
        server, *children = _descendants(running.pid)
        os.kill(server, signal.SIGKILL)
        assert running.stdout.read() == "failed\nfailed\n"
    _wait_until(lambda: not any(_is_alive(pid) for pid in children))


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from _descendants(int(child))


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until(claim: object, within_s: float = 5.0) -> None:
    assert callable(claim)
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.02)
