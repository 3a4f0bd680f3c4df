"""The routes that the firewall understands: how to read their requests, and how to judge their answers.

Everything that differs between the APIs stands in one table; a route that is not in it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.runtime.firewall.values import Context, Source
from assay.runtime.gateway import chat, embeddings, messages, responses
from assay.runtime.gateway.chat_stream import ChatStream
from assay.runtime.gateway.guard import Guard, scanned
from assay.runtime.gateway.messages_stream import MessagesStream
from assay.runtime.gateway.response_items import redact_response
from assay.runtime.gateway.responses_stream import ResponsesStream
from assay.runtime.gateway.rewriting import Counted, Rewriter
from assay.runtime.gateway.shapes import Body, Shape, body_of


@dataclass(frozen=True)
class Api:
    """One route. `limits` are the members that bound the answer in tokens; the first is set where none is given."""

    name: str
    path: str
    request: Shape
    judge: Callable[[dict[str, Json], Guard], None]
    stream: Callable[[Guard, Counted], Rewriter] | None = None
    limits: tuple[str, ...] = ()
    is_anthropic: bool = False

    @property
    def operation(self) -> str:
        """As `gen_ai.operation.name` calls it."""
        return "embeddings" if self.stream is None else "chat"


def _judge_chat(answer: dict[str, Json], guard: Guard) -> None:
    """The calls of every choice as they came, before a redaction could hide what taints them; then all texts."""
    body = body_of(answer, chat.ANSWER)  # raises where the shape is not as the next lines take it
    messages_said = [choice.get("message") or {} for choice in answer.get("choices") or ()]
    calls = [call for message in messages_said for call in _calls_of(message)]
    for call in calls:
        _judge_call(call, guard)
    guard.answer(body_of(answer, chat.ANSWER) if calls else body)


def _calls_of(message: dict[str, Json]) -> list[dict[str, Json]]:
    several = [call.get("function") or call.get("custom") or {} for call in message.get("tool_calls") or ()]
    return [*several, message["function_call"]] if message.get("function_call") else several


def _judge_call(call: dict[str, Json], guard: Guard) -> None:
    for member, judge in (("arguments", guard.tool_call), ("input", guard.free_call)):
        if isinstance(call.get(member), str):
            call[member] = judge(str(call.get("name") or ""), call[member])


def _judge_messages(answer: dict[str, Json], guard: Guard) -> None:
    """The calls among the blocks as they came, then all texts."""
    body_of(answer, messages.ANSWER)
    for block in answer.get("content") or ():
        if block.get("type") in ("tool_use", "server_tool_use", "mcp_tool_use"):
            given = json.dumps(block.get("input") or {}, ensure_ascii=False)
            said = guard.tool_call(str(block.get("name") or ""), given)
            if said != given:
                block["input"] = parse(said.encode("utf-8"), what="the input of a redacted call", max_depth=32)
    scanned(answer, messages.ANSWER, guard)


def _judge_embeddings(answer: dict[str, Json], guard: Guard) -> None:
    scanned(answer, embeddings.ANSWER, guard)


APIS: Final = (
    Api("chat", "/v1/chat/completions", chat.REQUEST, _judge_chat, ChatStream, ("max_completion_tokens", "max_tokens")),
    Api("responses", "/v1/responses", responses.REQUEST, redact_response, ResponsesStream, ("max_output_tokens",)),
    Api("embeddings", "/v1/embeddings", embeddings.REQUEST, _judge_embeddings),
    Api(
        "messages",
        "/v1/messages",
        messages.REQUEST,
        _judge_messages,
        MessagesStream,
        ("max_tokens",),
        is_anthropic=True,
    ),
)
BY_PATH: Final[Mapping[str, Api]] = {api.path: api for api in APIS}


def read_request(data: bytes, max_bytes: int) -> dict[str, Json]:
    """A request body.

    Raises:
        MalformedInput: not strict JSON, deeper than 32 levels, or no object.
    """
    value = parse(data, what="the request", max_bytes=max_bytes, max_depth=32)
    if not isinstance(value, dict):
        raise MalformedInput("the request is no JSON object")
    return value


def read_answer(data: bytes, max_bytes: int) -> dict[str, Json]:
    """The body of an answer.

    Raises:
        MalformedInput: as for a request.
    """
    value = parse(data, what="the answer of the model's server", max_bytes=max_bytes, max_depth=32)
    if not isinstance(value, dict):
        raise MalformedInput("the answer of the model's server is no JSON object")
    return value


def context_of(body: Body) -> Context:
    """What an exchange must be compared with: its instructions, its untrusted texts and the tools that it declares."""
    instructions = tuple(part.text for part in body.parts if part.source is Source.OPERATOR and not part.is_loose)
    untrusted = tuple(part.text for part in body.parts if part.source in (Source.DOCUMENT, Source.TOOL))
    trusted = tuple(part.text for part in body.parts if part.source in (Source.OPERATOR, Source.USER))
    declared = tools_of(body.value)
    tools = {name: about.get("parameters") or about.get("input_schema") or {} for name, about in declared.items()}
    return Context(system_prompts=instructions, untrusted=untrusted, trusted=trusted, tools=tools, declared=declared)


def tools_of(request: dict[str, Json]) -> dict[str, dict[str, Json]]:
    """What a request declares of each tool, in any of the three styles: its name, description and parameters."""
    found: dict[str, dict[str, Json]] = {}
    declared = [*(request.get("tools") or ()), *(request.get("functions") or ())]
    for tool in declared:
        about = tool.get("function") or tool.get("custom") or tool
        if isinstance(about, dict) and isinstance(about.get("name"), str):
            found[about["name"]] = about
    return found


def is_streamed(request: dict[str, Json]) -> bool:
    """Whether the client asked for a stream.

    Raises:
        MalformedInput: `stream` is neither true nor false.
    """
    wanted = request.get("stream")
    if wanted is not None and not isinstance(wanted, bool):
        raise MalformedInput("`stream` is neither true nor false")
    return bool(wanted)
