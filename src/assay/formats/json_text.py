"""JSON inside other formats: a value, or why there is none. Duplicate keys and nesting are refused, as readers differ there."""

from __future__ import annotations

import json
from typing import NamedTuple

from assay.core.canonical import Json
from assay.core.errors import MalformedInput


class Read(NamedTuple):
    """The value, and what is wrong, with the kind of fact that it is; a value is None where something is."""

    value: Json
    problem: str = ""
    kind: str = "malformed"


def value_of(text: bytes | str) -> Read:
    """Reads a JSON text; never raises."""
    try:
        return Read(json.loads(text, object_pairs_hook=_without_twins))
    except MalformedInput as error:
        return Read(None, error.what, "impossible")
    except (ValueError, RecursionError) as error:
        return Read(None, str(error)[:120])


def _without_twins(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedInput("a key stands twice, so readers differ")
    return found
