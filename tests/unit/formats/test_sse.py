"""Server-sent events: read alike however they are cut, and bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import MalformedInput
from assay.formats.sse import SseEvent, SseReader, sse_frame

STREAM = "event: a\r\ndata: ünï\r\ndata: two\r\n\r\n: ping\ndata:x\n\nid: 7\rretry: 5\rdata: y\r\rdata: last".encode()
EVENTS = [SseEvent("ünï\ntwo", "a"), SseEvent("", is_comment=True), SseEvent("x"), SseEvent("y"), SseEvent("last")]


def read(*chunks: bytes) -> list[SseEvent]:
    reader = SseReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + list(reader.end())


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_a_stream_is_read_alike_however_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert read(*[STREAM[a:b] for a, b in pairwise(places)]) == EVENTS


def test_a_stream_that_comes_byte_by_byte_is_read_alike() -> None:
    assert read(*[bytes([byte]) for byte in STREAM]) == EVENTS


def test_a_mark_of_byte_order_at_the_start_is_skipped() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\n") == [SseEvent("x")]


def test_bytes_that_are_no_utf8_are_an_error_and_not_replaced() -> None:
    with pytest.raises(MalformedInput, match="UTF-8"):
        read(b"data: \xff\n\n")


@pytest.mark.parametrize("piece", [b"data: x", b"data: x\n", b": x\n"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    reader = SseReader(max_event_bytes=1000)
    with pytest.raises(MalformedInput, match="too large"):
        for _ in range(1000):
            list(reader.feed(piece))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "message_stop"]))
def test_what_is_written_is_read_back(data: str, name: str) -> None:
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    assert read(sse_frame(data, name)) == [SseEvent(lines, name)]
