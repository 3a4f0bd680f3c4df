"""A secret put into any place of any body, as a value or as a name, is redacted or refused: no place goes through unread."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.surface_proxy.servers import firewall_of_tests
from tests.surface_proxy.test_clients import KEY

from assay.core.errors import AssayError
from assay.formats.sse import SseEvent
from assay.runtime.gateway.apis import APIS, Api, context_of
from assay.runtime.gateway.guard import Guard
from assay.runtime.gateway.rewriting import Counted
from assay.runtime.gateway.shapes import body_of

FIREWALL = firewall_of_tests()
BY_NAME = {api.name: api for api in APIS}
TEXT = f"it is {KEY}, so"
EVERYTHING = frozenset({"image", "audio", "file", "hosted_tools", "stored_state", "token_ids", "annotations"})

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REQUESTS: dict[str, Any] = {
    "chat": {
        "model": "m", "n": 1, "stream": False, "temperature": 0.5, "user": "u", "safety_identifier": "s", "metadata": {"a": "b"}, "stop": ["x", "y"],
        "prompt_cache_key": "k", "seed": 1, "service_tier": "auto", "logit_bias": {"5": 1}, "reasoning_effort": "low", "modalities": ["text"],
        "messages": [
            {"role": "system", "content": "a", "name": "n"}, {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "refusal", "refusal": "d"}]},
            {"role": "assistant", "content": "e", "refusal": "f", "reasoning_content": "g", "reasoning": "h", "tool_calls": [CALL],
             "function_call": {"name": "i", "arguments": "{}"}},
            {"role": "assistant", "tool_calls": [{"id": "d", "type": "custom", "custom": {"name": "c", "input": "j"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "k"}, {"role": "function", "name": "l", "content": "m"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"p": {"enum": ["q"]}}}}},
                  {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "definition": "g"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "functions": [{"name": "f", "description": "d", "parameters": {"x": "y"}}],
        "function_call": {"name": "f"}, "prediction": {"type": "content", "content": "p"}, "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "description": "d", "schema": {"title": "t"}}}, "moderation": {"x": "y"},
    },
    "responses": {
        "model": "m", "instructions": "i", "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "include": ["x"],
        "input": [
            {"role": "user", "content": "a"}, {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
            {"type": "message", "id": "m", "role": "assistant", "content": [
                {"type": "output_text", "text": "c", "annotations": [{"type": "url_citation", "title": "t", "url": "u"}], "logprobs": None},
                {"type": "refusal", "refusal": "d"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "e"}], "content": [{"type": "reasoning_text", "text": "f"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "g"},
            {"type": "function_call_output", "call_id": "c", "output": "h"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "i"}]},
            {"type": "local_shell_call_output", "id": "x", "output": "j"},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"title": "t"}}, {"type": "custom", "name": "c", "format": {"x": "y"}}],
        "tool_choice": {"type": "function", "name": "f"}, "text": {"format": {"type": "json_schema", "name": "n", "schema": {"title": "t"}}},
        "reasoning": {"effort": "low"}, "moderation": {"x": "y"},
    },
    "messages": {
        "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}], "metadata": {"user_id": "u"}, "stop_sequences": ["x"],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "a"},
                {"type": "document", "title": "t", "context": "c", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "e"}]}},
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "f"}]},
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "g"},
                {"type": "document", "source": {"type": "text", "data": "h"}}]}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "i", "signature": "AAAA"}, {"type": "redacted_thinking", "data": "AAAA"},
                {"type": "text", "text": "j", "citations": [{"type": "x", "cited_text": "k"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["b"]}}]},
            {"role": "user", "content": "l"},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"title": "t"}, "input_examples": [{"a": "b"}]}], "tool_choice": {"type": "auto"},
        "output_config": {"format": {"type": "json_schema", "schema": {"title": "t"}}}, "thinking": {"type": "enabled", "budget_tokens": 5},
    },
    "embeddings": {"model": "m", "input": ["a", "b"], "user": "u", "encoding_format": "float"},
}  # fmt: skip

LOGPROBS = {
    "content": [
        {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": None}]}
    ],
    "refusal": None,
}
PART = {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "title": "t"}], "logprobs": []}
RESPONSE = {
    "id": "r", "object": "response", "model": "m", "status": "completed", "instructions": "i", "metadata": {"a": "b"}, "error": {"message": "e"},
    "output": [{"type": "message", "id": "m", "role": "assistant", "content": [PART, {"type": "refusal", "refusal": "b"}]},
               {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "c"}]},
               {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"},
               {"type": "custom_tool_call", "id": "f", "call_id": "c", "name": "g", "input": "{}"},
                {"type": "web_search_call", "id": "w", "action": {"query": "q"}}],
    "tools": [{"type": "function", "name": "f", "description": "d"}], "usage": {"input_tokens": 1, "output_tokens": 1}, "text": {"format": {"type": "text"}},
}  # fmt: skip
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": "s", "usage": {"input_tokens": 1},
    "content": [{"type": "text", "text": "a", "citations": [{"cited_text": "b"}]}, {"type": "thinking", "thinking": "c", "signature": "AAAA"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["b"]}}, {"type": "web_search_tool_result", "content": [{"title": "d"}]}],
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "chat": {"id": "c", "object": "o", "created": 1, "model": "m", "usage": {"prompt_tokens": 1, "x": {"y": 1}}, "prompt_filter_results": [{"a": "b"}],
                "choices": [
        {"index": 0, "finish_reason": "stop", "logprobs": LOGPROBS, "content_filter_results": {"a": {"b": "c"}}, "message": {
            "role": "assistant", "content": "a", "refusal": "b", "reasoning_content": "c", "reasoning": "d", "tool_calls": [CALL], "parsed": {"x": "y"},
            "function_call": {"name": "f", "arguments": "{}"}, "annotations": [{"type": "u", "url_citation": {"title": "t", "url": "u"}}]}},

                {"index": 1, "finish_reason": None, "message": {"role": "assistant", "content": "a", "tool_calls": [
            {"id": "d", "type": "custom", "custom": {"name": "n", "input": "{}"}}]}}]},
    "responses": RESPONSE,
    "messages": MESSAGE,
    "embeddings": {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5], "x": "y"}],
                "usage": {"prompt_tokens": 1}, "x": "y"},
}  # fmt: skip


def chunk(index: int, delta: Any, finish: str | None = None) -> Any:
    return {
        "id": "c",
        "object": "o",
        "model": "m",
        "x": "y",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": LOGPROBS}],
    }


def delta(index: int, **said: Any) -> Any:
    return {"type": "content_block_delta", "index": index, "delta": said}


PLACE = {"item_id": "i", "output_index": 0, "content_index": 0}
STREAMS: dict[str, list[Any]] = {
    "chat": [
        chunk(0, {"role": "assistant", "content": "a"}), chunk(1, {"content": "b", "refusal": "c", "reasoning_content": "d", "reasoning": "e"}),
        chunk(0, {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}], "audio": {"transcript": "g"}}),
        chunk(1, {"function_call": {"name": "f", "arguments": "{}"}, "annotations": [{"title": "t"}]}), chunk(0, {}, "stop"), chunk(1, {}, "stop"),
        {"id": "c", "object": "o", "model": "m", "choices": [], "usage": {"prompt_tokens": 1}}, "[DONE]",
    ],
    "responses": [
        {"type": "response.created", "response": {**RESPONSE, "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "i", "role": "assistant", "content": []}},
        {"type": "response.content_part.added", **PLACE, "part": PART}, {"type": "response.output_text.delta", **PLACE, "delta": "a", "logprobs": []},
        {"type": "response.output_text.annotation.added", **PLACE, "annotation": {"title": "t"}}, {"type": "response.output_text.done", **PLACE, "text": "a"},
        {"type": "response.refusal.delta", **PLACE, "delta": "a"}, {"type": "response.refusal.done", **PLACE, "refusal": "a"},
        {"type": "response.reasoning_summary_text.delta", **PLACE, "summary_index": 0, "delta": "a"},
                {"type": "response.unheard_of.delta", **PLACE, "delta": "a"},
        {"type": "response.unheard_of.done", **PLACE, "text": "a"}, {"type": "response.content_part.done", **PLACE, "part": PART},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 1, "delta": "{}"},
        {"type": "response.function_call_arguments.done", "item_id": "f", "output_index": 1, "name": "f", "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"}},
        {"type": "response.completed", "response": RESPONSE},
    ],
    "messages": [
        {"type": "message_start", "message": {**MESSAGE, "content": []}}, {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}, delta(0, type="text_delta", text="b"),
        delta(0, type="citations_delta", citation={"cited_text": "c"}), {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking", "thinking": "d", "signature": ""}},
        delta(1, type="thinking_delta", thinking="e"), delta(1, type="signature_delta", signature="AAAA"), {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
        delta(2, type="input_json_delta", partial_json='{"a": "b"}'), {"type": "content_block_stop", "index": 2},
        {"type": "content_block_start", "index": 3, "content_block": {"type": "web_search_tool_result", "content": [{"title": "d"}]}},
        {"type": "content_block_stop", "index": 3}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
}  # fmt: skip


def planted(value: Any) -> Iterator[tuple[str, Any]]:
    """Copies of `value` with the secret in one place each: instead of a value, as one more value, as a name; and where that is."""
    whole = copy.deepcopy(value)

    def places(at: Any, path: str) -> Iterator[tuple[str, Any]]:
        for key in list(at) if isinstance(at, dict) else range(len(at)):
            here, found = f"{path}.{key}", at[key]
            for instead in (TEXT, [TEXT], {KEY: 1}, {"a": [{"text": TEXT}]}):
                at[key] = instead
                yield f"{here} = {json.dumps(instead)[:12]}", copy.deepcopy(whole)
            at[key] = found
            if isinstance(found, (dict, list)):
                yield from places(found, here)
        if isinstance(at, dict):
            for name, said in (("surprise", TEXT), (TEXT, 1), (KEY, "x")):
                at[name] = said
                yield f"{path}[{name[:12]}] = {str(said)[:5]}", copy.deepcopy(whole)
                del at[name]

    yield from places(whole, "")


def guard() -> Guard:
    return Guard(FIREWALL, "default", lambda noted: None)


def asked(api: Api, value: Any) -> str:
    body = body_of(value, api.request)
    context_of(body)
    guard().request(body)
    return json.dumps(value)


def answered(api: Api, value: Any) -> str:
    api.judge(value, guard())
    return json.dumps(value)


def streamed(api: Api, events: Any) -> str:
    assert api.stream is not None
    rewriter, out = api.stream(guard(), Counted(100_000)), ""
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        out += "".join(said.data for said in rewriter.event(SseEvent(data)))
        if rewriter.is_ended:
            break
    return out + "".join(said.data for said in rewriter.end())


CASES = [(kind, name, go) for kind, bodies, go in (("request", REQUESTS, asked), ("answer", ANSWERS, answered), ("stream", STREAMS, streamed))
         for name in bodies]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "go"), CASES, ids=[f"{kind}-{name}" for kind, name, _ in CASES])
def test_no_place_of_a_body_goes_through_unread(kind: str, name: str, go: Callable[[Api, Any], str]) -> None:
    sample = {"request": REQUESTS, "answer": ANSWERS, "stream": STREAMS}[kind][name]
    go(BY_NAME[name], copy.deepcopy(sample))  # what is honest goes through
    through = []
    for place, value in planted(sample):
        try:
            if KEY in go(BY_NAME[name], value):
                through.append(place)
        except AssayError:
            continue
    assert not through, "\n".join(through)
