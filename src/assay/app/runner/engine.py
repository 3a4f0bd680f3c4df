"""Runs jobs in worker processes, several at a time, each within its limits, and yields what happens as events.

    for event in run(jobs, now=clock):
        match event:
            case Finished(result): ...

Jobs of checks that need no extra go to a bare worker server and start at once; the others share one server that imports their
libraries once. Every job ends in exactly one `Finished`. Leaving the loop early ends all workers.
"""

from __future__ import annotations

import os
import select
import selectors
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay.app.runner.answer import PROGRESS_EVERY_S
from assay.app.runner.intake import Intake, TooMuch
from assay.app.runner.jobs import (
    Event,
    Failure,
    FailureKind,
    Finished,
    Job,
    JobResult,
    Progressed,
    Started,
    State,
)
from assay.app.runner.nursery import Born, Gone, Nursery, NurseryDied, borrow, give_back
from assay.app.runner.orders import check_module, write_order
from assay.app.runner.sandbox import unenforced_limits
from assay.core.errors import MalformedInput

Clock = Callable[[], datetime]
_CHUNK_BYTES = 1 << 18
_LONGEST_WAIT_S = 5.0


def run(jobs: Sequence[Job], *, now: Clock, workers: int | None = None, hidden: Sequence[Path] = ()) -> Iterator[Event]:
    """Runs all jobs and yields their events; results come in the order in which jobs end.

    Args:
        now: The clock for the times in results.
        workers: How many jobs run at once; as many as this process may use cores if None.
        hidden: Folders that no check may read through Python, such as that of the signing keys.

    Raises:
        UsageError: an unknown option, or a check that stands in `__main__`; nothing was started.
    """
    for job in jobs:
        _ = job.merged_options, check_module(job)
    return _events(tuple(jobs), now, workers or _cores(), tuple(folder.absolute() for folder in hidden))


def _events(jobs: tuple[Job, ...], now: Clock, workers: int, hidden: tuple[Path, ...]) -> Iterator[Event]:
    if not jobs:
        return
    engine = _Engine(now, workers, hidden)
    try:
        yield from engine.events(jobs)
    finally:
        engine.close()


@dataclass
class _Child:
    """A job that was sent to a worker. `failure` is set as soon as we know that it cannot end well."""

    job: Job
    number: int
    nursery: Nursery
    pipe: int
    intake: Intake
    scratch: Path
    started: datetime
    deadline: float = float("inf")
    failure: Failure | None = None
    progress_after: float = 0.0


