"""Streams of Anthropic-style messages: events about content blocks.

A block of text or thinking has a channel, whose rest comes out before the event that ends the block. A call of a tool is held
from its start to its stop and then comes out whole.
"""

from __future__ import annotations

import json
from typing import Final

from assay.core.canonical import Json, compact
from assay.core.errors import MalformedInput
from assay.formats.sse import SseEvent
from assay.runtime.gateway.guard import Guard, scanned
from assay.runtime.gateway.messages import ANSWER, ANSWER_BLOCK
from assay.runtime.gateway.provenance import FROM_MODEL, OUTPUT
from assay.runtime.gateway.rewriting import MAX_CALLS, Call, Channels, Counted, Usage, read_event
from assay.runtime.gateway.shapes import WORD, Opaque, Record, Shape

_TEXTS: Final = {"text_delta": "text", "thinking_delta": "thinking"}
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_SHAPES: Final[dict[str, Shape]] = {
    "message_start": Record({"type": WORD, "message": ANSWER}, rest=FROM_MODEL),
    "content_block_start": Record({"type": WORD, "index": WORD, "content_block": ANSWER_BLOCK}, rest=FROM_MODEL),
    "message_delta": Record({
        "type": WORD, "usage": FROM_MODEL, "delta": Record({"stop_reason": WORD, "stop_sequence": OUTPUT}, rest=FROM_MODEL),
    }, rest=FROM_MODEL),
}  # fmt: skip
_STOP: Final = Record({"type": WORD, "index": WORD}, rest=FROM_MODEL)
_SIGNATURE: Final = Record({
    "type": WORD, "index": WORD, "delta": Record({"type": WORD, "signature": Opaque()}),
})  # fmt: skip


class MessagesStream:
    """One stream of events."""

    def __init__(self, guard: Guard, counted: Counted) -> None:
        self._guard, self._counted = guard, counted
        self._channels = Channels(guard, counted)
        self._calls: dict[int, tuple[dict[str, Json], Call]] = {}
        self.usage = Usage()
        self.is_ended = False
        self.drops_usage = False

    def event(self, event: SseEvent) -> list[SseEvent]:
        """The events that may go out."""
        value = read_event(event)
        kind = value.get("type")
        if kind == "content_block_delta":
            return self._delta(value)
        if kind == "content_block_stop":
            scanned(value, _STOP, self._guard)
            return [*self._stopped(_index(value)), _event(value)]
        if kind in ("message_stop", "error"):
            self.is_ended = True
        for holder in (value, value.get("message")):
            if isinstance(holder, dict):
                self.usage = self.usage.merged(Usage.of(holder.get("usage")))
        if kind == "content_block_start":
            return self._started(value)
        scanned(value, _SHAPES.get(str(kind), FROM_MODEL), self._guard)
        return [*(self.end() if self.is_ended else ()), _event(value)]

    def end(self) -> list[SseEvent]:
        """What is held of blocks that were never stopped; a call that is not whole stays inside."""
        return [event for key in self._channels.open_keys() for event in self._rest(key)]

    def _started(self, value: dict[str, Json]) -> list[SseEvent]:
        index, block = _index(value), value.get("content_block")
        if not isinstance(block, dict):
            raise MalformedInput("a content block of the stream is no object")
        if block.get("type") in _CALLS:
            if len(self._calls) >= MAX_CALLS:
                raise MalformedInput("the stream has too many tool calls", f"at most {MAX_CALLS} are held")
            name = block.get("name")
            self._calls[index] = (value, Call(name if isinstance(name, str) else ""))
            return []
        out = []
        for kind in ("text", "thinking"):  # a block may begin with text already
            if isinstance(block.get(kind), str) and block[kind]:
                text, block[kind] = block[kind], ""
                out = self._text(index, kind, text)
        scanned(value, _SHAPES["content_block_start"], self._guard)
        return [_event(value), *out]

    def _delta(self, value: dict[str, Json]) -> list[SseEvent]:
        index, delta = _index(value), value.get("delta")
        if not isinstance(delta, dict):
            raise MalformedInput("a delta of the stream is no object")
        kind = delta.get("type")
        if isinstance(kind, str) and kind in _TEXTS and isinstance(delta.get(_TEXTS[kind]), str):
            return self._text(index, _TEXTS[kind], delta[_TEXTS[kind]])
        if kind == "input_json_delta" and isinstance(delta.get("partial_json"), str):
            if index not in self._calls:
                raise MalformedInput("the input of a tool call comes before its block")
            self._counted.add(delta["partial_json"])
            self._calls[index][1].add(delta["partial_json"])
            return []
        if kind == "signature_delta":
            scanned(value, _SIGNATURE, self._guard)
            return [*self._rest((index, "thinking")), _event(value)]
        if kind != "citations_delta":
            raise MalformedInput("a piece of the stream cannot be looked into", f"its type is {str(kind)[:60]!r}")
        scanned(value, FROM_MODEL, self._guard)
        return [_event(value)]

    def _text(self, index: int, kind: str, text: str) -> list[SseEvent]:
        said = self._channels.feed((index, kind), text)
        return [_text_event(index, kind, said)] if said else []

    def _rest(self, key: tuple[str | int, ...]) -> list[SseEvent]:
        said = self._channels.end(key)
        return [_text_event(int(key[0]), str(key[1]), said)] if said else []

    def _stopped(self, index: int) -> list[SseEvent]:
        """The rest of a block's text, or the call that it was."""
        out = [event for key in self._channels.open_keys(index) for event in self._rest(key)]
        if index in self._calls:
            start, call = self._calls.pop(index)
            said = self._guard.tool_call(call.name, call.text or json.dumps(start["content_block"].get("input") or {}))
            scanned(start, _SHAPES["content_block_start"], self._guard)
            piece = {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "input_json_delta", "partial_json": said},
            }
            out += [_event(start), *([_event(piece)] if call.text else [])]
        return out


def _text_event(index: int, kind: str, text: str) -> SseEvent:
    return _event({"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", kind: text}})


def _event(value: dict[str, Json]) -> SseEvent:
    return SseEvent(compact(value), _name(value))


def _name(value: dict[str, Json]) -> str:
    kind = value.get("type")
    return kind if isinstance(kind, str) and kind.isidentifier() else "message"


def _index(value: dict[str, Json]) -> int:
    index = value.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise MalformedInput("a content block of the stream has no index")
    return index
