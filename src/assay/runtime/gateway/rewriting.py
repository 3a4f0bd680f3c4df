"""What the three kinds of streams share: frames in, frames out, and what is counted on the way.

A stream rewriter takes one event of the model's server and gives the events that may go out instead: some none yet, some
more than one, because held text comes out before the event that ends it. What it does not know it scans as the model's words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from assay.core.canonical import Json, parse
from assay.core.errors import AssayError, MalformedInput
from assay.formats.sse import SseEvent
from assay.runtime.firewall.stream import HoldBack
from assay.runtime.gateway.guard import Guard

MAX_CALL_CHARS = 64 << 10
MAX_CALLS = 128
MAX_CHANNELS = 1024


class StreamTooLong(AssayError):
    """An answer went on beyond what the request allowed, so it was cut."""

    code, exit_code = "A-RUNAWAY", 1


@dataclass(frozen=True)
class Usage:
    """Tokens as the model's server counts them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    @classmethod
    def of(cls, value: Json) -> Usage:
        """Reads a `usage` object of any of the APIs."""
        if not isinstance(value, dict):
            return cls()
        given = _count(value, "prompt_tokens", "input_tokens")
        if given is not None:  # Anthropic counts what it keeps of a prompt, or had kept, beside the rest
            given += sum(_count(value, f"cache_{how}_input_tokens") or 0 for how in ("creation", "read"))
        return cls(given, _count(value, "completion_tokens", "output_tokens"))

    def merged(self, newer: Usage) -> Usage:
        """The newer counts where there are any."""
        return Usage(
            self.input_tokens if newer.input_tokens is None else newer.input_tokens,
            self.output_tokens if newer.output_tokens is None else newer.output_tokens,
        )


class Rewriter(Protocol):
    """The state of one stream. `drops_usage` is set where the client did not ask for the counts that the proxy asked for."""

    usage: Usage
    is_ended: bool
    drops_usage: bool

    def event(self, event: SseEvent) -> list[SseEvent]:
        """What goes out for an event that came in."""

    def end(self) -> list[SseEvent]:
        """What is still held when the stream ends without saying so."""


@dataclass
class Call:
    """A call of a tool while its pieces come in."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, piece: str) -> None:
        """One piece more.

        Raises:
            StreamTooLong: the call is larger than anything that is judged whole.
        """
        self.arguments.append(piece)
        self.size += len(piece)
        if self.size > MAX_CALL_CHARS:
            raise StreamTooLong("a tool call is too large", f"at most {MAX_CALL_CHARS} characters are held and judged")

    @property
    def text(self) -> str:
        """All pieces."""
        return "".join(self.arguments)


class Counted:
    """How much text a stream has brought, against a bound in characters; `bytes` are those of its UTF-8."""

    def __init__(self, max_chars: int) -> None:
        self._max = max_chars
        self.chars = self.bytes = 0

    def add(self, text: str) -> None:
        """Counts a piece.

        Raises:
            StreamTooLong: the bound is passed.
        """
        self.chars += len(text)
        self.bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self.chars > self._max:
            raise StreamTooLong("the answer is longer than was asked for", f"it was cut after {self._max} characters",
                                "ask for more tokens, or find out why the model ignores its limit")  # fmt: skip


Key = tuple[str | int, ...]


class Channels:
    """The held-back channels of one stream, by choice and kind of text."""

    def __init__(self, guard: Guard, counted: Counted) -> None:
        self._guard, self._counted = guard, counted
        self._open: dict[Key, HoldBack] = {}

    def feed(self, key: Key, text: str) -> str:
        """What may go out of a channel after `text` came in."""
        self._counted.add(text)
        if key not in self._open:
            if len(self._open) >= MAX_CHANNELS:
                raise MalformedInput("the stream has too many channels", f"at most {MAX_CHANNELS} are held")
            self._open[key] = self._guard.channel()
        return self._open[key].feed(text)

    def end(self, key: Key) -> str:
        """The rest of a channel, which is then closed."""
        channel = self._open.pop(key, None)
        return channel.end() if channel else ""

    def open_keys(self, *begin: str | int) -> list[Key]:
        """The open channels whose keys begin so."""
        return [key for key in self._open if key[: len(begin)] == begin]


def read_event(event: SseEvent) -> dict[str, Json]:
    """The JSON object of an event.

    Raises:
        MalformedInput: there is none.
    """
    value = parse(event.data.encode("utf-8"), what="an event of the stream", max_depth=32)
    if not isinstance(value, dict):
        raise MalformedInput("an event of the stream is no object")
    return value


def _count(value: dict[str, Json], *names: str) -> int | None:
    for name in names:
        found = value.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
    return None
