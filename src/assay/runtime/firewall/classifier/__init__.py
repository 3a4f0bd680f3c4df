"""A text classifier in a process of its own: given up at a deadline, killed when it hangs, started anew when it died.

The process is a plain Python that imports what serves and nothing of the program that called us, with a short environment;
it ends when our end of the socket closes, so none outlives us. One text is under way at a time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

from assay.runtime.firewall.classifier.wire import receive, send
from assay.runtime.firewall.scanner import NotRun, TimedOut

_BOOT = (
    "import sys, json; given = json.loads(sys.argv[1]); sys.path += [p for p in given['paths'] if p not in sys.path]; "
    "from assay.runtime.firewall.classifier.serving import serve; serve(given['socket'], given['folder'], given['sha256'])"
)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_FIXED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TZ": "UTC"}


class Worker:
    """One classifier. Safe for many threads; they wait for each other within their deadlines."""

    def __init__(self, folder: str, digest: str) -> None:
        self._folder, self._digest = folder, digest
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False

    def load(self, deadline_s: float) -> None:
        """Returns when the classifier is loaded.

        Raises:
            TimedOut: it is not until `deadline_s` on the monotonic clock; it goes on loading.
            NotRun: it cannot be loaded.
        """
        self._exchange(None, deadline_s)

    def score(self, text: str, purpose: str, deadline_s: float, light: float = 0.5) -> float:
        """The score of `text` in 0..1, higher for attacks.

        Args:
            purpose: Which of its outputs is asked where it has several: `prompts` or `documents`.
            deadline_s: Until when an answer is of use, on the monotonic clock.
            light: The score of the linear model, which a classifier may weigh in.

        Raises:
            TimedOut: no answer until then; a process that was still loading goes on, one that hangs on a text is killed.
            NotRun: the classifier cannot be loaded, refuses the text, or the process died.
        """
        said = text.encode("utf-8", "replace").decode()
        return self._exchange({"text": said, "purpose": purpose, "light": light}, deadline_s)

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._drop()

    def __del__(self) -> None:
        """No process outlives the last who could ask it."""
        self._drop()

    def _exchange(self, asked: dict[str, object] | None, deadline_s: float) -> float:
        """The score of what is asked; 0 where nothing is and the classifier is ready."""
        if not self._lock.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise TimedOut("the classifier was busy until the deadline")
        try:
            pipe = self._running()
            if not self._is_ready:
                self._await(pipe, deadline_s, "the classifier was still loading at the deadline")
                self._is_ready = True
            return 0.0 if asked is None else self._asked(pipe, asked, deadline_s)
        except (OSError, EOFError, ValueError) as error:
            self._drop()
            raise NotRun(f"the process of the classifier died ({type(error).__name__})") from error
        finally:
            self._lock.release()

    def _asked(self, pipe: socket.socket, asked: dict[str, object], deadline_s: float) -> float:
        try:
            send(pipe, asked, deadline_s)
            return self._await(pipe, deadline_s, "no answer until the deadline")
        except (TimedOut, TimeoutError) as late:
            self._drop()  # what it may still say belongs to this text, not to the next
            raise TimedOut(
                str(late) if isinstance(late, TimedOut) else "it did not take the text until the deadline"
            ) from late

    def _await(self, pipe: socket.socket, deadline_s: float, late: str) -> float:
        try:
            answer = receive(pipe, deadline_s)
        except TimeoutError as error:
            raise TimedOut(late) from error
        if "score" in answer:
            return float(answer["score"])
        if answer.get("is_over"):
            self._drop()
        raise NotRun(str(answer.get("why", "it said nothing")))

    def _running(self) -> socket.socket:
        if self._process is None or self._socket is None or self._process.poll() is not None:
            self._drop()
            self._socket, theirs = socket.socketpair()
            given = {
                "socket": theirs.fileno(),
                "folder": self._folder,
                "sha256": self._digest,
                "paths": [p for p in sys.path if p],
            }
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-s", "-P", "-X", "utf8", "-c", _BOOT, json.dumps(given)], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(), pass_fds=(theirs.fileno(),),
                )  # fmt: skip
        return self._socket

    def _drop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        self._process = self._socket = None
        self._is_ready = False


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _FIXED
