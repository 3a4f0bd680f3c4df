"""Texts hidden in encodings: base64, hexadecimal, percent and HTML escapes, rot13, reversed, spaced or leet letters.

    encoded pieces of a text ─► what they decode to, if that is readable ─► pieces inside that, once more

Readable means UTF-8 with hardly a control character. Everything is linear in the text, and what is kept is bounded.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from assay.formats.text.patterns import Pattern, PatternSet, utf8

MAX_PIECES = 400


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text, `start` to `end`, and what it decodes to."""

    how: str
    start: int
    end: int
    text: str


def _base64(piece: str) -> bytes | None:
    plain = re.sub(r"\s", "", piece).rstrip("=").translate(str.maketrans("-_", "+/"))
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _hex(piece: str) -> bytes | None:
    digits = re.sub(r"\\x|0x|[^0-9A-Fa-f]", "", piece)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _unicode_escapes(piece: str) -> bytes:
    units = (int(code, 16) for code in re.findall(r"\\u\{?([0-9A-Fa-f]{4,6})", piece))
    return "".join(chr(unit) for unit in units if unit < 0x110000).encode("utf-8", "replace")


def _binary(piece: str) -> bytes:
    return bytes(int(byte, 2) for byte in re.findall(r"[01]{8}", piece))


def _html(piece: str) -> bytes:
    return html.unescape(piece).encode("utf-8", "replace")


_KINDS: tuple[tuple[str, str, Callable[[str], bytes | None]], ...] = (
    ("base64", r"([A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*={0,2})", _base64),
    ("hex", r"((?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ ,:]?){10,})", _hex),
    ("percent", r"((?:[A-Za-z0-9._~+-]{0,40}%[0-9A-Fa-f]{2}){3,}[A-Za-z0-9._~+-]{0,40})", unquote_to_bytes),
    ("html", r"((?:[^&\s]{0,20}\s?&(?:#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6});){3,}[^&\s]{0,20})", _html),
    ("unicode", r"((?:\\u\{?[0-9A-Fa-f]{4,6}\}?){3,})", _unicode_escapes),
    ("binary", r"((?:[01]{8}[ ]?){6,})", _binary),
)
_NAMED = Pattern("(&[A-Za-z]{2,8};)")
_LEAST_NAMES, _BETWEEN_NAMES = 3, 24  # entities with names, and characters for each of them at most
_GATE = PatternSet([(how, pattern) for how, pattern, _ in _KINDS])
_PATTERNS = {how: (Pattern(pattern), decode) for how, pattern, decode in _KINDS}
# Marks of whole sentences in a simple cipher: common words of attacks in rot13, reversed, spaced out or in leet letters.
_WORDS = (
    "ignore",
    "instructions",
    "previous",
    "system prompt",
    "reveal",
    "disregard",
    "guidelines",
    "password",
    "forget",
    "override",
)
_LEET = {
    "a": "[a4@]",
    "e": "[e3]",
    "i": "[i1!|]",
    "o": "[o0]",
    "s": "[s5$]",
    "t": "[t7+]",
    "g": "[g9]",
    "l": "[l1|]",
    "b": "[b8]",
}
# Words that nearly every English sentence has: two of them turned mark a turned text, whatever it says.
_COMMON = ("the", "you", "your", "with", "this", "that", "from", "have", "what", "will")
_CIPHERED = {
    "rot13": [codecs.encode(word, "rot13") for word in _COMMON],
    "reversed": [word[::-1] for word in _COMMON],
}
_COUNTED = {how: Pattern(rf"\b({'|'.join(words)})\b") for how, words in _CIPHERED.items()}
_LEET_WORD, _LEET_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz013457@$!+|"), frozenset("013457@$!+|")
_SIGNS = "".join(sorted(_LEET_SIGNS)).encode()
_NEAR, _LEAST_WORDS = 16, 3  # words that are looked at together; leet ones in a text that is no longer
_ATTACKS = {
    "rot13": "|".join(rf"\b{codecs.encode(word, 'rot13')}" for word in _WORDS),
    "reversed": "|".join(rf"{word[::-1]}\b" for word in _WORDS),
    "spaced": "|".join(r"[\s.\-_*]{1,3}".join(re.escape(word.replace(" ", ""))) for word in _WORDS),
    "leet": "|".join("".join(_LEET.get(c, re.escape(c)) for c in word) for word in _WORDS),
}
_TURNED = PatternSet([*_ATTACKS.items(), *((f"words {how}", "|".join(words)) for how, words in _CIPHERED.items())])
_UNLEET = tuple(zip("4@31!|05$7+98", "aaeiiiossttgb", strict=True))
_SPACED = Pattern(r"((?:\b\w[\s.\-_*]{1,3}){4,}\w\b)")


