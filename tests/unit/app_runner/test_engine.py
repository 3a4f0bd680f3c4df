"""Does every job end in one honest result, whatever its check does?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.app_runner import trial_checks
from tests.unit.app_runner.conftest import SMALL, Ask, job, located, results

from assay.app.runner.engine import run
from assay.app.runner.jobs import (
    Event,
    FailureKind,
    Finished,
    Job,
    JobResult,
    Limits,
    Located,
    Progressed,
    Started,
    State,
)
from assay.core.digests import sha256
from assay.core.errors import UsageError
from assay.core.outcomes import FileVerdict, Finding, Measurement, Severity, Skipped, Verdict

FAILING = {
    "exit": (FailureKind.CRASH, "ended without a result"),
    "system-exit": (FailureKind.EXCEPTION, "SystemExit: 0"),
    "segfault": (FailureKind.CRASH, "killed by SIGSEGV"),
    "raise": (FailureKind.EXCEPTION, "ValueError: too few rows (app_runner/trial_checks.py:"),
    "unreadable-error": (FailureKind.EXCEPTION, "Hostile: its message cannot be read"),
    "unknown-import": (FailureKind.EXCEPTION, "No module named 'no_such_module_anywhere'"),
    "silent": (FailureKind.SILENT, "yielded nothing"),
    "only-progress": (FailureKind.SILENT, "yielded nothing"),
    "nan": (FailureKind.MALFORMED, "measurement 'acc.robust': value is refused: it is nan"),
    "garbage": (FailureKind.MALFORMED, "a dict"),
    "none": (FailureKind.EXCEPTION, "'NoneType' object is not iterable"),
    "endless": (FailureKind.EXCESSIVE, "more than 500 outcomes"),
    "big-table": (FailureKind.EXCESSIVE, "tables of more than 2097152 bytes"),
    "lost-table": (FailureKind.MALFORMED, "a table that was not yielded"),
    "foreign-verdict": (FailureKind.MALFORMED, "is no file of the asset"),
    "too-large-file": (FailureKind.EXCEPTION, "File too large"),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, JobResult]:
    folder = tmp_path_factory.mktemp("model")
    (folder / "weights.bin").write_bytes(b"weights")
    return results([job(name, located(folder)) for name in FAILING])


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_says_its_kind_and_its_reason(failed: Mapping[str, JobResult], name: str) -> None:
    kind, text = FAILING[name]
    failure = failed[name].failure
    assert failed[name].state is State.FAILED
    assert failure is not None
    assert failure.kind is kind
    assert text in failure.text


@pytest.mark.parametrize("name", FAILING)
def test_nothing_of_a_failed_job_reads_as_clean(failed: Mapping[str, JobResult], name: str) -> None:
    assert not any(isinstance(outcome, Measurement) for outcome in failed[name].outcomes)
    assert not any(getattr(outcome, "verdict", None) is Verdict.CLEAN for outcome in failed[name].outcomes)
    assert not failed[name].tables


def test_every_kind_of_outcome_arrives_as_it_was_yielded(ask: Ask, model: Located) -> None:
    result = ask("everything", related={"trained_on": (model, model)})
    assert (result.state, result.failure) == (State.DONE, None)
    verdict, finding, accuracy, depth, skipped = result.outcomes
    entry = model.asset.manifest.entries[0]
    assert verdict == FileVerdict(entry.path, entry.sha256, "text", Verdict.CLEAN)
    assert finding == Finding("rule", Severity.LOW, f"{entry.path}:1", "a summary ✓", "a remedy", ("cwe:502",))
    assert isinstance(accuracy, Measurement)
    assert (accuracy.value, accuracy.limit, accuracy.table) == (0.75, {"hits": 3, "n": 4}, sha256(trial_checks.TABLE))
    assert isinstance(depth, Measurement)
    assert depth.value == 3
    assert skipped == Skipped("the rest", "as 2 related and 0")
    assert {digest: table.rows for digest, table in result.tables.items()} == {sha256(trial_checks.TABLE): 4}
    assert (result.check_id, result.check_version, result.asset_digest) == ("trial.everything", 1, model.asset.digest)


def test_a_job_that_takes_too_long_is_ended_and_keeps_its_bad_news(ask: Ask) -> None:
    result = ask("sleep", limits=Limits(wall_s=0.5))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.text) == (FailureKind.TIMEOUT, "took longer than 0.5 s")
    assert [type(outcome) for outcome in result.outcomes] == [Finding]


def test_a_job_that_burns_too_much_cpu_is_ended(ask: Ask) -> None:
    result = ask("spin", limits=Limits(wall_s=20, cpu_s=1))
    assert result.failure is not None
    assert result.failure.kind is FailureKind.CPU
    assert 0.8 < result.cpu_s < 3


def test_a_memory_bomb_fails_at_its_limit(ask: Ask) -> None:
    result = ask("bomb", limits=Limits(memory_bytes=200 << 20))
    assert result.failure is not None
    assert result.failure.kind is FailureKind.MEMORY
    assert result.peak_bytes < 400 << 20


def test_malformed_input_is_a_finding_and_a_skip_not_a_crash(ask: Ask) -> None:
    result = ask("malformed-asset")
    assert result.state is State.DONE
    finding, skipped = result.outcomes
    assert isinstance(finding, Finding)
    assert (finding.rule, finding.summary) == ("malformed-input", "the stream ends before STOP: at byte 12")
    assert isinstance(skipped, Skipped)


def test_a_library_that_cannot_be_used_is_a_skip_with_the_install_line(ask: Ask) -> None:
    (skipped,) = ask("missing-library").outcomes
    assert isinstance(skipped, Skipped)
    assert "pip install 'assay[demo]'" in skipped.reason


@pytest.mark.parametrize(
    "frame",
    [
        b"J\x00\x00\x00\x02{}",
        b"J\x00\x00\x00\x04null",
        b"X\x00\x00\x00\x00",
        b"J\xff\xff\xff\xff",
        b"T\xff\xff\xff\xff",
        b'J\x00\x00\x00\x1f{"type":"end","failure":null}{}',
        b'J\x00\x00\x00\x1d{"type":"end","failure":null}J\x00\x00\x00\x1d{"type":"end","failure":null}',
        b"J\x00\x00\x00\x10half a message",
        b"\x80\x04cos\nsystem\n(Vtouch /tmp/pwned\ntR.",
    ],
)
def test_a_worker_that_writes_its_own_bytes_fails_and_is_not_believed(ask: Ask, frame: bytes) -> None:
    result = ask("raw", options={"hex": frame.hex()})
    assert result.failure is not None
    assert result.failure.kind in (FailureKind.MALFORMED, FailureKind.CRASH, FailureKind.EXCESSIVE)
    assert [type(outcome) for outcome in result.outcomes] == [Finding]


def test_progress_arrives_at_most_ten_times_a_second(model: Located) -> None:
    events = list(run([job("progress", model)], now=lambda: datetime.now(UTC)))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert 2 <= sum(isinstance(event, Progressed) for event in events) <= 6


def test_jobs_run_side_by_side(model: Located) -> None:
    jobs = [job("nap", model, options={"nap_s": 0.5}) for _ in range(6)]
    events = [type(event) for event in run(jobs, now=lambda: datetime.now(UTC), workers=6)]
    assert events.count(Finished) == 6
    assert events[:6].count(Started) == 6  # all began before the first ended


def test_no_more_jobs_run_at_once_than_workers(model: Located) -> None:
    running = most = 0
    for event in run([job("nap", model) for _ in range(5)], now=lambda: datetime.now(UTC), workers=2):
        running += isinstance(event, Started) - isinstance(event, Finished)
        most = max(most, running)
    assert most == 2


def test_equal_seeds_give_equal_outcomes_and_other_seeds_do_not(ask: Ask) -> None:
    first, again, other = ask("random", seed=7), ask("random", seed=7), ask("random", seed=8)
    assert first.outcomes == again.outcomes
    assert first.outcomes[0] != other.outcomes[0]


def test_numpy_is_seeded_and_its_scalars_are_plain_numbers(ask: Ask) -> None:
    pytest.importorskip("numpy")
    result = ask("numpy", seed=2**40 + 3)
    assert result.failure is None
    assert result.outcomes == ask("numpy", seed=2**40 + 3).outcomes
    (measured,) = result.outcomes
    assert isinstance(measured, Measurement)
    assert (type(measured.value), measured.n, measured.valid) == (float, 4, True)


def test_times_come_from_the_clock_that_was_passed_in(model: Located) -> None:
    moments = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(9))
    *_, finished = run([job("everything", model)], now=lambda: next(moments))
    assert isinstance(finished, Finished)
    assert finished.result.started < finished.result.finished
    assert finished.result.started.year == 2026


def test_an_unknown_option_is_an_error_before_anything_starts(model: Located) -> None:
    with pytest.raises(UsageError, match="depth"):
        run([job("everything", model, options={"dept": 4})], now=lambda: datetime.now(UTC))


def test_a_check_that_is_gone_from_its_module_is_unloadable(model: Located) -> None:
    gone = trial_checks.attempts("gone-by-now")
    (event,) = (
        e for e in run([Job(gone, model, limits=SMALL)], now=lambda: datetime.now(UTC)) if isinstance(e, Finished)
    )
    assert event.result.failure is not None
    assert event.result.failure.kind is FailureKind.UNLOADABLE


def test_leaving_the_loop_early_ends_the_workers(model: Located) -> None:
    events = run([job("sleep", model)], now=lambda: datetime.now(UTC))
    assert isinstance(next(events), Started)
    events.close()  # type: ignore[attr-defined]  # the job sleeps for minutes; the test's own limit would end it


def test_no_jobs_are_no_events() -> None:
    assert list(run([], now=lambda: datetime.now(UTC))) == []


def test_many_jobs_leave_no_descriptor_open(model: Located) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    events: list[Event] = list(run([job("random", model) for _ in range(40)], now=lambda: datetime.now(UTC)))
    assert sum(isinstance(event, Finished) for event in events) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) == before
