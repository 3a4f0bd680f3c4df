"""Canonical JSON is RFC 8785 for every value, and the strict parser reads exactly what could be canonical."""

from __future__ import annotations

import json
import math

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from assay.core.canonical import MAX_DEPTH, canonical, parse
from assay.core.errors import MalformedInput

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_is_written_as_the_reference_implementation_writes_it(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(FLOATS)
@example(1e21)
@example(1e20)
@example(999999999999999900000.0)
@example(1e-6)
@example(1e-7)
@example(5e-324)
@example(-0.0)
@example(2.0**53)
@example(2.0**60)
@example(1.7976931348623157e308)
@example(0.1 + 0.2)
@example(1e16)
@example(123456789012345680.0)
def test_every_float_is_written_as_ecmascript_writes_it(value: float) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_what_was_written_is_read_back_and_written_the_same(value: object) -> None:
    data = canonical(value)
    assert canonical(parse(data)) == data


@given(st.floats(min_value=2.0**53, max_value=1e21, exclude_max=True))
def test_a_float_that_is_written_like_a_large_integer_can_be_read_again(value: float) -> None:
    """A measurement of 1e17 was signed and logged, and then no reader could parse its statement."""
    assert parse(canonical({"value": value})) == {"value": value}


@given(st.dictionaries(st.text(st.sampled_from("aZ\u00e9\u20ac\uff5e\U0001f600\ue000\n\x7f"), max_size=3), st.none()))
def test_keys_are_sorted_by_utf16_code_units(value: dict[str, None]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**400, 10**5000, math.nan, math.inf, -math.inf], ids=range(7))
def test_a_number_that_has_no_exact_form_is_refused(value: float) -> None:
    for nested in (value, [value], {"a": value}, {"é": value}):
        with pytest.raises(MalformedInput):
            canonical(nested)


@pytest.mark.parametrize("value", ["\ud800", {"\udc00": 1}, ["a\udfff"], {"é": "\ud800"}, [1.5, "\ud800"]])
def test_a_lone_surrogate_is_refused_in_text_and_keys(value: object) -> None:
    with pytest.raises(MalformedInput):
        canonical(value)


@pytest.mark.parametrize("value", [{1: "a"}, {None: 1}, {1, 2}, b"bytes", object(), [b"x"], {"a": {True: 1}}])
def test_a_value_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(MalformedInput):
        canonical(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"9007199254740993",
        b"123456789012345678901234567890",
        b"1" * 5000,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b'"\x00"',
        b"[1] [2]",
        b"01",
        b"\xed\xa0\x80",
        '"a"'.encode("utf-16"),
    ],
)
def test_the_parser_refuses_what_two_readers_could_take_differently(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 10_000, 1_000_000])
def test_depth_is_bounded_before_the_stack_is(depth: int, opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    with pytest.raises(MalformedInput):
        parse(opening * depth + b"1" + closing * depth)


def test_the_deepest_value_that_is_written_can_be_read() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert parse(canonical(value)) == value
    for deeper in ([value], {"a": value}, {"é": value}, (value,)):
        with pytest.raises(MalformedInput):
            canonical(deeper)


def test_size_is_bounded_before_anything_is_parsed() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        parse(b"[" * 101, max_bytes=100)


@given(st.binary(max_size=60) | TEXT.map(str.encode) | VALUES.map(lambda v: json.dumps(v, indent=1).encode()))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    try:
        value = parse(data)
    except MalformedInput:
        return
    assert canonical(value) == rfc8785.dumps(value)
