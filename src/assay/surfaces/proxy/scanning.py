"""Large texts are scanned in worker processes, so that they do not hold up everybody else's small ones.

A worker that dies, hangs or cannot start is a scanner that did not run: the verdict is undecided and blocks.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from assay.runtime.firewall.firewall import EMPTY, Firewall
from assay.runtime.firewall.memory import Memory
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.values import Action, Context, ScannerRecord, Segment, State, Verdict

INLINE_CHARS = 16_384
DEADLINE_S = 20.0


class Workers:
    """A pool of processes that is made when first needed, and anew after one of them died."""

    def __init__(self, count: int = 0) -> None:
        self._count = count or min(4, os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def check(self, policy: FirewallPolicy, segments: Sequence[Segment], route: str, context: Context) -> Verdict:
        """Scans in a worker; waits for it, so this is for threads beside the event loop."""
        try:
            return self._running().submit(_check, policy, tuple(segments), route, context).result(DEADLINE_S)
        except TimeoutError:
            self._drop()
            return undecided(policy, segments, route, f"no verdict within {DEADLINE_S:g} s")
        except (BrokenProcessPool, OSError, RuntimeError) as error:
            self._drop()
            return undecided(policy, segments, route, f"a scanning process died ({type(error).__name__})")

    def processes(self) -> list[int]:
        """The ids of the processes that run now."""
        return list(self._pool._processes) if self._pool and self._pool._processes else []

    def close(self) -> None:
        """Ends the processes."""
        self._drop()

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self._count, mp_context=multiprocessing.get_context("spawn"))
            return self._pool

    def _drop(self) -> None:
        """Leaves the pool; a process that hangs is killed."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


class PooledFirewall(Firewall):
    """A firewall whose large checks go to worker processes."""

    def __init__(self, policy: FirewallPolicy, workers: Workers) -> None:
        super().__init__(policy, memory=Memory())
        self._workers = workers

    def check(self, segments: Segment | Sequence[Segment], route: str = "default", context: Context = EMPTY) -> Verdict:
        """One verdict, from here or from a worker."""
        given = (segments,) if isinstance(segments, Segment) else segments
        if sum(len(segment.text) for segment in given) <= INLINE_CHARS:
            return super().check(given, route, context)
        return self._workers.check(self.policy, given, route, context)


def undecided(policy: FirewallPolicy, segments: Sequence[Segment], route: str, why: str) -> Verdict:
    """The verdict where nobody could look."""
    record = ScannerRecord("worker", State.FAILED, 0, why)
    texts = tuple(segment.text for segment in segments)
    action = Action.ALLOW if policy.is_dry_run else Action.BLOCK
    return Verdict(action, Action.BLOCK, 0.0, (), (record,), texts, policy.digest, route, why)


_FIREWALLS: dict[str, Firewall] = {}  # of this worker process, by digest of the policy; one at a time


def _check(policy: FirewallPolicy, segments: tuple[Segment, ...], route: str, context: Context) -> Verdict:
    if policy.digest not in _FIREWALLS:
        _FIREWALLS.clear()
        _FIREWALLS[policy.digest] = Firewall(policy, memory=Memory())
    return _FIREWALLS[policy.digest].check(segments, route, context)
