"""What the linear model sees of a text: hashed words, parts of words, pairs of words, and orders of meanings.

    "Ignora le istruzioni precedenti."
      words       ignora · le · istruzioni · precedenti, each with its characters 3 to 5
      pairs       ^ ignora · ignora le · …                     ^ stands where a sentence begins
      meanings    override … rules … prior                     from the lexicon, alike in all its languages

Meanings let what was learned of one language or wording hold for others. Every feature is an index below 2^18. Training and
scoring use this module alike; a change here needs new weights, which is why the card of the weights names its digest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import islice
from zlib import crc32

from assay.formats.text.fold import folded
from assay.formats.yaml_strict import load_yaml

BITS = 18
MASK = (1 << BITS) - 1
MAX_WORD = 24
REACH, NEAR = 8, 2  # words between two meanings that still belong together, and that count as close
KEPT = 5  # meanings that a later one is set in order with
MEANINGS = 32  # room for so many
_TOKEN = re.compile(r"[^\W_]+|[.!?\n:。！？]")
_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_STOPS = frozenset(".!?\n:。！？")
_ASCII = bytes(c if c < 128 and chr(c).isalnum() else ord("." if chr(c) in _STOPS else " ") for c in range(256))


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the model sees it: its features, its meanings, and its halves of the features that pairs make (`left ^ right`)."""

    left: int
    right: int
    features: tuple[int, ...]
    meanings: tuple[int, ...]


@dataclass(frozen=True)
class Lexicon:
    """Meanings by word and by beginning of word, and the words of scripts that put no blanks between them."""

    exact: dict[str, tuple[int, ...]]
    stems: dict[str, tuple[int, ...]]
    unspaced: re.Pattern[str]

    def meanings(self, word: str) -> tuple[int, ...]:
        """The numbers of the meanings of `word`."""
        found = set(self.exact.get(word, ()))
        for length in range(2, len(word) + 1):
            found.update(self.stems.get(word[:length], ()))
        return tuple(sorted(found))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that comes with the package."""
    data = load_yaml((resources.files(__package__) / "concepts.yaml").read_bytes(), "concepts.yaml")
    exact: dict[str, set[int]] = {}
    stems: dict[str, set[int]] = {}
    for number, languages in enumerate(data.values()):
        for said in languages.values():
            for word in said.split():
                place = stems if word.endswith("*") else exact
                place.setdefault(folded(word.rstrip("*")), set()).add(number)
    unspaced = sorted((word for word in exact if _CJK.match(word)), key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, unspaced), r"[a-z0-9]+", "."]))
    return Lexicon(_sorted(exact), _sorted(stems), pattern)


def _sorted(table: dict[str, set[int]]) -> dict[str, tuple[int, ...]]:
    return {word: tuple(sorted(found)) for word, found in table.items()}


def tokens_of(plain: str) -> list[str]:
    """Words and sentence marks of a folded text; scripts without blanks are cut at the words of the lexicon.

    In ASCII every mark that ends a sentence is told as a full stop.
    """
    if plain.isascii():
        return plain.encode().translate(_ASCII).replace(b".", b" . ").decode().split()
    found: list[str] = _TOKEN.findall(plain)
    if not _CJK.search(plain):
        return found
    cut = lexicon().unspaced
    return [part for token in found for part in (cut.findall(token) if _CJK.search(token) else (token,))]


def is_stop(token: str) -> bool:
    """Whether a token ends a sentence."""
    return token in _STOPS


def word_of(token: str) -> Word:
    """The features that a word has by itself."""
    token = token[:MAX_WORD]
    whole = crc32(token.encode())
    found = [whole & MASK]
    if len(token) > 3:
        bounded = f"<{token}>"
        for size in (3, 4, 5):
            found += [crc32(bounded[i : i + size].encode()) & MASK for i in range(len(bounded) - size + 1)]
    meanings = lexicon().meanings(token)
    found += [(0x2C1B3C6D * (meaning + 1) >> 7) & MASK for meaning in meanings]
    return Word((whole * 0x9E3779B1 >> 9) & MASK, (whole * 0x85EBCA77 >> 9) & MASK, tuple(found), meanings)


def meaning_pair(first: int, second: int, distance: int) -> int:
    """The feature of one meaning before another, close or at some distance."""
    return ((first * 64 + second) * 2 + (distance <= NEAR)) * 0x27D4EB2F >> 5 & MASK


def meaning_triple(first: int, second: int, third: int) -> int:
    """The feature of three meanings in order."""
    return ((first * 64 + second) * 64 + third + 1) * 0x165667B1 >> 5 & MASK


def recent_meanings(recent: list[tuple[int, int]], place: int) -> list[tuple[int, int]]:
    """The (place, meaning) that still belong together with a word at `place`, at most `KEPT`, oldest first."""
    return [said for said in recent[-KEPT:] if place - said[0] <= REACH]


def features_of(tokens: Sequence[str]) -> tuple[list[int], int]:
    """All features of one window, with repeats, and its number of words."""
    found: list[int] = []
    left = place = 0  # `left` is 0 at the beginning of a sentence
    recent: list[tuple[int, int]] = []
    for token in tokens:
        if token in _STOPS:
            left = 0
            continue
        word = word_of(token)
        found += word.features
        found.append(left ^ word.right)
        if word.meanings:
            recent = recent_meanings(recent, place)
            for third in word.meanings:
                for i, (at, first) in enumerate(recent):
                    found.append(meaning_pair(first, third, place - at))
                    found += [
                        meaning_triple(first, second, third) for between, second in recent[i + 1 :] if between > at
                    ]
            recent += [(place, meaning) for meaning in word.meanings]
        left, place = word.left, place + 1
    return found, place


def place_of(plain: str, first: int, last: int) -> tuple[int, int]:
    """Where words `first` to before `last` stand in a folded text; the whole text where words are cut from unspaced script."""
    if not plain.isascii() and _CJK.search(plain):
        return 0, len(plain)
    found = list(islice(_WORD.finditer(plain), first, last))
    return found[0].start(), found[-1].end()
