"""Python source from bytes: decoded as the interpreter would, parsed into a tree, never compiled further.

What cannot be parsed, or is larger or deeper than the bounds, raises; the caller says that it could not look.
Source: PEP 263 (encoding declarations).
"""

from __future__ import annotations

import ast
import codecs
import io
import tokenize
import warnings

from assay.core.errors import MalformedInput

MAX_SOURCE_BYTES = 4 << 20
MAX_NODES = 2_000_000
_NAMES = (
    "utf-8",
    "utf-8-sig",
    "ascii",
    "latin-1",
    "iso-8859-15",
    "cp1252",
    "cp1251",
    "gbk",
    "gb2312",
    "euc-jp",
    "shift_jis",
    "euc-kr",
    "big5",
    "koi8-r",
)
_ENCODINGS = frozenset(codecs.lookup(name).name for name in _NAMES)


def decode_source(data: bytes) -> str:
    """The text that Python would read.

    Raises:
        MalformedInput: null bytes, an encoding that can hide code (such as `unicode_escape` or `utf-7`), or bytes outside it.
    """
    if b"\x00" in data:
        raise MalformedInput("source holds null bytes", "Python refuses it, and other readers stop there")
    try:
        name, _ = tokenize.detect_encoding(io.BytesIO(data[:512]).readline)
        if codecs.lookup(name).name not in _ENCODINGS:
            raise MalformedInput(
                "source has an unusual encoding", f"{name[:40]!r} can show people other code than Python runs"
            )
        return data.decode(name)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise MalformedInput("source cannot be decoded", str(error)[:200]) from error


def parse_source(text: str) -> ast.Module:
    """The tree of one file or notebook cell; `await` may stand at the top, as in notebooks.

    Raises:
        MalformedInput: no Python of this version, or beyond the bounds of size and nesting.
    """
    if len(text) > MAX_SOURCE_BYTES:
        raise MalformedInput("source is too large", f"{len(text)} characters, at most {MAX_SOURCE_BYTES} are parsed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = compile(
                text, "<source>", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
    except SyntaxError as error:
        raise MalformedInput(
            "source is not Python of this version", f"line {error.lineno}: {error.msg}"[:200]
        ) from error
    except (RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise MalformedInput("source is too deep or too odd to parse", type(error).__name__) from error
    assert isinstance(tree, ast.Module)
    return tree


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Every node in the order of the text, found without recursion.

    Raises:
        MalformedInput: more than `MAX_NODES`.
    """
    found: list[ast.AST] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if len(found) > MAX_NODES:
            raise MalformedInput("source is too large", f"more than {MAX_NODES} nodes")
        waiting += reversed(list(ast.iter_child_nodes(node)))
    return found
