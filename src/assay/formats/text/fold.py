"""Characters as they read: compatibility forms, without accents, invisibles and look-alikes of Latin letters.

Every character is folded by itself, so the fold of a text is the fold of its characters one after the other and the place of
a match can be found again. Letters of other scripts that look like Latin ones become Latin everywhere, also in words that
are truly Greek or Cyrillic; rules and models are folded alike, so nothing is lost.
Sources: Unicode 16, UAX 15 (NFKD); the idea of a skeleton is that of UTS 39, section 4; the table of look-alikes is our own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

_LOOK_ALIKES = (
    ("a", "аαɑ⍺"), ("b", "вьƅ"), ("c", "сϲᴄↄ"), ("d", "ԁɗ"), ("e", "еєҽεℯ"), ("g", "ɡց"), ("h", "һհн"), ("i", "іιıɩӏ׀∣ɪ"), ("j", "јϳ"),
    ("k", "кκᴋ"), ("l", "ⅼǀ"), ("m", "мⅿ"), ("n", "пոռ"), ("o", "оοσօᴏ०০੦૦௦౦೦൦〇"), ("p", "рρ"), ("q", "ԛզ"), ("r", "гᴦᴿ"), ("s", "ѕꜱ"),
    ("t", "тτᴛ"), ("u", "υսᴜцʋ"), ("v", "ѵνᴠ"), ("w", "ԝшѡᴡ"), ("x", "хχ"), ("y", "уүγʏ"), ("z", "ᴢʐ"),
    ("'", "‘’‛′´ʼ"), ('"', "“”„″«»"), ("-", "‐‑‒–—―−"), (".", "․。"), (",", "‚،"), ("/", "⁄∕"), (":", "ː∶"),
)  # fmt: skip
_TABLE = {ord(c): latin for latin, others in _LOOK_ALIKES for c in others}
_INVISIBLE = frozenset(
    [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFEFF, 0xFFA0, *range(0x180B, 0x180E), *range(0x200B, 0x2010),
     *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0020), *range(0xE007F, 0xE01F0)]
)  # fmt: skip


MOST_KINDS = 24  # so many replacements cost less than one look at every character


class Fold(dict[int, str]):
    """Code point to what becomes of it; filled as characters are met, so never larger than Unicode."""

    def __init__(self, one: Callable[[int], str]) -> None:
        super().__init__()
        self._one = one

    def __missing__(self, code: int) -> str:
        self[code] = said = self._one(code)
        return said

    def starts_in(self, text: str) -> Sequence[int]:
        """For each character of the folded `text`, and for its end, the index in `text` of the character that it came from."""
        uneven = "".join(c for c in set(text) if len(self[ord(c)]) != 1)
        if not uneven:
            return range(len(text) + 1)
        starts: list[int] = []
        done = 0
        for found in re.finditer(f"[{re.escape(uneven)}]", text):
            at = found.start()
            starts += range(done, at)
            starts += [at] * len(self[ord(found.group())])
            done = at + 1
        starts += range(done, len(text) + 1)
        return starts

    def beyond_ascii(self, text: str) -> str:
        """`text` with at least every character beyond ASCII folded; kind by kind where there are few, which is far quicker."""
        changed = [(c, self[ord(c)]) for c in set(text) if c > "\x7f" and self[ord(c)] != c]
        if len(changed) > MOST_KINDS or not all(self._is_final(said) for _, said in changed):
            return text.translate(self)
        for c, said in changed:
            text = text.replace(c, said)
        return text

    def _is_final(self, said: str) -> bool:
        return all(c <= "\x7f" or self[ord(c)] == c for c in said)


def _as_read(code: int) -> str:
    decomposed = unicodedata.normalize("NFKD", _bare(code)).casefold()
    kept = (c for c in decomposed if not "\u0300" <= c <= "\u036f")
    return "".join(_TABLE.get(ord(c), c) for c in kept)


def _bare(code: int) -> str:
    if code in _INVISIBLE:
        return ""
    if 0xE0020 <= code <= 0xE007E:  # tag characters spell ASCII that nobody sees
        return chr(code - 0xE0000)
    return unicodedata.normalize("NFKC", chr(code))


AS_READ = Fold(_as_read)
BARE = Fold(_bare)


def folded(text: str) -> str:
    """`text` as it reads, in lower case."""
    if text.isascii():
        return text.lower()
    # In UTF-8 `lower` changes ASCII alone; the rest is folded by its table, which `str.lower` does not know.
    return AS_READ.beyond_ascii(text).encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def bared(text: str) -> str:
    """`text` in compatibility form and without invisible characters, its case, accents and scripts kept."""
    return text if text.isascii() else BARE.beyond_ascii(text)
