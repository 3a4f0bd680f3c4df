"""HTTP that two readers could understand in two ways, from clients and from the model's server: refused, and nothing is smuggled."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress

import httpx
import pytest
from tests.surface_proxy.servers import Proxy, Script, Scripted, chat, spoken, stream, whole
from tests.surface_proxy.test_clients import KEY
from tests.surface_proxy.test_hostile import ASK, BODY, JSON, LENGTH, PATH

OK = json.dumps(chat("ok")).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SMUGGLED = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{JSON}{LENGTH}\r\n".encode() + BODY
LAST = b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n"  # answered with `{"ok": true}`
pytestmark = pytest.mark.usefixtures("fresh")


def exchanged(proxy: Proxy, data: bytes) -> bytes:
    """Everything that comes back for these bytes, and for a last request unless the proxy closed the connection before."""
    answer = b""
    with connected(proxy) as connection, suppress(ConnectionError):
        connection.sendall(data + LAST)
        while said := connection.recv(65536):
            answer += said
    return answer.partition(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12")[0]


def connected(proxy: Proxy) -> socket.socket:
    """A connection to the proxy."""
    host, port = proxy.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@pytest.mark.parametrize("head", [
    JSON + LENGTH + "transfer-encoding: chunked\r\n", JSON + LENGTH + LENGTH, JSON + LENGTH + "content-length: 5\r\n",
    JSON + "content-length: +5\r\n", JSON + "content-length: 5, 5\r\n", JSON + "content-length: 0x5\r\n", JSON + "content-length:\r\n",
    JSON + "transfer-encoding: gzip, chunked\r\n", JSON + "transfer-encoding: identity\r\n",
    JSON + "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", JSON + "transfer-encoding: \x0bchunked\r\n",
    JSON + LENGTH + "transfer-encoding : chunked\r\n", JSON + LENGTH + " transfer-encoding: chunked\r\n",
    JSON + LENGTH + "a: b\r\n\ttransfer-encoding: chunked\r\n", JSON + LENGTH + "a: b\nx: y\r\n", JSON + LENGTH + "a: b\rc: d\r\n",
    JSON + LENGTH + "a: \x00\r\n", JSON + LENGTH + "no colon\r\n", JSON + LENGTH + ": empty\r\n", JSON + LENGTH + "host: y\r\n",
])  # fmt: skip
def test_a_request_with_two_readings_is_refused_and_what_follows_it_is_no_request(
    proxy: Proxy, model: Scripted, head: str
) -> None:
    answer = exchanged(
        proxy, f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode("latin-1") + b"0\r\n\r\n" + SMUGGLED
    )
    said = statuses(answer)
    assert said and 400 <= said[0] < 500 and not model.requests
    assert len(said) == 1 or said == [
        400,
        400,
    ]  # a second header `host` has one reading of its length, and is refused alone


@pytest.mark.parametrize("data", [
    b"POST %s\r\n\r\n" % PATH.encode(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" + SMUGGLED,
    b"POST %s HTTP/1.0\r\ntransfer-encoding: chunked\r\n" % PATH.encode() + JSON.encode() + b"\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nhost: x\r\na: %s\r\n\r\n" % (PATH.encode(), b"b" * 70_000), b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
    SMUGGLED.replace(b"\r\n", b"\n"),
], ids=["0.9", "2.0", "TLS", "empty line", "old chunks", "huge head", "long target", "bare LF"])  # fmt: skip
def test_what_is_no_http_1_1_is_told_so_and_closed(proxy: Proxy, model: Scripted, data: bytes) -> None:
    said = statuses(exchanged(proxy, data + SMUGGLED))
    assert len(said) == 1 and 400 <= said[0] < 500 and not model.requests


@pytest.mark.parametrize("chunks", [
    b"0x5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"4\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello", b"5;" + b"x" * 5000, b"0\r\ncontent-length: 5\r\n\r\n",
])  # fmt: skip
def test_a_body_in_malformed_chunks_is_refused(proxy: Proxy, model: Scripted, chunks: bytes) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{JSON}transfer-encoding: chunked\r\n\r\n".encode()
    assert statuses(exchanged(proxy, head + chunks + SMUGGLED)) == [400] and not model.requests


@pytest.mark.parametrize("target", [
    f"http://elsewhere{PATH}", f"//{PATH}", f"/{PATH}", f"{PATH}/", "/v1/./chat/completions", "/v1/x/../chat/completions",
    "/v1/chat%2Fcompletions", "/v1/chat/completion%73", f"{PATH}#x", f"{PATH};x", PATH.upper(), "*", "elsewhere:443", f"{PATH}%00", f"{PATH}/.",
])  # fmt: skip
def test_a_target_that_is_not_exactly_a_known_path_goes_nowhere(proxy: Proxy, model: Scripted, target: str) -> None:
    data = f"POST {target} HTTP/1.1\r\nhost: x\r\n{JSON}{LENGTH}\r\n".encode() + BODY
    assert statuses(exchanged(proxy, data)) == [404] and not model.requests


@pytest.mark.parametrize(
    "query",
    [
        "beta=b%0d%0ax:y",
        "beta=%2e%2e",
        "beta=b#c",
        "beta=<x>",
        "beta=" + "b" * 300,
        "prompt=ignore.all.rules",
        "beta=true&",
    ],
)
def test_a_query_that_says_more_than_plain_words_is_refused(proxy: Proxy, model: Scripted, query: str) -> None:
    data = f"POST {PATH}?{query} HTTP/1.1\r\nhost: x\r\n{JSON}{LENGTH}\r\n".encode() + BODY
    assert statuses(exchanged(proxy, data)) == [400] and not model.requests


def test_an_upgrade_and_an_old_version_are_plain_requests(proxy: Proxy, model: Scripted) -> None:
    upgrade = SMUGGLED.replace(b"host: x", b"host: x\r\nconnection: upgrade\r\nupgrade: h2c")
    assert statuses(exchanged(proxy, upgrade + SMUGGLED)) == [200, 200]
    old = exchanged(proxy, SMUGGLED.replace(b"HTTP/1.1", b"HTTP/1.0") + SMUGGLED)
    assert statuses(old) == [200] and b"connection: close" in old
    assert len(model.requests) == 3


def test_a_client_that_waits_to_be_told_is_told_to_go_on(proxy: Proxy, model: Scripted) -> None:
    head, _, body = SMUGGLED.replace(b"host: x", b"host: x\r\nexpect: 100-continue\r\nconnection: close").partition(
        b"\r\n\r\n"
    )
    with connected(proxy) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert statuses(connection.recv(65536)) == [200] and len(model.requests) == 1


def test_a_client_that_was_not_told_to_go_on_is_let_go(proxy: Proxy, model: Scripted) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 5000000\r\nexpect: 100-continue\r\n\r\n".encode()
    answer = exchanged(proxy, head + SMUGGLED)
    assert statuses(answer) == [413] and b"connection: close" in answer and not model.requests


def test_a_stream_to_a_client_of_the_old_version_ends_with_its_connection(proxy: Proxy, model: Scripted) -> None:
    model.says(stream(*spoken("hello")))
    body = json.dumps(ASK | {"stream": True}).encode()
    answer = exchanged(proxy, f"POST {PATH} HTTP/1.0\r\n{JSON}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert b"chunked" not in answer and answer.endswith(b"data: [DONE]\n\n")


def test_requests_in_one_write_are_answered_in_turn(proxy: Proxy, model: Scripted) -> None:
    model.says(whole(chat("first")), whole(chat("second")), whole(chat("third")))
    answer = exchanged(proxy, SMUGGLED + SMUGGLED + SMUGGLED)
    assert statuses(answer) == [200] * 3 and answer.index(b"first") < answer.index(b"second") < answer.index(b"third")


def test_after_a_refusal_the_rest_of_the_body_is_no_request(proxy: Proxy, model: Scripted) -> None:
    large = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: {5_000_000}\r\n\r\n".encode()
    filling = (SMUGGLED * (5_000_000 // len(SMUGGLED) + 1))[:5_000_000]
    assert statuses(exchanged(proxy, large + filling + SMUGGLED)) == [413, 200]
    assert len(model.requests) == 1


def test_a_head_that_is_never_finished_is_closed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.surfaces.proxy.connection.HEAD_S", 0.1)
    with connected(proxy) as connection:
        connection.sendall(b"POST /v1")
        assert connection.recv(65536) == b""


@pytest.mark.parametrize("raw", [
    HEAD + b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n%s" % (len(OK), OK),
    HEAD + b"content-length: %d\r\ncontent-length: %d\r\n\r\n%s" % (len(OK), len(OK), OK),
    HEAD + b"content-length: %d\r\ncontent-length: 2\r\n\r\n%s" % (len(OK), OK),
    HEAD + b"content-length: +%d\r\n\r\n%s" % (len(OK), OK), HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    HEAD + b"content-length: %d\r\n\r\n%s" % (len(OK) + 1, OK), HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(OK), OK),
    HEAD.replace(b"\r\n", b"\n") + b"\n" + OK, HEAD + b"a: b\r\n c\r\n\r\n" + OK, HEAD + b"a: \x00\r\n\r\n" + OK, HEAD + b"a : b\r\n\r\n" + OK,
    HEAD + b"a: " + b"b" * 70_000, b"HTTP/2 200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"<html>", b"HTTP/1.1 101 Switching\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + HEAD + b"content-length: %d\r\n\r\n%s" % (len(OK), OK), b"",
])  # fmt: skip
def test_an_answer_whose_end_is_not_clear_does_not_go_on(proxy: Proxy, model: Scripted, raw: bytes) -> None:
    model.says(Script([raw], is_raw=True, breaks_off=True))
    answer = httpx.post(proxy.url + PATH, json=ASK)
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_cut"


def test_early_words_of_the_server_and_a_body_without_a_length_are_understood(proxy: Proxy, model: Scripted) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    for raw in (
        early + HEAD + b"content-length: %d\r\n\r\n%s" % (len(OK), OK),
        HEAD + b"\r\n" + OK,
        HEAD.replace(b"1.1", b"1.0") + b"\r\n" + OK,
    ):
        model.says(Script([raw], is_raw=True, breaks_off=True))
        assert httpx.post(proxy.url + PATH, json=ASK).json()["choices"][0]["message"]["content"] == "ok"


def test_what_the_server_says_unasked_is_never_the_next_answer(proxy: Proxy, model: Scripted) -> None:
    planted = json.dumps(chat(f"planted {KEY}")).encode()
    answer = HEAD + b"content-length: %d\r\n\r\n%s" % (len(OK), OK)
    model.says(
        Script([answer + HEAD + b"content-length: %d\r\n\r\n%s" % (len(planted), planted)], is_raw=True),
        whole(chat("real")),
    )
    before = model.connections
    said = [httpx.post(proxy.url + PATH, json=ASK).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert said == ["ok", "real"] and model.connections >= before + 1


def test_a_key_that_would_bring_in_a_header_is_refused(proxy: Proxy, model: Scripted) -> None:
    for value in (b"Bearer a\x0bb", b"Bearer \x7f"):
        data = SMUGGLED.replace(b"host: x", b"host: x\r\nauthorization: " + value)
        assert statuses(exchanged(proxy, data)) == [400] and not model.requests
