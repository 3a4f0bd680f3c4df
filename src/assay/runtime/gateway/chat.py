"""Chat completions: where the text lies in requests, answers and chunks.

Source: OpenAI API reference, "Chat completions", and the fields that compatible servers add (`reasoning_content`, `reasoning`).
"""

from __future__ import annotations

from typing import Final

from assay.runtime.gateway.provenance import (
    FROM_MODEL,
    FROM_OPERATOR,
    FROM_USER,
    OPERATOR,
    OUTPUT,
    STOP,
    TOKENS,
    TOOL,
    USER,
)
from assay.runtime.gateway.shapes import WORD, Closed, Either, Items, Record, Shape, Tagged, words

_IMAGE: Final = Closed("image", "a picture is not looked into")
_AUDIO: Final = Closed("audio", "sound is not looked into")
_FILE: Final = Closed("file", "a file is not looked into")
_MARK: Final = {"type": WORD, "prompt_cache_breakpoint": Record({"mode": WORD, "ttl": WORD})}


def _content(text: Shape) -> Either:
    """A text, or a list of parts, all of one provenance."""
    kinds = {
        "text": Record({**_MARK, "text": text}),
        "refusal": Record({**_MARK, "refusal": text}),
        "image_url": Record({**_MARK, "image_url": _IMAGE}),
        "input_audio": Record({**_MARK, "input_audio": _AUDIO}),
        "file": Record({**_MARK, "file": _FILE}),
    }
    return Either(text=text, items=Items(Tagged("type", kinds)))


_CALL: Final = Record({"name": OUTPUT, "arguments": OUTPUT})
_CALLS: Final = Either(items=Items(Record({
    "id": WORD, "type": WORD, "index": WORD, "function": _CALL, "custom": Record({"name": OUTPUT, "input": OUTPUT}),
})))  # fmt: skip

_MESSAGES: Final = Items(Tagged("role", {
    "system": Record({"role": WORD, "content": _content(OPERATOR), "name": OPERATOR}),
    "developer": Record({"role": WORD, "content": _content(OPERATOR), "name": OPERATOR}),
    "user": Record({"role": WORD, "content": _content(USER), "name": USER}),
    "assistant": Record({
        "role": WORD, "content": _content(OUTPUT), "name": OUTPUT, "refusal": OUTPUT, "reasoning_content": OUTPUT, "reasoning": OUTPUT,
        "tool_calls": _CALLS, "function_call": Either(record=_CALL), "audio": _AUDIO,
        "annotations": Closed("annotations", "they belong to answers"),
    }),
    "tool": Record({"role": WORD, "content": _content(TOOL), "tool_call_id": WORD, "name": TOOL}),
    "function": Record({"role": WORD, "content": _content(TOOL), "name": TOOL}),
}))  # fmt: skip

_FUNCTION: Final = Record({"name": OPERATOR, "description": OPERATOR, "parameters": FROM_OPERATOR, "strict": WORD})
_TOOLS: Final = Items(Tagged("type", {
    "function": Record({"type": WORD, "function": _FUNCTION}),
    "custom": Record({"type": WORD, "custom": FROM_OPERATOR}),
}))  # fmt: skip

_SCALARS = words(
    "model frequency_penalty presence_penalty logprobs top_logprobs max_tokens max_completion_tokens n parallel_tool_calls"
    " prompt_cache_retention reasoning_effort seed service_tier store stream temperature top_p top_k min_p verbosity"
    " repetition_penalty"
)

REQUEST: Final = Record({
    **_SCALARS,
    "messages": _MESSAGES,
    "tools": Either(items=_TOOLS),
    "functions": Either(items=Items(_FUNCTION)),
    "tool_choice": Either(text=WORD, record=FROM_OPERATOR),
    "function_call": Either(text=WORD, record=FROM_OPERATOR),
    "response_format": Either(record=FROM_OPERATOR),
    "prediction": Either(record=Record({"type": WORD, "content": _content(USER)})),
    "modalities": Either(items=Items(WORD)),
    "logit_bias": Either(record=Record({}, rest=WORD)),
    "stream_options": Either(record=Record({}, rest=WORD)),
    "prompt_cache_options": Either(record=Record({}, rest=WORD)),
    "stop": STOP, "user": USER, "safety_identifier": USER, "prompt_cache_key": USER, "metadata": FROM_USER,
    "audio": Closed("audio", "spoken answers are not looked into"),
    "web_search_options": Closed("hosted_tools", "what the server looks up does not pass through here"),
    "moderation": Either(record=Record({}, rest=FROM_OPERATOR)),
})  # fmt: skip

_MESSAGE: Final = Record({
    "role": WORD, "content": Either(text=OUTPUT), "refusal": OUTPUT, "reasoning_content": OUTPUT, "reasoning": OUTPUT,
    "tool_calls": _CALLS, "function_call": Either(record=_CALL), "audio": _AUDIO,
}, rest=FROM_MODEL)  # fmt: skip

ANSWER: Final = Record({
    "id": WORD, "object": WORD, "created": WORD, "model": WORD, "system_fingerprint": WORD, "service_tier": WORD, "usage": FROM_MODEL,
    "choices": Items(Record({"index": WORD, "finish_reason": WORD, "message": _MESSAGE, "logprobs": TOKENS}, rest=FROM_MODEL)),
}, rest=FROM_MODEL)  # fmt: skip
