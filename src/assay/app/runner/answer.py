"""Runs one check in a forked child and says what it yielded. The only place where a check's code, and a model's, runs.

1. Read the order and find the check. 2. Skip if an extra is missing. 3. Load what it needs, seed, lower the limits, close the
sandbox. 4. Ask the check and send each outcome. 5. Say the end. A worker that does not reach 5 has failed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

from assay.app.runner.context import WorkerContext
from assay.app.runner.discovery import checks_in
from assay.app.runner.extras import extra_of, install_line, missing_extra, preload
from assay.app.runner.jobs import Failure, FailureKind
from assay.app.runner.messages import MAX_TEXT, End, write
from assay.app.runner.orders import Order, read_order
from assay.app.runner.sandbox import close_in, set_limits
from assay.core.assets import Asset
from assay.core.checks import Check, Context
from assay.core.errors import AssayError, MalformedInput, MissingExtra
from assay.core.outcomes import Finding, Outcome, Progress, Severity, Skipped

PROGRESS_EVERY_S = 0.1


class _NoOutcome(Exception):
    """The check yielded something that may not be said."""


class _Mouth:
    """Says messages through the pipe; progress at most ten times a second."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._last_progress = float("-inf")

    def say(self, message: Outcome | End) -> None:
        if isinstance(message, Progress):
            now = time.monotonic()
            if now - self._last_progress < PROGRESS_EVERY_S:
                return
            self._last_progress = now
        try:
            frame = memoryview(write(message))
        except MalformedInput as error:
            raise _NoOutcome(f"{error.what}: {error.why}") from error
        while frame:
            frame = frame[os.write(self._pipe, frame) :]


def answer(order_file: int, pipe: int) -> None:
    """Reads the order in `order_file` and says everything about it through `pipe`."""
    mouth = _Mouth(pipe)
    with os.fdopen(order_file, "rb") as file:
        order = read_order(file.read())
    try:
        check = _find(order)
    except Exception as error:  # noqa: BLE001 - another package's module may raise anything; the job fails with it
        mouth.say(End(Failure(FailureKind.UNLOADABLE, f"the check could not be loaded: {_described(error)}")))
        return
    if extra := missing_extra(order.needs):
        mouth.say(_skipped(check, extra, "is not installed"))
        mouth.say(End())
        return
    _prepare(order)
    context = WorkerContext(order.subject, order.related, order.options, order.seed)
    mouth.say(End(_ask(check, order.subject.asset, context, mouth, order)))


def _find(order: Order) -> Check:
    """Imports the check by name, or by file where the name leads elsewhere (tests, folders not on the path)."""
    module = _import(order.module, order.file)
    found = next((check for check in checks_in(module) if check.id == order.check_id), None)
    if found is None or found.version != order.version:
        raise LookupError(f"{order.module} has no {order.check_id} version {order.version}")
    return found


def _import(name: str, file: str | None) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not file or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        module = ModuleType(name)
    found = getattr(module, "__file__", None)
    if not file or (found and Path(found).resolve() == Path(file).resolve()):
        return module
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prepare(order: Order) -> None:
    order.scratch.mkdir(parents=True, exist_ok=True)
    os.chdir(order.scratch)
    os.environ["TMPDIR"] = os.environ["HOME"] = str(order.scratch)
    preload(order.needs)  # costs nothing where the server did it before the fork
    random.seed(order.seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(order.seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(order.seed)  # for networks that draw when they are asked
    set_limits(order.limits)
    os.environ.update(order.keys)
    close_in(order.scratch, order.hidden, order.reach)


def _ask(check: Check, asset: Asset, context: Context, mouth: _Mouth, order: Order) -> Failure | None:
    """Lets the check speak; None if it came to its end, or stopped for a reason that is itself an outcome."""
    try:
        for outcome in check.body(asset, context):
            mouth.say(outcome)
    except _NoOutcome as error:
        return Failure(FailureKind.MALFORMED, str(error)[:MAX_TEXT])
    except MalformedInput as error:
        mouth.say(_malformed(asset, error))
        mouth.say(Skipped("everything after that", "the check stopped at malformed input"))
    except MissingExtra as error:
        mouth.say(Skipped(check.id, f"{error.what}: {error.fix or error.why}"[:MAX_TEXT]))
    except MemoryError:
        return Failure(FailureKind.MEMORY, f"ran out of memory: more than {order.limits.memory_bytes} bytes")
    except ImportError as error:
        if not (extra := extra_of(error.name, order.needs)):
            return Failure(FailureKind.EXCEPTION, _described(error))
        mouth.say(_skipped(check, extra, f"cannot be used ({_one_line(error)})"))
    except BaseException as error:  # noqa: BLE001 - a bug in a check, or `exit()` in a model, is recorded as failed
        return Failure(FailureKind.EXCEPTION, _described(error))
    return None


def _skipped(check: Check, extra: str, why: str) -> Skipped:
    return Skipped(check.id, f"a library of assay[{extra}] {why}: {install_line(extra)}"[:MAX_TEXT])


def _malformed(asset: Asset, error: MalformedInput) -> Finding:
    entries = asset.manifest.entries
    summary = f"{error.what}: {error.why}" if error.why else error.what
    place = entries[0].path if len(entries) == 1 else ""
    return Finding("malformed-input", Severity.HIGH, place, _printable(summary), _printable(error.fix))


def _described(error: BaseException) -> str:
    """Type, message and last line of the traceback, without the folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    where = (
        f" ({'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno} in {frames[-1].name})"
        if frames
        else ""
    )
    return _printable(f"{type(error).__name__}: {_one_line(error)}{where}")


def _one_line(error: BaseException) -> str:
    try:
        text = f"{error.what}: {error.why}" if isinstance(error, AssayError) else str(error)
    except Exception:  # noqa: BLE001 - the message of a hostile exception may raise as well
        text = "its message cannot be read"
    return " ".join(text.split())[:500]


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:MAX_TEXT]
