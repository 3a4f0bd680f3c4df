"""Lines for a terminal: columns by what a letter occupies, wrapped text, and colour that only repeats what words say."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass

from assay.surfaces.reports.inert import inert

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "1;31", "32", "1;33", "36"
MIN_WIDTH = 50


@dataclass(frozen=True)
class Terminal:
    """How the text is shown. Without colour the same words stand at the same places."""

    color: bool = False
    width: int = 100

    @property
    def columns(self) -> int:
        """The width that lines are wrapped to."""
        return max(self.width, MIN_WIDTH)

    def paint(self, style: str, text: str) -> str:
        """`text`, which must be inert already, in one style."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and text.strip() else text

    def fact(self, word: str, text: str, indent: int = 10) -> list[str]:
        """A labelled text, wrapped under itself: `why    too few rows to tell`."""
        head = " " * indent + f"{word:<6} "
        first, *rest = self.wrapped(text, len(head))
        return [head + first.lstrip(), *rest]

    def wrapped(self, text: str, indent: int) -> list[str]:
        """Text in lines that start `indent` columns in."""
        lines = textwrap.wrap(inert(text), self.columns - indent, break_on_hyphens=False) or [""]
        # NOTE: a build server obeys `::command` at the start of a line, blanks before it or not.
        return [" " * indent + (f"\\{line}" if line.startswith("::") else line) for line in lines]


def cells(text: str) -> int:
    """How many columns inert text occupies."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def padded(text: str, width: int) -> str:
    """Inert text with blanks after it, up to `width` columns."""
    return text + " " * max(width - cells(text), 0)


def widest(texts: list[str], limit: int) -> int:
    """The width of a column that holds every text, or as many columns as the limit grants."""
    return min(max(map(cells, texts), default=0), limit)
