"""What scanners said of texts that come again: a conversation sends its earlier turns with every request.

Told apart by a digest over policy, route, role, source and text, so that a changed policy asks anew; no text is kept. Only
what depends on nothing else is remembered, and only where every scanner looked at the whole text.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from assay.core.digests import Digest
from assay.runtime.firewall.values import Hit, Segment, State

MAX_TEXTS = 4096


class Said(NamedTuple):
    """How one scanner ended on a text: its state, its hits, the score that it adds to the verdict's, and why it did not run."""

    state: State
    hits: tuple[Hit, ...] = ()
    score: float = 0.0
    why: str = ""


class Memory:
    """The texts that were judged last. Safe for many threads."""

    def __init__(self, most: int = MAX_TEXTS) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: dict[bytes, Mapping[str, Said]] = {}

    def recall(self, key: bytes) -> Mapping[str, Said]:
        """What scanners said, by name; nothing where the text is new."""
        with self._lock:
            known = self._known.pop(key, None)
            if known is None:
                return {}
            self._known[key] = known  # the last to be forgotten
            return known

    def keep(self, key: bytes, said: Mapping[str, Said]) -> None:
        """Remembers a text, and forgets the one that was not asked for longest."""
        with self._lock:
            self._known[key] = said
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]


def key_of(policy: Digest, route: str, segment: Segment) -> bytes:
    """Tells a text in its place apart from every other."""
    head = "\0".join((policy, route, segment.role, segment.source, ""))
    return sha256(head.encode() + segment.text.encode("utf-8", "surrogatepass")).digest()
