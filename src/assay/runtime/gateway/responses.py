"""Responses: where the text lies in requests, answers and events.

What the server keeps (`previous_response_id`, `conversation`, stored prompts, item references) and what it runs itself (web
search, code, MCP) never passes through here, so it is closed unless the operator lets it through by name.
Source: OpenAI API reference, "Responses".
"""

from __future__ import annotations

from typing import Final

from assay.runtime.gateway.provenance import (
    FROM_MODEL,
    FROM_OPERATOR,
    FROM_TOOL,
    FROM_USER,
    OPERATOR,
    OUTPUT,
    TOKENS,
    TOOL,
    USER,
)
from assay.runtime.gateway.shapes import WORD, Closed, Either, Items, Opaque, Record, Shape, Tagged, words

_STORED: Final = Closed("stored_state", "what the server keeps is not seen here")
_HOSTED: Final = Closed("hosted_tools", "what the server runs itself does not pass through here")
_IMAGE: Final = Closed("image", "a picture is not looked into")
_AUDIO: Final = Closed("audio", "sound is not looked into")
_FILE: Final = Closed("file", "a file is not looked into")
_WORDS: Final = Either(record=Record({}, rest=WORD))
_MARK: Final = {"type": WORD, "prompt_cache_breakpoint": _WORDS}


def _content(text: Shape) -> Either:
    """A text, or a list of parts, all of one provenance."""
    kinds = {
        "input_text": Record({**_MARK, "text": text}),
        "output_text": Record({**_MARK, "text": OUTPUT, "annotations": FROM_MODEL, "logprobs": TOKENS}),
        "refusal": Record({**_MARK, "refusal": OUTPUT}),
        "input_image": Record({**_MARK, "image_url": _IMAGE, "file_id": _IMAGE, "detail": WORD}),
        "input_audio": Record({**_MARK, "input_audio": _AUDIO}),
        "input_file": Record(
            {**_MARK, "file_data": _FILE, "file_id": _FILE, "file_url": _FILE, "filename": text, "detail": WORD}
        ),
    }
    return Either(text=text, items=Items(Tagged("type", kinds)))


_ITEM: Final = {"type": WORD, "id": WORD, "status": WORD}
_CALL: Final = {**_ITEM, "call_id": WORD, "name": OUTPUT, "namespace": OUTPUT, "caller": _WORDS}
_MESSAGE: Final = Tagged("role", {
    "system": Record({**_ITEM, "role": WORD, "content": _content(OPERATOR)}),
    "developer": Record({**_ITEM, "role": WORD, "content": _content(OPERATOR)}),
    "user": Record({**_ITEM, "role": WORD, "content": _content(USER)}),
    "assistant": Record({**_ITEM, "role": WORD, "phase": WORD, "content": _content(OUTPUT)}),
})  # fmt: skip
_REASONING: Final = Record({
    **_ITEM, "encrypted_content": Opaque(), "summary": FROM_MODEL, "content": Either(items=FROM_MODEL),
})  # fmt: skip

_INPUT: Final = Items(Tagged("type", {
    "message": _MESSAGE,
    "reasoning": _REASONING,
    "function_call": Record({**_CALL, "arguments": OUTPUT}),
    "custom_tool_call": Record({**_CALL, "input": OUTPUT}),
    "function_call_output": Record({**_CALL, "output": _content(TOOL)}),
    "custom_tool_call_output": Record({**_CALL, "output": _content(TOOL)}),
    "local_shell_call_output": Record(_ITEM, rest=FROM_TOOL),
    "shell_call_output": Record(_ITEM, rest=FROM_TOOL),
    "apply_patch_call_output": Record(_ITEM, rest=FROM_TOOL),
    "item_reference": Record({"type": WORD, "id": _STORED}),
}, default="message"))  # fmt: skip

_TOOLS: Final = Items(Tagged("type", {
    "function": Record({"type": WORD, "name": OPERATOR, "description": OPERATOR, "parameters": FROM_OPERATOR, "strict": WORD}),
    "custom": Record({"type": WORD, "name": OPERATOR, "description": OPERATOR, "format": FROM_OPERATOR}),
}, rest=_HOSTED))  # fmt: skip

_SCALARS = words(
    "model max_output_tokens max_tool_calls parallel_tool_calls prompt_cache_retention service_tier store stream temperature"
    " top_logprobs top_p truncation"
)

REQUEST: Final = Record({
    **_SCALARS,
    "input": Either(text=USER, items=_INPUT),
    "instructions": OPERATOR,
    "tools": Either(items=_TOOLS),
    "tool_choice": Either(text=WORD, record=FROM_OPERATOR),
    "text": Either(record=FROM_OPERATOR),
    "reasoning": _WORDS, "stream_options": _WORDS, "prompt_cache_options": _WORDS,
    "include": Either(items=Items(WORD)),
    "user": USER, "safety_identifier": USER, "prompt_cache_key": USER, "metadata": FROM_USER,
    "moderation": Either(record=Record({}, rest=FROM_OPERATOR)),
    "background": Closed("stored_state", "an answer that is fetched later does not pass through here"),
    "previous_response_id": _STORED, "conversation": _STORED, "prompt": _STORED,
})  # fmt: skip

OUTPUT_ITEM: Final = Tagged("type", {
    "message": Record({**_ITEM, "role": WORD, "phase": WORD, "content": _content(OUTPUT)}, rest=FROM_MODEL),
    "reasoning": Record({**_ITEM, "encrypted_content": Opaque()}, rest=FROM_MODEL),
    "image_generation_call": Record({**_ITEM, "result": _IMAGE}, rest=FROM_MODEL),
}, rest=Record(_ITEM, rest=FROM_MODEL))  # fmt: skip

# NOTE: an answer repeats instructions and tools of its request; those were scanned on the way in, as the operator's.
ANSWER: Final = Record({
    **_SCALARS, "id": WORD, "object": WORD, "background": WORD, "created_at": WORD, "completed_at": WORD, "status": WORD, "usage": FROM_MODEL,
    "output": Items(OUTPUT_ITEM),
    "instructions": Either(text=OPERATOR, items=FROM_OPERATOR), "tools": Either(items=FROM_OPERATOR), "text": Either(record=FROM_OPERATOR),
    "tool_choice": Either(text=WORD, record=FROM_OPERATOR), "metadata": FROM_USER, "user": USER, "safety_identifier": USER, "prompt_cache_key": USER,
}, rest=FROM_MODEL)  # fmt: skip
