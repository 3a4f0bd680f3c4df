"""Streams of the Responses API: named events, of which `….delta` brings a piece and `….done` repeats the whole.

The rest of a channel comes out before its `.done`, whose text is what the channel gave. Items and the finished response repeat
everything once more; there the same texts are redacted alike. Calls of tools are held from `output_item.added` until their
arguments are complete.
"""

from __future__ import annotations

from typing import Final

from assay.core.canonical import Json, compact
from assay.core.errors import MalformedInput
from assay.formats.sse import SseEvent
from assay.runtime.gateway.guard import Guard, scanned
from assay.runtime.gateway.provenance import FROM_MODEL
from assay.runtime.gateway.response_items import redact_item, redact_part, redact_response
from assay.runtime.gateway.rewriting import MAX_CALLS, Call, Channels, Counted, Key, Usage, read_event
from assay.runtime.gateway.shapes import Record, body_of, words

TEXTS: Final = {
    "response.output_text": "text", "response.refusal": "refusal", "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text", "response.code_interpreter_call_code": "code",
    "response.shell_call_command": "command",
}  # fmt: skip
CALLS: Final = {
    "response.function_call_arguments": "arguments", "response.custom_tool_call_input": "input",
    "response.mcp_call_arguments": "arguments",
}  # fmt: skip
CALL_ITEMS: Final = ("function_call", "custom_tool_call", "mcp_call")
_REST: Final = Record(
    words("type sequence_number item_id output_index content_index summary_index annotation_index"),
    rest=FROM_MODEL,
)
_PLACE: Final = Record(words("type item_id output_index content_index summary_index command_index sequence_number"))
_HELD: Final = ("item", "response", "part")  # objects that are redacted by themselves
_ENDINGS: Final = ("response.completed", "response.failed", "response.incomplete", "error")
_CLOSED: Final = ("response.audio.", "response.image_generation_call.partial_image")


