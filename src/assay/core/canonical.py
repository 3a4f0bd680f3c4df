"""RFC 8785 canonical JSON, and a parser that refuses what canonical JSON could not say.

Two writers of one value write the same bytes, so a digest of the bytes names the value. The parser is for hostile
input: strict UTF-8, no duplicate keys, no NaN or infinity, bounded size and depth, integers within 2^53.
Source: RFC 8785 (2020); ECMA-262 section 7.1.12.1 for numbers; RFC 7493 (I-JSON) for the integer range.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from assay.core.errors import MalformedInput

Json = Any  # a JSON value; the recursive type would make every reader of a predicate cast

MAX_INTEGER = 2**53
MAX_DEPTH = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = {i: f"\\u{i:04x}" for i in range(0x20)} | {
    0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\",
}  # fmt: skip


def canonical(value: Json) -> bytes:
    """The one byte string that RFC 8785 gives to `value`.

    Raises:
        MalformedInput: NaN, infinity, an integer beyond 2^53, a lone surrogate, a key that is no string, or a type
            that JSON does not have.
    """
    parts: list[str] = []
    _write(value, parts, 0)
    return "".join(parts).encode("utf-8")


def parse(data: bytes, *, what: str = "JSON", max_bytes: int = 16 << 20, max_depth: int = MAX_DEPTH) -> Json:
    """Reads one JSON value from hostile bytes; `what` names it in errors.

    Raises:
        MalformedInput: not strict UTF-8 JSON, a duplicate key, NaN, a number out of range, too large or too deep.
    """
    if len(data) > max_bytes:
        raise MalformedInput(f"{what} is too large", f"{len(data)} bytes, at most {max_bytes} are read")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        _inspect(value, max_depth)
    except UnicodeDecodeError as error:
        raise MalformedInput(f"{what} is not UTF-8", str(error)) from error
    except RecursionError as error:
        raise MalformedInput(f"{what} is nested too deeply", f"more than {max_depth} levels") from error
    except ValueError as error:
        raise MalformedInput(f"{what} is not valid JSON", str(error)) from error
    return value


def _write(value: Json, parts: list[str], depth: int) -> None:
    if value is None or value is True or value is False:
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        parts.append(_string(value))
    elif isinstance(value, int):
        parts.append(str(_in_range(value)))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif depth >= MAX_DEPTH:
        raise MalformedInput("value is nested too deeply", f"more than {MAX_DEPTH} levels")
    elif isinstance(value, Mapping):
        _write_object(value, parts, depth)
    elif isinstance(value, (list, tuple)):
        _write_array(value, parts, depth)
    else:
        raise MalformedInput("value cannot be written as JSON", f"it is a {type(value).__name__}")


def _write_object(value: Mapping[str, Json], parts: list[str], depth: int) -> None:
    if not all(isinstance(key, str) for key in value):
        raise MalformedInput("value cannot be written as JSON", "an object key is no string")
    parts.append("{")
    for i, key in enumerate(sorted(value, key=_utf16)):
        parts.append("," if i else "")
        parts.append(_string(key))
        parts.append(":")
        _write(value[key], parts, depth + 1)
    parts.append("}")


def _write_array(value: list[Json] | tuple[Json, ...], parts: list[str], depth: int) -> None:
    parts.append("[")
    for i, item in enumerate(value):
        parts.append("," if i else "")
        _write(item, parts, depth + 1)
    parts.append("]")


def _utf16(text: str) -> bytes:
    """Sort key of RFC 8785 section 3.2.3; ASCII keys take the short way and compare equal to it."""
    if _SURROGATE.search(text):
        raise MalformedInput("text cannot be written as JSON", "it holds a lone surrogate")
    return text.encode("utf-16-be")


def _string(text: str) -> str:
    if _SURROGATE.search(text):
        raise MalformedInput("text cannot be written as JSON", "it holds a lone surrogate")
    return f'"{text.translate(_ESCAPES)}"'


def _in_range(value: int) -> int:
    if abs(value) > MAX_INTEGER:
        raise MalformedInput("integer is out of range", f"{str(value)[:20]}… is beyond 2^53 and would lose digits")
    return value


def _number(value: float) -> str:
    """ECMAScript's shortest round-trip form. Python's repr gives the same digits in another layout."""
    if not math.isfinite(value):
        raise MalformedInput("number is not finite", "NaN and infinity have no JSON form")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
    point = len(whole) + int(exponent or 0)
    if whole == "0":
        point = int(exponent or 0) - (len(fraction) - len(fraction.lstrip("0")))
    digits = digits.rstrip("0") or "0"
    return sign + _layout(digits, point)


def _layout(digits: str, point: int) -> str:
    """Places the decimal point; value = 0.digits x 10^point. Source: ECMA-262 Number::toString, steps 6 to 10."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{digits[0]}.{digits[1:]}{power}" if count > 1 else digits + power


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names the same key twice")
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not a JSON number")


def _inspect(value: Json, room: int) -> None:
    if isinstance(value, (dict, list)):
        if room <= 0:
            raise ValueError("nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _inspect(item, room - 1)
        if isinstance(value, dict) and any(not key.isascii() and _SURROGATE.search(key) for key in value):
            raise ValueError("a key holds a lone surrogate")
    elif isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise ValueError("a string holds a lone surrogate")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("an integer is beyond 2^53")
