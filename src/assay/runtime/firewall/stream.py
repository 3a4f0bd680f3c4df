"""Redacts a text while it streams: what must not come out is held back until it is seen whole.

    delta ─► held (at most 128 characters) ─► every 32 characters: find ─► release what no match can reach any more

The rules:
1. The text is looked at after every 32nd character of the stream and at its end, however it was cut into deltas. So any split
   of a stream gives the same output as one piece.
2. Of what was looked at the last 96 characters stay held. With the 31 that may wait for the next look, at most 128 are held.
3. A match that could go on (it touches the end) holds its start. When that start would have to be released, the open match is
   a match: it is redacted, and what belongs to it is swallowed as it comes. So keys longer than what is held do not leak.
4. The characters released last stay in sight, so that a value is judged with the words before it.
5. Nothing is ever released because time passed.
Every 1,024 characters the output so far is judged once more in windows of 4,096, for what only a longer text shows; it
cannot be taken back any more, so a find there ends the stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assay.formats.secrets.rules import RULES

HELD = 128
STRIDE = 32
KEPT = HELD - STRIDE
CONTEXT = 128
NEAR_END = 16  # a match that ends this close to the end may still grow by a group of characters
FAR_STRIDE = 1024
FAR_WINDOW = 4096
MAX_SWALLOWED = 64 << 10

_ANCHORS = {anchor: rule.id for rule in RULES for anchor in rule.anchors if len(anchor) > 3}
_SCHEMES = {"Bearer ": "ASY-SEC-053", "Basic ": "ASY-SEC-050"}
_PRIVATE_KEY = "ASY-SEC-020"
_WORD_BEFORE = re.compile(r"[A-Za-z0-9]").match
_RUN = re.compile(r"[^\s\"'`<>()\[\]{}|,;]*\Z")
_RUN_GOES_ON = re.compile(r"[^\s\"'`<>()\[\]{}|,;]*").match
_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_PEM_TAIL = 60  # characters that the line which ends a key may have


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a text that must not come out, and what stands there instead."""

    start: int
    end: int
    instead: str


Find = Callable[[str], Sequence[Span]]
Judge = Callable[[str], None]


class HoldBack:
    """One channel of a stream. `find` names what to redact; it and `judge` raise to end the stream."""

    def __init__(self, find: Find, judge: Judge) -> None:
        self._find, self._judge = find, judge
        self._context = ""
        self._held = ""
        self._waiting = ""
        self._swallows: re.Pattern[str] | None = None
        self._swallowed = 0
        self._out = ""
        self._since_far = 0
        self.released = 0

    @property
    def held(self) -> int:
        """How many characters came in and were neither released nor redacted; at most 128."""
        return len(self._held) + len(self._waiting)

    def feed(self, delta: str) -> str:
        """What may go out after `delta` came in."""
        self._waiting += delta
        ready = len(self._waiting) - len(self._waiting) % STRIDE
        blocks, self._waiting = self._waiting[:ready], self._waiting[ready:]
        return "".join(self._look(blocks[i : i + STRIDE], is_last=False) for i in range(0, ready, STRIDE))

    def end(self) -> str:
        """The rest."""
        rest, self._waiting = self._waiting, ""
        out = self._look(rest, is_last=True)
        if self._since_far:
            self._judge(self._out)
            self._since_far = 0
        return out

    def _look(self, block: str, *, is_last: bool) -> str:
        self._held += block
        self._swallow(is_last=is_last)
        window, begun = self._context + self._held, len(self._context)
        limit = len(window) if is_last else max(begun, len(window) - KEPT)
        out, at = [], begun
        for span in self._spans(window, is_last=is_last):
            if span.end <= at:
                continue
            if span.start >= limit:
                break
            out += [window[at : span.start], span.instead]
            at = span.end
            if not is_last and span.end > len(window) - NEAR_END:
                self._swallows, self._swallowed = (_PEM_END if _PEM.match(window, span.start) else _RUN), 0
        limit = max(limit, at)
        out.append(window[at:limit])
        self._context, self._held = window[max(0, limit - CONTEXT) : limit], window[limit:]
        return self._checked("".join(out))

    def _spans(self, window: str, *, is_last: bool) -> list[Span]:
        """What is found and what a known beginning announces, in order; where two overlap they are one."""
        found = [*self._find(window), *announced(window, is_last=is_last)]
        merged: list[Span] = []
        for span in sorted(found, key=lambda s: (s.start, -s.end)):
            if merged and span.start < merged[-1].end:
                last = merged[-1]
                merged[-1] = Span(last.start, max(last.end, span.end), last.instead)
            elif span.end > span.start:
                merged.append(span)
        return merged

    def _swallow(self, *, is_last: bool) -> None:
        """Takes away what continues a redacted match."""
        if self._swallows is None:
            return
        if self._swallows is _PEM_END:
            found = _PEM_END.search(self._held)
            kept = 0 if is_last else _PEM_TAIL
            taken = found.end() if found else max(0, len(self._held) - kept)
            is_over = found is not None
        else:
            run = _RUN_GOES_ON(self._held)
            taken = run.end() if run else 0
            is_over = taken < len(self._held)
        self._swallowed += taken
        if self._swallowed > MAX_SWALLOWED:
            is_over = False  # an endless key: nothing of it comes out, whatever it is
        if is_over:
            self._swallows = None
        self._context, self._held = "", self._held[taken:]

    def _checked(self, out: str) -> str:
        """Judges the output so far from time to time, before its newest part goes out."""
        self._out = (self._out + out)[-FAR_WINDOW:]
        self._since_far += len(out)
        self.released += len(out)
        if self._since_far >= FAR_STRIDE:
            self._judge(self._out)
            self._since_far = 0
        return out


def announced(window: str, *, is_last: bool) -> list[Span]:
    """Secrets that are told by how they begin, while their end is not in sight.

    A private key is one from its first line. A run of characters that touches the end and holds the beginning of a known
    kind of token is an open match of that token.
    """
    keys = [
        Span(found.start(), _end_of_pem(window, found.end()), f"[{_PRIVATE_KEY}]") for found in _PEM.finditer(window)
    ]
    run = _RUN.search(window)
    if is_last or run is None or len(run[0]) < KEPT:
        return keys
    begun = {
        at: rule
        for anchor, rule in _ANCHORS.items()
        if (at := window.find(anchor, run.start())) >= 0 and _begins_word(window, at)
    }
    begun |= {run.start(): rule for scheme, rule in _SCHEMES.items() if window.endswith(scheme, 0, run.start())}
    return [*keys, Span(min(begun), len(window), f"[{begun[min(begun)]}]")] if begun else keys


def _begins_word(window: str, at: int) -> bool:
    return at == 0 or _WORD_BEFORE(window[at - 1]) is None


def _end_of_pem(window: str, after: int) -> int:
    found = _PEM_END.search(window, after)
    return found.end() if found else len(window)
