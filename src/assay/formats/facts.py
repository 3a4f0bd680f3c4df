"""Facts: what a reader saw in a file, as plain data, so that a newer list can judge it again without the file.

A reader never says "good" or "bad". It writes facts; `assay.checks.model_file.judge` turns facts and lists into a verdict.
A fact has a `kind`, the chain of members that it lies in (`a.zip!m/data.pkl`), a byte offset in the innermost of them, and
data that are JSON apart from tuples standing for arrays. Source: design, "Scan", section 2, "Facts".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from assay.core.canonical import Json

SCHEMA = "urn:assay:file-facts:v1"


class Fact(NamedTuple):
    """One thing that a reader saw. `data` holds str, int, bool, None, tuples and dicts of them."""

    kind: str
    member: str = ""
    offset: int | None = None
    data: tuple[Any, ...] = ()  # Any: nested tuples of JSON scalars, which the type system cannot name recursively


class FileFacts(NamedTuple):
    """All facts of one file, and the format that its content has; "" where nobody knew it."""

    format: str
    facts: tuple[Fact, ...] = ()


def facts_as_json(found: FileFacts) -> Json:
    """Facts as canonical JSON can hold them."""
    rows: list[Json] = [[f.kind, f.member, f.offset, _plain(f.data)] for f in found.facts]
    return {"schema": SCHEMA, "format": found.format, "facts": rows}


def facts_from_json(value: Json) -> FileFacts:
    """Reads what `facts_as_json` wrote.

    Raises:
        ValueError: another shape.
    """
    try:
        if value["schema"] != SCHEMA:
            raise ValueError("facts of another schema")
        rows = tuple(Fact(kind, member, offset, _frozen(data)) for kind, member, offset, data in value["facts"])
        return FileFacts(str(value["format"]), rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"facts are malformed: {error}") from error


def within(member: str, facts: Iterable[Fact]) -> list[Fact]:
    """Facts of an inner file as facts of the file around it; `member` is its name there."""
    return [fact._replace(member=f"{member}!{fact.member}" if fact.member else member) for fact in facts]


def _plain(value: Any) -> Json:  # Any: see Fact.data
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value if value is None or isinstance(value, bool | float) or abs(value) < 2**53 else str(value)


def _frozen(value: Json) -> Any:  # Any: see Fact.data
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
