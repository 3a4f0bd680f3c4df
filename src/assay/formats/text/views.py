"""Text as it is, and as it reads without disguise; a match in any view has its place in the text that came.

`plain` is the text in lower case, in compatibility form (NFKD), without accents, invisible characters and look-alikes of
Latin letters. Offsets are worked out only when somebody asks for the place of a match.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


class _Fold(dict[int, str]):
    """One character to what it reads as; filled as characters are met, and never beyond Unicode."""

    def __missing__(self, code: int) -> str:
        folded = unicodedata.normalize("NFKD", chr(code)).casefold()
        self[code] = said = "".join(c for c in folded if not "\u0300" <= c <= "\u036f")
        return said


_FOLD = _Fold()


@dataclass(frozen=True)
class View:
    """One reading of a text. `how` names the disguise that was removed, "" for none."""

    raw: str
    text: str
    how: str = ""

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` of the view stand in the text that came."""
        if len(self.raw) == len(self.text) and self.raw.isascii():
            return start, end
        return self._starts[start], self._starts[max(start, end - 1)] + 1

    @cached_property
    def _starts(self) -> list[int]:
        """For each character of the view the index of the character that it came from."""
        widths = [len(_FOLD[ord(c)]) for c in self.raw]
        starts = [0] * (sum(widths) + 1)
        for index, (end, width) in enumerate(zip(accumulate(widths), widths, strict=True)):
            starts[end - width : end] = [index] * width
        starts[-1] = len(self.raw)
        return starts


@dataclass(frozen=True)
class Views:
    """All readings of one text."""

    raw: str
    plain: View


def views_of(text: str) -> Views:
    """The readings of `text`."""
    return Views(text, View(text, text.lower() if text.isascii() else text.translate(_FOLD)))