class ResponsesStream:
    """One stream of events."""

    def __init__(self, guard: Guard, counted: Counted) -> None:
        self._guard, self._counted = guard, counted
        self._channels = Channels(guard, counted)
        self._last: dict[Key, dict[str, Json]] = {}
        self._calls: dict[int, tuple[dict[str, Json], Call]] = {}
        self._number = 0
        self.usage = Usage()
        self.is_ended = False
        self.drops_usage = False

    def event(self, event: SseEvent) -> list[SseEvent]:
        """The events that may go out."""
        return [self._numbered(value) for value in self._rewritten(read_event(event))]

    def end(self) -> list[SseEvent]:
        """What is held of texts that were never done; a call that is not whole stays inside."""
        return [self._numbered(value) for key in self._channels.open_keys() for value in self._rest(key)]

    def _rewritten(self, value: dict[str, Json]) -> list[dict[str, Json]]:
        kind = value.get("type")
        if not isinstance(kind, str) or kind.startswith(_CLOSED):
            raise MalformedInput("an event of the stream cannot be looked into", f"its type is {str(kind)[:60]!r}")
        value.pop("obfuscation", None)
        if "logprobs" in value:
            value["logprobs"] = []
        family, _, step = kind.rpartition(".")
        if step == "delta":
            return self._piece(family, value)
        if step == "done" and family in TEXTS:
            return self._text_done(family, value)
        if step == "done" and family in CALLS:
            return self._call_done(family, value)
        return self._whole(kind, value)

    def _piece(self, family: str, value: dict[str, Json]) -> list[dict[str, Json]]:
        text = value.get("delta")
        if not isinstance(text, str):
            raise MalformedInput("a piece of the stream cannot be looked into", f"it is a {type(text).__name__}")
        if family in CALLS:
            self._counted.add(text)
            self._call(value)[1].add(text)
            return []
        key = _key(family, value)
        self._last[key] = place = {member: value[member] for member in _PLACE.fields if member in value}
        body_of(place, _PLACE)  # raises where a place is none
        if "logprobs" in value:
            place["logprobs"] = []
        said = self._channels.feed(key, text)
        return [{**self._last[key], "delta": said}] if said else []

    def _text_done(self, family: str, value: dict[str, Json]) -> list[dict[str, Json]]:
        out, member = self._rest(_key(family, value)), TEXTS[family]
        text = value.pop(member, None)
        if not isinstance(text, str):
            raise MalformedInput("the end of a text of the stream has no text")
        scanned(value, _REST, self._guard)
        return [*out, {**value, member: self._guard.output(text)}]

    def _call_done(self, family: str, value: dict[str, Json]) -> list[dict[str, Json]]:
        """The whole call: the item that was held, one piece with all arguments, and the event itself."""
        added, call = self._call(value)
        member = CALLS[family]
        said = value.pop(member, None)
        name = value.get("name", call.name)
        judge = self._guard.free_call if member == "input" else self._guard.tool_call
        whole = judge(name if isinstance(name, str) else "", said if isinstance(said, str) else call.text)
        del self._calls[_whole_number(value, "output_index")]
        scanned(value, _REST, self._guard)
        value[member] = whole
        piece = {key: value[key] for key in ("item_id", "output_index") if key in value}
        if added:
            added = self._redacted(added)
        return [*([added] if added else []), {"type": f"{family}.delta", **piece, "delta": whole}, value]

    def _whole(self, kind: str, value: dict[str, Json]) -> list[dict[str, Json]]:
        """An event that repeats or announces: its texts are redacted as their channels were."""
        out: list[dict[str, Json]] = []
        item, response = value.get("item"), value.get("response")
        if kind == "response.output_item.added" and isinstance(item, dict) and item.get("type") in CALL_ITEMS:
            added, call = self._call(value)
            added |= value
            call.name = item["name"] if isinstance(item.get("name"), str) else ""
            return []
        if kind in _ENDINGS:
            self.is_ended = True
            out = [rest for key in self._channels.open_keys() for rest in self._rest(key)]
        if isinstance(response, dict):
            self.usage = self.usage.merged(Usage.of(response.get("usage")))
        return [*out, self._redacted(value)]

    def _redacted(self, value: dict[str, Json]) -> dict[str, Json]:
        for held, redact in zip(_HELD, (redact_item, redact_response, redact_part), strict=True):
            if value.get(held) is None:
                continue
            if not isinstance(value[held], dict):
                raise MalformedInput(f"an event of the stream has a {held} that is no object")
            redact(value[held], self._guard)
        rest = {key: found for key, found in value.items() if key not in _HELD}
        scanned(rest, _REST, self._guard)
        return value | rest

    def _call(self, value: dict[str, Json]) -> tuple[dict[str, Json], Call]:
        at = _whole_number(value, "output_index")
        if at not in self._calls:
            if len(self._calls) >= MAX_CALLS:
                raise MalformedInput("the stream has too many tool calls", f"at most {MAX_CALLS} are held")
            self._calls[at] = ({}, Call())
        return self._calls[at]

    def _rest(self, key: Key) -> list[dict[str, Json]]:
        said, last = self._channels.end(key), self._last.pop(key, None)
        return [{**last, "delta": said}] if said and last else []

    def _numbered(self, value: dict[str, Json]) -> SseEvent:
        """Events that were held or added would break the count, so it is done anew."""
        if "sequence_number" in value or self._number:
            value["sequence_number"] = self._number
        self._number += 1
        return SseEvent(compact(value), _name(value))


def _name(value: dict[str, Json]) -> str:
    kind = str(value.get("type"))
    return kind if kind.replace(".", "").isidentifier() else "message"


def _key(family: str, value: dict[str, Json]) -> Key:
    places = [value.get(name, 0) for name in ("output_index", "content_index", "summary_index", "command_index")]
    if not all(isinstance(place, int) for place in places):
        raise MalformedInput("an event of the stream does not say where its text belongs")
    return (family, *places)


def _whole_number(value: dict[str, Json], member: str) -> int:
    found = value.get(member)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise MalformedInput(f"an event of the stream has no {member}")
    return found
