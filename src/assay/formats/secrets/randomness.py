"""Whether a string looks drawn at random, or written by a person or a program for people.

A key is random over some alphabet; a placeholder, a name or a test vector is not. Everything here is linear in the length.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from itertools import pairwise

HEX = frozenset(string.hexdigits)
BASE62 = frozenset(string.ascii_letters + string.digits)
_UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# Looked for one by one: `str.find` is thirty times faster than one pattern of all.
_PLACEHOLDERS = ("example", "sample", "dummy", "placeholder", "your-", "your_", "insert-", "insert_", "redacted", "...", "…", "***", "<", ">",
    "${", "{{", "%(", "%s", "deadbeef", "cafebabe", "enc[")  # fmt: skip
_JOINED_PLACEHOLDERS = (
    *(f"change{it}" for it in ("me", "it", "this")), *(f"replace{it}" for it in ("me", "this", "with")),
    *(f"your{it}" for it in ("key", "token", "secret", "pass", "api")),
    *(f"my{it}" for it in ("secret", "token", "password", "api", "key")), *(f"nota{it}" for it in ("real", "secret")),
    *(f"test{it}" for it in ("key", "token", "secret", "pass")),
    *(f"{it}{where}" for it in ("key", "token", "secret", "password", "api") for where in ("here", "goes")),
)  # fmt: skip
_WORDS = ("fake", "todo", "fixme", "tbd", "none", "null", "hidden")
_WORD = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(_WORDS)})(?![a-z0-9])")
_RUN = re.compile(r"(.)\1{5}", re.DOTALL)
_LADDERS = ("0123456789abcdef0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "9876543210", "1234567890")
_RUNGS = tuple(sorted({ladder[at : at + 8] for ladder in _LADDERS for at in range(len(ladder) - 7)}))
_KNOWN_VECTORS = (
    "2b7e151628aed2a6abf7158809cf4f3c",  # NIST SP 800-38A, AES-128 key
    "603deb1015ca71be2b73aef0857d7781",  # NIST SP 800-38A, AES-256 key
    "8e73b0f7da0e6452c810f32b809079e5",  # NIST SP 800-38A, AES-192 key
    "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",  # RFC 4231, test case 1
    "9d61b19deffd5a60ba844af492ec2cc4",  # RFC 8032, Ed25519 test 1
    "4ccd089b28ff96da9db6c346ec114e0f",  # RFC 8032, Ed25519 test 2
    "77076d0a7318a57d3c16c17251b26645",  # RFC 7748, X25519
    "e3b0c44298fc1c149afbf4c8996fb924",  # SHA-256 of nothing
    "d41d8cd98f00b204e9800998ecf8427e",  # MD5 of nothing
    "da39a3ee5e6b4b0d3255bfef95601890",  # SHA-1 of nothing
)


def entropy_bits(text: str) -> float:
    """Shannon entropy in bits a character, from the characters' own frequencies; 0 for an empty string."""
    n = len(text)
    return -sum(c / n * math.log2(c / n) for c in Counter(text).values()) if n else 0.0


def expected_bits(length: int, alphabet: int) -> float:
    """About what `entropy_bits` gives for `length` random characters of an alphabet.

    The plug-in estimate falls short of log2(alphabet) by (alphabet - 1) / (2 n ln 2) bits; for short strings the bound is
    log2(n). Source: Miller, Note on the bias of information estimates, 1955.
    """
    full = math.log2(alphabet)
    return min(math.log2(max(length, 2)), max(full - (alphabet - 1) / (2 * length * math.log(2)), 0.75 * full))


def is_random(text: str, share: float = 0.83) -> bool:
    """Whether the entropy reaches `share` of what random characters of the same alphabet would give."""
    return entropy_bits(text) >= share * expected_bits(len(text), alphabet_size(text))


def alphabet_size(text: str) -> int:
    """The smallest usual alphabet that holds every character: digits, hex, base62 or base64 and more."""
    used = set(text)
    if used <= set(string.digits):
        return 10
    if used <= HEX and not (any(c in "abcdef" for c in used) and any(c in "ABCDEF" for c in used)):
        return 16
    if used <= set(string.ascii_lowercase) | set(string.digits) or used <= set(string.ascii_uppercase) | set(
        string.digits
    ):
        return 36
    return 62 if used <= BASE62 else 64


def is_stand_in(text: str) -> bool:
    """Whether a value is there to be replaced: placeholders, documentation examples, ladders, runs and test vectors."""
    lowered = text.lower()
    return (
        is_periodic(text)
        or _RUN.search(text) is not None
        or is_uuid(text)
        or _is_placeholder(text, lowered)
        or any(vector in lowered for vector in _KNOWN_VECTORS)
        or _has_ladder(lowered)
        or is_counting(lowered)
    )


def _is_placeholder(text: str, lowered: str) -> bool:
    """Whether it says itself that it stands for something else; words that could stand inside a key count alone only."""
    if any(mark in lowered for mark in _PLACEHOLDERS) or "xxxx" in text or "XXXX" in text:
        return True
    joined = lowered.replace("-", "").replace("_", "")
    if any(mark in joined for mark in _JOINED_PLACEHOLDERS):
        return True
    return any(word in lowered for word in _WORDS) and _WORD.search(lowered) is not None


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _has_ladder(lowered: str) -> bool:
    """Whether eight characters climb as on a keyboard or in the alphabet."""
    return any(rungs in lowered for rungs in _RUNGS)


def is_counting(lowered: str) -> bool:
    """Whether hex bytes climb or fall by a constant step, as in test vectors (`00010203…`)."""
    if len(lowered) < 12 or len(lowered) % 2 or not set(lowered) <= HEX:
        return False
    values = bytes.fromhex(lowered)
    return len({(b - a) % 256 for a, b in pairwise(values)}) == 1


def is_periodic(text: str) -> bool:
    """Whether a short piece is repeated over the whole string."""
    return len(text) >= 12 and (text + text).find(text, 1) <= len(text) // 3


def is_wordy(text: str) -> bool:
    """Whether it reads as words: names in snake, kebab, camel or dotted case, perhaps with a number at the end."""
    pieces = [piece for piece in re.split(r"[-_./:\s]+", text) if piece]
    return bool(pieces) and all(_is_word(piece) for piece in pieces)


def _is_word(piece: str) -> bool:
    if re.fullmatch(r"[a-zA-Z]{0,3}\d{0,4}", piece):
        return True
    body = max(re.findall(r"[A-Za-z]+", piece), key=len, default="")
    if len(re.findall(r"\d+", piece)) > 1 or len(body) < 0.5 * len(piece):
        return False
    humps = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", body)
    return len(humps) <= max(1, len(body) // 4) and _vowel_share(body) >= 0.22


def _vowel_share(text: str) -> float:
    return sum(c in "aeiouyAEIOUY" for c in text) / len(text)
