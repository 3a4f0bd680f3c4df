"""Evidence as an expression sees it: converted once, bounded, and looked at before CEL is ever asked.

CEL absorbs a missing or ill-typed value wherever another branch decides, so every path that a rule reads is looked up
here first, in every element of every list. What was looked up is remembered: many rules read the same paths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from assay.core.canonical import MAX_INTEGER, Json
from assay.core.errors import MalformedInput
from assay.core.times import instant
from assay.policy.expr_lint import Path

MAX_TEXT, MAX_ITEMS, MAX_TOTAL, MAX_LEVELS = 4 << 10, 2000, 256 << 10, 16
_TRACED_ITEMS, _TRACED_TEXT = 16, 200
_ABSENT = object()


@dataclass(frozen=True)
class Seen:
    """What stands at a path: every value in order, and how many places lack it; `problem` names what is unusable."""

    values: tuple[Json, ...]
    absent: int
    problem: str
    traced: Json


@dataclass(frozen=True)
class Document:
    """A bounded document, its CEL activation and what was looked up in it so far."""

    value: Mapping[str, Json]
    activation: Any  # cel_expr_python has no types for what Env.Activation returns
    _seen: dict[Path, Seen] = field(default_factory=dict)
    _kinds: dict[tuple[Path, str], str] = field(default_factory=dict)

    def look(self, path: Path) -> Seen:
        """What stands at `path`; `*` is each element of a list."""
        if path not in self._seen:
            self._seen[path] = _look(self.value, path)
        return self._seen[path]

    def kind_problem(self, path: Path, kind: str) -> str:
        """Why a value at `path` is not of `kind`; "" if all are."""
        key = (path, kind)
        if key not in self._kinds:
            values = self.look(path).values
            self._kinds[key] = "" if all(_FITS[kind](value) for value in values) else f"is no {kind} everywhere"
        return self._kinds[key]


def bounded(value: Json) -> Json:
    """A copy within the limits, numbers with a point kept as such.

    Raises:
        MalformedInput: a text, list or the whole is too large, too deep, or holds an integer beyond 2^53.
    """
    room = [MAX_TOTAL]
    return _bounded(value, room, 0)


def _bounded(value: Json, room: list[int], level: int) -> Json:
    room[0] -= 8 + (len(value.encode()) if isinstance(value, str) else 0)
    if room[0] < 0 or level > MAX_LEVELS:
        raise MalformedInput("evidence is larger than expressions may read", f"{MAX_TOTAL} bytes, {MAX_LEVELS} levels")
    if isinstance(value, str) and len(value.encode()) > MAX_TEXT:
        raise MalformedInput("a text is longer than expressions may read", f"{len(value)} characters")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise MalformedInput("an integer is out of range", "beyond 2^53")
    if isinstance(value, Mapping):
        return {_bounded(str(key), room, level): _bounded(item, room, level + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_ITEMS:
            raise MalformedInput("a list is longer than expressions may read", f"{len(value)}, at most {MAX_ITEMS}")
        return [_bounded(item, room, level + 1) for item in value]
    return value


def _look(document: Mapping[str, Json], path: Path) -> Seen:
    problems: list[str] = []
    values = _values([document], path, problems)
    present = tuple(value for value in values if value is not _ABSENT)
    if any(value is None for value in present):
        problems.append("is null")
    if any(isinstance(value, float) and not math.isfinite(value) for value in present):
        problems.append("is not finite")
    traced = [_brief(value) for value in present[:_TRACED_ITEMS]]
    if "*" not in path:
        shown: Json = traced[0] if traced else "absent"
    else:
        shown = [*traced, *([f"… {len(present)} in all"] if len(present) > _TRACED_ITEMS else [])]
    return Seen(present, len(values) - len(present), problems[0] if problems else "", shown)


def _values(values: list[Json], path: Path, problems: list[str]) -> list[Json]:
    for step in path:
        following: list[Json] = []
        for value in values:
            if step == "*" and isinstance(value, list):
                following += value
            elif step != "*" and isinstance(value, dict):
                following.append(value.get(step, _ABSENT))
            else:
                following.append(_ABSENT)
                if value is not _ABSENT:
                    problems.append("is no list" if step == "*" else "has no fields")
        values = following
    return values


def _brief(value: Json) -> Json:
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= _TRACED_TEXT else f"{value[:_TRACED_TEXT]}…"
    if isinstance(value, (list, dict)):
        return f"{len(value)} items"
    return value


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_timestamp(value: Json) -> bool:
    try:
        return isinstance(value, str) and bool(instant(value))
    except MalformedInput:
        return False


_FITS: Final[Mapping[str, Callable[[Json], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "divisor": lambda value: _is_number(value) and value != 0,
    "bool": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "timestamp": _is_timestamp,
    "duration": lambda value: isinstance(value, str) and re.fullmatch(r"\d{1,6}[smh]", value) is not None,
}
