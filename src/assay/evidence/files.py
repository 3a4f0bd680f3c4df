"""From files to a manifest: walking a folder without following anybody's links, and hashing every byte once.

Files are opened without following links and hashed from the open descriptor; a file whose size or times move while it
is read is an error, because no digest would be true. Nothing is left out silently, hidden folders included.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from assay.core.assets import MAX_ENTRIES, MAX_PATH_DEPTH, Entry, Kind, Manifest, check_path
from assay.core.digests import Digest
from assay.core.errors import ChangedMeanwhile, MalformedInput, StorageError, UsageError

BLOCK_BYTES = 1 << 20
Seen = Callable[[int], None]
Place = tuple[int, int]  # device and inode


class HashMemory(Protocol):
    """Remembers digests of unchanged files between runs. Never used where a decision or load depends on it."""

    def recall(self, path: Path, info: os.stat_result) -> Digest | None:
        """The digest that a file with exactly these times and size had."""
        ...

    def keep(self, path: Path, info: os.stat_result, digest: Digest, started_ns: int) -> None:
        """Remembers a digest; a file that changed within the last seconds is not remembered."""
        ...


@dataclass(frozen=True)
class FoundFile:
    """A file below a root: its relative path and where it lies."""

    path: str
    where: Path
    size: int


def manifest_of(root: Path, kind: Kind, *, ignored: Sequence[str] = (), symlinks: str = "refuse",
                memory: HashMemory | None = None, seen: Seen = lambda _: None) -> Manifest:  # fmt: skip
    """Hashes a file or folder into a manifest. `seen` is told the bytes of each file as it is done.

    Raises:
        UsageError: there is nothing at `root`.
        MalformedInput: a refused name, a link (unless `symlinks` is `content`), a device, no file at all.
        ChangedMeanwhile: a file changed while it was read.
    """
    files = sorted(find_files(root, ignored=ignored, symlinks=symlinks), key=lambda f: -f.size)
    entries = _hash_all(files, symlinks, memory, seen)
    return Manifest.of(kind, entries, ignored)


def find_files(root: Path, *, ignored: Sequence[str] = (), symlinks: str = "refuse") -> Iterator[FoundFile]:
    """Every file below `root` (or `root` itself), in no particular order."""
    try:
        info = root.stat() if symlinks == "content" else root.lstat()
    except OSError as error:
        raise UsageError(f"there is nothing to read at {root}", str(error)) from error
    if stat.S_ISDIR(info.st_mode):
        yield from _walk(root, _place(info), ignored, symlinks)
    elif stat.S_ISREG(info.st_mode):
        check_path(root.name)
        yield FoundFile(root.name, root, info.st_size)
    else:
        raise _refused(root.name, info.st_mode)


def hash_open(descriptor: int, into: Callable[[memoryview], object] | None = None) -> tuple[Digest, int]:
    """SHA-256 and size of an open file, from its start; `into` also receives every block."""
    hasher, total = hashlib.sha256(), 0
    buffer = bytearray(BLOCK_BYTES)
    view = memoryview(buffer)
    os.lseek(descriptor, 0, os.SEEK_SET)
    while count := os.readv(descriptor, [buffer]):
        hasher.update(view[:count])
        if into is not None:
            into(view[:count])
        total += count
    return hasher.hexdigest(), total


def open_file(path: Path, symlinks: str = "refuse") -> int:
    """A read-only descriptor of a regular file, not following a link at the last step.

    Raises:
        MalformedInput: it is a link or no regular file.
        ChangedMeanwhile: it is gone.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if symlinks == "content" else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise ChangedMeanwhile(f"{path.name} is gone", "it was removed while it was being read", "run again") from error
    except OSError as error:
        raise MalformedInput(f"cannot open {path.name}", str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MalformedInput(f"{path.name} is no regular file", "devices, pipes and sockets are refused")
    return descriptor


def _walk(root: Path, place: Place, ignored: Sequence[str], symlinks: str) -> Iterator[FoundFile]:
    folders: list[tuple[Path, str, tuple[Place, ...]]] = [(root, "", (place,))]
    count = 0
    while folders:
        folder, prefix, above = folders.pop()
        for item in _listed(folder):
            path = f"{prefix}{item.name}"
            if any(fnmatchcase(path, pattern) or path.startswith(f"{pattern}/") for pattern in ignored):
                continue
            info = _stat(item, symlinks)
            if stat.S_ISDIR(info.st_mode):
                if _place(info) in above:
                    raise MalformedInput(f"folder link {path[:120]!r} leads back into its own tree", "it has no end")
                if len(above) > MAX_PATH_DEPTH:
                    raise MalformedInput(f"folder {path[:120]!r} lies too deep", f"more than {MAX_PATH_DEPTH} folders")
                folders.append((Path(item.path), f"{path}/", (*above, _place(info))))
            elif stat.S_ISREG(info.st_mode):
                check_path(path)
                count += 1
                if count > MAX_ENTRIES:
                    raise MalformedInput("too many files", f"more than {MAX_ENTRIES}")
                yield FoundFile(path, Path(item.path), info.st_size)
            else:
                raise _refused(path, info.st_mode)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except OSError as error:
        raise StorageError(f"cannot list {folder}", str(error)) from error


def _stat(item: os.DirEntry[str], symlinks: str) -> os.stat_result:
    try:
        return item.stat(follow_symlinks=symlinks == "content")
    except FileNotFoundError as error:
        if item.is_symlink():
            raise MalformedInput(f"link {item.name!r} points to nothing", "there are no bytes to register") from error
        raise ChangedMeanwhile(f"{item.name} is gone", "it was removed while it was being read", "run again") from error
    except OSError as error:
        raise MalformedInput(f"cannot read {item.name!r}", str(error)) from error


def _place(info: os.stat_result) -> Place:
    return info.st_dev, info.st_ino


def _refused(path: str, mode: int) -> MalformedInput:
    if stat.S_ISLNK(mode):
        return MalformedInput(f"{path[:120]!r} is a symbolic link", "what it points to may change without a trace",
                              "copy the file, or register with --symlinks content")  # fmt: skip
    return MalformedInput(f"{path[:120]!r} is no regular file", "devices, pipes and sockets are refused")


def _hash_all(files: Sequence[FoundFile], symlinks: str, memory: HashMemory | None, seen: Seen) -> Iterable[Entry]:
    """Largest first, so that threads finish together; hashing releases the interpreter lock."""

    def one(file: FoundFile) -> Entry:
        entry = _hash_one(file, symlinks, memory)
        seen(entry.size)
        return entry

    if len(files) < 2 or sum(file.size for file in files) < 4 * BLOCK_BYTES:
        return [one(file) for file in files]
    waiting = deque(files)

    def some() -> list[Entry]:
        try:
            return [one(file) for file in _taken(waiting)]
        finally:
            waiting.clear()  # nothing is left, unless this one failed: then the others stop too

    count = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(count) as pool:  # one task a thread: a task a file costs more than reading a small file
        return [entry for part in [pool.submit(some) for _ in range(count)] for entry in part.result()]


def _taken(waiting: deque[FoundFile]) -> Iterator[FoundFile]:
    """Files, each to whichever thread asks first."""
    with contextlib.suppress(IndexError):
        while True:
            yield waiting.popleft()


def _hash_one(file: FoundFile, symlinks: str, memory: HashMemory | None) -> Entry:
    descriptor = open_file(file.where, symlinks)
    try:
        before = os.fstat(descriptor)
        if memory is not None and (known := memory.recall(file.where, before)) is not None:
            return Entry(file.path, known, before.st_size)
        started = time.time_ns()
        digest, size = hash_open(descriptor)
        after = os.fstat(descriptor)
    except OSError as error:
        raise StorageError(f"cannot read {file.path}", str(error)) from error
    finally:
        os.close(descriptor)
    if _identity(before) != _identity(after) or size != after.st_size:
        raise ChangedMeanwhile(f"{file.path} changed while it was being read", "no digest of it would be true",
                               "wait for its writer to finish and run again")  # fmt: skip
    if memory is not None:
        memory.keep(file.where, after, digest, started)
    return Entry(file.path, digest, size)


def _identity(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
