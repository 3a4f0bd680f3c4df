"""The text form of protocol buffers, as a tree of fields: bounded, without recursion and without a schema.

    read_text_proto('node { name: "a" op: "Const" }')     # [("node", [("name", b"a"), ("op", b"Const")])]

Texts become bytes with their escapes resolved and neighbours joined; every other value stays as it is spelt.
Source: Protocol Buffers documentation, "Text Format Language Specification".
"""

from __future__ import annotations

import re
from typing import Any

from assay.core.errors import MalformedInput

MAX_TOKENS = 5_000_000
MAX_DEPTH = 100
Tree = list[tuple[str, Any]]  # Any: bytes, str, or a Tree again
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[-+.\w/]+)|(?P<mark>[{}<>\[\]:;,])""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_OPEN, _CLOSE = "{<", "}>"


def read_text_proto(text: str) -> Tree:
    """The fields of one message.

    Raises:
        MalformedInput: it is no such text, or has too many tokens or levels.
    """
    root: Tree = []
    open_: list[Tree] = [root]
    name, count, in_list, last = "", 0, False, ""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        count += 1
        if match is None or count > MAX_TOKENS or not open_ or len(open_) > MAX_DEPTH:
            raise MalformedInput("a text protocol buffer cannot be read", f"at character {at}")
        at = match.end()
        kind = match.lastgroup or ""
        part = match[0]
        if kind == "text":
            joined = open_[-1].pop()[1] if last == "text" and open_[-1] else b""
            open_[-1].append((name, joined + _bytes_of(part)))
        elif kind == "word" and (last == ":" or in_list):
            open_[-1].append((name, part))
        elif kind == "word":
            name = part
        elif part in _OPEN:
            open_[-1].append((name, []))
            open_.append(open_[-1][-1][1])
            in_list = False
        elif part in _CLOSE:
            open_.pop()
            name = open_[-1][-1][0] if open_ else ""
        elif part in ("[", "]"):
            in_list = part == "["
        last = part if kind == "mark" else kind or last
    if len(open_) != 1:
        raise MalformedInput("a text protocol buffer is cut short", "a message does not end")
    return root


def _bytes_of(quoted: str) -> bytes:
    return _ESCAPE.sub(_resolved, quoted[1:-1].encode("utf-8", "surrogatepass"))


def _resolved(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 8) & 255])
    if match[2]:
        return bytes([int(match[2], 16)])
    return _LETTERS.get(match[3], match[3])
