"""Text as it is, and as it reads without disguise; a match in any view has its place in the text that came.

    raw ─► bare:    without invisible characters and width variants; case kept, for credentials and numbers
        ─► plain:   folded to what it reads as, for words
        ─► decoded: what is encoded in it, to depth 2, each folded

Bounded: what is decoded holds at most four times the text and 64 KiB. A bound that is reached is told in `refused`; the
text was then not looked at whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.formats.text.decodings import MAX_PIECES, pieces_in
from assay.formats.text.fold import AS_READ, BARE, bared, folded

MAX_DEPTH = 2
MAX_DECODED = 64 << 10


@dataclass(frozen=True)
class View:
    """One reading. `raw` is the text before folding, `how` the encodings taken off; a decoded view has one `place`."""

    raw: str
    text: str
    how: str = ""
    place: tuple[int, int] | None = None
    keeps_case: bool = False

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` of `text` stand in the text that came."""
        if self.place is not None:
            return self.place
        if self.raw.isascii() or (self.keeps_case and self.text == self.raw):
            return start, end
        first = self._starts[start]
        return first, max(first, self._starts[max(start, end - 1)] + (end > start))

    @cached_property
    def _starts(self) -> Sequence[int]:
        return (BARE if self.keeps_case else AS_READ).starts_in(self.raw)


@dataclass(frozen=True)
class Views:
    """All readings of one text; `refused` says why not all of it could be read, "" if it could."""

    raw: str
    plain: View
    decoded: tuple[View, ...] = ()
    refused: str = ""

    def __iter__(self) -> Iterator[View]:
        """The folded readings."""
        yield self.plain
        yield from self.decoded

    @cached_property
    def exact(self) -> tuple[View, ...]:
        """The readings whose case is kept, for what is case-sensitive."""
        bare = View(self.raw, bared(self.raw), keeps_case=True)
        return bare, *(View(view.raw, bared(view.raw), view.how, view.place, True) for view in self.decoded)


def views_of(text: str) -> Views:
    """The readings of `text`."""
    plain = View(text, folded(text))
    found: list[View] = []
    layer, room = [plain], min(MAX_DECODED, 4 * len(text) + 256)
    for depth in range(MAX_DEPTH + 1):
        deeper: list[View] = []
        for view in layer:
            for piece in pieces_in(view.raw, view.text):
                if view.how and view.how.rpartition("+")[2] == piece.how in ("rot13", "reversed", "leet", "spaced"):
                    continue  # turned twice is where it came from
                place = view.place or (piece.start, piece.end)
                deeper.append(View(piece.text, folded(piece.text), f"{view.how}+{piece.how}".lstrip("+"), place))
                room -= len(piece.text)
        if not deeper:
            break
        if depth == MAX_DEPTH:
            return Views(text, plain, tuple(found), f"encodings are nested deeper than {MAX_DEPTH}")
        if room < 0 or len(deeper) > MAX_PIECES:
            return Views(text, plain, tuple(found), "more is encoded in it than is decoded")
        found += deeper
        layer = deeper
    return Views(text, plain, tuple(found))
