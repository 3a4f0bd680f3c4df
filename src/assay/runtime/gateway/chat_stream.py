"""Streams of chat completions: chunks whose choices carry deltas.

Each choice has a channel for each text in its deltas, whatever it is called. Calls of tools are held until their choice is
finished and then come out in one chunk. Log probabilities spell the answer a second time, so they are taken out of streams;
so is whatever else could carry a text in pieces that nobody would put together.
"""

from __future__ import annotations

from typing import Final

from assay.core.canonical import Json, compact
from assay.core.errors import MalformedInput
from assay.formats.sse import SseEvent
from assay.runtime.gateway.guard import Guard, scanned
from assay.runtime.gateway.provenance import FROM_MODEL, OUTPUT
from assay.runtime.gateway.rewriting import MAX_CALLS, Call, Channels, Counted, Usage, read_event
from assay.runtime.gateway.shapes import WORD, Items, Record, is_name, words

DONE: Final = "[DONE]"
_MEMBERS: Final = frozenset("id object created model system_fingerprint service_tier usage choices".split())  # noqa: SIM905 - one line
_OLD_CALL: Final = -1  # the index of `function_call`, which was there before there were several calls

_HEAD: Final = Record({"id": WORD, "type": WORD, "name": OUTPUT})
_CHUNK: Final = Record({
    **words("id object created model system_fingerprint service_tier"), "usage": FROM_MODEL,
    "choices": Items(Record({"index": WORD, "finish_reason": WORD, "delta": Record({"role": WORD}, rest=FROM_MODEL)}, rest=FROM_MODEL)),
}, rest=FROM_MODEL)  # fmt: skip


class ChatStream:
    """One stream of chunks."""

    def __init__(self, guard: Guard, counted: Counted) -> None:
        self._guard, self._counted = guard, counted
        self._channels = Channels(guard, counted)
        self._calls: dict[int, dict[int, tuple[dict[str, Json], Call]]] = {}
        self._envelope: dict[str, Json] = {}
        self.usage = Usage()
        self.is_ended = False
        self.drops_usage = False

    def event(self, event: SseEvent) -> list[SseEvent]:
        """The chunks that may go out."""
        if event.data.strip() == DONE:
            self.is_ended = True
            return [*self._all_finished(), SseEvent(DONE)]
        chunk = read_event(event)
        self.usage = self.usage.merged(Usage.of(chunk.get("usage")))
        if "error" in chunk:
            self.is_ended = True
            scanned(chunk, FROM_MODEL, self._guard)
            return [*self.end(), _event(chunk)]
        chunk = {key: value for key, value in chunk.items() if key in _MEMBERS}
        choices = chunk.get("choices")
        if choices is None:
            chunk["choices"] = choices = []
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise MalformedInput("a chunk of the stream has no list of choices")
        texts = [self._taken(choice) for choice in choices]
        scanned(chunk, _CHUNK, self._guard)
        self._envelope = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
        out: list[SseEvent] = []
        for choice, said in zip(choices, texts, strict=True):
            if choice.get("finish_reason") is None:
                choice["delta"] |= said
                continue
            out += [self._chunk(_index(choice), said)] if said else []
            out += self._finished(_index(choice))
        chunk["choices"] = [choice for choice in choices if choice["delta"] or choice.get("finish_reason") is not None]
        is_usage_alone = not choices and chunk.get("usage") is not None
        if self.drops_usage:
            chunk.pop("usage", None)
        if chunk["choices"] or (not choices and not (is_usage_alone and self.drops_usage)):
            out.append(_event(chunk))
        return out

    def end(self) -> list[SseEvent]:
        """What is held of texts that were never finished; a call that is not whole stays inside."""
        self._calls.clear()
        return self._all_finished()

    def _all_finished(self) -> list[SseEvent]:
        choices = {int(key[0]) for key in self._channels.open_keys()} | set(self._calls)
        return [event for index in sorted(choices) for event in self._finished(index)]

    def _taken(self, choice: dict[str, Json]) -> dict[str, Json]:
        """Takes text and calls out of a choice's delta; gives the text that may go out already."""
        index = _index(choice)
        delta = choice.get("delta")
        choice["delta"] = delta = {} if delta is None else delta
        for member in [member for member in choice if member not in ("index", "finish_reason", "delta")]:
            del choice[member]
        if not isinstance(delta, dict):
            raise MalformedInput("a choice of the stream has no delta")
        for piece in _list(delta.pop("tool_calls", None)):
            self._hold(index, piece)
        if (old := delta.pop("function_call", None)) is not None:
            self._hold(index, {"index": _OLD_CALL, "function": old})
        said: dict[str, Json] = {}
        for kind in [kind for kind in delta if kind != "role"]:
            text = delta.pop(kind)
            if not is_name(kind):
                raise MalformedInput("a delta of the stream has a member whose name is none")
            if isinstance(text, str):
                released = self._channels.feed((index, kind), text)
                if released or (not text and "role" in delta):
                    said[kind] = released
        return said

    def _hold(self, choice: int, piece: Json) -> None:
        """One piece of a call of a tool."""
        at = piece.get("index", 0) if isinstance(piece, dict) else None
        if not isinstance(at, int):
            raise MalformedInput("a tool call of the stream has no index")
        calls = self._calls.setdefault(choice, {})
        if at not in calls and len(calls) >= MAX_CALLS:
            raise MalformedInput("the stream has too many tool calls", f"at most {MAX_CALLS} are held")
        head, call = calls.setdefault(at, ({}, Call()))
        for key in ("id", "type"):
            if isinstance(piece.get(key), str):
                head[key] = piece[key]
        inner = piece.get("function") or piece.get("custom") or {}
        if not isinstance(inner, dict):
            raise MalformedInput("a tool call of the stream is no object")
        if piece.get("custom") is not None:
            head["type"] = "custom"
        name, said = inner.get("name"), inner.get("arguments", inner.get("input"))
        call.name += name if isinstance(name, str) else ""
        if isinstance(said, str):
            self._counted.add(said)
            call.add(said)

    def _finished(self, index: int) -> list[SseEvent]:
        """What is held of one choice: text first, then its calls."""
        said = {str(key[1]): text for key in self._channels.open_keys(index) if (text := self._channels.end(key))}
        out = [self._chunk(index, said)] if said else []
        calls = [self._judged(at, head, call) for at, (head, call) in sorted(self._calls.pop(index, {}).items())]
        new = [call for call in calls if call["index"] != _OLD_CALL]
        out += [self._chunk(index, {"tool_calls": new})] if new else []
        out += [self._chunk(index, {"function_call": call["function"]}) for call in calls if call["index"] == _OLD_CALL]
        return out

    def _judged(self, at: int, head: dict[str, Json], call: Call) -> dict[str, Json]:
        said: dict[str, Json] = {**head, "name": call.name}
        scanned(said, _HEAD, self._guard)
        name = said["name"]
        if head.get("type") == "custom":
            return {"index": at, **head, "custom": {"name": name, "input": self._guard.free_call(call.name, call.text)}}
        arguments = self._guard.tool_call(call.name, call.text)
        return {"index": at, **head, "function": {"name": name, "arguments": arguments}}

    def _chunk(self, index: int, delta: dict[str, Json]) -> SseEvent:
        return _event({**self._envelope, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})


def _event(value: Json) -> SseEvent:
    return SseEvent(compact(value))


def _index(choice: dict[str, Json]) -> int:
    index = choice.get("index", 0)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise MalformedInput("a choice of the stream has no index")
    return index


def _list(value: Json) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedInput("the tool calls of the stream are no list")
    return value
