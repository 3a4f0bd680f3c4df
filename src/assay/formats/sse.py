"""Server-sent events from hostile bytes, and back.

    bytes ─► lines (CRLF, LF or CR, split anywhere) ─► fields ─► one event at each empty line

Two departures from the standard, both because model servers need them: an event that the stream ends in is still an event,
though no empty line follows it, and bytes that are no UTF-8 are an error instead of replacement characters, since a text
that was changed on the way is not the text that was scanned.
Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream", 2024.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.errors import MalformedInput

MAX_EVENT_BYTES = 1 << 20
_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event. `name` is empty where the stream gave none; a comment is an event without data."""

    data: str
    name: str = ""
    is_comment: bool = False


class SseReader:
    """Takes chunks as they come, yields events as they are complete."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._rest = b""
        self._size = 0
        self._name = ""
        self._data: list[str] = []
        self._is_first = True

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """The events that `chunk` completes.

        Raises:
            MalformedInput: an event is larger than the bound, or no UTF-8.
        """
        text = self._rest + chunk
        start = 0
        for found in _BREAK.finditer(text):
            if found.end() == len(text) and found[0] == b"\r":
                break  # the line feed of this pair may stand in the next chunk
            yield from self._line(text[start : found.start()])
            start = found.end()
        self._rest = text[start:]
        self._bound(len(self._rest))

    def end(self) -> Iterator[SseEvent]:
        """The event that the stream ended in, if there is one."""
        rest, self._rest = self._rest, b""
        yield from self._line(rest.removesuffix(b"\r"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[SseEvent]:
        self._size += len(line) + 1
        self._bound(0)
        if self._is_first:
            line, self._is_first = line.removeprefix(_BOM), False
        if not line:
            yield from self._dispatch()
            return
        name, _, value = _decoded(line).partition(":")
        value = value.removeprefix(" ")
        if not name:
            yield SseEvent("", is_comment=True)
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value

    def _dispatch(self) -> Iterator[SseEvent]:
        data, name = self._data, self._name
        self._data, self._name, self._size = [], "", 0
        if data:
            yield SseEvent("\n".join(data), name)

    def _bound(self, waiting: int) -> None:
        if self._size + waiting > self._max:
            raise MalformedInput("an event of the stream is too large", f"at most {self._max} bytes are read")


def sse_frame(data: str, name: str = "") -> bytes:
    """The bytes of one event; line breaks in `data` become lines of their own."""
    head = f"event: {name}\n" if name else ""
    body = "".join(f"data: {line}\n" for line in _LINES.split(data)) if not data.isprintable() else f"data: {data}\n"
    return f"{head}{body}\n".encode()


_LINES = re.compile("\r\n|\n|\r")


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput("the stream is not UTF-8", str(error)) from error
