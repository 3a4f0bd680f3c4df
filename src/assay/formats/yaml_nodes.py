"""A part of a YAML document with its place, and the questions that a reader of a grammar asks of it.

Every refusal names the line, what was expected, and for an unknown word the nearest known one.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.core.canonical import Json
from assay.core.errors import PolicyError
from assay.formats.yaml_strict import Located, Path


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?` with the nearest known word, or the list of them if none is near."""
    names = sorted(known)
    found = difflib.get_close_matches(word, names, 1, 0.6)
    return f"did you mean {found[0]!r}?" if found else "known: " + ", ".join(names[:24])


@dataclass(frozen=True)
class Node:
    """One value of a document; `path` leads there from the top."""

    value: Json
    path: Path
    document: Located
    what: str

    @property
    def line(self) -> int:
        """The line on which it starts, from 1."""
        return self.document.line(self.path)

    def error(self, why: str, fix: str = "") -> PolicyError:
        """A refusal that names this place."""
        place = ".".join(map(str, self.path)) or "the document"
        return PolicyError(f"{self.what}, line {self.line}: {place}", why, fix)

    def at(self, key: str | int, value: Json) -> Node:
        """The part of this one under `key`."""
        return Node(value, (*self.path, key), self.document, self.what)

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> Mapping[str, Node]:
        """The parts of a mapping that may only hold `known` keys and must hold `required` ones."""
        names = set(known)
        for key, item in self.entries().items():
            if key not in names:
                raise item.error(f"{key[:60]!r} is unknown here", nearest(key, names))
        found = self.entries()
        if missing := next((name for name in required if name not in found), None):
            raise self.error(f"{missing!r} is missing")
        return found

    def entries(self) -> Mapping[str, Node]:
        """The parts of a mapping with free keys."""
        if not isinstance(self.value, dict):
            raise self.error("a mapping is expected here")
        return {key: self.at(key, item) for key, item in self.value.items()}

    def items(self, most: int = 1000) -> tuple[Node, ...]:
        """The parts of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list is expected here", "put it in [ ]")
        if len(self.value) > most:
            raise self.error(f"{len(self.value)} items, at most {most}")
        return tuple(self.at(i, item) for i, item in enumerate(self.value))

    def text(self, pattern: str = r"(?s).{1,4000}", meaning: str = "text") -> str:
        """A text that `pattern` fits as a whole; `meaning` says in errors what is expected."""
        if not isinstance(self.value, str) or not re.fullmatch(pattern, self.value):
            quotes = "" if isinstance(self.value, str) else "put quotes around it"
            raise self.error(f"{meaning} is expected here, not {str(self.value)[:60]!r}", quotes)
        return self.value

    def texts(self, pattern: str = r"(?s).{1,4000}", meaning: str = "text") -> tuple[str, ...]:
        """A list of such texts, none twice."""
        found = tuple(item.text(pattern, meaning) for item in self.items())
        if len(set(found)) != len(found):
            raise self.error("an item stands there twice")
        return found

    def one_or_more(self, pattern: str, meaning: str) -> tuple[str, ...]:
        """One text, or a list of at least one."""
        found = (self.text(pattern, meaning),) if isinstance(self.value, str) else self.texts(pattern, meaning)
        if not found:
            raise self.error(f"{meaning} is expected here", "an empty list would match nothing")
        return found

    def choice(self, choices: Iterable[str]) -> str:
        """One of some words."""
        known = tuple(choices)
        if not isinstance(self.value, str) or self.value not in known:
            raise self.error(f"{str(self.value)[:60]!r} is none of the known words", nearest(str(self.value), known))
        return self.value

    def flag(self) -> bool:
        """true or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false is expected here")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)) or not math.isfinite(self.value):
            raise self.error("a number is expected here")
        return self.value

    def whole(self, least: int = 1) -> int:
        """A whole number of at least `least`."""
        if type(self.value) is not int or self.value < least:
            raise self.error(f"a whole number from {least} is expected here")
        return self.value
