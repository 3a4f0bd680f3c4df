"""Bodies of model APIs: every text is found with its provenance, and what is not known is refused."""

from __future__ import annotations

from typing import Any

import pytest

from assay.runtime.firewall.values import Role, Source
from assay.runtime.gateway import chat, embeddings, messages, responses
from assay.runtime.gateway.apis import context_of
from assay.runtime.gateway.shapes import Shape, UnknownPart, body_of


def found(value: Any, shape: Shape) -> dict[str, tuple[Role, Source]]:
    return {part.text: (part.role, part.source) for part in body_of(value, shape).parts}


def test_each_text_of_a_chat_has_its_provenance() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "args"}}
    value = {"model": "m", "messages": [
        {"role": "system", "content": "rules"}, {"role": "user", "content": [{"type": "text", "text": "asked"}]},
        {"role": "assistant", "content": "said", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "result"},
    ]}  # fmt: skip
    assert found(value, chat.REQUEST) == {
        "rules": (Role.SYSTEM, Source.OPERATOR), "asked": (Role.USER, Source.USER), "said": (Role.ASSISTANT, Source.OUTPUT),
        "f": (Role.ASSISTANT, Source.OUTPUT), "args": (Role.ASSISTANT, Source.OUTPUT), "result": (Role.TOOL, Source.TOOL),
    }  # fmt: skip


def test_a_document_in_a_message_is_not_the_users_own_word() -> None:
    document = {
        "type": "document",
        "title": "t",
        "source": {"type": "text", "media_type": "text/plain", "data": "report"},
    }
    result = {"type": "tool_result", "tool_use_id": "x", "content": [{"type": "text", "text": "result"}]}
    value = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": [document, result, {"type": "text", "text": "asked"}]}],
    }
    seen = found(value, messages.REQUEST)
    assert seen["report"] == (Role.USER, Source.DOCUMENT) and seen["result"] == (Role.TOOL, Source.TOOL)
    assert seen["asked"] == (Role.USER, Source.USER)


def test_outputs_of_functions_in_responses_are_the_tools() -> None:
    value = {
        "model": "m",
        "input": [
            {"role": "user", "content": "asked"},
            {"type": "function_call_output", "call_id": "c", "output": "result"},
        ],
    }
    assert found(value, responses.REQUEST)["result"] == (Role.TOOL, Source.TOOL)


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(("shape", "value"), [
    (chat.REQUEST, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}),
    (chat.REQUEST, {"messages": [{"role": "user", "content": [{"type": "hologram", "text": "x"}]}]}),
    (chat.REQUEST, {"messages": [{"role": "oracle", "content": "x"}]}),
    (chat.REQUEST, {"messages": [USER], "prompt": "hidden"}),
    (chat.REQUEST, {"messages": [USER | {"hint": "hidden"}]}),
    (chat.REQUEST, {"messages": [USER], "model": "a sentence, not a name"}),
    (chat.REQUEST, {"messages": [USER], "web_search_options": {"x": 1}}),
    (chat.REQUEST, {"messages": {"role": "user"}}),
    (responses.REQUEST, {"input": "x", "previous_response_id": "resp_1"}),
    (responses.REQUEST, {"input": "x", "tools": [{"type": "web_search"}]}),
    (responses.REQUEST, {"input": [{"type": "item_reference", "id": "i"}]}),
    (messages.REQUEST, {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}]}]}),
    (messages.REQUEST, {"messages": [USER], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    (embeddings.REQUEST, {"input": [[1, 2, 3]]}),
])  # fmt: skip
def test_what_cannot_be_looked_into_is_refused(shape: Shape, value: Any) -> None:
    with pytest.raises(UnknownPart):
        body_of(value, shape)


def test_what_the_operator_lets_through_is_named() -> None:
    value = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}
    assert body_of(value, chat.REQUEST, frozenset({"image"})).unscanned == {"image"}


def test_log_probabilities_are_read_as_the_text_that_they_spell() -> None:
    def token(text: str) -> dict[str, Any]:
        return {
            "token": text,
            "bytes": list(text.encode()),
            "logprob": -1,
            "top_logprobs": [{"token": "al", "bytes": None}],
        }

    value = {
        "choices": [
            {"index": 0, "message": {"role": "assistant"}, "logprobs": {"content": [token("sec"), token("ret")]}}
        ]
    }
    (part,) = [part for part in body_of(value, chat.ANSWER).parts if part.is_derived][:1]
    assert "secret" in part.text


def test_the_context_of_a_request_tells_trusted_words_from_others() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    value = {
        "messages": [{"role": "system", "content": "rules"}, USER, {"role": "tool", "content": "result"}],
        "tools": [tool],
    }
    context = context_of(body_of(value, chat.REQUEST))
    assert (
        "rules" in context.system_prompts
        and context.untrusted == ("result",)
        and context.tools == {"f": {"type": "object"}}
    )
