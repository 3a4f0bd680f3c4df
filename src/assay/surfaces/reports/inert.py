"""Text from outside, made harmless before any form quotes it.

Names, titles and findings may carry terminal escapes, text that runs right to left, NULs or commands that a build
server reads in its log. `inert` makes them visible and dead; each form adds the escapes of its own syntax.
"""

from __future__ import annotations

import json
import re
import unicodedata

from assay.core.canonical import Json

MAX_LETTERS = 1000

# Control and format characters, line separators and lone surrogates; joiners inside emoji are lost too, on purpose.
_DEAD = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BREAKS = re.compile(r" *[\t\r\n]\s*")
# NOTE: Azure Pipelines, TeamCity and old GitHub runners obey `##vso[` and `##[` anywhere in a line, not only in front.
_LOG_COMMAND = re.compile(r"##(?=\w*\[)")


def inert(text: str, limit: int = MAX_LETTERS) -> str:
    """One line without control, bidirectional or invisible characters, at most `limit` letters long."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    line = _BREAKS.sub(" ", text.strip())
    if not (line.isascii() and line.isprintable()):
        line = "".join(_visible(letter) for letter in line)
    return _LOG_COMMAND.sub("# #", line)


def json_text(value: Json) -> str:
    """Indented ASCII JSON that no terminal and no build log acts on; decoding it gives `value` back, apart from lone
    surrogates and numbers that JSON does not have, which become text."""
    text = json.dumps(_sound(value), indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("##", "#\\u0023") + "\n"  # `#` occurs inside JSON strings only


def _visible(letter: str) -> str:
    number = ord(letter)
    is_noncharacter = number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF
    if unicodedata.category(letter) not in _DEAD and not is_noncharacter:
        return letter
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _sound(value: Json) -> Json:
    if isinstance(value, dict):
        return {_sound(str(key)): _sound(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(item) for item in value]
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
