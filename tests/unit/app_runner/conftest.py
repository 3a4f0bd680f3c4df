"""A small model on disk, and a way to run trial checks on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app_runner import trial_checks

from assay.app.runner.engine import run
from assay.app.runner.jobs import Finished, Job, JobResult, Limits, Located
from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.digests import sha256

SMALL = Limits(wall_s=30, cpu_s=20, memory_bytes=1 << 30, file_bytes=8 << 20, outcomes=500, table_bytes=2 << 20)

Ask = Callable[..., JobResult]


def located(folder: Path, name: str = "scorer") -> Located:
    """The asset made of all files below `folder`."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    entries = [Entry(path, sha256(data), len(data)) for path, data in files.items()]
    return Located(Asset(name, 1, Manifest.of(Kind.MODEL, entries)), folder)


def job(name: str, subject: Located, **more: Any) -> Job:  # Any: passes fields of Job through
    return Job(trial_checks.by_name()[name], subject, **{"limits": SMALL, **more})


def results(jobs: list[Job], **more: Any) -> Mapping[str, JobResult]:  # Any: passes keywords of `run` through
    """Runs jobs and returns their results by the name of the check."""
    events = run(jobs, now=lambda: datetime.now(UTC), **more)
    finished = [event.result for event in events if isinstance(event, Finished)]
    assert len(finished) == len(jobs)
    return {result.check_id.partition(".")[2]: result for result in finished}


@pytest.fixture
def model(tmp_path: Path) -> Located:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "sub" / "vocabulary.txt").write_bytes(b"words")
    return located(folder)


@pytest.fixture
def ask(model: Located) -> Ask:
    """Runs one trial check on the small model."""

    def asked(name: str, **more: Any) -> JobResult:  # Any: as in `job`
        return results([job(name, model, **more)])[name]

    return asked
