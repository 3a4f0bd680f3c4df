"""LZ4 frames, as joblib writes them, decoded within a bound; checksums are not verified, since their bytes are read anyway.

Source: LZ4 frame format 1.6.4 and LZ4 block format; joblib 1.6, `compressor.py`.
"""

from __future__ import annotations

from assay.formats.inflating import Ended, Inflated
from assay.formats.pickle_machine import Data

MAGIC = b"\x04\x22\x4d\x18"
MAX_BYTES = 64 << 20  # the decoder is Python and slow
MAX_COPIES = 2_000_000
MAX_BLOCK_BYTES = 4 << 20
WINDOW_BYTES = 64 << 10
_RAW = 1 << 31
_HAS_SIZE, _HAS_SUM, _HAS_BLOCK_SUMS, _HAS_DICTIONARY = 0x08, 0x04, 0x10, 0x01


def inflate_lz4(out: Inflated, data: Data, start: int) -> Ended:
    """Decodes the frame at `start` into `out`."""
    out.bound = min(out.bound, MAX_BYTES)
    try:
        flags = data[start + 4]
        if flags >> 6 != 1 or flags & _HAS_DICTIONARY:
            return Ended(len(data), "another version, or it needs a dictionary")
        at = start + 7 + (8 if flags & _HAS_SIZE else 0)
        window, copies = b"", 0
        while (size := _number(data, at)) and not out.is_full:
            block = data[at + 4 : at + 4 + (size & ~_RAW)]
            if len(block) != size & ~_RAW or len(block) > MAX_BLOCK_BYTES:
                return Ended(len(data), "a block is cut short or too long")
            piece, more = (block, 0) if size & _RAW else _decoded(block, window)
            out.add(piece)
            copies += more
            out.is_full |= copies > MAX_COPIES
            window = (window + piece)[-WINDOW_BYTES:]
            at += 4 + len(block) + (4 if flags & _HAS_BLOCK_SUMS else 0)
        return Ended(at + 4 + (4 if flags & _HAS_SUM else 0))
    except (IndexError, ValueError) as error:
        return Ended(len(data), str(error)[:80])


def _number(data: Data, at: int) -> int:
    if at + 4 > len(data):
        raise ValueError("it is cut short")
    return int.from_bytes(data[at : at + 4], "little")


def _decoded(block: bytes, window: bytes) -> tuple[bytes, int]:
    """One compressed block: literals, then a copy from what came before, in turns. Also the number of copies."""
    out, at, size, copies = bytearray(window), 0, len(block), 0
    while at < size:
        token = block[at]
        count, at = _length(block, at + 1, token >> 4)
        out += block[at : at + count]
        at += count
        if at >= size:
            break
        copies += 1
        distance = block[at] | block[at + 1] << 8
        count, at = _length(block, at + 2, token & 15)
        if not 0 < distance <= len(out) or len(out) > MAX_BLOCK_BYTES + WINDOW_BYTES:
            raise ValueError("a copy from before the data, or a block that is too long")
        begin = len(out) - distance
        copied = out[begin : begin + count + 4]
        out += copied if len(copied) == count + 4 else (copied * ((count + 4) // len(copied) + 1))[: count + 4]
    return bytes(out[len(window) :]), copies


def _length(block: bytes, at: int, nibble: int) -> tuple[int, int]:
    """A length that begins in a token, and where it ends."""
    if nibble == 15:
        while (more := block[at]) == 255:
            nibble, at = nibble + 255, at + 1
        nibble, at = nibble + more, at + 1
    return nibble, at
