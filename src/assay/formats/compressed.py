"""Compressed streams by their magic: gzip, bzip2, xz, lzma, zlib; zstd and lz4 are named where no reader is installed.

Inflation is bounded by size and ratio. Bytes behind the end of a stream are told: joblib and gzip readers take further members.
Source: RFC 1950, RFC 1952; joblib 1.6, `compressor.py`.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from assay.formats.pickle_machine import Data

MAX_BYTES = 256 << 20
MAX_RATIO = 1_000
RATIO_FREE_BYTES = 16 << 20
MAX_STREAMS = 1_000
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78].")


class Decompressor(Protocol):
    """What zlib, bz2 and lzma share."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Inflated(NamedTuple):
    """What came out. `problem` is a kind of fact and its words, or None."""

    data: bytes
    problem: tuple[str, str] | None = None


_MAKERS: dict[str, Callable[[], Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=128 << 20),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=128 << 20),
}
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4"),
          (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b"\x5d\x00\x00", "lzma"))  # fmt: skip


def compression_of(start: bytes) -> str:
    """The name of the compression that bytes begin with; "" if none."""
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if _ZLIB.match(start) and int.from_bytes(start[:2], "big") % 31 == 0 and start[0] & 15 == 8 and not start[1] & 32:
        return "zlib"
    return ""


def inflated(data: Data, name: str) -> Inflated:
    """All streams in `data`, one after the other, as a reader of `name` gives them."""
    if name not in _MAKERS:
        return Inflated(b"", ("needs", f"{name} data cannot be read without a library"))
    rest, out = bytes(data[: MAX_BYTES + 1]), bytearray()
    bound = max(RATIO_FREE_BYTES, min(MAX_BYTES, len(rest) * MAX_RATIO))
    for _ in range(MAX_STREAMS):
        machine = _MAKERS[name]()
        try:
            out += machine.decompress(rest, bound + 1 - len(out))
        except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
            return Inflated(bytes(out), ("malformed", f"{name} stream: {str(error)[:80]}"))
        if len(out) > bound:
            return Inflated(bytes(out), ("limit", f"inflates to more than {bound} bytes"))
        if not machine.eof:
            return Inflated(bytes(out), ("malformed", f"the {name} stream is cut short"))
        rest = machine.unused_data
        if not rest:
            return Inflated(bytes(out))
        if compression_of(rest) != name:
            return Inflated(bytes(out), ("trailing", f"{len(rest)} bytes follow the {name} stream"))
    return Inflated(bytes(out), ("limit", f"more than {MAX_STREAMS} streams"))
