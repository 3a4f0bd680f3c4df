"""Jinja templates, taken apart and never rendered: what they name, call and reach for.

A template of a model runs in the serving process for every request (CVE-2024-34359, CVE-2026-5760). Names, filters, tests, tags
and methods on the lists below only shape text; attributes of messages may have any name that does not begin with `_`. Texts are
unescaped before they are looked at, so `\\x5f\\x5fclass\\x5f\\x5f` is seen. What is put together in a subscript is told.
Source: Jinja 3.1, `lexer.py`, `sandbox.py` (UNSAFE_* attributes); transformers 4.57, `chat_template_utils.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from assay.formats.escapes import unescaped
from assay.formats.facts import Fact

MAX_TEMPLATE = 1 << 20
MAX_FACTS = 20
_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_OPEN = re.compile(r"\{[{%#]")
_CLOSERS = {
    "{{": re.compile(rf"(?:{_STRING}|[^'\"])*?\}}\}}", re.DOTALL),
    "{%": re.compile(rf"(?:{_STRING}|[^'\"])*?%\}}", re.DOTALL),
    "{#": re.compile(r".*?#\}", re.DOTALL),
}
_END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_SIGN = r"//|\*\*|[=!<>]=|[-+*/%~|.,:;()\[\]{}=<>&^]"
_WORDS = rf"(?P<text>{_STRING})|(?P<name>[^\W\d]\w*)|(?P<number>\d[\d_.eExXa-fA-F]*)"
_TOKEN = re.compile(rf"\s+|{_WORDS}|(?P<sign>{_SIGN})")
_DUNDER = re.compile(r"__\w*|\w*__")
TAGS = frozenset(
    [
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "endfor",
        "set",
        "endset",
        "macro",
        "endmacro",
        "call",
        "endcall",
        "filter",
        "endfilter",
        "generation",
        "endgeneration",
        "break",
        "continue",
        "with",
        "endwith",
        "do",
    ]
)
LOADING_TAGS = frozenset(
    {
        "include",
        "import",
        "from",
        "extends",
        "block",
        "endblock",
        "trans",
        "endtrans",
        "debug",
        "autoescape",
        "endautoescape",
    }
)
FILTERS = frozenset(
    [
        "abs",
        "batch",
        "capitalize",
        "center",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "forceescape",
        "indent",
        "int",
        "items",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "slice",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
        "wordwrap",
        "groupby",
        "from_json",
        "fromjson",
    ]
)
CALLABLE = frozenset(["raise_exception", "strftime_now", "range", "namespace", "dict", "caller", "loop", "super"])
METHODS = frozenset(
    [
        "strip",
        "lstrip",
        "rstrip",
        "split",
        "rsplit",
        "splitlines",
        "startswith",
        "endswith",
        "replace",
        "lower",
        "upper",
        "title",
        "capitalize",
        "join",
        "items",
        "keys",
        "values",
        "get",
        "append",
        "extend",
        "insert",
        "pop",
        "update",
        "index",
        "count",
        "find",
        "rfind",
        "isdigit",
        "isalpha",
        "isalnum",
        "isspace",
        "zfill",
        "ljust",
        "rjust",
        "center",
        "removeprefix",
        "removesuffix",
        "copy",
        "setdefault",
        "format",
        "strftime",
        "cycle",
        "changed",
        "add",
        "remove",
        "partition",
        "rpartition",
        "isupper",
        "islower",
    ]
)
ESCAPES = frozenset(
    [
        "mro",
        "func_globals",
        "func_code",
        "func_closure",
        "gi_frame",
        "gi_code",
        "gi_yieldfrom",
        "cr_frame",
        "cr_code",
        "cr_await",
        "ag_frame",
        "ag_code",
        "f_globals",
        "f_locals",
        "f_builtins",
        "f_back",
        "f_code",
        "tb_frame",
        "tb_next",
        "im_func",
        "im_self",
        "im_class",
        "co_code",
    ]
)
SUSPECTS = frozenset(
    [
        "lipsum",
        "cycler",
        "joiner",
        "self",
        "config",
        "request",
        "url_for",
        "get_flashed_messages",
        "attr",
        "pprint",
        "xmlattr",
    ]
)
_STATEMENT_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "is",
        "in",
        "if",
        "else",
        "elif",
        "for",
        "recursive",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "as",
        "with",
        "without",
        "context",
        "ignore",
        "missing",
    ]
)


class Token(NamedTuple):
    """One token: `kind` is text, name, number or sign."""

    kind: str
    value: str


def template_facts(text: str, member: str = "") -> list[Fact]:
    """Facts of one template; none if all it does is listed."""
    if len(text) > MAX_TEMPLATE:
        return [Fact("limit", member, None, (f"a template of more than {MAX_TEMPLATE} characters",))]
    found: dict[tuple[str, str], int] = {}
    macros = set(re.findall(r"\{%[-+]?\s*macro\s+(\w+)", text))
    for block in _blocks(text):
        for kind, words in _block_facts(block.inner, block.is_tag, macros):
            if not block.is_broken or kind == "template-escape":
                found.setdefault((kind, words), block.at)
        if block.is_broken:
            found.setdefault(("template-broken", "a tag does not end"), block.at)
    return [Fact(kind, member, at, (words,)) for (kind, words), at in list(found.items())[:MAX_FACTS]]


class _Block(NamedTuple):
    """One expression or tag; a broken one reaches to the end of the text."""

    inner: str
    is_tag: bool
    at: int
    is_broken: bool = False


def _blocks(text: str) -> Iterator[_Block]:
    """All expressions and tags in one pass; what does not close ends the walk, so that time stays linear."""
    at = 0
    while opened := _OPEN.search(text, at):
        mark = opened[0]
        closed = _CLOSERS[mark].match(text, opened.end())
        if closed is None:
            yield _Block(text[opened.end() :], False, opened.start(), True)
            return
        inner, at = closed[0][:-2], closed.end()
        if mark == "{%" and inner.strip("-+ \t\r\n") == "raw":
            if (end := _END_RAW.search(text, at)) is None:
                yield _Block(text[at:], False, opened.start(), True)
                return
            at = end.end()
        elif mark != "{#":
            yield _Block(inner, mark == "{%", opened.start())


def _block_facts(inner: str, is_tag: bool, macros: set[str]) -> Iterator[tuple[str, str]]:
    inner = inner.strip().strip("-+").strip()
    tokens = list(_tokens(inner))
    if is_tag and tokens:
        if tokens[0].value in LOADING_TAGS:
            yield "template-name", f"the tag {tokens[0].value}"
        elif tokens[0].value not in TAGS:
            yield "template-broken", f"the tag {tokens[0].value[:40]!r} is not known"
        tokens = tokens[2:] if tokens[0].value == "macro" else tokens[1:]
    depth = 0
    for i, token in enumerate(tokens):
        before = tokens[i - 1].value if i else ""
        after = tokens[i + 1].value if i + 1 < len(tokens) else ""
        depth += (token.value == "[" and _is_subscript(tokens, i)) - (token.value == "]" and depth > 0)
        yield from _token_facts(token, before, after, depth > 0, macros)


def _token_facts(
    token: Token, before: str, after: str, in_subscript: bool, macros: set[str]
) -> Iterator[tuple[str, str]]:
    if token.kind == "text":
        yield from _text_facts(unescaped(token.value[1:-1]), in_subscript, after)
    elif token.kind == "name":
        yield from _name_facts(token.value, before, after, macros)
    elif token.value in ("~", "%") and in_subscript:
        yield "template-name", f"a subscript that is put together with {token.value}"
    elif token.kind == "other":
        yield "template-broken", f"the sign {token.value!r} is not known"


def _name_facts(name: str, before: str, after: str, macros: set[str]) -> Iterator[tuple[str, str]]:
    if name.startswith("_") and (before == "." or name.startswith("__")):
        yield "template-escape", f"reaches for {name[:60]}"
    elif name in ESCAPES:
        yield "template-escape", f"reaches for {name}"
    elif before == "|" and name not in FILTERS:
        yield "template-name", f"the filter {name[:60]}"
    elif before == ".":
        if after == "(" and name not in METHODS and name not in macros:
            yield "template-name", f"calls the method {name[:60]}"
    elif name in SUSPECTS and after != "=" and before != "|":
        yield "template-name", f"the name {name[:60]}"
    elif (
        after == "("
        and before not in ("|", "is", "not")
        and name not in CALLABLE
        and name not in macros
        and name not in _STATEMENT_WORDS
    ):
        yield "template-name", f"calls {name[:60]}"


def _text_facts(text: str, in_subscript: bool, after: str) -> Iterator[tuple[str, str]]:
    word = _DUNDER.fullmatch(text) or re.search(
        r"__(class|globals|init|subclasses|mro|bases?|builtins|import|getattribute|getitem|dict|code|call|self)__", text
    )
    if word and text.strip("_"):
        yield "template-escape", f"the text {text[:60]!r}"
    elif text and not text.strip("_") and (in_subscript or after in ("~", "+", "*")):
        yield "template-escape", "a name is put together with underscores"
    elif "%c" in text:
        yield "template-name", "characters by number"


def _is_subscript(tokens: list[Token], i: int) -> bool:
    return i > 0 and (
        (tokens[i - 1].kind in ("name", "text") and tokens[i - 1].value not in _STATEMENT_WORDS)
        or tokens[i - 1].value in (")", "]")
    )


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            yield Token("other", text[at])
            at += 1
            continue
        at = match.end()
        if match.lastgroup:
            yield Token(match.lastgroup, match[match.lastgroup])
