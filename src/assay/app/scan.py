"""Scans files and folders without a workspace: what each file is, in watched workers, and never a hang.

A file may need 10 s of processor time, hashing apart, and 512 MB of memory; beyond, it is inconclusive and the others go on.
Counted budgets of the readers end before that, so that verdicts do not depend on the machine. Only regular files are opened, without
blocking; FIFOs, devices, sockets and links that lead nowhere are inconclusive. A file is
hashed and judged from the same descriptor, and is inconclusive if it changed meanwhile. Waivers are bound to the sha256 of the
content, one rule, a reason and a day; those that expired are named and ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import IO

from assay.app.watched import Limits, Lost, watched
from assay.checks.model_file.judge import judge
from assay.checks.model_file.judgement import Judgement, Problem, concluded
from assay.checks.model_file.lists import Lists
from assay.checks.model_file.readers import MAPPED_FROM_BYTES, facts_of
from assay.checks.model_file.rules import RULES
from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import UsageError
from assay.core.outcomes import Verdict
from assay.formats.reading import read_facts

CHUNK_BYTES = 1 << 20
MAX_FOLDERS = 1_000_000
MAX_HASHED_BYTES = 64 << 30
DEFAULT_LIMITS = Limits()
MANY_FILES, MANY_BYTES = 4_000, 1 << 30


@dataclass(frozen=True)
class Waiver:
    """One rule that somebody accepts for one content until a day."""

    sha256: str
    rule: str
    reason: str
    expires: date


@dataclass(frozen=True)
class Scanned:
    """One file. `sha256` is None where it was not hashed; `waived` are the problems that a waiver took away."""

    path: str
    sha256: Digest | None
    judgement: Judgement
    waived: tuple[tuple[Problem, Waiver], ...] = ()


@dataclass(frozen=True)
class Scan:
    """How to scan: with which lists and waivers, whether to hash, what a file may need, in how many workers.

    `jobs` None means one worker, or one for each processor where there is much to read.
    """

    lists: Lists = field(default_factory=Lists)
    waivers: tuple[Waiver, ...] = ()
    hashes: bool = True
    limits: Limits = DEFAULT_LIMITS
    jobs: int | None = None


def scan(paths: Sequence[str], how: Scan, on_file: Callable[[str], None] = lambda path: None) -> Iterator[Scanned]:
    """Every file below `paths`, in order of name.

    Raises:
        UsageError: a path that does not exist.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"there is no {path!r}", "nothing was scanned", "name files or folders that exist")
    files = list(dict.fromkeys(file for given in paths for file in files_below(given)))
    answers = watched(
        len(files), lambda index, arm: _answer(scan_file(files[index], how, arm)), how.jobs or _jobs(files), how.limits
    )
    for index, answer in answers:
        on_file(files[index])
        found = _scanned(files[index], answer)
        if isinstance(answer, Lost) and how.hashes:
            found = replace(found, sha256=_digest_of(files[index]))
        yield waived(found, how.waivers)


def _jobs(files: Sequence[str]) -> int:
    """One worker, or one for each processor where there is much to read."""
    total = 0
    for path in files[:MANY_FILES]:
        with suppress(OSError):
            total += os.stat(path).st_size  # noqa: PTH116 - names that are not UTF-8 stay text
    return (os.cpu_count() or 1) if len(files) >= MANY_FILES or (total >= MANY_BYTES and len(files) > 1) else 1


def _answer(found: Scanned) -> Json:
    """A result as JSON, from a worker to its parent."""
    judgement = found.judgement
    return [found.sha256, judgement.format, [[p.rule, p.summary, p.offset, p.member] for p in judgement.problems]]


def _scanned(path: str, answer: Json | Lost) -> Scanned:
    if isinstance(answer, Lost):
        return _unseen(path, "ASY-FIL-003", answer.why)
    digest, format, problems = answer
    return Scanned(
        path, Digest(digest) if digest else None, concluded(format, [Problem(*problem) for problem in problems])
    )


def files_below(path: str) -> Iterator[str]:
    """The path itself, or everything in it that is no folder. A folder is entered once, so links cannot loop."""
    seen: set[tuple[int, int]] = set()
    waiting = [path]
    while waiting:
        at = waiting.pop()
        try:
            status = os.stat(at)  # noqa: PTH116 - names that are not UTF-8 stay text
            if not stat.S_ISDIR(status.st_mode):
                yield at
                continue
            if (status.st_dev, status.st_ino) in seen or len(seen) >= MAX_FOLDERS:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(at) as entries:
                waiting += sorted((entry.path for entry in entries), reverse=True)
        except OSError:
            yield at  # it cannot be looked at, and says so when it is opened


