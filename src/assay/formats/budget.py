"""What may be spent on one file, counted and not timed: the same file always ends at the same place, however busy the machine is.

One `Budget` goes through all members of a file, however deeply they are nested; a bound that is reached is a fact of kind `limit`.
Source: design, "Scan", section 2, "Containers"; the bounds are named in the docs and in statements.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from assay.formats.pickle_machine import MAX_OPCODES, Data

MAX_DEPTH = 8
MAX_MEMBERS = 100_000
MAX_INFLATED_BYTES = 4 << 30
MAX_RATIO = 1_000
RATIO_FREE_BYTES = 16 << 20
MAX_LIVE_BYTES = 256 << 20
MAX_PARSED_BYTES = 512 << 20


class Budget:
    """What is left for one file: bytes to inflate and to parse, members of all archives, instructions of all pickles."""

    def __init__(self, live: int = MAX_LIVE_BYTES) -> None:
        self.inflated, self.parsed, self.members = MAX_INFLATED_BYTES, MAX_PARSED_BYTES, MAX_MEMBERS
        self.live, self.opcodes = live, MAX_OPCODES

    @property
    def spent(self) -> str:
        """Which bound was passed, in words; "" if none."""
        if self.inflated < 0:
            return f"more than {MAX_INFLATED_BYTES} bytes inflated"
        if self.parsed < 0:
            return f"more than {MAX_PARSED_BYTES} bytes of members were read"
        return f"more than {MAX_MEMBERS} members" if self.members < 0 else ""

    def room(self, packed: int) -> int:
        """How many bytes so much packed data may become: bounded by ratio, by memory and by what is left."""
        return max(0, min(max(RATIO_FREE_BYTES, packed * MAX_RATIO), self.live, self.inflated))

    @staticmethod
    def is_bomb(packed: int, size: int) -> bool:
        """Whether packed data became so much more that only a bound ended it; honest data are so only where they are zeros."""
        return size > RATIO_FREE_BYTES and size >= packed * MAX_RATIO

    @contextmanager
    def holding(self, data: Data) -> Iterator[None]:
        """Counts inflated data while they are in memory; a mapping is closed at the end."""
        self.inflated -= len(data)
        self.live -= len(data)
        try:
            yield
        finally:
            self.live += len(data)
            if isinstance(data, mmap.mmap):
                data.close()
