"""Decodes the expression inside a serialised `cel.expr.CheckedExpr` into a small tree; no protobuf library.

Only what a lint needs is kept: constants, names, field selections, calls, lists and comprehensions. The bytes come from
the pinned cel-expr-python of this process, never from outside; anything unexpected is refused all the same.
Source: cel-spec, proto/cel/expr/{checked,syntax}.proto; Protocol Buffers, "Encoding". `Any.value` is field 2,
`CheckedExpr.expr` field 4, `Expr` kinds: const 3, ident 4, select 5, call 6, list 7, struct 8, comprehension 9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from assay.core.errors import PolicyError

MAX_LEVELS = 40


@dataclass(frozen=True)
class Const:
    """A literal; `kind` is null, bool, int, uint, double, string or bytes."""

    kind: str
    value: bool | int | float | str | bytes | None


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True)
class Select:
    """`operand.field`, or `has(operand.field)` where `is_test`."""

    operand: Node
    field: str
    is_test: bool


@dataclass(frozen=True)
class Call:
    """A function or operator; the target of a member call stands first among `args`."""

    function: str
    args: tuple[Node, ...]


@dataclass(frozen=True)
class ListOf:
    """A list literal."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Quantifier:
    """`over.all(name, body)` or `over.exists(name, body)`."""

    kind: str
    over: Node
    name: str
    body: Node


Node = Const | Name | Select | Call | ListOf | Quantifier


def decode(serialised: bytes) -> Node:
    """The tree of a compiled expression.

    Raises:
        PolicyError: a construct that rules may not use, or nested too deeply.
    """
    try:
        return _node(_bytes(_bytes(serialised, 2), 4), 0)
    except (IndexError, struct.error, UnicodeDecodeError, StopIteration, KeyError) as error:
        raise PolicyError("the compiled expression cannot be read", f"{type(error).__name__}: {error}") from error


def _node(data: bytes, level: int) -> Node:
    if level > MAX_LEVELS:
        raise PolicyError("the expression is nested too deeply", f"more than {MAX_LEVELS} levels")
    for number, body in _fields(data):
        if isinstance(body, bytes):
            if number == 3:
                return _const(body)
            if number == 4:
                return Name(_bytes(body, 1).decode())
            if number == 5:
                is_test = any(n == 3 and value for n, value in _fields(body))
                return Select(_node(_bytes(body, 1), level + 1), _bytes(body, 2).decode(), is_test)
            if number == 6:
                return _call(body, level)
            if number == 7:
                return ListOf(tuple(_node(item, level + 1) for item in _all(body, 1)))
            if number == 9:
                return _quantifier(body, level)
    raise PolicyError("the expression builds a value that rules may not use", "maps and messages are left out")


def _call(body: bytes, level: int) -> Call:
    parts = [*_all(body, 1), *_all(body, 3)]
    return Call(_bytes(body, 2).decode(), tuple(_node(part, level + 1) for part in parts))


def _quantifier(body: bytes, level: int) -> Quantifier:
    """`all` starts at true and `exists` at false; the step is `accumulator AND/OR body`."""
    start, step = _node(_bytes(body, 4), level + 1), _node(_bytes(body, 6), level + 1)
    function = {True: "_&&_", False: "_||_"}.get(start.value) if isinstance(start, Const) else None  # type: ignore[arg-type]  # a constant of another type finds nothing
    if not isinstance(step, Call) or step.function != function or len(step.args) != 2:
        raise PolicyError("the expression uses a macro that rules may not use", "only has, all and exists are known")
    name, over = _bytes(body, 1).decode(), _node(_bytes(body, 2), level + 1)
    return Quantifier("all" if function == "_&&_" else "exists", over, name, step.args[1])


def _const(body: bytes) -> Const:
    for number, value in _fields(body):
        if number == 2:
            return Const("bool", bool(value))
        if number in (3, 4) and isinstance(value, int):
            return Const("int" if number == 3 else "uint", value - (1 << 64) if value >> 63 and number == 3 else value)
        if number == 5 and isinstance(value, bytes):
            return Const("double", struct.unpack("<d", value)[0])
        if number == 6 and isinstance(value, bytes):
            return Const("string", value.decode())
        if number == 7 and isinstance(value, bytes):
            return Const("bytes", value)
    return Const("null", None)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value; varints as int, all else as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        else:
            size, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            if at + size > len(data):
                raise IndexError("a field is cut short")
            yield key >> 3, data[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError("a number is too long")


def _all(data: bytes, number: int) -> list[bytes]:
    return [value for n, value in _fields(data) if n == number and isinstance(value, bytes)]


def _bytes(data: bytes, number: int) -> bytes:
    return next(iter(_all(data, number)), b"")
