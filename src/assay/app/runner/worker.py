"""The other end of a nursery: a bare Python that preloads libraries once and forks one child for each job.

    command   = kind (1 byte) number (4 bytes); "S" start comes with two descriptors: order file, pipe for the answer;
                "K" kill
    report    = kind (1 byte) number (4) exit code (4) CPU seconds (8) peak bytes (8); "R" ready, "B" born, "G" gone

The server itself reads no order and runs no check, so nothing hostile ever runs in it. It has one thread and no handlers of
its parent. When its control socket closes, even because the parent was killed, it kills its children and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from assay.app.runner.answer import answer
from assay.app.runner.extras import preload
from assay.core.canonical import Json

COMMAND = struct.Struct(">cI")
REPORT = struct.Struct(">cIidQ")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_FOR_PARENT_S = 2.0


def serve(settings: Json) -> None:
    """Serves one nursery until its control socket closes, then ends the process; `settings` come from `Nursery`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=settings["control"]) as control:
        for module in settings["modules"]:
            with contextlib.suppress(Exception):  # the job that needs it will say what is wrong with it
                importlib.import_module(module)
        preload(settings["needs"])
        gc.freeze()
        server = _Server(control)
        try:
            server.run()
        except OSError:
            pass  # the parent is gone; there is nobody to tell
        finally:
            server.end_all()
            shutil.rmtree(settings["scratch"], ignore_errors=True)
    os._exit(0)  # taking the preloaded libraries down one by one would cost a tenth of a second


class _Server:
    """Children by the number of their job. A pid is only signalled while it is not reaped, so it is never another's."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}
        self._parent = os.getppid()
        self._die_with_me = _parent_death_signal()
        self._awake, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._awake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        self._report(b"R")
        while True:
            ready = select.select([self._control, self._awake], [], [], _LOOK_FOR_PARENT_S)[0]
            if self._awake in ready:
                self._awake.recv(4096)
            self._reap()
            if self._control in ready and not self._obey():
                return
            if os.getppid() != self._parent:
                return

    def end_all(self) -> None:
        for pid in self._children.values():
            _kill(pid)
        for pid in self._children.values():
            os.waitpid(pid, 0)

    def _obey(self) -> bool:
        """Takes one command; False at the end of the stream."""
        data, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 2)
        while data and len(data) < COMMAND.size:
            data += self._control.recv(COMMAND.size - len(data))
        if not data:
            return False
        kind, number = COMMAND.unpack(data)
        if kind == b"S":
            self._start(number, descriptors[0], descriptors[1])
        elif kind == b"K" and (pid := self._children.get(number)):
            _kill(pid)
        return True

    def _start(self, number: int, order: int, out: int) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 70  # EX_SOFTWARE, if anything below raises
            try:
                self._become_child(server, order, out)
                answer(order, out)
                code = 0
            finally:
                os._exit(code)
        os.close(order)
        os.close(out)
        self._children[number] = pid
        self._report(b"B", number)

    def _become_child(self, server: int, order: int, out: int) -> None:
        os.setsid()
        self._die_with_me()
        if os.getppid() != server:
            os._exit(71)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        os.close(nowhere)
        for other in (self._control, self._awake, self._wake):
            other.close()
        sys.dont_write_bytecode = True

    def _reap(self) -> None:
        for number, pid in list(self._children.items()):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found == pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)  # whatever it left behind in its session
                del self._children[number]
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                code = os.waitstatus_to_exitcode(status)
                self._report(b"G", number, code, usage.ru_utime + usage.ru_stime, peak)

    def _report(self, kind: bytes, number: int = 0, code: int = 0, cpu_s: float = 0.0, peak_bytes: int = 0) -> None:
        self._control.sendall(REPORT.pack(kind, number, code, cpu_s, peak_bytes))


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _parent_death_signal() -> Callable[[], None]:
    """What a child calls so that the kernel kills it when this server dies; elsewhere than on Linux it does nothing."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def die_with_me() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return die_with_me


def is_fork_safe_after_preload() -> bool:
    """Whether numeric libraries may be loaded before a fork; the system frameworks of macOS do not survive it."""
    return sys.platform != "darwin"


def home() -> Path:
    """The folder that holds the package `assay`."""
    return Path(__file__).resolve().parents[3]
