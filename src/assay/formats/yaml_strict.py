"""YAML that says one clear thing: the part that JSON could say too, with the line of every value kept.

Policies and project files are read by people in review, so whatever two readers could take differently is refused:
anchors, aliases, tags, merge keys, duplicate keys, directives, several documents, keys that are no text. Scalars follow
the core schema of YAML 1.2, so `no`, `on` and `12:30` are text. Bounded: 256 KiB, 20 levels, integers within 2^53.
Source: YAML 1.2.2 (2021), section 10.3.2, tag resolution of the core schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from assay.core.canonical import MAX_INTEGER, Json
from assay.core.errors import UsageError

MAX_BYTES = 256 << 10
MAX_DEPTH = 20
Path = tuple[str | int, ...]

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, from libyaml where it is built in


@dataclass(frozen=True)
class Located:
    """A value and the line, from 1, on which each part of it starts; () is the whole."""

    value: Json
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest part around it that is there."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def load_yaml(data: bytes, what: str) -> Json:
    """The value of one strict YAML document; `what` names it in errors.

    Raises:
        UsageError: names the line and what is refused there.
    """
    return load_located(data, what).value


def load_located(data: bytes, what: str) -> Located:
    """As `load_yaml`, with the line of every value.

    Raises:
        UsageError: names the line and what is refused there.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"{what} is too large", f"{len(data)} bytes, at most {MAX_BYTES} are read")
    try:
        reader = _Reader(what, yaml.parse(data.decode("utf-8"), Loader=_LOADER))
        return reader.document()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is not UTF-8", str(error)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{what}, line {mark.line + 1}" if mark else what
        raise UsageError(f"{place}: not YAML", str(getattr(error, "problem", None) or error)) from error


class _Reader:
    """Turns parser events into a value; one use."""

    def __init__(self, what: str, events: Iterator[Any]) -> None:
        self.what, self.events = what, events
        self.lines: dict[Path, int] = {}

    def document(self) -> Located:
        next(self.events)  # the start of the stream
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise UsageError(f"{self.what} is empty", "there is no document in it")
        if start.version or start.tags:
            raise self.refusal(start, "a % directive")
        value = self.value(next(self.events), ())
        next(self.events)  # the end of the document
        if not isinstance(end := next(self.events), yaml.StreamEndEvent):
            raise self.refusal(end, "a second document")
        return Located(value, self.lines)

    def value(self, event: Any, path: Path) -> Json:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self.refusal(event, "an anchor or alias", "write the value out where it is used")
        if event.tag is not None:
            raise self.refusal(event, f"the tag {event.tag[:40]!r}", "leave the tag out")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        if len(path) >= MAX_DEPTH:
            raise self.refusal(event, f"more than {MAX_DEPTH} levels")
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)

    def mapping(self, path: Path) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.value(event, (*path, "")) if isinstance(event, yaml.ScalarEvent) else None
            self.lines.pop((*path, ""), None)
            if not isinstance(key, str) or (key == "<<" and event.implicit[0]):
                raise self.refusal(event, "a key that is no plain text", "put quotes around it")
            if key in found:
                raise self.refusal(event, f"the key {key[:60]!r} a second time", "keep one of the two")
            self.lines[(*path, key)] = event.start_mark.line + 1
            found[key] = self.value(next(self.events), (*path, key))
        return found

    def sequence(self, path: Path) -> list[Json]:
        found: list[Json] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            found.append(self.value(event, (*path, len(found))))
        return found

    def scalar(self, event: Any) -> Json:
        text: str = event.value
        if _SURROGATE.search(text):
            raise self.refusal(event, "a lone surrogate")
        if not event.implicit[0]:  # in quotes or a block
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            return self.number(event, text)
        if _NOT_A_NUMBER.fullmatch(text):
            raise self.refusal(event, f"{text}", "write a finite number, or put quotes around it")
        return text

    def number(self, event: Any, text: str) -> int | float:
        if len(text) > 64:
            raise self.refusal(event, f"a number of {len(text)} digits")
        number: int | float = _whole(text) if _INT.fullmatch(text) else float(text)
        if not math.isfinite(number) or (isinstance(number, int) and abs(number) > MAX_INTEGER):
            raise self.refusal(event, f"{text[:40]} is out of range", "numbers keep within 2^53; put quotes around ids")
        return number

    def refusal(self, event: Any, found: str, fix: str = "") -> UsageError:
        line = event.start_mark.line + 1
        return UsageError(f"{self.what}, line {line}: {found} is refused", "the document must read one way only", fix)


def _whole(text: str) -> int:
    return int(text, 8 if text.startswith("0o") else 16) if text[:2] in ("0o", "0x") else int(text)