def scan_file(path: str, how: Scan, arm: Callable[[], None] = lambda: None) -> Scanned:
    """One file, without waivers; whatever goes wrong is a judgement, never an exception. `arm` is called after hashing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as handle:
            return _scan_open(handle, path, how, arm)
    except OSError as error:
        return _unseen(path, "ASY-FIL-001", f"cannot be read: {error.strerror}")
    except MemoryError:
        return _unseen(path, "ASY-FIL-003", f"it needed more than {how.limits.memory_bytes >> 20} MB of memory")
    except Exception as error:  # noqa: BLE001 - the runner of scans: a bug of a reader is inconclusive, and other files go on
        return _unseen(path, "ASY-FIL-004", f"the reader failed: {type(error).__name__}: {error}"[:200])


def _scan_open(handle: IO[bytes], path: str, how: Scan, arm: Callable[[], None]) -> Scanned:
    before = os.fstat(handle.fileno())
    if not stat.S_ISREG(before.st_mode):
        return _unseen(path, "ASY-FIL-001", "it is a FIFO, socket or device")
    name = path.rpartition("/")[2]
    if before.st_size < MAPPED_FROM_BYTES:
        data = handle.read(before.st_size + 1)
        digest = sha256(data).hexdigest() if how.hashes else None
        arm()
        facts = read_facts(data, name)
    else:
        digest = _digest(handle) if how.hashes else None
        handle.seek(0)
        arm()
        facts = facts_of(handle, name, before.st_size)
    after = os.fstat(handle.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return _unseen(path, "ASY-FIL-002", "it changed while it was read")
    return Scanned(path, Digest(digest) if digest else None, judge(facts, how.lists))


def waived(found: Scanned, waivers: Sequence[Waiver], today: date | None = None) -> Scanned:
    """Takes away problems that a waiver of this content names, and judges the rest again."""
    mine = {w.rule: w for w in waivers if w.sha256 == found.sha256 and w.expires >= (today or date.today())}
    if not mine or found.sha256 is None:
        return found
    taken = tuple((problem, mine[problem.rule]) for problem in found.judgement.problems if problem.rule in mine)
    rest = [problem for problem in found.judgement.problems if problem.rule not in mine]
    return Scanned(found.path, found.sha256, concluded(found.judgement.format, rest), taken)


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Waivers of a YAML or JSON list of `{sha256, rule, reason, expires}`.

    Raises:
        UsageError: it cannot be read, or an entry lacks something or has something else.
    """
    import yaml

    try:
        rows = yaml.safe_load(path.read_bytes())
        return tuple(_waiver(row) for row in rows or ())
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot use the waivers in {path}", str(error)[:200], "a list of {sha256, rule, reason, expires}"
        ) from error


def exit_code(files: Sequence[Scanned]) -> int:
    """1 if a file is malicious or unknown, else 3 if one is inconclusive or there is none, else 0."""
    verdicts = {found.judgement.verdict for found in files}
    if verdicts & {Verdict.MALICIOUS, Verdict.UNKNOWN}:
        return 1
    return 0 if verdicts == {Verdict.CLEAN} else 3


def _waiver(row: dict[str, object]) -> Waiver:
    if set(row) != {"sha256", "rule", "reason", "expires"} or not str(row["reason"]).strip():
        raise ValueError(f"an entry has {sorted(map(str, row))}")
    digest = str(row["sha256"]).removeprefix("sha256:").lower()
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"{digest[:80]!r} is no sha256")
    if row["rule"] not in RULES:
        near = get_close_matches(str(row["rule"]), RULES, 1)
        raise ValueError(f"there is no rule {str(row['rule'])[:80]!r}" + (f", did you mean {near[0]}?" if near else ""))
    expires = row["expires"] if isinstance(row["expires"], date) else date.fromisoformat(str(row["expires"]))
    return Waiver(digest, str(row["rule"]), str(row["reason"]), expires)


def _digest_of(path: str) -> Digest | None:
    """The sha256 of a file whose reader died with it, so that it has a name; None where that cannot be said."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as handle:
            status = os.fstat(descriptor)
            is_hashed = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_HASHED_BYTES
            return Digest(_digest(handle)) if is_hashed else None
    except OSError:
        return None


def _digest(handle: IO[bytes]) -> str:
    """The sha256 of a large file through one buffer, so that memory stays small."""
    digest, buffer = sha256(), bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    while count := handle.readinto(buffer):  # type: ignore[attr-defined]  # a raw file has it, IO[bytes] does not say so
        digest.update(view[:count])
    return digest.hexdigest()


def _unseen(path: str, rule: str, why: str) -> Scanned:
    return Scanned(path, None, concluded("", (Problem(rule, why),)))
