"""Clients and servers that lie, stall, break off or overload: clear errors, and nothing passes unscanned."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.surface_proxy.servers import (
    POLICY,
    Proxy,
    Script,
    Scripted,
    chat,
    chunk,
    firewall_of_tests,
    proxied,
    spoken,
    stream,
    whole,
)  # fmt: skip
from tests.surface_proxy.test_clients import KEY

from assay.firewall import SCANNERS, Firewall, Segment
from assay.runtime.firewall.document import read_firewall_policy
from assay.surfaces.proxy.metrics import Metrics
from assay.surfaces.proxy.scanning import INLINE_CHARS, PooledFirewall, Workers
from assay.surfaces.proxy.settings import Timeouts

PATH = "/v1/chat/completions"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


pytestmark = pytest.mark.usefixtures("fresh")


def raw(proxy: Proxy, head: str, body: bytes = BODY) -> tuple[int, str]:
    """Status and code of the answer to bytes as they are; 0 where the connection was closed without one."""
    host, port = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer and (b"}}" in answer or b"content-length: 0" in answer):
                break
    if not answer:
        return 0, ""
    said = answer.partition(b"\r\n\r\n")[2]
    return int(answer.split()[1]), json.loads(said)["error"]["code"] if said.startswith(b"{") else ""


JSON = "content-type: application/json\r\n"
LENGTH = f"content-length: {len(BODY)}\r\n"


@pytest.mark.parametrize(("head", "body", "code"), [
    (JSON + LENGTH + "authorization: Bearer a\r\nauthorization: Bearer b\r\n", BODY, "duplicate_header"),
    (JSON + JSON + LENGTH, BODY, "duplicate_header"),
    (JSON + LENGTH + "transfer-encoding: chunked\r\n", b"0\r\n\r\n", "two_lengths"),
    (JSON + LENGTH + "content-encoding: gzip\r\n", BODY, "content_encoding"),
    ("content-type: text/plain\r\n" + LENGTH, BODY, "content_type"),
    ("content-type: application/json; charset=utf-16\r\n" + LENGTH, BODY, "content_type"),
    (JSON + LENGTH + "authorization: Bearer a\r\nx-api-key: b\r\n", BODY, "two_keys"),
    *[(JSON + LENGTH + f"content-encoding: {packed}\r\n", BODY, "content_encoding") for packed in ("deflate", "br", "identity, gzip", "x-gzip")],
    *[(f"content-type: {kind}\r\n{LENGTH}", BODY, "content_type") for kind in (
        "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json; charset=utf-8; charset=utf-16", "text/json",
        "application/json; charset=utf-7", "application/json, text/plain", "application/json; x=y", "")],
    (JSON + "content-length: 10000000\r\n", b"", "request_too_large"),
])  # fmt: skip
def test_what_two_readers_could_understand_in_two_ways_is_refused(
    proxy: Proxy, model: Scripted, head: str, body: bytes, code: str
) -> None:
    status, said = raw(proxy, head, body)
    assert 400 <= status < 500 and said == code
    assert not model.requests


@pytest.mark.parametrize("body", [
    b"{", b"[]", b'{"model": "m", "model": "n", "messages": []}', b'{"messages": NaN}', b"\xff\xfe{}",
    b'{"messages": ' + b"[" * 40 + b"]" * 40 + b"}", b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b"\xef\xbb\xbf" + BODY, BODY.decode().encode("utf-16"), BODY.decode().encode("utf-32-le"), b'{"messages": [], "seed": 1e999}', BODY + b"{}",
    b'{"messages": [], "seed": 12345678901234567890}', b'{"model": "a", "\\u006dodel": "b", "messages": []}', b"// comment\n" + BODY,
    b'{"messages": [{"role": "user", "content": "a", "content": "b"}]}', b'{"messages": [{"role": "user", "content": "\xc0\xaf"}]}', b"'x'",
    b'{"messages": [], "Messages": []}', b'{"messages": [], "seed": 01}', b'{"messages": [],}',
    b'{"messages": [], "stream": 1}', b'{"messages": [], "max_tokens": "many"}', b'{"messages": [], "n": 0}',
])  # fmt: skip
def test_malformed_requests_are_refused_and_go_nowhere(proxy: Proxy, model: Scripted, body: bytes) -> None:
    answer = httpx.post(proxy.url + PATH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] in ("malformed_request", "unknown_part")
    assert not model.requests


def test_ten_megabytes_are_refused_without_being_held(proxy: Proxy, model: Scripted) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(160):
            yield b" " * 65536

    answer = httpx.post(proxy.url + PATH, content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413 and not model.requests


def test_a_client_that_sends_too_slowly_is_let_go(proxy: Proxy) -> None:
    assert raw(proxy, JSON + LENGTH, b"{") == (408, "request_timeout")


def test_secrets_behind_escapes_are_seen(proxy: Proxy, model: Scripted) -> None:
    hidden = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": "is {hidden} it"}}]}}'
    httpx.post(proxy.url + PATH, content=body, headers={"content-type": "application/json"})
    assert model.bodies[0]["messages"][0]["content"] == "is [ASY-SEC-013] it"


def test_an_upstream_error_goes_on_with_its_status_and_without_secrets(proxy: Proxy, model: Scripted) -> None:
    model.says(
        whole({"error": {"message": f"key {KEY} is wrong", "type": "x"}}, status=401, headers=[("retry-after", "3")])
    )
    answer = httpx.post(proxy.url + PATH, json=ASK)
    assert (answer.status_code, answer.headers["retry-after"]) == (401, "3")
    assert answer.json()["error"]["message"] == "key [ASY-SEC-013] is wrong"
    model.says(Script([b"<html>" + KEY.encode()], "text/html", 500))
    answer = httpx.post(proxy.url + PATH, json=ASK)
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("script", [
    Script([b"{"]), Script([b'{"id": 1, "id": 2}']), Script([b"ok"], "text/plain"), whole({"choices": {"x": 1}}),
    Script([json.dumps(chat("x")).encode()], headers=[("content-encoding", "gzip")]), Script([b"[" * 100 + b"]" * 100]),
], ids=["cut", "duplicate key", "no JSON", "no list", "packed", "deep"])  # fmt: skip
def test_a_malformed_answer_does_not_go_on(proxy: Proxy, model: Scripted, script: Script) -> None:
    model.says(script)
    answer = httpx.post(proxy.url + PATH, json=ASK)
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_malformed"


def test_a_response_whose_output_is_no_list_does_not_go_on(proxy: Proxy, model: Scripted) -> None:
    model.says(whole({"id": "r", "object": "response", "output": f"it is {KEY}"}))
    answer = httpx.post(proxy.url + "/v1/responses", json={"model": "m", "input": "hi"})
    assert answer.status_code == 502 and KEY not in answer.text


def test_a_server_that_breaks_off_or_says_nothing_is_told_as_such(proxy: Proxy, model: Scripted) -> None:
    model.says(Script([b'{"id"'], breaks_off=True))
    assert httpx.post(proxy.url + PATH, json=ASK).json()["error"]["code"] == "upstream_cut"
    model.says(Script([b"{}"], pause_s=5))
    assert httpx.post(proxy.url + PATH, json=ASK, timeout=20).json()["error"]["code"] == "upstream_timeout"


def events(answer: httpx.Response) -> tuple[str, str]:
    """The text of a stream, and the code of the error that ended it."""
    text, code = "", ""
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            value = json.loads(line[6:])
            code = value.get("error", {}).get("code", code)
            text += "".join(choice["delta"].get("content") or "" for choice in value.get("choices", ()))
    return text, code


@pytest.mark.parametrize(("script", "code"), [
    (stream(*spoken("x" * 300)[:-1], ends=False), "upstream_cut"),
    (stream(*spoken("x" * 300)[:-1], ends=False, breaks_off=True), "upstream_cut"),
    (stream(chunk({"content": "x" * 300}), b"{", ends=False), "upstream_malformed"),
    (stream(chunk({"content": "x" * 300}), {"choices": "no"}, ends=False), "upstream_malformed"),
    (stream(chunk({"content": "x" * 300}), *[chunk({"tool_calls": [{"index": i}]}) for i in range(200)]), "upstream_malformed"),
    (stream(chunk({"content": "x" * 300}), chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 70_000}}]})), "answer_too_long"),
    (Script([b"data: " + b"x" * (1 << 20)] * 2, "text/event-stream"), "upstream_malformed"),
], ids=["cut", "broken off", "no JSON", "no list", "many calls", "large call", "endless event"])  # fmt: skip
def test_a_stream_that_goes_wrong_ends_with_an_error(proxy: Proxy, model: Scripted, script: Script, code: str) -> None:
    model.says(script)
    text, said = events(httpx.post(proxy.url + PATH, json={**ASK, "stream": True}, timeout=20))
    assert said == code and set(text) <= {"x"}


def test_crlf_comments_and_a_last_event_without_its_empty_line_are_understood(proxy: Proxy, model: Scripted) -> None:
    pieces = b"".join(b": keep-alive\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n" for event in spoken("grüße"))
    model.says(Script([bytes([byte]) for byte in pieces + b"data: [DONE]"], "text/event-stream"))
    assert events(httpx.post(proxy.url + PATH, json={**ASK, "stream": True})) == ("grüße", "")


def test_a_model_that_ignores_its_limit_is_cut(proxy: Proxy, model: Scripted) -> None:
    model.says(stream(*spoken("a long answer " * 2000, 200)))
    text, code = events(httpx.post(proxy.url + PATH, json={**ASK, "stream": True, "max_tokens": 5}))
    assert code == "answer_too_long" and len(text) < 5000


def test_a_client_that_hangs_up_stops_the_model(proxy: Proxy, model: Scripted) -> None:
    before = model.cut
    model.says(stream(*spoken("never ending " * 400), pause_s=0.02))
    with httpx.stream("POST", proxy.url + PATH, json={**ASK, "stream": True}) as answer:
        next(answer.iter_bytes())
    until = time.monotonic() + 20
    while model.cut == before and time.monotonic() < until:
        time.sleep(0.02)
    assert model.cut == before + 1
    while proxy.gateway.running and time.monotonic() < until:
        time.sleep(0.02)
    assert proxy.gateway.running == 0 and proxy.gateway.held_bytes == 0


def test_a_client_that_does_not_take_its_answer_is_let_go(model: Scripted, tmp_path: Path) -> None:
    answer = {
        "object": "list",
        "model": "e",
        "data": [{"index": 0, "object": "embedding", "embedding": [0.123456] * 800_000}],
    }
    model.says(whole(answer))
    body = b'{"model": "e", "input": "x"}'
    registry = CollectorRegistry()
    with proxied(model.url, tmp_path, timeouts=Timeouts(client=0.3), meters=(Metrics(registry),)) as patient:
        host, port = patient.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"POST /v1/embeddings HTTP/1.1\r\n{JSON}content-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            until = time.monotonic() + 20
            while not (model.requests and patient.gateway.running == 0) and time.monotonic() < until:
                time.sleep(0.02)
            assert patient.gateway.running == 0 and patient.gateway.held_bytes == 0
    assert 'requests_total{api="embeddings",status="499"} 1.0' in generate_latest(registry).decode()


def test_a_scanner_that_did_not_run_blocks_and_is_told(model: Scripted, tmp_path: Path) -> None:
    with proxied(model.url, tmp_path, route="rushed") as rushed:
        answer = httpx.post(rushed.url + PATH, json=ASK)
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "firewall_undecided"
        assert not model.requests and rushed.events[0].verdict and rushed.events[0].verdict.undecided


def test_an_exchange_keeps_the_policy_that_it_began_with(model: Scripted, tmp_path: Path) -> None:
    lenient = firewall_of_tests()
    strict = Firewall(read_firewall_policy(POLICY.replace(b"redact", b"block"), "strict.yaml", SCANNERS))
    now = [lenient]
    with proxied(model.url, tmp_path, firewall=lambda: now[0]) as changing:
        model.says(stream(*spoken(f"slowly said: {KEY} and so on and on until the end of it", 20), pause_s=0.05))
        with httpx.stream("POST", changing.url + PATH, json={**ASK, "stream": True}) as answer:
            now[0] = strict
            answer.read()
        assert events(answer) == ("slowly said: [ASY-SEC-013] and so on and on until the end of it", "")
        assert events(httpx.post(changing.url + PATH, json={**ASK, "stream": True}))[1] == "firewall_blocked"


def test_a_killed_scanning_process_lets_nothing_through_and_is_replaced() -> None:
    workers = Workers(1)
    firewall = PooledFirewall(firewall_of_tests().policy, workers)
    large = Segment(f"{KEY} " + "words " * (INLINE_CHARS // 6))
    assert "[ASY-SEC-013]" in firewall.check(large).text
    for process in workers.processes():
        os.kill(process, signal.SIGKILL)
    verdicts = [firewall.check(large) for _ in range(3)]
    assert all(verdict.undecided or "[ASY-SEC-013]" in verdict.text for verdict in verdicts)
    assert "[ASY-SEC-013]" in verdicts[-1].text
    workers.close()


def test_when_all_places_are_taken_more_requests_are_refused(model: Scripted, tmp_path: Path) -> None:
    with proxied(model.url, tmp_path, max_concurrent=1) as small:
        model.says(stream(*spoken("slow " * 1000), pause_s=0.05))
        with httpx.stream("POST", small.url + PATH, json={**ASK, "stream": True}) as answer:
            pieces = answer.iter_bytes()  # kept, since dropping it would hang up
            next(pieces)
            assert httpx.post(small.url + PATH, json=ASK).json()["error"]["code"] == "overloaded"


def test_a_page_in_a_browser_may_not_spend_the_key_of_the_server(model: Scripted, proxy: Proxy, tmp_path: Path) -> None:
    """DNS rebinding, as CVE-2024-28224 describes it for a model's server."""
    page = {"origin": "http://rebound.example"}
    with proxied(model.url, tmp_path, key="server-key") as keyed:
        refused = httpx.post(keyed.url + PATH, json=ASK, headers=page)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "browser") and model.requests == []
        assert httpx.post(keyed.url + PATH, json=ASK).status_code == 200
    assert httpx.post(proxy.url + PATH, json=ASK, headers=page).status_code == 200  # nothing of the operator's is spent
