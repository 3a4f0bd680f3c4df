"""Digests of whole files and of ranges of them, for signatures that were not made with SHA-256 of whole files.

Every range is read through a descriptor of its own that follows no link, so many threads can hash one file. A file that
is not the same before and after, or between two of its ranges, is an error, because no digest would be true.
"""

from __future__ import annotations

import hashlib
import importlib
import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from assay.core.errors import ChangedMeanwhile, MissingExtra, StorageError
from assay.evidence.files import BLOCK_BYTES, FoundFile, Seen, open_file

Stamp = tuple[int, ...]


class Hasher(Protocol):
    """What hashlib and blake3 have in common."""

    def update(self, data: memoryview, /) -> object:
        """Takes more bytes."""
        ...

    def hexdigest(self) -> str:
        """The digest in lower-case hex."""
        ...


@dataclass(frozen=True)
class Piece:
    """The bytes of a file from `start` to before `end`."""

    file: FoundFile
    start: int
    end: int


Feed = Callable[[int, Piece, Hasher], int]


def hash_pieces(pieces: Sequence[Piece], algorithm: str, *, symlinks: str = "refuse",
                seen: Seen = lambda _: None) -> list[str]:  # fmt: skip
    """Digests of `pieces`, in their order; `algorithm` is sha256, blake2b or blake3.

    Raises:
        MissingExtra: blake3 is not installed.
        ChangedMeanwhile: a file changed while it was read, or since it was found.
    """
    new = hasher_of(algorithm)
    feed = _feed_mapped if algorithm == "blake3" else _feed

    def one(piece: Piece) -> tuple[str, Stamp]:
        read = _hash_one(piece, new(), feed, symlinks)
        seen(piece.end - piece.start)
        return read

    if len(pieces) < 2:
        results = [one(piece) for piece in pieces]
    else:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            results = list(pool.map(one, pieces, chunksize=1 + len(pieces) // 4096))
    stamps: dict[str, Stamp] = {}
    for piece, (_, stamp) in zip(pieces, results, strict=True):
        if stamps.setdefault(piece.file.path, stamp) != stamp:
            raise _changed(piece)
    return [digest for digest, _ in results]


def hasher_of(algorithm: str) -> Callable[[], Hasher]:
    """Makes empty hashers.

    Raises:
        MissingExtra: blake3 is not installed.
    """
    if algorithm != "blake3":
        return hashlib.sha256 if algorithm == "sha256" else hashlib.blake2b
    try:
        blake3 = importlib.import_module("blake3").blake3
    except ImportError as error:
        raise MissingExtra("BLAKE3 digests cannot be computed here", "the library blake3 is not installed",
                           "pip install blake3, and run again") from error  # fmt: skip
    return partial(blake3, max_threads=blake3.AUTO)


def _hash_one(piece: Piece, hasher: Hasher, feed: Feed, symlinks: str) -> tuple[str, Stamp]:
    descriptor = open_file(piece.file.where, symlinks)
    try:
        before = os.fstat(descriptor)
        at = feed(descriptor, piece, hasher)
        after = os.fstat(descriptor)
    except OSError as error:
        raise StorageError(f"cannot read {piece.file.path}", str(error)) from error
    finally:
        os.close(descriptor)
    if _stamp(before) != _stamp(after) or at != piece.end or after.st_size != piece.file.size:
        raise _changed(piece)
    return hasher.hexdigest(), _stamp(after)


def _feed(descriptor: int, piece: Piece, hasher: Hasher) -> int:
    """Hashes the range and returns where it stopped, which is before its end only if the file became shorter."""
    at = piece.start
    view = memoryview(bytearray(max(1, min(BLOCK_BYTES, piece.end - piece.start))))
    while at < piece.end and (count := os.preadv(descriptor, [view[: piece.end - at]], at)):
        hasher.update(view[:count])
        at += count
    return at


def _feed_mapped(descriptor: int, piece: Piece, hasher: Hasher) -> int:
    """The same for a hasher with threads of its own, which a copy through a buffer would halve in speed.

    A file that is cut short meanwhile ends the process with SIGBUS, as in the reference tool; nothing passes then.
    """
    size = os.fstat(descriptor).st_size
    if piece.start >= piece.end or size < piece.end:
        return min(size, piece.end)
    with (
        mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
        view[piece.start : piece.end] as part,
    ):
        hasher.update(part)
    return piece.end


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _changed(piece: Piece) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{piece.file.path} changed while it was being read", "no digest of it would be true",
                            "wait for its writer to finish and run again")  # fmt: skip
