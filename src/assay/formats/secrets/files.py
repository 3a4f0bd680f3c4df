"""Credentials in a file of any kind: in text as a whole, in notebooks cell by cell with their outputs, in pictures' notes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from assay.core.errors import MalformedInput
from assay.formats.code.media import picture_text, whole_picture
from assay.formats.code.notebook import cells_of
from assay.formats.code.texts import decoded_text
from assay.formats.secrets.engine import secrets_in
from assay.formats.secrets.facts import SecretFact


def format_of(data: bytes, path: str) -> str:
    """`notebook`, `json`, `text`, a kind of picture, or "" for data that hold no readable text."""
    if path.endswith(".ipynb"):
        return "notebook"
    if decoded_text(data) is not None:
        return "json" if path.endswith(".json") else "text"
    return whole_picture(data)


def secrets_in_file(data: bytes, path: str, *, key: bytes | None = None) -> Iterator[SecretFact]:
    """Every credential; `where` of a fact is the path, with the cell for notebooks.

    Raises:
        MalformedInput: a bound ended the search, or a notebook that cannot be read; what was found before is yielded first.
    """
    if whole_picture(data):
        yield from secrets_in(picture_text(data), path, key=key)
        return
    text = decoded_text(data)
    if text is None:
        raise MalformedInput("file is no text", "binary data are not searched")
    if not path.endswith(".ipynb"):
        yield from secrets_in(_unescaped(text, path), path, key=key)
        return
    try:
        cells = cells_of(data)
    except MalformedInput:
        yield from secrets_in(text, path, key=key)
        raise
    for cell in cells:
        yield from secrets_in(cell.text, f"{path}!cell{cell.number}", key=key)
        yield from secrets_in(cell.outputs, f"{path}!cell{cell.number}-output", key=key)
    yield from secrets_in(json.dumps(json.loads(data).get("metadata", {})), f"{path}!metadata", key=key)


def _unescaped(text: str, path: str) -> str:
    """Slashes that JSON may write escaped, as in base64, keep a pattern from matching."""
    return text.replace("\\/", "/") if path.endswith((".json", ".jsonl")) else text
