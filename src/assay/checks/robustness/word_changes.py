"""Small changes to one word that a reader hardly notices or forgives: typing errors, look-alike letters, synonyms.

Sources: Gao et al., Black-box generation of adversarial text sequences (DeepWordBug), 2018 (swap, delete, insert, substitute); Boucher et
al., Bad characters: imperceptible NLP attacks, 2022 (homoglyphs, invisible characters); Unicode TS 39 for look-alikes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_WORD = re.compile(r"\w+", re.UNICODE)
LOOK_ALIKE: Mapping[str, str] = MappingProxyType({
    "a": "\u0430", "c": "\u0441", "e": "\u0435", "i": "\u0456", "j": "\u0458", "o": "\u043e", "p": "\u0440", "s": "\u0455",
    "x": "\u0445", "y": "\u0443", "h": "\u04bb", "A": "\u0410", "B": "\u0412", "C": "\u0421", "E": "\u0415", "H": "\u041d",
    "I": "\u0406", "K": "\u041a", "M": "\u041c", "O": "\u041e", "P": "\u0420", "T": "\u0422", "X": "\u0425", "Y": "\u04ae",
})  # fmt: skip
NEAR: Mapping[str, str] = MappingProxyType({
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl",
    "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb",
    "w": "qe", "x": "zc", "y": "tu", "z": "x",
})  # fmt: skip
ZERO_WIDTH = "\u200b"


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end."""
    return [found.span() for found in _WORD.finditer(text)]


def without(text: str, span: tuple[int, int]) -> str:
    """The text with one word left out."""
    return (text[: span[0]] + text[span[1] :]).strip() or " "


def replaced(text: str, span: tuple[int, int], word: str) -> str:
    """The text with another word in its place."""
    return text[: span[0]] + word + text[span[1] :]


def variants(
    word: str, kinds: Sequence[str], synonyms: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> Iterator[str]:
    """Every variant of a word that the kinds allow; the place of a typing error is drawn."""
    if "synonym" in kinds:
        yield from (str(other) for other in synonyms.get(word.lower(), ()))
    if "homoglyph" in kinds and (places := [at for at, letter in enumerate(word) if letter in LOOK_ALIKE]):
        yield "".join(LOOK_ALIKE.get(letter, letter) for letter in word)
        at = places[int(rng.integers(len(places)))]
        yield word[:at] + LOOK_ALIKE[word[at]] + word[at + 1 :]
    if "invisible" in kinds and len(word) > 1:
        at = int(rng.integers(1, len(word)))
        yield word[:at] + ZERO_WIDTH + word[at:]
    if "typo" in kinds and len(word) > 2:
        at = int(rng.integers(1, len(word) - 1))
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at] + word[at:]
        if near := NEAR.get(word[at].lower()):
            yield word[:at] + near[int(rng.integers(len(near)))] + word[at + 1 :]
