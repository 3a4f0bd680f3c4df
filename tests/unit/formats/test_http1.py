"""HTTP/1.1 heads and bodies: what two readers could understand in two ways is refused, and however bytes are cut they say the same."""

from __future__ import annotations

import random

import h11
import pytest

from assay.core.errors import MalformedInput
from assay.formats.http1 import (
    MAX_HEAD_BYTES,
    MAX_TRAILER_BYTES,
    End,
    Ends,
    Fields,
    Head,
    Reader,
    answer_head,
    request_head,
    written,
)

POST = b"POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\n"


def said(data: bytes, *, pieces: int = 1, is_answer: bool = False, is_closed: bool = False) -> list[Head | bytes]:
    """Heads and whole bodies, with `data` fed in pieces of that size."""
    reader = Reader(answer_head if is_answer else request_head)
    out: list[Head | bytes] = []
    step = max(1, len(data) // pieces) if pieces > 1 else max(1, len(data))
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        if at + step >= len(data) and is_closed:
            reader.close()
        while (event := reader.next()) is not None:
            if isinstance(event, End):
                continue
            if isinstance(event, bytes) and isinstance(out[-1], bytes):
                out[-1] += event
            else:
                out.append(event)
    return out


def test_requests_follow_each_other() -> None:
    chunked = POST + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nT: t\r\n\r\n"
    data = POST + b"Content-Length:  3 \r\n\r\nabc" + chunked + b"GET / HTTP/1.0\r\n\r\n"
    first, body, second, chunks, third = said(data)
    assert isinstance(first, Head) and (first.method, first.target, first.length) == ("POST", b"/v1/x?a=b", 3)
    assert list(first.fields) == [(b"host", b"h"), (b"content-length", b"3")] and not first.is_old
    assert isinstance(second, Head) and second.length is Ends.CHUNKED
    assert (body, chunks) == (b"abc", b"abc0123456789")
    assert isinstance(third, Head) and third.is_old and third.length == 0
    for pieces in (2, 7, len(data)):
        assert said(data, pieces=pieces) == [first, body, second, chunks, third]


@pytest.mark.parametrize("data", [
    b"\r\n" + POST + b"\r\n", POST[:-2] + b"\n\r\n\r\n", b"POST /x\r\n\r\n", b"POST  /x HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.1 \r\n\r\n",
    b"POST /x HTTP/1.2\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"P\x00ST /x HTTP/1.1\r\n\r\n", b"POST /\xff HTTP/1.1\r\n\r\n",
    b"POST /x y HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", POST + b"no colon\r\n\r\n", POST + b": empty\r\n\r\n",
    POST + b"a : b\r\n\r\n", POST + b"a: b\r\n folded\r\n\r\n", POST + b" a: b\r\n\r\n", POST + b"a: b\x00\r\n\r\n", POST + b"a: b\rc: d\r\n\r\n",
    POST + b"a: b\nc: d\r\n\r\n", POST + b"a: \x7f\r\n\r\n", POST + b"a\xc3: b\r\n\r\n", b"POST /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
    POST + b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n", POST + b"a: " + b"b" * MAX_HEAD_BYTES,
])  # fmt: skip
def test_what_is_no_strict_head_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        said(data)


@pytest.mark.parametrize("fields", [
    b"Content-Length: 1\r\nTransfer-Encoding: chunked", b"Content-Length: 1\r\nContent-Length: 1", b"Content-Length: 1, 1",
    b"Content-Length: +1", b"Content-Length: -1", b"Content-Length: 0x1", b"Content-Length: 1_0", b"Content-Length: ", b"Content-Length: 1 1",
    b"Content-Length: 1111111111111111", "Content-Length: ١".encode(), b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding:",
])  # fmt: skip
def test_a_body_whose_end_is_not_clear_has_none_and_nothing_follows_it(fields: bytes) -> None:
    try:
        (head,) = said(POST + fields + b"\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")
    except MalformedInput:
        return
    assert isinstance(head, Head) and head.length is Ends.UNCLEAR
    with pytest.raises(MalformedInput):
        said(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n0\r\n\r\n", is_answer=True)


@pytest.mark.parametrize("body", [
    b"0x3\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n", b"3\r\nabcd\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"fffffffffffff\r\nabc", b"\r\n3\r\nabc\r\n0\r\n\r\n",
    b"3;" + b"x" * 300 + b"\r\nabc", b"3;\x00\r\nabc\r\n0\r\n\r\n", b"0\r\nno colon\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\na: b\r\n folded\r\n\r\n",
    b"0\r\na: " + b"b" * MAX_TRAILER_BYTES, b"3" * 300,
])  # fmt: skip
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedInput):
        said(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)


def test_answers_end_with_their_length_their_last_chunk_or_their_connection() -> None:
    informed = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"
    early, head, body = said(informed, is_answer=True)
    assert isinstance(early, Head) and isinstance(head, Head) and (early.status, head.status, body) == (103, 200, b"ok")
    old = b"HTTP/1.0 200 OK\r\n\r\nall of it"
    assert said(old, is_answer=True, is_closed=True)[1] == b"all of it"
    none = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
    assert len(said(none + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", is_answer=True)) == 2


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
])  # fmt: skip
def test_an_answer_that_breaks_off_or_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        said(data, is_answer=True, is_closed=True)


def test_no_header_can_bring_in_another() -> None:
    assert written(b"POST / HTTP/1.1", [(b"a", b"b c")]) == b"POST / HTTP/1.1\r\na: b c\r\n\r\n"
    for line, name, value in ((b"x", b"a", b"b\r\nc: d"), (b"x", b"a\r\nb", b"c"), (b"x", b"a", b"b\n"), (b"x", b"a b", b"c"),
                              (b"x", b"a:", b"\x00"), (b"x\r\ny: z", b"a", b"b")):  # fmt: skip
        with pytest.raises(MalformedInput):
            written(line, [(name, value)])


def heard(data: bytes) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
    """Method, target, headers and body of each request, as h11 reads them, up to the first that it does not understand."""
    out = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return out
        if isinstance(event, h11.Request):
            out.append((event.method, event.target, list(event.headers), b""))
        elif isinstance(event, h11.Data):
            out[-1] = (*out[-1][:3], out[-1][3] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return out
            connection.start_next_cycle()
        else:
            return out


def plain(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The headers as h11 gives them."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields]


SEEDS = (
    POST + b"Content-Length: 5\r\n\r\nhello" + POST + b"X-A: b, c\r\n\r\n",
    POST
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nT: u\r\n\r\n"
    + POST
    + b"Content-Length: 0\r\n\r\n",
)
SNIPPETS = (b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"0", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n",
            b"Transfer-Encoding: identity\r\n", b"\x0b", b",", b"5", b"\xa0", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")  # fmt: skip


def test_whatever_is_understood_here_another_strict_reader_understands_alike() -> None:
    """Mutated requests: what is accepted here, h11 accepts with the same meaning; so nothing is smuggled past one of both."""
    rng = random.Random(11)
    understood = 0
    for _ in range(4000):
        data = bytearray(rng.choice(SEEDS))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.choice((*SNIPPETS, bytes([rng.randrange(256)]), b""))
        try:
            ours = said(bytes(data))
        except MalformedInput:
            continue
        heads = [head for head in ours if isinstance(head, Head)]
        if any(head.length is Ends.UNCLEAR or head.is_old for head in heads):
            continue
        if any(sum(name == b"host" for name, _ in head.fields) != 1 for head in heads):
            continue  # h11 asks for one host; here `headers_of` refuses a second
        understood += 1
        theirs = heard(bytes(data))
        said_there = [(method, target, headers) for method, target, headers, _ in theirs][: len(heads)]
        assert [(head.method.encode(), head.target, plain(head.fields)) for head in heads] == said_there, data
        body = b"".join(body for body in ours if isinstance(body, bytes))
        assert b"".join(found[3] for found in theirs).startswith(body), (
            data
        )  # ours may still wait for a strict end of line
    assert understood > 300