def pieces_in(text: str, plain: str) -> list[Piece]:
    """What is encoded in `text`; `plain` is its folded form. At most `MAX_PIECES` + 1, so that more can be noticed."""
    data = utf8(text)
    found: list[Piece] = []
    for how in _GATE.found_in(data):
        pattern, decode = _PATTERNS[how]
        for span in pattern.spans(text):
            decoded = _readable(decode(span.text))
            if decoded and decoded != span.text:
                found.append(Piece(how, span.start, span.end, decoded))
            if len(found) > MAX_PIECES:
                return found
    if text.count("&") >= _LEAST_NAMES and _is_named(text) and (decoded := _readable(_html(text))):
        found.append(Piece("html", 0, len(text), decoded))
    found += _turned(text, plain if plain.isascii() else text.lower())
    return found


def _is_named(text: str) -> bool:
    """Whether letters or blanks stand as HTML entities with names all over a text, as they do in no page."""
    count = len(_NAMED.spans(text))
    return count >= _LEAST_NAMES and len(text) <= count * _BETWEEN_NAMES


def _readable(data: bytes | None) -> str:
    """The text of `data`, or "" where it is none: bytes that happen to decode are no text."""
    if not data or len(data) < 6:
        return ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    strange = sum(not c.isprintable() and not c.isspace() for c in text)
    letters = sum(c.isalnum() or c.isspace() for c in text)
    return text if strange <= len(text) // 50 and letters * 10 >= len(text) * 6 else ""


def _turned(text: str, plain: str) -> Iterator[Piece]:
    found = _TURNED.found_in(utf8(plain))
    for how in _ATTACKS:
        is_marked = (how not in _CIPHERED or f"words {how}" in found) and _is_marked(how, plain)
        if how not in found and not is_marked:
            continue
        if how == "spaced":
            for span in _SPACED.spans(text):
                yield Piece(how, span.start, span.end, _joined(span.text))
        elif how == "leet":
            read = plain
            for sign, letter in _UNLEET:
                read = read.replace(sign, letter)
            if is_marked or any(word in read and word not in plain for word in _WORDS):
                yield Piece(how, 0, len(text), read)
        else:
            yield Piece(how, 0, len(text), codecs.encode(text, "rot13") if how == "rot13" else text[::-1])


def _is_marked(how: str, plain: str) -> bool:
    """Whether a sentence stands in this cipher: two common words of it, or many words near each other with signs for letters.

    Most texts are through after a search for a few words, which the caller does for all ciphers at once, and a count of signs.
    """
    if how in _CIPHERED:
        return len(_COUNTED[how].spans(plain)) >= 2
    data = utf8(plain)
    if how != "leet" or len(data) - len(data.translate(None, _SIGNS)) < _LEAST_WORDS:
        return False
    words = plain.split()
    found = [place for place, word in enumerate(words) if not word.isalpha() and _is_leet(word)]
    if len(words) <= _NEAR:
        return len(found) >= _LEAST_WORDS
    many = 2 * _LEAST_WORDS
    return any(last - first < _NEAR for first, last in zip(found, found[many - 1 :], strict=False))


def _is_leet(word: str) -> bool:
    """Whether a word is letters with some replaced; hashes and identifiers have other digits too."""
    word = word.strip(".,;:?()\"'")
    if not 3 <= len(word) <= 16:
        return False
    signs = frozenset(word)
    return signs <= _LEET_WORD and bool(signs & _LEET_SIGNS) and not signs <= _LEET_SIGNS


def _joined(text: str) -> str:
    """Letters that stand apart put together; a wider gap than the usual one parts words."""
    gaps = re.findall(r"(?<=\w)([^\w]+|_+)(?=\w)", text)
    usual = min((len(gap) for gap in gaps), default=1)
    return re.sub(r"[\s.\-_*]+", lambda gap: " " if len(gap.group()) > usual else "", text)
