"""Many patterns over hostile text in one pass of linear time: which of them occur.

RE2 keeps its automaton within a budget of memory. `PatternSet` gives it enough that a search cannot run dry, since a dry
search would answer "nothing found".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import re2

MEMORY_BYTES = 64 << 20


_QUIET = re2.Options()
_QUIET.log_errors = False


def utf8(text: str) -> bytes:
    """The bytes that are searched; lone surrogates become `?`."""
    return text.encode("utf-8", "replace")


class PatternSet:
    """Patterns by name. Source: google-re2, `RE2::Set`."""

    def __init__(self, patterns: Iterable[tuple[str, str]]) -> None:
        options = re2.Options()
        options.max_mem = MEMORY_BYTES
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._names: list[str] = []
        for name, pattern in patterns:
            self._set.Add(pattern)
            self._names.append(name)
        self._set.Compile()

    def found_in(self, data: bytes) -> frozenset[str]:
        """The names of the patterns that occur in UTF-8 `data`."""
        found = self._set.Match(data)
        return frozenset(self._names[i] for i in found) if found else _NOTHING


_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a text, and what stands there."""

    start: int
    end: int
    text: str


class Pattern:
    """One pattern whose places are wanted.

    Raises:
        ValueError: it needs more than linear time, such as a back reference.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re2.compile(pattern, _QUIET)
        except re2.error as error:
            raise ValueError("RE2 refuses the pattern") from error

    def occurs_in(self, text: str) -> bool:
        """Whether it occurs."""
        return self._pattern.search(utf8(text)) is not None

    def spans(self, text: str) -> list[Span]:
        """Where it occurs, in order, without overlaps; the whole match, or its first group if it has one."""
        group = 1 if self._pattern.groups else 0
        data = utf8(text)
        spans: list[Span] = []
        at = done = 0  # the same place in characters and in bytes
        for found in self._pattern.finditer(data):
            start, end = found.span(group)
            at += start - done if text.isascii() else len(data[done:start].decode())
            done = start
            said = data[start:end].decode()
            spans.append(Span(at, at + len(said), said))
        return spans
