"""The bytes of one file, held still from before they are judged until they are loaded.

Up to `MAX_IN_MEMORY` they are read once into memory, where no other process reaches them. A larger file stays where it is, behind one
descriptor: each block's digest is taken first, every block that a loader reads must have it still, and size and times of the file
must be the same before and after. What is left is a writer that had the file mapped and changes it there and back again between two
looks; where that matters, load a copy.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from assay.core.digests import Digest
from assay.core.errors import ChangedMeanwhile
from assay.evidence.files import open_file
from assay.formats.pickle_machine import Data

MAX_IN_MEMORY = 1 << 30
BLOCK_BYTES = 1 << 20


class Held:
    """A file as it was when it was opened. `data` is what is judged; `opened` and `whole` give loaders the same bytes."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor, self._before = descriptor, _identity(descriptor)
        size = os.fstat(descriptor).st_size
        self._blocks: list[bytes] = []
        if size <= MAX_IN_MEMORY:
            self.data: Data = _read_all(descriptor, size)
        else:
            self._blocks = list(self._digested())
            self.data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self._compare()

    @cached_property
    def sha256(self) -> Digest:
        """The digest of the whole."""
        hasher = hashlib.sha256()
        with self.opened() as file:
            while part := file.read(BLOCK_BYTES):
                hasher.update(part)
        return hasher.hexdigest()

    def opened(self) -> IO[bytes]:
        """A file of its own over these bytes, at its start."""
        return io.BytesIO(self.data) if isinstance(self.data, bytes) else io.BufferedReader(_Blocks(self), BLOCK_BYTES)

    def whole(self) -> bytes:
        """All bytes in memory."""
        return self.data if isinstance(self.data, bytes) else self.opened().read()

    def block(self, number: int) -> bytes:
        """One block, if it is what it was.

        Raises:
            ChangedMeanwhile: it is not.
        """
        found = os.pread(self._descriptor, BLOCK_BYTES, number * BLOCK_BYTES)
        if hashlib.sha256(found).digest() != self._blocks[number]:
            raise _changed(self.name)
        return found

    def check(self) -> None:
        """Compares size and times with those at the beginning, once more; bytes in memory need no comparison.

        Raises:
            ChangedMeanwhile: somebody wrote to it.
        """
        if not isinstance(self.data, bytes):
            self._compare()

    def close(self) -> None:
        """Lets go of the file."""
        if not isinstance(self.data, bytes):
            self.data.close()
        os.close(self._descriptor)

    def _compare(self) -> None:
        if _identity(self._descriptor) != self._before:
            raise _changed(self.name)

    def _digested(self) -> Iterator[bytes]:
        at = 0
        while part := os.pread(self._descriptor, BLOCK_BYTES, at):
            yield hashlib.sha256(part).digest()
            at += BLOCK_BYTES


class _Blocks(io.RawIOBase):
    """Reads a large file by blocks that are checked."""

    def __init__(self, held: Held) -> None:
        self._held, self._size, self._at = held, len(held.data), 0
        self._number, self._block = -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # typeshed's WriteableBuffer is no public name
        number, start = divmod(self._at, BLOCK_BYTES)
        if self._at >= self._size:
            return 0
        if number != self._number:
            self._number, self._block = number, self._held.block(number)
        part = self._block[start : start + len(view)]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


@contextmanager
def hold(path: Path) -> Iterator[Held]:
    """Opens a regular file once, following no link at the last step, and holds its bytes.

    Raises:
        MalformedInput: it is a link or no regular file.
        ChangedMeanwhile: it is gone, or changes while it is read.
    """
    descriptor = open_file(path)
    try:
        held = Held(descriptor, path.name)
    except BaseException:
        os.close(descriptor)
        raise
    try:
        yield held
    finally:
        held.close()


def _read_all(descriptor: int, size: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(size + 1)


def _identity(descriptor: int) -> tuple[int, int, int]:
    info = os.fstat(descriptor)
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _changed(name: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{name} changed while it was being loaded", "what was judged is not what lies there now",
                            "wait for its writer to finish and load it again")  # fmt: skip
