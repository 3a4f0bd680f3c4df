"""One OSV record, read strictly: which packages and versions an advisory is about.

Only what matching needs is kept. A record that is malformed but still names its packages is salvaged for them, so that
they become unknown instead of clean. Bounded: 4 MiB a record, 100,000 versions, 10,000 events.
Source: Open Source Vulnerability format 1.7 (ossf.github.io/osv-schema).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeGuard

from assay.core.canonical import Json, parse
from assay.core.errors import MalformedInput
from assay.formats.dependencies.ecosystems import ecosystem_name, normalised
from assay.formats.dependencies.text_yaml import read_text_yaml

MAX_RECORD_BYTES = 4 << 20
_MAX_VERSIONS, _MAX_EVENTS, _MAX_AFFECTED = 100_000, 10_000, 20_000
_EVENTS = ("introduced", "fixed", "last_affected", "limit")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,159}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|\+00:?00)?", re.ASCII)
_UNSOUND = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Range:
    """Events as written: (kind, version). `type` is ECOSYSTEM, SEMVER or GIT."""

    type: str
    events: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Affected:
    """A package with its affected versions; `broken` says why they cannot be told."""

    ecosystem: str
    name: str
    versions: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    severity: tuple[tuple[str, str], ...] = ()
    broken: str = ""


@dataclass(frozen=True)
class Record:
    """An advisory. Times are RFC 3339 in UTC or ""; `grade` is a severity in words where the source gives one."""

    id: str
    modified: str
    published: str = ""
    withdrawn: str = ""
    aliases: tuple[str, ...] = ()
    summary: str = ""
    severity: tuple[tuple[str, str], ...] = ()
    grade: str = ""
    affected: tuple[Affected, ...] = field(default=())


class NotARecord(MalformedInput):
    """A well-formed document of another kind, such as a workflow that lies beside the records."""


def read_record(data: bytes, where: str) -> Record:
    """Reads a record from JSON or YAML, told apart by the name.

    Raises:
        NotARecord: a document without `id` and `modified`.
        MalformedInput: anything else that is no record, or a record that names no package that could be salvaged.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise MalformedInput(f"{where} is too large", f"more than {MAX_RECORD_BYTES} bytes")
    is_json = where.lower().endswith(".json")
    value = parse(data, what=where, max_bytes=MAX_RECORD_BYTES) if is_json else read_text_yaml(data, where)
    if not isinstance(value, dict) or not ({"id", "modified", "affected", "schema_version"} & set(value)):
        raise NotARecord(f"{where} is no advisory", "it has neither `id` nor `modified`")
    return record_of(value, where)


def record_of(value: Json, where: str) -> Record:
    """The record that a parsed document says.

    Raises:
        MalformedInput: `id` or `modified` is missing or malformed.
    """
    name, modified = value.get("id"), rfc3339(value.get("modified"))
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise MalformedInput(f"{where} is no advisory", "its `id` is missing or malformed")
    if not modified:
        raise MalformedInput(f"{where} is malformed", "`modified` is missing or no time")
    affected = value.get("affected") or []
    if not isinstance(affected, list) or len(affected) > _MAX_AFFECTED:
        raise MalformedInput(f"{where} is malformed", "`affected` is no list, or too long")
    return Record(
        id=name,
        modified=modified,
        published=rfc3339(value.get("published")),
        withdrawn=rfc3339(value.get("withdrawn")),
        aliases=tuple(text for text in _list(value.get("aliases")) if isinstance(text, str) and _ID.fullmatch(text)),
        summary=_sound(value.get("summary") or value.get("details"))[:500],
        severity=_severity(value.get("severity")),
        grade=_grade(value),
        affected=tuple(found for item in affected if (found := _affected(item, where)) is not None),
    )


