"""What a worker may say: outcomes as JSON, tables as bytes, in frames; strict in both directions.

    frame   = kind (1 byte) length (4 bytes, big endian) payload
    "J"       one JSON object: an outcome {"type": "finding", ...}, or the end {"type": "end", "failure": null | {...}}
    "T"       rows (8 bytes, big endian), row root (32 bytes), table bytes
    "F"       length of a JSON head (4 bytes, big endian), the head {"schema": ..., "lists": [[name, sha256], ...]}, facts

The worker may have run a hostile model, so nothing here is pickled, and the reader checks every field: type, length, range, NaN,
unknown names. The writer runs the same checks, so an honest check learns in plain words what was wrong with its outcome.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from assay.app.runner.jobs import Failure, FailureKind
from assay.core.canonical import Json, parse
from assay.core.digests import is_digest
from assay.core.errors import MalformedInput
from assay.core.outcomes import (
    Facts,
    FileVerdict,
    Finding,
    Measurement,
    Outcome,
    Progress,
    Severity,
    Skipped,
    Table,
    Verdict,
)

MAX_JSON_BYTES = 4 << 20
MAX_TEXT = 4096
MAX_COUNT = 2**53
HEADER = struct.Struct(">cI")
TABLE_HEADER = struct.Struct(">Q32s")
FACTS_HEADER = struct.Struct(">I")
MAX_LISTS = 256
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z0-9_]{1,64}){0,8}")


@dataclass(frozen=True)
class End:
    """The last thing a worker says; `failure` is None where the check ran to its end."""

    failure: Failure | None = None


Message = Outcome | End


def write(message: Message) -> bytes:
    """The frame of a message.

    Raises:
        MalformedInput: a value that may not be said, such as NaN; the text names the field.
    """
    if isinstance(message, Table):
        table = _checked_table(message)
        return _frame(b"T", TABLE_HEADER.pack(table.rows, bytes.fromhex(table.row_root)) + table.data)
    if isinstance(message, Facts):
        facts = _checked_facts(message)
        head = json.dumps({"schema": facts.schema, "lists": facts.lists}).encode()
        return _frame(b"F", FACTS_HEADER.pack(len(head)) + head + facts.data)
    if isinstance(message, End):
        said = message.failure and {"kind": str(message.failure.kind), "text": message.failure.text}
        return _frame(b"J", json.dumps({"type": "end", "failure": said}).encode())
    name = _NAMES.get(type(message))
    if name is None:
        raise MalformedInput("the check yielded something that is no outcome", f"a {type(message).__name__}")
    fields = {field: _plain(getattr(message, field)) for field in _SHAPES[name].fields}
    _read_outcome(name, fields)
    return _frame(b"J", json.dumps({"type": name, **fields}, allow_nan=False).encode())


def read(kind: bytes, payload: bytes) -> Message:
    """The message in a frame, from hostile bytes.

    Raises:
        MalformedInput: anything that `write` would not have written.
    """
    if kind == b"T":
        if len(payload) < TABLE_HEADER.size:
            raise MalformedInput("table is malformed", "it is shorter than its header")
        rows, root = TABLE_HEADER.unpack_from(payload)
        return _checked_table(Table(payload[TABLE_HEADER.size :], rows, root.hex()))
    if kind == b"F":
        return _read_facts(payload)
    if kind != b"J":
        raise MalformedInput("message is malformed", f"there is no frame of kind {kind!r}")
    value = parse(payload, what="message", max_bytes=MAX_JSON_BYTES, max_depth=16)
    if not isinstance(value, dict) or not isinstance(name := value.pop("type", None), str):
        raise MalformedInput("message is malformed", "it is no object with a type")
    return _read_end(value) if name == "end" else _read_outcome(name, value)


def _frame(kind: bytes, payload: bytes) -> bytes:
    if kind == b"J" and len(payload) > MAX_JSON_BYTES:
        raise MalformedInput("the outcome is too large", f"{len(payload)} bytes of JSON, at most {MAX_JSON_BYTES}")
    if len(payload) >= 2**32:
        raise MalformedInput("the table or the facts are too large", f"{len(payload)} bytes")
    return HEADER.pack(kind, len(payload)) + payload


def _plain(value: Json) -> Json:
    """NumPy scalars as Python numbers, tuples as lists; all else as it is, to be judged by its reader."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return str(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


# A reader takes a value and the name of its field and returns the value as the outcome holds it, or raises.
_Reader = Callable[[Json, str], Json]


def _refuse(field: str, why: str) -> MalformedInput:
    return MalformedInput(f"an outcome's {field} is refused", why)


