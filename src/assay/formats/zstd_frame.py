"""Zstandard frames: their bounds are walked here, their content comes from the extra `zstandard`.

Source: RFC 8878, sections 3.1.1 (frames, blocks) and 3.1.2 (skippable frames).
"""

from __future__ import annotations

import io

from assay.formats.inflating import MAX_WINDOW_BYTES, STEP_BYTES, Ended, Inflated
from assay.formats.pickle_machine import Data

MAGIC = b"\x28\xb5\x2f\xfd"
NEEDS = "zstd data need zstandard to be examined: pip install 'assay[scan]'"
_RLE = 1


class Missing(Exception):
    """The library is not installed."""


def inflate_zstd(out: Inflated, data: Data, start: int, stop: int) -> Ended:
    """Decodes the frame at `start` into `out`; nothing from `stop` on is read.

    Raises:
        Missing: `zstandard` is not installed.
    """
    try:
        import zstandard
    except ImportError as error:
        raise Missing(NEEDS) from error
    whole = _frame_end(data, start, stop)
    end = stop if whole is None else whole
    source = io.BytesIO(data[start:end])
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(source) as reader:
            while not out.is_full and (piece := reader.read(STEP_BYTES)):
                out.add(piece)
    except zstandard.ZstdError as broken:
        return Ended(end, str(broken)[:80])
    return Ended(end, "the frame is cut short" if whole is None else "")


def _frame_end(data: Data, start: int, stop: int) -> int | None:
    """Where a frame ends, by the lengths of its blocks; None if it is cut short."""
    if start + 6 > stop:
        return None
    head = data[start + 4]
    single, size_code = head >> 5 & 1, head >> 6
    at = start + 5 + (0 if single else 1) + (0, 1, 2, 4)[head & 3] + ((1 if single else 0), 2, 4, 8)[size_code]
    while at + 3 <= stop:
        block = int.from_bytes(data[at : at + 3], "little")
        at += 3 + (1 if block >> 1 & 3 == _RLE else block >> 3)
        if block & 1:
            at += 4 if head & 4 else 0
            return at if at <= stop else None
    return None