def packages_named(data: bytes, where: str) -> tuple[tuple[str, str], ...]:
    """(ecosystem, name) of every package of a record that cannot be read; () if even these cannot be told for sure."""
    try:
        value = parse(data, what=where) if where.lower().endswith(".json") else read_text_yaml(data, where)
    except MalformedInput:
        return ()
    found = []
    for item in _list(value.get("affected")) if isinstance(value, dict) else []:
        package = item.get("package") if isinstance(item, dict) else None
        ecosystem, name = (package.get("ecosystem"), package.get("name")) if isinstance(package, dict) else (None, None)
        if not (_is_name(ecosystem) and _is_name(name)):
            return ()
        ecosystem = ecosystem_name(ecosystem)
        found.append((ecosystem, normalised(ecosystem, name)))
    return tuple(dict.fromkeys(found))


def rfc3339(value: Json) -> str:
    """`2024-01-31T10:00:00Z` from the spellings that records use; "" for anything else."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found or not found[1] < "9999":
        return ""
    month, day, clock = int(found[1][5:7]), int(found[1][8:]), found[2]
    if not (1 <= month <= 12 and 1 <= day <= 31 and clock < "24" and clock[3:5] < "60" and clock[6:] < "60"):
        return ""
    return f"{found[1]}T{clock}Z"


def _affected(item: Json, where: str) -> Affected | None:
    """None where no package is named, as in records about a repository alone."""
    package = item.get("package") if isinstance(item, dict) else None
    if package is None and isinstance(item, dict):
        return None
    ecosystem, name = (package.get("ecosystem"), package.get("name")) if isinstance(package, dict) else (None, None)
    if not (_is_name(ecosystem) and _is_name(name)):
        raise MalformedInput(f"{where} is malformed", "an affected package has no ecosystem or name")
    ecosystem = ecosystem_name(ecosystem)
    name = normalised(ecosystem, name)
    try:
        versions = tuple(_text(version) for version in _bounded(item.get("versions"), _MAX_VERSIONS))
        ranges = tuple(_range(one) for one in _bounded(item.get("ranges"), _MAX_EVENTS))
    except ValueError as error:
        return Affected(ecosystem, name, broken=str(error))
    broken = "" if versions or ranges else "it names neither versions nor ranges"
    return Affected(ecosystem, name, versions, ranges, _severity(item.get("severity")), broken)


def _range(value: Json) -> Range:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("ECOSYSTEM", "SEMVER", "GIT"):
        raise ValueError(f"a range has the unknown type {str(kind)[:40]!r}")
    events = []
    for event in _bounded(value.get("events"), _MAX_EVENTS):
        if not isinstance(event, dict) or not event or not set(event) <= set(_EVENTS):
            raise ValueError("an event of a range is malformed")
        events += [(name, _text(version)) for name, version in event.items()]
    if not any(name == "introduced" for name, _ in events):
        raise ValueError("a range does not say where it begins")
    return Range(kind, tuple(events))


def _severity(value: Json) -> tuple[tuple[str, str], ...]:
    found = []
    for item in _list(value)[:20]:
        kind, score = (item.get("type"), item.get("score")) if isinstance(item, dict) else (None, None)
        if isinstance(kind, str) and isinstance(score, str) and len(kind) < 40 and len(score) < 600:
            found.append((_sound(kind), _sound(score)))
    return tuple(found)


def _grade(value: Json) -> str:
    """GitHub's word for the severity, and that of sources that follow it."""
    said = value.get("database_specific")
    word = said.get("severity") if isinstance(said, dict) else None
    word = word.lower() if isinstance(word, str) else ""
    return {"moderate": "medium"}.get(word, word) if word in ("low", "moderate", "medium", "high", "critical") else ""


def _bounded(value: Json, limit: int) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise ValueError("a list is malformed or too long")
    return value


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 1000 or _UNSOUND.search(value):
        raise ValueError("a version is no text")
    return value


def _sound(value: Json) -> str:
    return _UNSOUND.sub("\ufffd", value) if isinstance(value, str) else ""


def _is_name(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 512 and value.isprintable()
