"""Links in text as a browser or a chat window would follow them: markdown, HTML, autolinks and bare addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from assay.formats.text.patterns import Pattern, PatternSet, utf8

MAX_LINKS = 2000
_URL = r"(?:[A-Za-z][A-Za-z0-9+.-]{1,20}:|[/\\]{2})[^\s<>\"'`)\]]+"
_TAGS = "img|image|iframe|script|link|video|audio|source|embed|object|input|body|svg|use|form|base|meta"
_ATTRIBUTES = "src|srcset|href|data|poster|background|action|content|xlink:href"
_SHAPES: tuple[tuple[str, bool, str], ...] = (
    ("image", True, rf"!\[[^\]]*\]\(\s{{0,9}}<?({_URL})"),
    ("link", False, rf"\]\(\s{{0,9}}<?({_URL})"),
    ("reference", True, rf"(?m)^\s{{0,3}}\[[^\]]{{1,100}}\]:\s{{0,9}}<?({_URL})"),
    ("autolink", False, rf"<({_URL})>"),
    ("resource", True, rf"(?i)<(?:{_TAGS})\b[^>]*?\b(?:{_ATTRIBUTES})\s{{0,3}}=\s{{0,3}}[\"']?(?:\d{{1,3}};\s{{0,3}}url=)?({_URL})"),
    ("css", True, rf"(?i)(?:\burl\(\s{{0,3}}[\"']?|@import\s{{1,3}}[\"'])({_URL})"),
    ("anchor", False, rf"(?i)<a\b[^>]*?\bhref\s{{0,3}}=\s{{0,3}}[\"']?({_URL})"),
    ("address", False, r"(?i)\b((?:https?|wss?|ftp)://[^\s<>\"'`)\]]+)"),
)  # fmt: skip
_GATE = PatternSet([("link", r"://|[\]\s\"'=(]\(?[/\\]{2}[A-Za-z0-9]|(?i:\b(?:javascript|data|vbscript):)")])
_PATTERNS = [(kind, is_loaded, Pattern(pattern)) for kind, is_loaded, pattern in _SHAPES]
_PLACEHOLDER = re.compile(
    r"\{[^}]{0,80}\}|\[[A-Z_ ]{3,40}\]?|<[A-Za-z_ ]{3,40}>?|%7[Bb]|\$\(|\bYOUR_|\bDATA\b|\bSECRET\b"
)
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{24,}|(?:%[0-9A-Fa-f]{2}){6,}|[0-9A-Fa-f]{24,}")


@dataclass(frozen=True, slots=True)
class Link:
    """An address at `start` to `end`. `is_loaded` says that showing the text already fetches it, without a click."""

    kind: str
    is_loaded: bool
    start: int
    end: int
    url: SplitResult

    @property
    def host(self) -> str:
        """The host that a browser would ask, in lower case; "" for schemes without one."""
        return (self.url.hostname or "").rstrip(".").lower()

    @property
    def is_active(self) -> bool:
        """Whether following it runs a script."""
        return self.url.scheme in ("javascript", "vbscript") or (
            self.url.scheme == "data" and "html" in self.url.path[:40]
        )

    @property
    def carries_data(self) -> bool:
        """Whether query, path or host name have room for what was said: long or encoded values, or a slot to be filled."""
        path = self.url.path
        values = [part.partition("=")[2] or part for part in re.split(r"[&;]", self.url.query) if part]
        labels = self.host.split(".")
        if any(len(unquote(value)) >= 32 or _ENCODED.search(value) for value in (*values, self.url.fragment)):
            return True
        is_slot = _PLACEHOLDER.search(self.url.query) or _PLACEHOLDER.search(path)
        return (
            bool(is_slot) or any(len(label) > 40 for label in labels) or any(_is_blob(part) for part in path.split("/"))
        )


def links_in(text: str) -> list[Link]:
    """Every link in order, at most `MAX_LINKS` + 1; an address is told once, by the first shape that holds it."""
    if not _GATE.found_in(utf8(text)):
        return []
    found: dict[int, Link] = {}
    for link in _links(text):
        found.setdefault(link.start, link)
        if len(found) > MAX_LINKS:
            break
    return sorted(found.values(), key=lambda link: link.start)


def _links(text: str) -> Iterator[Link]:
    for kind, is_loaded, pattern in _PATTERNS:
        for span in pattern.spans(text):
            url = _split(span.text)
            if url is not None:
                yield Link(kind, is_loaded, span.start, span.end, url)


def _split(address: str) -> SplitResult | None:
    """Parts as a browser sees them: backslashes are slashes, tabs and line ends do not count."""
    try:
        plain = re.sub(r"[\t\r\n]", "", address)
        scheme = plain.partition(":")[0].lower()
        url = urlsplit(plain if scheme in ("javascript", "data", "vbscript") else plain.replace("\\", "/"))
        _ = url.hostname
        return url
    except ValueError:
        return None


def _is_blob(part: str) -> bool:
    """A long piece of a path that is no word: digits and letters mixed."""
    return len(part) >= 40 and bool(re.search(r"\d", part)) and not re.search(r"[-_.]\w+[-_.]\w+[-_.]", part)


def is_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Whether `host` is one of `allowed`; `*.example.com` stands for every host below example.com."""
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in allowed)
