"""Compressed streams by their magic: gzip, bzip2, xz, lzma, zlib, LZ4, and Zstandard through an extra.

Readers of joblib and of gzip take further streams of the same kind; what stands behind the last is told. Zeros behind it are
padding. Source: RFC 1950, RFC 1952, RFC 8878; joblib 1.6, `compressor.py`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.formats.inflating import Ended, Inflated, inflate, machine_for
from assay.formats.lz4_frame import MAGIC as LZ4_MAGIC
from assay.formats.lz4_frame import inflate_lz4
from assay.formats.pickle_machine import Data
from assay.formats.zstd_frame import MAGIC as ZSTD_MAGIC
from assay.formats.zstd_frame import Missing, inflate_zstd

MAX_STREAMS = 1_000
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78].")
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (ZSTD_MAGIC, "zstd"), (LZ4_MAGIC, "lz4"), (b"Rar!\x1a\x07", "rar"),
          (b"\x02\x21\x4c\x18", "lz4-legacy"), (b"\x5d\x00\x00", "lzma"),
          (b"\x1f\x9d", "compress"), (b"MSCF\0\0\0\0", "cab"), (b"\x1f\xa0", "lzh"))  # fmt: skip
_BY_FIRST = {magic[:1]: tuple(pair for pair in _MAGIC if pair[0][:1] == magic[:1]) for magic, _ in _MAGIC}
_PADDING = re.compile(rb"\x00*")
_OTHERS = frozenset({"rar", "lz4-legacy", "compress", "cab", "lzh"})


class Unpacked(NamedTuple):
    """What came out. `problem` is a kind of fact and its words, or None; `trail` is where bytes begin that belong to nothing."""

    data: Data
    problem: tuple[str, str] | None = None
    trail: int | None = None


def compression_of(start: bytes) -> str:
    """The name of the compression that bytes begin with; "" if none."""
    for magic, name in _BY_FIRST.get(start[:1], ()):
        if start.startswith(magic):
            return name
    if _ZLIB.match(start) and int.from_bytes(start[:2], "big") % 31 == 0 and not start[1] & 32:
        return "zlib"
    return ""


def unpacked(data: Data, name: str, bound: int) -> Unpacked:
    """All streams in `data`, one after the other, as a reader of `name` gives them; `bound` bytes at most."""
    if name in _OTHERS:
        return Unpacked(b"", ("needs", f"{name} data cannot be read by this version"))
    out, at = Inflated(bound), 0
    for _ in range(MAX_STREAMS):
        try:
            ended = _stream(out, data, name, at)
        except Missing as missing:
            return Unpacked(b"", ("needs", str(missing)))
        if out.is_full:
            return Unpacked(out.data(), ("limit", f"inflates to more than {out.bound} bytes"))
        if ended.error:
            return Unpacked(out.data(), ("malformed", f"{name} stream: {ended.error}"))
        at = ended.at
        if at >= len(data) or ((padding := _PADDING.match(data, at)) and padding.end() == len(data)):
            return Unpacked(out.data())
        if compression_of(bytes(data[at : at + 8])) != name:
            return Unpacked(out.data(), ("trailing", f"{len(data) - at} bytes follow the {name} stream"), at)
    return Unpacked(out.data(), ("limit", f"more than {MAX_STREAMS} streams"))


def _stream(out: Inflated, data: Data, name: str, at: int) -> Ended:
    if name == "lz4":
        return inflate_lz4(out, data, at)
    if name == "zstd":
        return inflate_zstd(out, data, at, len(data))
    return inflate(out, machine_for(name), data, at, len(data))
