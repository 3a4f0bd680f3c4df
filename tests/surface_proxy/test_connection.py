"""One connection under an application of the test: whatever a client does, nothing of its requests stays behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.server import ServerState

from assay.surfaces.proxy.connection import ClientConnection

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body, once it is there."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """Promises more than it gives."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"abc"})


@pytest.mark.parametrize(("app", "sent", "hangs_up", "answer"), [
    (echo, HEAD + b"3\r\nabc\r\n0\r\n\r\n", True, b""), (echo, HEAD + b"zz\r\n", False, b"400"), (echo, HEAD + b"3\r\nab", True, b""),
    (echo, HEAD + b"3\r\nabc\r\n0\r\n\r\n" + HEAD + b"nonsense\r\n", False, b"abc"), (echo, b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nab", False, b"ab"),
    (broken, HEAD + b"0\r\n\r\n", False, b"abc"), (echo, HEAD, True, b""), (echo, b"\x00", False, b"400"),
])  # fmt: skip
def test_nothing_of_a_request_stays_behind(app: Any, sent: bytes, hangs_up: bool, answer: bytes) -> None:
    state = ServerState()

    async def exchange() -> bytes:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: ClientConnection(SimpleNamespace(loaded_app=app), state, {}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        said = b""
        if not hangs_up:
            try:
                said = await reader.read()
            except ConnectionResetError:
                said = answer  # an answer that was cut may be lost with its connection
        writer.close()
        async with asyncio.timeout(20):
            while state.connections or state.tasks:
                await asyncio.sleep(0.01)
        server.close()
        return said

    assert answer in asyncio.run(exchange())
