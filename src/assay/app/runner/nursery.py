"""Our end of a worker server: starts it, sends it jobs and kills, and hears of births and deaths.

    with kept():                      # several runs of this process share their servers
        nursery = borrow(("ml",), ())
        give_back(nursery)            # outside of `kept` this ends it

The server is a plain Python, told what to import; the program that called us is not imported again, whatever it is
(console script, `python -m`, pytest, standard input). Its environment is short, so no secret of ours is in it, and hash seed
and thread counts are fixed, so that equal seeds give equal answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.app.runner.jobs import Failure, FailureKind, Limits
from assay.app.runner.worker import COMMAND, REPORT, home, is_fork_safe_after_preload
from assay.core.errors import Undecided

READY_WITHIN_S = 180.0
_BOOT = (
    "import sys, json; given = json.loads(sys.argv[1]); "
    "sys.path[:0] = [p for p in [given['home']] if p not in sys.path]; "
    "sys.path += [p for p in given['paths'] if p not in sys.path]; "
    "from assay.app.runner.worker import serve; serve(given)"
)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_FIXED = {
    "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TZ": "UTC",
    "JOBLIB_MULTIPROCESSING": "0",
}  # fmt: skip


class NurseryDied(Exception):
    """The server ended, or did not come up; the text says what it said last."""


@dataclass(frozen=True)
class Born:
    """A child works on the job of this number."""

    number: int


@dataclass(frozen=True)
class Gone:
    """The child of this number ended; `code` is its exit code, or minus the signal that killed it."""

    number: int
    code: int
    cpu_s: float
    peak_bytes: int

    def failure(self, limits: Limits) -> Failure | None:
        """What the way it ended says by itself; None for an ordinary exit."""
        if self.code == 0:
            return None
        if self.code == -signal.SIGXCPU:
            return Failure(FailureKind.CPU, f"used more than {limits.cpu_s} s of CPU time")
        if self.code > 0:
            return Failure(FailureKind.CRASH, f"the worker ended without a result (exit code {self.code})")
        hint = "; the system may have been out of memory" if self.code == -signal.SIGKILL else ""
        return Failure(FailureKind.CRASH, f"the worker was killed by {_signal_name(-self.code)}{hint}")


class Nursery:
    """A running worker server that preloads what the extras in `needs` bring, and `modules`.

    Its folder `scratch` is its own and goes with it.
    """

    def __init__(self, needs: tuple[str, ...], modules: tuple[str, ...]) -> None:
        if os.name != "posix" or not sys.executable:
            raise Undecided("checks cannot be run here", "they need a POSIX system and a Python executable")
        self.is_ready = False
        self.scratch = scratch = Path(tempfile.mkdtemp(prefix="assay-"))
        self.nature = _nature(needs)
        self._ready_by = time.monotonic() + READY_WITHIN_S
        self._heard = b""
        self._control, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        settings = {
            "control": theirs.fileno(),
            "needs": needs if is_fork_safe_after_preload() else (),
            "modules": modules,
            "scratch": str(scratch),
            "home": str(home()),
            "paths": _import_paths(),
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-X", "utf8", "-c", _BOOT, json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, cwd=scratch,
                env=_environment(scratch), pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
        self._control.setblocking(False)

    @property
    def is_alive(self) -> bool:
        """Whether the server has not ended."""
        return self._process.poll() is None

    def fileno(self) -> int:
        """For a selector: readable when there are reports."""
        return self._control.fileno()

    def start(self, number: int, order: int, out: int) -> None:
        """Starts a job; both descriptors stay the caller's to close.

        Raises:
            NurseryDied: the server is gone.
        """
        self._send(COMMAND.pack(b"S", number), [order, out])

    def kill(self, number: int) -> None:
        """Kills the child of a job; a `Gone` follows. Nothing happens if it has ended.

        Raises:
            NurseryDied: the server is gone.
        """
        self._send(COMMAND.pack(b"K", number), [])

    def reports(self) -> Iterator[Born | Gone]:
        """What happened since the last call.

        Raises:
            NurseryDied: the server is gone, or was not ready in time.
        """
        try:
            data = self._control.recv(REPORT.size * 256)
        except BlockingIOError:
            if not self.is_ready and time.monotonic() > self._ready_by:
                raise NurseryDied(f"the worker server was not ready within {READY_WITHIN_S:.0f} s") from None
            return
        except OSError as error:
            raise NurseryDied(self._last_words()) from error
        if not data:
            raise NurseryDied(self._last_words())
        self._heard += data
        while len(self._heard) >= REPORT.size:
            kind, number, code, cpu_s, peak = REPORT.unpack_from(self._heard)
            self._heard = self._heard[REPORT.size :]
            if kind == b"R":
                self.is_ready = True
            else:
                yield Born(number) if kind == b"B" else Gone(number, code, cpu_s, peak)

    def close(self) -> None:
        """Ends the server and all its children."""
        self._control.close()
        if not self.is_ready:
            self._process.kill()  # it is still importing and has no children
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._control, [data], descriptors)
        except OSError as error:
            raise NurseryDied(self._last_words()) from error

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read(1 << 20).decode("utf-8", "replace").strip().splitlines()
        return f"the worker server ended: {lines[-1][:300]}" if lines else "the worker server ended without a word"


_kept: list[Nursery] | None = None  # idle servers, while some `kept` is open


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Within it, servers of runs that ended in order serve later runs, which saves the imports; at its end they end."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = []
    try:
        yield
    finally:
        idle, _kept = _kept, None
        for nursery in idle:
            nursery.close()


def borrow(needs: tuple[str, ...], modules: tuple[str, ...]) -> Nursery:
    """An idle server that was started as this one would be, else a new one."""
    for nursery in _kept or ():
        if nursery.nature == _nature(needs) and nursery.is_alive and _kept:
            _kept.remove(nursery)
            return nursery
    return Nursery(needs, modules)


def give_back(nursery: Nursery) -> None:
    """Keeps a server that has no children for the next run, if servers are kept; ends it otherwise."""
    if _kept is not None and nursery.is_ready:
        _kept.append(nursery)
    else:
        nursery.close()


def _nature(needs: tuple[str, ...]) -> tuple[object, ...]:
    """What makes two servers alike: what they preload, what they were told of the world, and whose child they are."""
    return needs, tuple(_import_paths()), tuple(os.environ.get(name) for name in _PASSED_ON), os.getpid()


def _environment(scratch: Path) -> Mapping[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, **_FIXED, "HOME": str(scratch), "TMPDIR": str(scratch)}


def _import_paths() -> list[str]:
    """Where we import from, to be searched after the worker's own places; never the current folder.

    NOTE: a scanned repository is often the current folder, and must not be able to bring modules of its own.
    """
    with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
        here = Path.cwd()
        return [entry for entry in sys.path if Path(entry).is_absolute() and Path(entry) != here]
    return [entry for entry in sys.path if Path(entry).is_absolute()]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
