"""A text classifier in a process of its own: given up at a deadline, killed when it hangs, started anew when it died."""

from __future__ import annotations

import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from assay.runtime.firewall.classifier.serving import serve
from assay.runtime.firewall.scanner import NotRun, TimedOut


class Worker:
    """One process that scores one text at a time. Safe for many threads; they wait for each other within their deadlines."""

    def __init__(self, folder: str, sha256: str) -> None:
        self._folder, self._sha256 = folder, sha256
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_ready = False

    def score(self, text: str, deadline_s: float) -> float:
        """The score of `text` in 0..1, higher for attacks, before `deadline_s` on the monotonic clock.

        Raises:
            TimedOut: no answer until then; a process that was still loading goes on, one that hangs on a text is killed.
            NotRun: the classifier cannot be loaded, or the process died.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise TimedOut("the worker was busy until the deadline")
        try:
            pipe = self._running()
            if not self._is_ready:
                self._await(pipe, deadline_s, "the classifier was still loading at the deadline")
                self._is_ready = True
            pipe.send(text)
            try:
                return float(self._await(pipe, deadline_s, "no answer until the deadline"))
            except TimedOut:
                self._drop()
                raise
        except (OSError, EOFError, ValueError) as error:
            self._drop()
            raise NotRun(f"the worker died ({type(error).__name__})") from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._drop()

    def _await(self, pipe: Connection, deadline_s: float, late: str) -> str:
        if not pipe.poll(max(0.0, deadline_s - time.monotonic())):
            raise TimedOut(late)
        is_well, said = pipe.recv()
        if not is_well:
            self._drop()
            raise NotRun(said)
        return str(said)

    def _running(self) -> Connection:
        if self._process is None or self._pipe is None or not self._process.is_alive():
            self._drop()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs, self._folder, self._sha256), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _drop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        self._is_ready = False
