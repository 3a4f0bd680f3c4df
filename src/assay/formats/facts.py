"""Facts: what a reader saw in a file, as plain data, so that a newer list can judge it again without the file.

A reader never says "good" or "bad". It writes facts; `assay.checks.model_file.judge` turns facts and lists into a verdict.
A fact has a `kind`, the chain of members that it lies in (`a.zip!m/data.pkl`), a byte offset in the innermost of them, and
data that are JSON apart from tuples standing for arrays. Source: design, "Scan", section 2, "Facts".

What is judged is what is stored: `storable` takes out of facts what JSON cannot say exactly, and what may be a credential, before
anybody judges them. So `judge(facts_from_json(facts_as_json(found))) == judge(found)`, to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from assay.core.canonical import Json
from assay.formats.masking import masked

SCHEMA = "urn:assay:file-facts:v3"
"""Raise the number when readers learn to see something: older facts do not hold it, so they are not judged again."""
MAX_TEXT = 1_000
_SHAPED = frozenset(
    {"global", "use", "hidden", "swept"}
)  # names and shapes of pickles, which are storable as they are made
_NAMES = frozenset({"skops-type", "operator", "keras-object", "keras-function", "keras-call"})  # judged by exact name
# What a configuration has built is a name only if it looks like one; anything else may hold a credential.
_DOTTED = re.compile(r"[A-Za-z_]\w{0,63}(?:\.[A-Za-z_]\w{0,63})+", re.ASCII)


class Fact(NamedTuple):
    """One thing that a reader saw. `data` holds str, int, bool, None and tuples of them."""

    kind: str
    member: str = ""
    offset: int | None = None
    data: tuple[Any, ...] = ()  # Any: nested tuples of JSON scalars, which the type system cannot name recursively


class FileFacts(NamedTuple):
    """All facts of one file, and the format that its content has; "" where nobody knew it."""

    format: str
    facts: tuple[Fact, ...] = ()


def storable(found: FileFacts) -> FileFacts:
    """The same facts as evidence may hold them: no credential, no lone surrogate, no number of 2^53 or more."""
    return FileFacts(plain_text(found.format), tuple(map(_storable, found.facts)))


def plain_text(text: str, most: int = MAX_TEXT) -> str:
    """Text without lone surrogates, cut after `most` characters with a `…`; a name that is cut is on no list."""
    cut = text if len(text) <= most else text[:most] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace").decode("utf-8")


def facts_as_json(found: FileFacts) -> Json:
    """Storable facts as canonical JSON can hold them."""
    return {"facts": [[f.kind, f.member, f.offset, _as_list(f.data)] for f in found.facts], "format": found.format}


def facts_from_json(value: Json) -> FileFacts:
    """Reads what `facts_as_json` wrote.

    Raises:
        ValueError: another shape.
    """
    try:
        rows = tuple(_fact(*row) for row in value["facts"])
        return FileFacts(str(value["format"]), rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"facts are malformed: {error}") from error


def within(member: str, facts: Iterable[Fact]) -> list[Fact]:
    """Facts of an inner file as facts of the file around it; `member` is its name there."""
    return [fact._replace(member=f"{member}!{fact.member}" if fact.member else member) for fact in facts]


def _fact(kind: str, member: str, offset: int | None, data: Json) -> Fact:
    if not (type(kind) is type(member) is str and (offset is None or type(offset) is int) and type(data) is list):
        raise ValueError("a fact is malformed")
    return Fact(kind, member, offset, _as_tuple(data))


def _storable(fact: Fact) -> Fact:
    if fact.kind in _SHAPED and fact.member.isascii():
        return fact
    data = fact.data if fact.kind in _SHAPED else tuple(_plain(part, fact.kind) for part in fact.data)
    return Fact(fact.kind, plain_text(fact.member), fact.offset, data)


def _plain(value: Any, kind: str) -> Any:  # Any: see Fact.data
    if type(value) is not str:
        return value
    is_name = kind in _NAMES or (kind == "target" and _DOTTED.fullmatch(value) is not None)
    return plain_text(value) if is_name else masked(plain_text(value))


def _as_list(value: Any) -> Json:  # Any: see Fact.data
    return [_as_list(item) for item in value] if isinstance(value, tuple) else value


def _as_tuple(value: Json) -> Any:  # Any: see Fact.data
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