def _text(value: Json, field: str) -> str:
    if not isinstance(value, str):
        raise _refuse(field, f"it is a {type(value).__name__}, not text")
    if len(value) > MAX_TEXT:
        raise _refuse(field, f"it has {len(value)} characters, at most {MAX_TEXT}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise _refuse(field, "it holds a lone surrogate")
    return value


def _filled(value: Json, field: str) -> str:
    if not _text(value, field).strip():
        raise _refuse(field, "it is empty")
    return str(value)


def _texts(value: Json, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 32:
        raise _refuse(field, "it is no list of at most 32 texts")
    return tuple(_text(item, field) for item in value)


def _number(value: Json, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refuse(field, f"it is a {type(value).__name__}, not a number")
    if isinstance(value, int) and abs(value) > MAX_COUNT:
        raise _refuse(field, "it is a whole number beyond 2^53")
    if not math.isfinite(value):
        raise _refuse(field, f"it is {value}, which is not a finite number")
    return float(value)


def _count(value: Json, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(field, f"it is a {type(value).__name__}, not a whole number")
    if not 0 <= value <= MAX_COUNT:
        raise _refuse(field, f"it is {value}, not in 0..2^53")
    return value


def _claim(value: Json, field: str) -> bool:
    if not isinstance(value, bool):
        raise _refuse(field, f"it is a {type(value).__name__}, not true or false")
    return value


def _digest(value: Json, field: str) -> str:
    if not is_digest(value):
        raise _refuse(field, "it is not 64 lower-case hex characters")
    return str(value)


def _metric(value: Json, field: str) -> str:
    if not _METRIC.fullmatch(_text(value, field)) or len(value) > 128:
        raise _refuse(field, f"{value[:80]!r} is not lower-case words with dots between, at most 128 characters")
    return str(value)


def _one_of(*allowed: str) -> _Reader:
    def read_choice(value: Json, field: str) -> str:
        if value not in allowed:
            raise _refuse(field, f"{str(value)[:80]!r} is none of {', '.join(allowed)}")
        return str(value)

    return read_choice


def _either(kinds: type[StrEnum]) -> _Reader:
    choose = _one_of(*kinds)
    return lambda value, field: kinds(choose(value, field))


def _maybe(reader: _Reader) -> _Reader:
    return lambda value, field: None if value is None else reader(value, field)


def _any_json(value: Json, field: str, room: int = 12) -> Json:
    if isinstance(value, (list, dict)):
        if room == 0:
            raise _refuse(field, "it is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _any_json(item, field, room - 1)
        if isinstance(value, dict) and not all(isinstance(key, str) and _text(key, field) == key for key in value):
            raise _refuse(field, "a key is no text")
    elif isinstance(value, str):
        _text(value, field)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _number(value, field)
    elif value is not None and not isinstance(value, bool):
        raise _refuse(field, f"it holds a {type(value).__name__}, which JSON does not have")
    return value


@dataclass(frozen=True)
class _Shape:
    made: Callable[..., Outcome]
    fields: Mapping[str, _Reader]


_SHAPES: Mapping[str, _Shape] = MappingProxyType({
    "finding": _Shape(Finding, {
        "rule": _filled, "severity": _either(Severity), "location": _text, "summary": _filled, "remedy": _text,
        "refs": _texts,
    }),
    "measurement": _Shape(Measurement, {
        "metric": _metric, "value": _number, "unit": _text, "better": _one_of("higher", "lower"), "n": _count,
        "low": _maybe(_number), "high": _maybe(_number), "level": _number, "method": _text,
        "kind": _one_of("share", "mean", "gap", "rank", "count", "cells"), "group": _maybe(_text),
        "slice": _maybe(_text), "limit": _any_json, "table": _maybe(_digest), "threat_model": _maybe(_text),
        "valid": _claim,
    }),
    "verdict": _Shape(FileVerdict, {
        "path": _filled, "sha256": _digest, "format": _text, "verdict": _either(Verdict),
    }),
    "progress": _Shape(Progress, {"done": _count, "total": _count, "note": _text}),
    "skipped": _Shape(Skipped, {"what": _filled, "reason": _filled}),
})  # fmt: skip
_NAMES: Mapping[object, str] = MappingProxyType({shape.made: name for name, shape in _SHAPES.items()})


def _read_outcome(name: str, value: dict[str, Json]) -> Outcome:
    shape = _SHAPES.get(name)
    if shape is None:
        raise MalformedInput("message is malformed", f"there is no outcome called {name[:80]!r}")
    if value.keys() != shape.fields.keys():
        raise MalformedInput("message is malformed", f"a {name} has other fields")
    label = f"{name} {value['metric']!r:.80}" if name == "measurement" else name
    return shape.made(**{field: reader(value[field], f"{label}: {field}") for field, reader in shape.fields.items()})


def _read_end(value: dict[str, Json]) -> End:
    said = value.get("failure")
    if value.keys() != {"failure"} or not (
        said is None or (isinstance(said, dict) and said.keys() == {"kind", "text"})
    ):
        raise MalformedInput("message is malformed", "the end has other fields")
    if said is None:
        return End()
    return End(Failure(_either(FailureKind)(said["kind"], "failure kind"), _text(said["text"], "failure text")))


def _checked_table(table: Table) -> Table:
    if not isinstance(table.data, bytes) or not table.data:
        raise _refuse("table: data", "it is not bytes, or empty")
    _count(table.rows, "table: rows")
    _digest(table.row_root, "table: row_root")
    return table


def _read_facts(payload: bytes) -> Facts:
    if len(payload) < FACTS_HEADER.size:
        raise MalformedInput("facts are malformed", "they are shorter than their header")
    start = FACTS_HEADER.size + FACTS_HEADER.unpack_from(payload)[0]
    head = parse(payload[FACTS_HEADER.size : start], what="head of facts", max_bytes=MAX_JSON_BYTES, max_depth=4)
    if not isinstance(head, dict) or head.keys() != {"schema", "lists"} or not isinstance(head["lists"], list):
        raise MalformedInput("facts are malformed", "their head has other fields")
    lists = tuple(tuple(pair) if isinstance(pair, list) else () for pair in head["lists"])
    return _checked_facts(Facts(payload[start:], head["schema"], lists))


def _checked_facts(facts: Facts) -> Facts:
    if not isinstance(facts.data, bytes) or not facts.data:
        raise _refuse("facts: data", "they are not bytes, or empty")
    _filled(facts.schema, "facts: schema")
    if len(facts.lists) > MAX_LISTS or any(len(pair) != 2 for pair in facts.lists):
        raise _refuse("facts: lists", f"they are no pairs, or more than {MAX_LISTS}")
    for name, digest in facts.lists:
        _filled(name, "facts: name of a list")
        _digest(digest, "facts: digest of a list")
    return facts