class _Engine:
    def __init__(self, now: Clock, workers: int, hidden: tuple[Path, ...]) -> None:
        self._now, self._workers, self._hidden = now, workers, hidden
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._waiting: dict[Nursery, deque[tuple[int, Job]]] = {}

    def events(self, jobs: Sequence[Job]) -> Iterator[Event]:
        numbered = list(enumerate(jobs))
        self._open([one for one in numbered if not one[1].needs])
        self._open([one for one in numbered if one[1].needs])
        while self._children or any(self._waiting.values()):
            yield from self._start_what_fits()
            for key, _ in self._selector.select(self._wait_s()):
                if isinstance(key.data, Nursery):
                    yield from self._hear_nursery(key.data)
                elif key.data.number in self._children:
                    yield from self._hear_child(key.data)
            self._end_the_late()
            for nursery in [one for one in self._waiting if not one.is_ready]:
                yield from self._hear_nursery(nursery)

    def _open(self, group: list[tuple[int, Job]]) -> None:
        """Starts a nursery for these jobs, with our own modules and the libraries that their checks need."""
        if group:
            needs = sorted({need for _, job in group for need in job.needs})
            modules = sorted({name for _, job in group if (name := check_module(job)).startswith("assay.")})
            nursery = borrow(tuple(needs), tuple(modules))
            self._waiting[nursery] = deque(group)
            self._selector.register(nursery, selectors.EVENT_READ, nursery)

    def close(self) -> None:
        busy = {child.nursery for child in self._children.values()}
        for nursery in self._waiting:
            nursery.close() if nursery in busy else give_back(nursery)
        for child in self._children.values():
            self._stop_listening(child)
        self._selector.close()

    def _wait_s(self) -> float:
        soonest = min((child.deadline for child in self._children.values()), default=float("inf"))
        return max(0.0, min(_LONGEST_WAIT_S, soonest - time.monotonic()))

    def _start_what_fits(self) -> Iterator[Event]:
        for nursery, queue in list(self._waiting.items()):
            while nursery.is_ready and queue and len(self._children) < self._workers:
                number, job = queue.popleft()
                try:
                    self._start(nursery, number, job)
                except NurseryDied as error:
                    queue.appendleft((number, job))
                    yield from self._bury(nursery, error)

    def _start(self, nursery: Nursery, number: int, job: Job) -> None:
        scratch = nursery.scratch / str(number)
        pipe, theirs = os.pipe()
        try:
            with tempfile.TemporaryFile() as order:
                order.write(write_order(job, scratch, self._hidden))
                order.seek(0)
                nursery.start(number, order.fileno(), theirs)
        except BaseException:
            os.close(pipe)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(pipe, False)
        child = _Child(job, number, nursery, pipe, Intake(job), scratch, self._now())
        self._children[number] = child
        self._selector.register(pipe, selectors.EVENT_READ, child)

    def _hear_nursery(self, nursery: Nursery) -> Iterator[Event]:
        if nursery not in self._waiting:
            return
        try:
            for report in nursery.reports():
                child = self._children.get(report.number)
                if child is None or child.nursery is not nursery:
                    continue
                if isinstance(report, Born):
                    child.started = self._now()
                    child.deadline = time.monotonic() + child.job.limits.wall_s
                    yield Started(child.job)
                else:
                    yield from self._part(child, report)
        except NurseryDied as error:
            yield from self._bury(nursery, error)

    def _hear_child(self, child: _Child) -> Iterator[Event]:
        """Takes one chunk from a child's pipe."""
        try:
            data = os.read(child.pipe, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._stop_listening(child)
            return
        try:
            for progress in child.intake.feed(data):
                if time.monotonic() >= child.progress_after:
                    child.progress_after = time.monotonic() + PROGRESS_EVERY_S
                    yield Progressed(child.job, progress)
        except TooMuch as error:
            self._end(child, Failure(FailureKind.EXCESSIVE, f"the check yielded {error}"))
        except MalformedInput as error:
            self._end(child, Failure(FailureKind.MALFORMED, f"{error.what}: {error.why}"))

    def _end_the_late(self) -> None:
        late = time.monotonic()
        for child in self._children.values():
            if child.deadline <= late:
                self._end(child, Failure(FailureKind.TIMEOUT, f"took longer than {child.job.limits.wall_s:g} s"))

    def _end(self, child: _Child, failure: Failure) -> None:
        child.failure = child.failure or failure
        child.deadline = float("inf")
        self._stop_listening(child)
        try:
            child.nursery.kill(child.number)
        except NurseryDied:
            return  # its socket says so as well, and the job is buried then

    def _part(self, child: _Child, gone: Gone) -> Iterator[Event]:
        """The child is gone: hears what is left in its pipe and yields its result."""
        while child.pipe >= 0 and _is_readable(child.pipe):
            yield from self._hear_child(child)
        yield self._finish(child, gone)

    def _finish(self, child: _Child, gone: Gone) -> Finished:
        self._stop_listening(child)
        del self._children[child.number]
        shutil.rmtree(child.scratch, ignore_errors=True)
        failure = child.failure or gone.failure(child.job.limits) or child.intake.failure
        return Finished(
            JobResult(
                job=child.job,
                state=State.FAILED if failure else State.DONE,
                failure=failure,
                outcomes=child.intake.bad_news if failure else tuple(child.intake.outcomes),
                tables={} if failure else child.intake.tables,
                started=child.started,
                finished=self._now(),
                cpu_s=gone.cpu_s,
                peak_bytes=gone.peak_bytes,
                unenforced=unenforced_limits(),
                facts=None if failure else child.intake.facts,
            )
        )

    def _bury(self, nursery: Nursery, error: NurseryDied) -> Iterator[Event]:
        """A server died: its children died with it, and what waits for it cannot run."""
        failure = Failure(FailureKind.WORKER, str(error))
        for child in [child for child in self._children.values() if child.nursery is nursery]:
            child.failure = child.failure or failure
            yield self._finish(child, Gone(child.number, 0, 0.0, 0))
        self._selector.unregister(nursery)
        nursery.close()
        for _, job in self._waiting.pop(nursery):
            at = self._now()
            yield Finished(JobResult(job, State.FAILED, failure, (), {}, at, at, 0.0, 0, unenforced_limits()))

    def _stop_listening(self, child: _Child) -> None:
        if child.pipe >= 0:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = -1


def _is_readable(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))


def _cores() -> int:
    """Cores that this process may use, which in a container are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
