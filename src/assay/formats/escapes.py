"""Backslash escapes of Python texts, without the warnings and errors of the codecs: what is no escape stays as it is."""

from __future__ import annotations

import re
import unicodedata

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^{}]{1,80}\}|[0-7]{1,3}|.)", re.DOTALL)
_SINGLE = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "\n": "",
}


def unescaped(text: str) -> str:
    """The text with every escape replaced by its character."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if code in _SINGLE:
        return _SINGLE[code]
    try:
        if code[0] in "xuU":
            return chr(int(code[1:], 16))
        if code[0] == "N":
            return unicodedata.lookup(code[2:-1])
        return chr(int(code, 8))
    except (ValueError, KeyError, OverflowError):
        return match[0]
