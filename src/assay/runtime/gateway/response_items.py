"""Whole responses, their items and parts: texts come out as their streams would have, calls of tools as they were judged."""

from __future__ import annotations

from typing import Final

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.runtime.gateway.guard import Guard, scanned
from assay.runtime.gateway.provenance import FROM_MODEL
from assay.runtime.gateway.responses import ANSWER
from assay.runtime.gateway.shapes import Opaque, Record, words

_REST: Final = Record(
    {**words("id type status role phase call_id name index"), "encrypted_content": Opaque()},
    rest=FROM_MODEL,
)
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}


def redact_response(response: dict[str, Json], guard: Guard) -> None:
    """Redacts a response in place.

    Raises:
        Blocked: it may not go out.
    """
    output = response.get("output") or []
    if not isinstance(output, list):
        raise MalformedInput("the output of a response is no list")
    for item in output:
        redact_item(item, guard)
    rest = {key: value for key, value in response.items() if key != "output"}
    scanned(rest, ANSWER, guard)
    response |= rest


def redact_item(item: Json, guard: Guard) -> None:
    """Redacts one item of an output in place."""
    if not isinstance(item, dict):
        raise MalformedInput("an item of the output is no object")
    member = _CALLS.get(str(item.get("type")))
    if member and item.get(member):
        if not isinstance(item[member], str):
            raise MalformedInput("what a tool is called with is no text")
        name = item.get("name")
        judge = guard.free_call if member == "input" else guard.tool_call
        item[member] = judge(name if isinstance(name, str) else "", item[member])
    parts = [key for key in ("content", "summary") if isinstance(item.get(key), list)]
    for key in parts:
        for part in item[key]:
            redact_part(part, guard)
    rest = {key: value for key, value in item.items() if key not in (member, *parts)}
    scanned(rest, _REST, guard)
    item |= rest


def redact_part(part: Json, guard: Guard) -> None:
    """Redacts one part of an item in place."""
    if not isinstance(part, dict):
        raise MalformedInput("a part of the output is no object")
    for key in ("text", "refusal"):
        if isinstance(part.get(key), str):
            part[key] = guard.output(part[key])
    if part.get("logprobs"):
        part["logprobs"] = []  # they spell the text a second time
    rest = {key: value for key, value in part.items() if key not in ("text", "refusal") or not isinstance(value, str)}
    scanned(rest, _REST, guard)
    part |= rest
