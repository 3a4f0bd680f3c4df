"""Embeddings: texts in, vectors out.

What is embedded mostly becomes a retrieved document, so it is judged as one.
Source: OpenAI API reference, "Embeddings".
"""

from __future__ import annotations

from typing import Final

from assay.runtime.gateway.provenance import DOCUMENT, FROM_MODEL, USER
from assay.runtime.gateway.shapes import WORD, Closed, Either, Items, Opaque, Record

_TOKENS: Final = Closed("token_ids", "numbers of tokens are not turned back into text")

REQUEST: Final = Record({
    "model": WORD, "dimensions": WORD, "encoding_format": WORD, "user": USER,
    "input": Either(text=DOCUMENT, items=Items(Either(text=DOCUMENT, items=_TOKENS, scalar=_TOKENS))),
})  # fmt: skip

ANSWER: Final = Record({
    "object": WORD, "model": WORD, "id": WORD, "created": WORD, "usage": FROM_MODEL,
    "data": Items(Record({"object": WORD, "index": WORD, "embedding": Opaque()}, rest=FROM_MODEL)),
}, rest=FROM_MODEL)  # fmt: skip
