"""RFC 8785 canonical JSON, and a parser that refuses what canonical JSON could not say.

Two writers of one value write the same bytes, so a digest of the bytes names the value. The parser is for hostile
input: strict UTF-8, no duplicate keys, no NaN or infinity, bounded size and depth, integers below 2^53,
except the longer ones in which canonical JSON writes a float.
Source: RFC 8785 (2020); ECMA-262 section 7.1.12.1 for numbers; RFC 7493 (I-JSON) for the integer range.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from assay.core.errors import MalformedInput

Json = Any  # a JSON value; the recursive type would make every reader of a predicate cast

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
# NOTE: for values that `_is_plain` accepts, the standard library's encoder writes RFC 8785 already: the same escapes in
# lower case, and keys of ASCII sort alike in UTF-16 and in code points. It is five times as fast as `_write`.
_PLAIN = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))
# The same without the order: keys stay as they came. For values that `parse` gave, not for what is signed.
compact = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def canonical(value: Json) -> bytes:
    """The one byte string that RFC 8785 gives to `value`.

    Raises:
        MalformedInput: NaN, infinity, an integer of 2^53 or more, a lone surrogate, a key that is no string, or a type
            that JSON does not have.
    """
    try:
        if _is_plain(value, MAX_DEPTH):
            return _PLAIN.encode(value).encode("utf-8")
        parts: list[str] = []
        _write(value, parts, 0)
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedInput("text cannot be written as JSON", "it holds a lone surrogate") from error


def parse(data: bytes, *, what: str = "JSON", max_bytes: int = 16 << 20, max_depth: int = MAX_DEPTH) -> Json:
    """Reads one JSON value from hostile bytes; `what` names it in errors.

    Raises:
        MalformedInput: not strict UTF-8 JSON, a duplicate key, NaN, a number out of range, too large or too deep.
    """
    if len(data) > max_bytes:
        raise MalformedInput(f"{what} is too large", f"{len(data)} bytes, at most {max_bytes} are read")
    try:
        value = _STRICT.decode(data.decode("utf-8"))
        # NOTE: strict UTF-8 has no surrogates, so only an escape can bring one in; depth needs as many brackets.
        if b"\\u" in data or data.count(b"{") + data.count(b"[") > max_depth:
            _inspect(value, max_depth, b"\\u" in data)
    except UnicodeDecodeError as error:
        raise MalformedInput(f"{what} is not UTF-8", str(error)) from error
    except RecursionError as error:
        raise MalformedInput(f"{what} is nested too deeply", f"more than {max_depth} levels") from error
    except ValueError as error:
        raise MalformedInput(f"{what} is not valid JSON", str(error)) from error
    return value


def _is_plain(value: Json, room: int) -> bool:
    """Whether `value` has no float, no key outside ASCII, no number out of range and only JSON's own types."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if kind is dict and room > 0:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _is_plain(item, room - 1):
                return False
        return True
    if (kind is list or kind is tuple) and room > 0:
        return all(type(item) is str or _is_plain(item, room - 1) for item in value)
    return isinstance(value, str)


def _write(value: Json, parts: list[str], depth: int) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
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
    separator = "{"
    for key in sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_utf16):
        parts.append(f"{separator}{encode_basestring(key)}:")
        _write(value[key], parts, depth + 1)
        separator = ","
    parts.append("}" if value else "{}")


def _write_array(value: list[Json] | tuple[Json, ...], parts: list[str], depth: int) -> None:
    parts.append("[")
    for i, item in enumerate(value):
        parts.append("," if i else "")
        _write(item, parts, depth + 1)
    parts.append("]")


def _utf16(text: str) -> bytes:
    """Sort key of RFC 8785 section 3.2.3."""
    return text.encode("utf-16-be")


def _in_range(value: int) -> int:
    if abs(value) > MAX_INTEGER:
        raise MalformedInput("integer is out of range", "2^53 or more would lose digits")
    return value


def _number(value: float) -> str:
    """ECMAScript's shortest round-trip form. Python's repr gives the same digits, with an exponent in another layout."""
    if not math.isfinite(value):
        raise MalformedInput("number is not finite", "NaN and infinity have no JSON form")
    if value == 0:
        return "0"
    text = float.__repr__(value)
    if "e" not in text:
        return text.removesuffix(".0")
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    return sign + _layout(mantissa.replace(".", ""), 1 + int(exponent))


def _layout(digits: str, point: int) -> str:
    """Places the point where repr writes an exponent: from 1e16 up and below 1e-4; value = 0.digits x 10^point.

    Source: ECMA-262 Number::toString, steps 6 to 10.
    """
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
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


def _integer(text: str) -> int | float:
    """An integer of up to 15 digits, or the float that canonical JSON writes in exactly these digits, such as 1e20."""
    if len(text) <= 15 or -MAX_INTEGER <= int(text) <= MAX_INTEGER:
        return int(text)
    if len(text) > 22 or _number(float(text)) != text:
        raise ValueError("an integer is 2^53 or more and would lose digits")
    return float(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


_STRICT = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite
)


def _inspect(value: Json, room: int, has_escapes: bool) -> None:
    """Refuses more than `room` levels and, where escapes may have made them, lone surrogates."""
    if isinstance(value, str):
        if has_escapes and not value.isascii() and _SURROGATE.search(value):
            raise ValueError("a string holds a lone surrogate")
    elif isinstance(value, (dict, list)):
        if room <= 0:
            raise ValueError("nested too deeply")
        if has_escapes and isinstance(value, dict):
            for key in value:
                _inspect(key, room, True)
        for item in value.values() if isinstance(value, dict) else value:
            if has_escapes or isinstance(item, (dict, list)):
                _inspect(item, room - 1, has_escapes)
