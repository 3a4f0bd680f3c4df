"""Servers for tests of the proxy, each on a free port of the loopback: the proxy itself, and a model's server that says what a test wrote.

    with scripted() as model, proxied(model.url) as proxy:
        model.says(answer("hello"))
        openai.OpenAI(base_url=proxy.url + "/v1", api_key="k").chat.completions.create(...)

`Scripted` plays back bytes, in the pieces and with the pauses that the test wants, and keeps the requests that it saw.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from assay.firewall import SCANNERS, Firewall
from assay.runtime.budget.account import Account
from assay.runtime.firewall.document import read_firewall_policy
from assay.surfaces.proxy.app import ProxyApp
from assay.surfaces.proxy.connection import ClientConnection
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.http_upstream import HttpUpstream
from assay.surfaces.proxy.settings import Settings
from assay.surfaces.proxy.watch import Event, Meter, Record

POLICY = b"""
firewall: assay/firewall/v1
name: tests
version: 1
routes:
  default:
    - scanners: {secrets: {action: redact, deadline_ms: 60000}, tool-call: {action: block, deadline_ms: 60000}}
  strict:
    - scanners: {secrets: {action: block, deadline_ms: 60000}}
  rushed:
    - scanners: {secrets: {action: redact, deadline_ms: 0}}
"""
JSON = "application/json"
STREAM = "text/event-stream"


@dataclass
class Script:
    """What the model's server answers: pieces of a body, a pause before each, and whether it breaks off after them.

    Where it is `raw` the pieces are the whole answer, head and all.
    """

    pieces: Sequence[bytes]
    kind: str = JSON
    status: int = 200
    pause_s: float = 0.0
    breaks_off: bool = False
    headers: Sequence[tuple[str, str]] = ()
    is_raw: bool = False


@dataclass
class Scripted:
    """A model's server; the last script goes on for ever."""

    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    connections: int = 0
    cut: int = 0

    def says(self, *scripts: Script) -> None:
        """The answers to the next requests."""
        self.scripts[:] = scripts

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies that arrived."""
        return [body for _, _, body in self.requests]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((lines[0].split()[1], headers, json.loads(body)))
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                await self._play(script, writer)
                if script.breaks_off:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _play(self, script: Script, writer: asyncio.StreamWriter) -> None:
        if script.is_raw:
            writer.write(b"".join(script.pieces))
            await writer.drain()
            return
        extra = "".join(f"{name}: {value}\r\n" for name, value in script.headers)
        writer.write(
            f"HTTP/1.1 {script.status} X\r\ncontent-type: {script.kind}\r\ntransfer-encoding: chunked\r\n{extra}\r\n".encode()
        )
        try:
            for piece in script.pieces:
                if script.pause_s:
                    await asyncio.sleep(script.pause_s)
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
                if writer.is_closing():
                    raise ConnectionResetError
        except ConnectionError:
            self.cut += 1
            raise
        if not script.breaks_off:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


@dataclass
class Proxy:
    """A running proxy; `events` are what it told."""

    url: str
    gateway: Gateway
    events: list[Event]


@contextmanager
def scripted(*scripts: Script) -> Iterator[Scripted]:
    """A model's server in a thread."""
    model, ready, stop = Scripted(scripts=list(scripts)), threading.Event(), threading.Event()

    async def run() -> None:
        server = await asyncio.start_server(model.answer, "127.0.0.1", 0)
        model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.01)
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    ready.wait(10)
    try:
        yield model
    finally:
        stop.set()
        thread.join()


@contextmanager
def proxied(upstream: str, folder: Path, *, firewall: Callable[[], Any] | None = None, key: str = "", meters: tuple[Meter, ...] = (),
            record: Record | None = None, **settings: Any) -> Iterator[Proxy]:  # fmt: skip
    """The proxy in front of `upstream`, with the tests' policy unless another firewall is given."""
    given = replace(Settings(upstream), **settings)
    ready = firewall_of_tests()
    events: list[Event] = []
    gateway = Gateway(given, firewall or (lambda: ready), Account(folder / "budgets.sqlite"))
    with served(ProxyApp(gateway, HttpUpstream(given), key, record or events.append, meters), ClientConnection) as url:
        yield Proxy(url, gateway, events)


def firewall_of_tests() -> Firewall:
    """A firewall with a deadline that no busy machine misses."""
    return Firewall(read_firewall_policy(POLICY, "tests.yaml", SCANNERS))


@contextmanager
def served(app: Any, protocol: Any = "h11") -> Iterator[str]:
    """Any ASGI application, on uvicorn in a thread."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", lifespan="on", timeout_graceful_shutdown=1, proxy_headers=False, http=protocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def whole(value: Any, **how: Any) -> Script:
    """A whole JSON answer."""
    return Script([json.dumps(value).encode()], **how)


def chat(*texts: str, **message: Any) -> dict[str, Any]:
    """A chat completion with one choice for each text."""
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}} for i, text in enumerate(texts)
    ]  # fmt: skip
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


def stream(*events: Any, ends: bool = True, **how: Any) -> Script:
    """A stream with one event for each value, and `[DONE]`."""
    pieces = [
        b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n" for event in events
    ]
    return Script([*pieces, *([b"data: [DONE]\n\n"] if ends else [])], STREAM, **how)


def chunk(delta: dict[str, Any], *, index: int = 0, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, **rest}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def spoken(text: str, size: int = 5, **rest: Any) -> list[dict[str, Any]]:
    """The chunks that say a text, `size` characters each."""
    said = [chunk({"content": text[i : i + size]}) for i in range(0, len(text), size)]
    return [chunk({"role": "assistant", "content": ""}), *said, chunk({}, finish="stop")]
