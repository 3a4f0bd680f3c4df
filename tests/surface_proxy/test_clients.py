"""The official clients of OpenAI and Anthropic, unchanged, through the proxy: with and without streams and tools."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.surface_proxy.servers import Proxy, Script, Scripted, chat, chunk, proxied, scripted, spoken, stream, whole

RANDOM = random.Random(7)
KEY = "sk-proj-" + "".join(RANDOM.choice(string.ascii_letters + string.digits) for _ in range(60))
LONG_KEY = "sk-proj-" + "".join(RANDOM.choice(string.ascii_letters + string.digits) for _ in range(180))
HI: list[Any] = [{"role": "user", "content": "hi"}]
TOOLS: list[Any] = [{"type": "function", "function": {
    "name": "weather", "description": "the weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}}]  # fmt: skip


@pytest.fixture
def model() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


@pytest.fixture
def proxy(model: Scripted, tmp_path: Path) -> Iterator[Proxy]:
    with proxied(model.url, tmp_path) as found:
        yield found


@pytest.fixture
def client(proxy: Proxy) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="client-key", max_retries=0) as found:
        yield found


@pytest.fixture
def claude(proxy: Proxy) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=proxy.url, api_key="client-key", max_retries=0) as found:
        yield found


def test_an_answer_comes_through_as_it_was_said(model: Scripted, client: openai.OpenAI) -> None:
    model.says(whole(chat("good morning", "good evening")))
    answer = client.chat.completions.create(model="m", messages=HI, n=2)
    assert [choice.message.content for choice in answer.choices] == ["good morning", "good evening"]
    assert answer.usage and answer.usage.total_tokens == 15


def test_a_secret_is_taken_out_of_a_prompt_before_it_leaves(model: Scripted, client: openai.OpenAI) -> None:
    model.says(whole(chat("ok")))
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"my key is {KEY}, keep it"}])
    assert KEY not in json.dumps(model.bodies)
    assert model.bodies[0]["messages"][0]["content"] == "my key is [ASY-SEC-013], keep it"


@pytest.mark.parametrize("member", ["content", "refusal", "reasoning_content"])
def test_a_secret_is_taken_out_of_every_choice_and_member_of_an_answer(
    model: Scripted, client: openai.OpenAI, member: str
) -> None:
    answer = chat("x", "y")
    for choice in answer["choices"]:
        choice["message"][member] = f"it is {KEY}"
    model.says(whole(answer))
    said = client.chat.completions.create(model="m", messages=HI).model_dump_json()
    assert KEY not in said and said.count("[ASY-SEC-013]") == 2


def test_log_probabilities_do_not_spell_what_was_redacted(model: Scripted, client: openai.OpenAI) -> None:
    answer = chat(f"it is {KEY}")
    tokens = [KEY[i : i + 4] for i in range(0, len(KEY), 4)]
    answer["choices"][0]["logprobs"] = {
        "content": [{"token": t, "bytes": list(t.encode()), "logprob": -1.0, "top_logprobs": []} for t in tokens]
    }
    harmless = chat("fine")
    harmless["choices"][0]["logprobs"] = {
        "content": [{"token": "fine", "bytes": None, "logprob": -1.0, "top_logprobs": []}]
    }
    model.says(whole(answer), whole(harmless))
    assert client.chat.completions.create(model="m", messages=HI, logprobs=True).choices[0].logprobs is None
    assert client.chat.completions.create(model="m", messages=HI, logprobs=True).choices[0].logprobs is not None


@pytest.mark.parametrize("size", [1, 5, 33, 400])
@pytest.mark.parametrize("key", [KEY, LONG_KEY], ids=["short", "longer than what is held"])
def test_a_streamed_secret_does_not_come_out_however_it_is_cut(
    model: Scripted, client: openai.OpenAI, size: int, key: str
) -> None:
    model.says(stream(*spoken(f"Here you are: {key} and that is all that I know about it.", size)))
    said = "".join(
        piece.choices[0].delta.content or ""
        for piece in client.chat.completions.create(model="m", messages=HI, stream=True)
    )
    assert said == "Here you are: [ASY-SEC-013] and that is all that I know about it."


def test_choices_of_one_stream_do_not_mix(model: Scripted, client: openai.OpenAI) -> None:
    pieces = [
        chunk({"content": text}, index=i)
        for pair in zip("ab" * 40, "cd" * 40, strict=True)
        for i, text in enumerate(pair)
    ]
    model.says(stream(*pieces, chunk({}, index=0, finish="stop"), chunk({}, index=1, finish="length")))
    said, ends = {0: "", 1: ""}, {}
    for piece in client.chat.completions.create(model="m", messages=HI, stream=True, n=2):
        choice = piece.choices[0]
        said[choice.index] += choice.delta.content or ""
        ends |= {choice.index: choice.finish_reason} if choice.finish_reason else {}
    assert said == {0: "ab" * 40, 1: "cd" * 40} and ends == {0: "stop", 1: "length"}


def test_a_streamed_tool_call_comes_out_whole(model: Scripted, client: openai.OpenAI) -> None:
    begin = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"ci', 'ty": "', 'Rome"}')]
    model.says(stream(*[chunk({"tool_calls": [piece]}) for piece in (begin, *pieces)], chunk({}, finish="tool_calls")))
    calls = [
        call
        for piece in client.chat.completions.create(model="m", messages=HI, tools=TOOLS, stream=True)
        for call in piece.choices[0].delta.tool_calls or ()
    ]
    assert len(calls) == 1 and calls[0].id == "call_1" and calls[0].function
    assert (calls[0].function.name, calls[0].function.arguments) == ("weather", '{"city": "Rome"}')


def test_tool_results_and_calls_of_a_conversation_come_through(model: Scripted, client: openai.OpenAI) -> None:
    model.says(whole(chat("sunny")))
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages: list[Any] = [
        {"role": "system", "content": "be kind"}, *HI, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": f"sunny; debug: {KEY}"},
    ]  # fmt: skip
    client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    assert model.bodies[0]["messages"][3]["content"] == "sunny; debug: [ASY-SEC-013]"
    assert model.bodies[0]["tools"] == TOOLS


def test_embeddings_come_through(model: Scripted, client: openai.OpenAI) -> None:
    model.says(whole({"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}],
                      "usage": {"prompt_tokens": 1, "total_tokens": 1}}))  # fmt: skip
    assert client.embeddings.create(model="e", input=["a", f"b {KEY}"]).data[0].embedding == [0.5, 1.0]
    assert model.bodies[0]["input"] == ["a", "b [ASY-SEC-013]"]


def response(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    return {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": {"input_tokens": 3, "output_tokens": 4}}  # fmt: skip


def test_responses_come_through_without_secrets(model: Scripted, client: openai.OpenAI) -> None:
    model.says(whole(response(f"it is {KEY}.")))
    answer = client.responses.create(model="m", input=f"take {KEY}", instructions="be kind")
    assert answer.output_text == "it is [ASY-SEC-013]."
    assert model.bodies[0]["input"] == "take [ASY-SEC-013]"


def test_streamed_responses_say_the_same_in_pieces_and_whole(model: Scripted, client: openai.OpenAI) -> None:
    text = f"Here you are: {KEY} and that is all that I know."
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    done = response(text)
    part = done["output"][0]["content"][0]
    events = [
        {"type": "response.created", "response": {**done, "output": [], "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**done["output"][0], "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *[{"type": "response.output_text.delta", **place, "delta": text[i : i + 7], "logprobs": []} for i in range(0, len(text), 7)],
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": done["output"][0]},
        {"type": "response.completed", "response": done},
    ]  # fmt: skip
    pieces = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': i})}\n\n".encode() for i, event in enumerate(events)
    ]  # fmt: skip
    model.says(Script(pieces, "text/event-stream"))
    wanted = "Here you are: [ASY-SEC-013] and that is all that I know."
    seen = list(client.responses.create(model="m", input="x", stream=True))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == wanted
    assert [event.text for event in seen if event.type == "response.output_text.done"] == [wanted]
    assert seen[-1].type == "response.completed" and seen[-1].response.output_text == wanted
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert KEY not in "".join(event.model_dump_json() for event in seen)


def claude_events(*blocks: dict[str, Any]) -> Script:
    """The events of a message with these blocks, whose text or input comes in pieces of six characters."""
    begin = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "stop_sequence": None,
             "usage": {"input_tokens": 3, "output_tokens": 1}}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begin}, {"type": "ping"}]
    for index, block in enumerate(blocks):
        text = block.pop("says")
        kind, member = ("input_json_delta", "partial_json") if block["type"] == "tool_use" else ("text_delta", "text")
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [
            {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: text[i : i + 6]}} for i in range(0, len(text), 6)
        ]  # fmt: skip
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 9},
        }
    )
    events.append({"type": "message_stop"})
    return Script([f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events], "text/event-stream")


def test_messages_come_through_without_secrets(model: Scripted, claude: anthropic.Anthropic) -> None:
    model.says(whole({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
                      "content": [{"type": "text", "text": f"it is {KEY}"}], "usage": {"input_tokens": 1, "output_tokens": 2}}))  # fmt: skip
    document: Any = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": f"report {KEY}"},
    }
    answer = claude.messages.create(
        model="m", max_tokens=50, system="be kind", messages=[{"role": "user", "content": [document, {"type": "text", "text": "sum up"}]}]
    )  # fmt: skip
    assert answer.content[0].type == "text" and answer.content[0].text == "it is [ASY-SEC-013]"
    assert model.bodies[0]["messages"][0]["content"][0]["source"]["data"] == "report [ASY-SEC-013]"


def test_streamed_messages_with_text_and_a_tool_come_through(model: Scripted, claude: anthropic.Anthropic) -> None:
    model.says(claude_events(
        {"type": "text", "text": "", "says": f"Here you are: {KEY} and that is all."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}, "says": '{"city": "Rome"}'},
    ))  # fmt: skip
    with claude.messages.stream(model="m", max_tokens=50, messages=HI) as events:
        message = events.get_final_message()
    assert (
        message.content[0].type == "text" and message.content[0].text == "Here you are: [ASY-SEC-013] and that is all."
    )
    assert message.content[1].type == "tool_use" and message.content[1].input == {"city": "Rome"}
    assert message.usage.output_tokens == 9


def test_refusals_reach_the_clients_as_their_own_errors(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    picture: Any = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    }
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=[picture])
    assert refused.value.code == "unknown_part"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.list()
    assert unknown.value.code == "unknown_route"
    with pytest.raises(anthropic.BadRequestError, match="cannot look into"):
        claude.messages.create(model="m", max_tokens=5, messages=HI, extra_body={"surprise": "text"})
