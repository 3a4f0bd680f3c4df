"""Inflates compressed streams into memory within a bound, and says where each ended.

Packed bytes are taken in steps; inflated ones go to a private mapping once they are many, so that memory holds them once.
"""

from __future__ import annotations

import bz2
import lzma
import mmap
import sys
import zlib
from typing import NamedTuple, Protocol

from assay.formats.pickle_machine import Data

STEP_BYTES = 256 << 10
MAPPED_FROM_BYTES = 8 << 20
MAX_WINDOW_BYTES = 128 << 20
ERRORS = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


class Machine(Protocol):
    """What zlib, bz2 and lzma share."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Ended(NamedTuple):
    """Where one stream ended in the packed data, and why it broke off; "" if it did not."""

    at: int
    error: str = ""


class Inflated:
    """What came out so far: pieces while it is small, one private mapping from then on; never more than `bound` bytes."""

    def __init__(self, bound: int) -> None:
        self.bound, self.size, self.is_full = bound, 0, False
        self._pieces: list[bytes] = []
        self._map: mmap.mmap | None = None

    def add(self, piece: bytes) -> None:
        """Appends; what lies beyond the bound is dropped and `is_full` set."""
        if self.size + len(piece) > self.bound:
            piece, self.is_full = piece[: self.bound - self.size], True
        end = self.size + len(piece)
        if self._map is None and end > MAPPED_FROM_BYTES and sys.platform == "linux":
            self._map = mmap.mmap(-1, 2 * end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._map[: self.size] = b"".join(self._pieces)
            self._pieces.clear()
        if self._map is None:
            self._pieces.append(piece)
        else:
            if end > len(self._map):
                self._map.resize(2 * len(self._map))
            self._map[self.size : end] = piece
        self.size = end

    def data(self) -> Data:
        """All of it; nothing may be added afterwards."""
        if self._map is None:
            return b"".join(self._pieces)
        self._map.resize(self.size)
        return self._map


def machine_for(name: str) -> Machine:
    """A machine for `gzip`, `zlib`, `deflate`, `bzip2`, `xz` or `lzma`."""
    if name in _WBITS:
        return zlib.decompressobj(_WBITS[name])
    if name == "bzip2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ if name == "xz" else lzma.FORMAT_ALONE, memlimit=MAX_WINDOW_BYTES)


_WBITS = {"gzip": 31, "zlib": 15, "deflate": -15}


def inflate(out: Inflated, machine: Machine, data: Data, start: int, stop: int) -> Ended:
    """Runs one stream that begins at `start` to its end, to `stop`, to an error, or until `out` is full."""
    at, pending = start, b""
    try:
        while not machine.eof and not out.is_full:
            if not pending and getattr(machine, "needs_input", True):
                pending = data[at : min(stop, at + STEP_BYTES)]
                at += len(pending)
            is_last = not pending
            piece = machine.decompress(pending, STEP_BYTES)
            pending = getattr(machine, "unconsumed_tail", b"")
            out.add(piece)
            if is_last and not piece and not machine.eof:
                return Ended(at, "it is cut short")
    except ERRORS as error:
        return Ended(at, str(error)[:80])
    return Ended(at - len(machine.unused_data))
