"""Takes what may be a credential out of text that goes into evidence, reports or a terminal. Standard library only.

Evidence cannot be taken back once it is signed and logged, so this errs on the side of hiding: a word that looks drawn at random,
the password of an address, and what follows `password=` lose all but their first letters. Finding credentials, with proof that
they are some, is another room's work (`formats.secrets`).
"""

from __future__ import annotations

import re

SHOWN = 4
_SHORTEST = 8
_LONG = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_ADDRESS = re.compile(r"(://[^/\s:@]{0,200}:)[^/\s@]{1,500}(?=@)")
_NAMED = re.compile(
    r"((?i:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|credential)s?['\"]?\s{0,3}[=:]\s{0,3}"
    r"(?i:bearer\s|basic\s)?['\"]?)[^\s'\",;)]{4,}"
)


def masked(text: str) -> str:
    """The text with every part that may be a credential cut to its first letters and `…`; it never grows.

    Linear in the length of the text. Whatever is cut holds a `…`, so that it equals no text that a list names.
    """
    if len(text) < _SHORTEST:
        return text
    text = _NAMED.sub(r"\1…", _ADDRESS.sub(r"\1…", text))
    return _LONG.sub(_without_random, text)


def _without_random(found: re.Match[str]) -> str:
    """A long word with letters and digits, or one that no language has."""
    word = found[0]
    digits = sum(map(str.isdigit, word))
    letters = sum(map(str.isalpha, word))
    is_random = (digits and letters) or digits >= 32 or (letters >= 40 and letters == len(word))
    return f"{word[:SHOWN]}…" if is_random else word
