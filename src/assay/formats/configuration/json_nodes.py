"""JSON as nodes; the line of a value is that of the first place where its key stands. Comments and trailing commas are refused."""

from __future__ import annotations

import json

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.formats.configuration.nodes import Node

MAX_BYTES = 8 << 20
MAX_DEPTH = 64


def read_json(text: str) -> Node:
    """Reads one JSON value.

    Raises:
        MalformedInput: no JSON, too large or too deep.
    """
    if len(text) > MAX_BYTES:
        raise MalformedInput("JSON is too large", f"{len(text)} characters, at most {MAX_BYTES} are read")
    try:
        return _node(json.loads(text), text, 1, 0)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("file is no JSON", str(error)[:200]) from error


def _node(value: Json, text: str, line: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise MalformedInput("JSON is too deep", f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        fields = {key: _node(item, text, _line(text, key, line), depth + 1) for key, item in value.items()}
        return Node(line, "", fields, (), "mapping")
    if isinstance(value, list):
        return Node(line, "", {}, tuple(_node(item, text, line, depth + 1) for item in value), "list")
    return Node(line, value if isinstance(value, str) else json.dumps(value))


def _line(text: str, key: str, otherwise: int) -> int:
    at = text.find(json.dumps(key)) if len(text) < 200_000 else -1
    return text.count("\n", 0, at) + 1 if at >= 0 else otherwise
