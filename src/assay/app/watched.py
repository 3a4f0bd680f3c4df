"""Work on many items in forked workers that are watched: what hangs, eats memory or crashes loses its own item and no other.

    for index, answer in watched(len(files), examine, jobs=2, limits=Limits()): ...     # in order; a `Lost` where a worker died

Workers take chunks of indices from one pipe and answer in JSON, each over a pipe of its own; which item they are at stands in
memory that the parent shares. An item may use so much processor time (a timer of the kernel ends the worker) and so much memory
(what Python asks for beyond it is a `MemoryError` in the worker). A lost worker is replaced, and its other items are done again.
Without fork, items are worked on in this process, and only the counted budgets of the readers hold.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from assay.core.canonical import Json

MAX_CHUNK = 64
MAX_CHUNKS = 8_192  # their numbers fit into a pipe that nobody empties yet
MAX_STILLBORN = 3
FLUSH_S = 0.1
SPARE_BYTES = 64 << 20
_NUMBER_BYTES = 8
_HAS_FORK = hasattr(os, "fork") and hasattr(signal, "setitimer")

Work = Callable[[int, Callable[[], None]], Json]


class Limits(NamedTuple):
    """What one item may use."""

    cpu_s: float = 10.0
    memory_bytes: int = 512 << 20


class Lost(NamedTuple):
    """An item whose worker died, and why."""

    why: str


def watched(count: int, work: Work, jobs: int, limits: Limits) -> Iterator[tuple[int, Json | Lost]]:
    """Works on the items 0 to `count` - 1 and yields each with its answer, in order.

    `work(index, arm)` calls `arm()` where its hostile part begins; processor time counts from there.
    """
    if not _HAS_FORK:
        yield from ((index, work(index, lambda: None)) for index in range(count))
        return
    pool = _Pool(count, work, limits)
    try:
        yield from pool.run(min(jobs, count))
    finally:
        pool.close()


@dataclass
class _Worker:
    pid: int
    answers: int
    here: mmap.mmap
    pending: bytes = b""

    def bury(self) -> int:
        """Waits for its end; its exit code, negative for a signal."""
        os.close(self.answers)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class _Pool:
    def __init__(self, count: int, work: Work, limits: Limits) -> None:
        self._count, self._work, self._limits = count, work, limits
        self._chunk = max(min(MAX_CHUNK, count // 16), -(-count // MAX_CHUNKS), 1)
        self._queue, filler = os.pipe()
        for start in range(0, count, self._chunk):
            os.write(filler, start.to_bytes(_NUMBER_BYTES, "little"))
        os.close(filler)
        self._workers: list[_Worker] = []
        self._found: dict[int, Json | Lost] = {}
        self._seen, self._stillborn = bytearray(count), 0

    def run(self, jobs: int) -> Iterator[tuple[int, Json | Lost]]:
        """Starts workers and yields in order what they answer."""
        for _ in range(jobs):
            self._start(())
        for index in range(self._count):
            while index not in self._found:
                self._listen()
            yield index, self._found.pop(index)

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            with suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.bury()
        os.close(self._queue)

    def _start(self, first: Sequence[int]) -> None:
        answers, writer = os.pipe()
        here = mmap.mmap(-1, _NUMBER_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads: the child runs our own code only and prints nothing
            pid = os.fork()
        if pid == 0:
            self._serve(first, writer, here)
        os.close(writer)
        self._workers.append(_Worker(pid, answers, here))

    def _listen(self) -> None:
        """Waits until a worker says something or ends."""
        if not self._workers:
            self._start([i for i in range(self._count) if not self._seen[i]])
        waiting = select.poll()
        for worker in self._workers:
            waiting.register(worker.answers, select.POLLIN)
        for descriptor, _ in waiting.poll():
            worker = next(w for w in self._workers if w.answers == descriptor)
            if said := os.read(descriptor, 1 << 20):
                *lines, worker.pending = (worker.pending + said).split(b"\n")
                for line in lines:
                    for index, answer in json.loads(line):
                        self._answer(index, answer)
            else:
                self._workers.remove(worker)
                if code := worker.bury():
                    self._replace(int.from_bytes(worker.here[:], "little") - 1, code)

    def _answer(self, index: int, answer: Json | Lost) -> None:
        self._seen[index], self._found[index] = 1, answer

    def _replace(self, at: int, code: int) -> None:
        """The item that a dead worker was at is lost; the rest of its chunk is done by another."""
        self._stillborn += at < 0
        if self._stillborn > MAX_STILLBORN:
            raise OSError("workers die before they begin")
        if at >= 0 and not self._seen[at]:
            self._answer(at, Lost(_cause(code, self._limits)))
        start = max(0, at) // self._chunk * self._chunk
        self._start([i for i in range(start, min(start + self._chunk, self._count)) if at >= 0 and not self._seen[i]])

    def _serve(self, first: Sequence[int], writer: int, here: mmap.mmap) -> NoReturn:
        """The life of a worker."""
        code = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF):
                signal.signal(number, signal.SIG_DFL)
            _limit_memory(self._limits.memory_bytes)
            arm = lambda: signal.setitimer(signal.ITIMER_PROF, self._limits.cpu_s)  # noqa: E731
            self._do(first, writer, here, arm)
            while taken := os.read(self._queue, _NUMBER_BYTES):
                start = int.from_bytes(taken, "little")
                self._do(range(start, min(start + self._chunk, self._count)), writer, here, arm)
            code = 0
        finally:
            os._exit(code)

    def _do(self, items: Sequence[int], writer: int, here: mmap.mmap, arm: Callable[[], object]) -> None:
        answers: list[Json] = []
        said_at = time.monotonic()
        for index in items:
            here[:] = (index + 1).to_bytes(_NUMBER_BYTES, "little")
            answers.append([index, self._work(index, arm)])  # type: ignore[arg-type]  # what the timer returns is of no use
            signal.setitimer(signal.ITIMER_PROF, 0)
            if index == items[-1] or time.monotonic() - said_at > FLUSH_S:
                _write(writer, json.dumps(answers).encode() + b"\n")
                answers, said_at = [], time.monotonic()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _limit_memory(most_bytes: int) -> None:
    """Lets this process have so much memory in all, but something beyond what it has now; only Linux counts it."""
    try:
        import resource

        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib is not loaded here
            has = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(
            resource.RLIMIT_DATA, (max(most_bytes, has + SPARE_BYTES), resource.getrlimit(resource.RLIMIT_DATA)[1])
        )
    except (ImportError, OSError, ValueError, IndexError):
        return


def _cause(code: int, limits: Limits) -> str:
    if code == -signal.SIGPROF:
        return f"it needed more than {limits.cpu_s:g} s of processor time"
    if code == -signal.SIGKILL:
        return "its reader was killed, perhaps for want of memory"
    return f"its reader ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
