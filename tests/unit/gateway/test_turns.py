"""Pieces of several channels that come in turns: each channel is put together by itself, and no secret comes out in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.test_every_place import (
    BY_NAME,
    KEY,
    RESPONSE,
    STREAMS,
    TEXT,
    answered,
    chunk,
    delta,
    guard,
    streamed,
)

from assay.formats.sse import SseEvent
from assay.runtime.gateway.guard import Blocked
from assay.runtime.gateway.rewriting import Counted


def call(index: int, at: int, piece: str) -> Any:
    return chunk(
        index,
        {"tool_calls": [{"index": at, "id": f"t{at}", "function": {"name": "" if piece else "f", "arguments": piece}}]},
    )


def turns(text: str) -> dict[str, list[Any]]:
    """Streams in which several channels say `text` three characters at a time, each in its turn."""
    pieces = [text[i : i + 3] for i in range(0, len(text), 3)]
    said, quoted = [(piece, json.dumps(piece)[1:-1]) for piece in pieces], '{"a": "'
    text_at = {"item_id": "i", "content_index": 0}
    return {
        "chat": [
            *[call(i, at, start) for i in (0, 1) for at in (0, 1) for start in ("", quoted)],
            *[event for piece, inner in said for i in (0, 1) for event in (
                chunk(i, {"content": piece}), chunk(i, {"reasoning_content": piece, "refusal": piece}), call(i, 0, inner), call(i, 1, inner))],
            *[call(i, at, '"}') for i in (0, 1) for at in (0, 1)], chunk(0, {}, "stop"), chunk(1, {}, "stop"), "[DONE]",
        ],
        "responses": [
            *[{"type": "response.output_item.added", "output_index": at,
               "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f"}} for at in (5, 6)],
            *[event for piece, inner in said for event in (
                *[{"type": f"response.{kind}.delta", **text_at, "output_index": at, "delta": piece} for kind in ("output_text", "refusal") for at in (0, 1)],
                {"type": "response.reasoning_summary_text.delta", **text_at, "output_index": 2, "summary_index": 0, "delta": piece},
                *[{"type": "response.function_call_arguments.delta", "output_index": at, "delta": inner} for at in (5, 6)])],
            *[{"type": "response.output_text.done", **text_at, "output_index": at, "text": text} for at in (0, 1)],
            *[{"type": "response.function_call_arguments.done", "output_index": at, "arguments": json.dumps({"a": text})} for at in (5, 6)],
            {"type": "response.completed", "response": {**RESPONSE, "output": []}},
        ],
        "messages": [
            *[{"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": ""}} for at in (0, 1)],
            {"type": "content_block_start", "index": 2, "content_block": {"type": "thinking", "thinking": ""}},
            *[{"type": "content_block_start", "index": at, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}} for at in (3, 4)],
            *[delta(at, type="input_json_delta", partial_json=quoted) for at in (3, 4)],
            *[event for piece, inner in said for event in (
                delta(0, type="text_delta", text=piece), delta(3, type="input_json_delta", partial_json=inner), delta(2, type="thinking_delta", thinking=piece),
                delta(1, type="text_delta", text=piece), delta(4, type="input_json_delta", partial_json=inner))],
            *[delta(at, type="input_json_delta", partial_json='"}') for at in (3, 4)],
            *[{"type": "content_block_stop", "index": at} for at in range(5)], {"type": "message_stop"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_pieces_of_many_channels_that_take_turns_are_put_together(name: str) -> None:
    api = BY_NAME[name]
    assert api.stream is not None
    for text, count in ((TEXT, 0), ("it is a fine day, so", 2)):
        rewriter, said = api.stream(guard(), Counted(100_000)), dict[tuple[Any, ...], str]()
        for event in turns(text)[name]:
            for out in rewriter.event(SseEvent(event if isinstance(event, str) else json.dumps(event))):
                gathered(json.loads(out.data) if out.data != "[DONE]" else {}, (), said)
        joined = list(said.values())
        assert not any(KEY[at : at + 12] in channel for channel in joined for at in range(len(KEY) - 11))
        assert sum(text in channel for channel in joined) >= count
        assert sum("[ASY-SEC-013]" in channel for channel in joined) >= 2 * (not count)


FREE = "*** Begin Patch\n+ it is {} so\n*** End"


@pytest.mark.parametrize("name", ["chat", "responses"])
def test_a_tool_that_takes_plain_text_is_no_malformed_call(name: str) -> None:
    item = {"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "patch"}
    for said, blocked in ((FREE.format("fine"), False), (FREE.format(KEY), True)):
        if name == "chat":
            call = {"index": 0, "id": "t", "type": "custom", "custom": {"name": "patch", "input": said}}
            events: list[Any] = [chunk(0, {"tool_calls": [call]}), chunk(0, {}, "tool_calls"), "[DONE]"]
            answer: Any = {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [call]}}]}
        else:
            place = {"output_index": 0, "item_id": "i"}
            events = [{"type": "response.output_item.added", **place, "item": item | {"input": ""}},
                      {"type": "response.custom_tool_call_input.delta", **place, "delta": said},
                      {"type": "response.custom_tool_call_input.done", **place, "input": said},
                      {"type": "response.completed", "response": {**RESPONSE, "output": [item | {"input": said}]}}]  # fmt: skip
            answer = {**RESPONSE, "output": [item | {"input": said}]}
        for go, value in ((streamed, events), (answered, answer)):
            try:
                assert json.dumps(said)[1:-1] in go(BY_NAME[name], value) and not blocked
            except Blocked:
                assert blocked


def gathered(value: Any, path: tuple[Any, ...], said: dict[tuple[Any, ...], str]) -> None:
    """Joins the strings of all events by where they stand, told apart by the indices beside them."""
    if isinstance(value, str):
        said[path] = said.get(path, "") + value
    elif isinstance(value, dict):
        place = tuple(value.get(key) for key in ("type", "index", "output_index", "content_index", "summary_index"))
        for key, item in value.items():
            gathered(item, (*path, place, key), said)
    elif isinstance(value, list):
        for item in value:
            gathered(item, path, said)
