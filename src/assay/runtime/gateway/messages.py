"""Messages in Anthropic's style: where the text lies in requests, answers and events.

Source: Anthropic API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

from typing import Final

from assay.runtime.gateway.provenance import (
    DOCUMENT,
    FROM_MODEL,
    FROM_OPERATOR,
    FROM_USER,
    OPERATOR,
    OUTPUT,
    STOP,
    TOOL,
    USER,
)
from assay.runtime.gateway.shapes import WORD, Closed, Either, Free, Items, Opaque, Record, Shape, Tagged, Text, words

_HOSTED: Final = Closed("hosted_tools", "what the server runs itself does not pass through here")
_IMAGE: Final = Closed("image", "a picture is not looked into")
_FILE: Final = Closed("file", "a file is not looked into")
_WORDS: Final = Either(record=Record({}, rest=WORD))
_BLOCK: Final = {"type": WORD, "cache_control": _WORDS}


def _document(text: Shape) -> Tagged:
    """Where a document or picture comes from; only plain text and content blocks are looked into."""
    block = Tagged("type", {"text": Record({**_BLOCK, "text": text}), "image": Record({**_BLOCK, "source": _IMAGE})})
    return Tagged("type", {
        "text": Record({"type": WORD, "media_type": WORD, "data": text}),
        "content": Record({"type": WORD, "content": Either(text=text, items=Items(block))}),
    }, rest=_FILE)  # fmt: skip


def _blocks(text: Text, document: Text) -> Tagged:
    """The content blocks of a request; documents and search results are never the user's own words."""
    free = Free(text.role, text.source)
    plain = Record({**_BLOCK, "text": text, "citations": Either(items=free)})
    found = Items(Record({**_BLOCK, "text": document, "citations": Either(items=FROM_MODEL, record=_WORDS)}))
    return Tagged("type", {
        "text": plain,
        "image": Record({**_BLOCK, "source": _IMAGE, "transformations": _WORDS}),
        "document": Record({**_BLOCK, "source": _document(document), "title": document, "context": document, "citations": _WORDS}),
        "search_result": Record({**_BLOCK, "source": document, "title": document, "content": found, "citations": _WORDS}),
        "tool_result": Record({
            **_BLOCK, "tool_use_id": WORD, "is_error": WORD, "toolset_name": WORD,
            "content": Either(text=TOOL, items=Items(Tagged("type", {
                "text": Record({**_BLOCK, "text": TOOL, "citations": Either(items=FROM_MODEL)}),
                "image": Record({**_BLOCK, "source": _IMAGE, "transformations": _WORDS}),
                "document": Record({**_BLOCK, "source": _document(TOOL), "title": TOOL, "context": TOOL, "citations": _WORDS}),
                "search_result": Record({**_BLOCK, "source": TOOL, "title": TOOL, "citations": _WORDS,
                                         "content": Items(Record({**_BLOCK, "text": TOOL, "citations": Either(items=FROM_MODEL)}))}),
            }))),
        }),
        "thinking": Record({**_BLOCK, "thinking": OUTPUT, "signature": Opaque()}),
        "redacted_thinking": Record({**_BLOCK, "data": Opaque()}),
        "tool_use": Record({**_BLOCK, "id": WORD, "name": OUTPUT, "input": FROM_MODEL, "caller": _WORDS, "toolset_name": WORD}),
    }, rest=_HOSTED)  # fmt: skip


def _content(text: Text, document: Text) -> Either:
    return Either(text=text, items=Items(_blocks(text, document)))


_TOOL: Final = Record({
    **_BLOCK, "name": OPERATOR, "description": OPERATOR, "input_schema": FROM_OPERATOR, "strict": WORD, "input_examples": FROM_OPERATOR,
    "eager_input_streaming": WORD, "defer_loading": WORD,
})  # fmt: skip

REQUEST: Final = Record({
    **words("model max_tokens stream temperature top_k top_p service_tier inference_geo speed"),
    "messages": Items(Tagged("role", {
        "system": Record({"role": WORD, "content": _content(OPERATOR, DOCUMENT)}),
        "user": Record({"role": WORD, "content": _content(USER, DOCUMENT)}),
        "assistant": Record({"role": WORD, "content": _content(OUTPUT, DOCUMENT)}),
    })),
    "system": Either(text=OPERATOR, items=Items(Record({**_BLOCK, "text": OPERATOR, "citations": Either(items=FROM_OPERATOR)}))),
    "tools": Either(items=Items(Tagged("type", {"custom": _TOOL}, default="custom", rest=_HOSTED))),
    "tool_choice": _WORDS, "thinking": _WORDS, "stop_sequences": STOP, "metadata": FROM_USER,
    "output_config": Either(record=FROM_OPERATOR),
    "cache_control": _WORDS,
    "container": Closed("stored_state", "what the server keeps is not seen here"),
})  # fmt: skip

ANSWER_BLOCK: Final = Tagged("type", {
    "text": Record({"type": WORD, "text": OUTPUT}, rest=FROM_MODEL),
    "thinking": Record({"type": WORD, "thinking": OUTPUT, "signature": Opaque()}, rest=FROM_MODEL),
    "redacted_thinking": Record({"type": WORD, "data": Opaque()}),
    "tool_use": Record({"type": WORD, "id": WORD, "name": OUTPUT, "input": FROM_MODEL}, rest=FROM_MODEL),
}, rest=Record({"type": WORD}, rest=FROM_MODEL))  # fmt: skip

ANSWER: Final = Record({
    **words("id type role model stop_reason"), "stop_sequence": OUTPUT, "usage": FROM_MODEL,
    "content": Items(ANSWER_BLOCK),
}, rest=FROM_MODEL)  # fmt: skip
