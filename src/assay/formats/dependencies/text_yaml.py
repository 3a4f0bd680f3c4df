"""YAML from outside as text, lists and mappings: every scalar stays the text that was written.

Anchors, aliases, tags, duplicate keys and more than 40 levels are refused; the parser is driven event by event, so
nesting costs no stack and nothing is ever constructed by name. Plain `null`, `~` and an empty scalar are None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from assay.core.canonical import Json
from assay.core.errors import MalformedInput

MAX_DEPTH = 40
MAX_NODES = 2_000_000
_UNSOUND = re.compile("[\x00\ud800-\udfff]")
_NULLS = frozenset({"", "null", "Null", "NULL", "~"})


def read_text_yaml(data: bytes, what: str) -> Json:
    """The value of one document; `what` names it in errors.

    Raises:
        MalformedInput: not UTF-8, not YAML, or something that is refused.
    """
    import yaml  # 25 ms, needed by few commands

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # Any: the stubs name no common base of the two
    try:
        text = data.decode("utf-8-sig")
        return _document(yaml.parse(text, Loader=loader), what)
    except UnicodeDecodeError as error:
        raise MalformedInput(f"{what} is not UTF-8", str(error)) from error
    except yaml.YAMLError as error:
        raise MalformedInput(f"{what} is not YAML", str(getattr(error, "problem", None) or error)[:200]) from error


def _document(events: Iterator[Any], what: str) -> Json:
    """Builds the value with a stack of its own: (container, pending key)."""
    top: list[Json] = []
    stack: list[Json] = [top]
    keys: list[str | None] = [None]
    for count, event in enumerate(events):
        name = type(event).__name__
        if count > MAX_NODES or len(stack) > MAX_DEPTH:
            raise MalformedInput(f"{what} is too large or nested too deeply", f"at most {MAX_DEPTH} levels are read")
        if name in ("MappingEndEvent", "SequenceEndEvent"):
            stack.pop()
            keys.pop()
        elif name in ("MappingStartEvent", "SequenceStartEvent", "ScalarEvent"):
            if event.anchor is not None or event.tag is not None:
                raise MalformedInput(f"{what} is refused", "it holds an anchor or a tag")
            _place(event, name, stack, keys, what)
        elif name == "AliasEvent" or (name == "DocumentStartEvent" and top):
            raise MalformedInput(f"{what} is refused", "it holds an alias or a second document")
    if not top:
        raise MalformedInput(f"{what} is empty", "there is no document in it")
    return top[0]


def _place(event: Any, name: str, stack: list[Json], keys: list[str | None], what: str) -> None:
    """Puts a scalar or a new container where it belongs; in a mapping the first scalar of a pair is its key."""
    into = stack[-1]
    if name == "ScalarEvent" and _UNSOUND.search(event.value):
        raise MalformedInput(f"{what} is refused", "a text holds a lone surrogate or a NUL")
    if isinstance(into, dict) and keys[-1] is None:
        if name != "ScalarEvent":
            raise MalformedInput(f"{what} is refused", "a key is no text")
        if event.value in into:
            raise MalformedInput(f"{what} is refused", f"the key {event.value[:60]!r} stands twice")
        keys[-1] = event.value
        return
    value: Json = {} if name == "MappingStartEvent" else [] if name == "SequenceStartEvent" else _scalar(event)
    if isinstance(into, dict):
        into[keys[-1]] = value
        keys[-1] = None
    else:
        into.append(value)
    if name != "ScalarEvent":
        stack.append(value)
        keys.append(None)


def _scalar(event: Any) -> str | None:
    text: str = event.value
    return None if event.implicit[0] and text in _NULLS else text
