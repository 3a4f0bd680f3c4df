"""Where requests go: what the proxy asks of a model's server, and the ASGI application that the middleware wraps as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from assay.surfaces.proxy.refusals import Refusal

Headers = Sequence[tuple[bytes, bytes]]
Message = dict[str, Any]  # what ASGI calls a message
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Answer(Protocol):
    """An answer whose body has not been read yet."""

    status: int
    headers: Mapping[str, str]

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, exactly as it was sent.

        Raises:
            Refusal: the server was cut off, or said nothing for too long.
        """

    async def close(self) -> None:
        """Ends it; a server that is still writing is told to stop."""


class Upstream(Protocol):
    """Where requests go."""

    async def open(self, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        """Sends a request.

        Raises:
            Refusal: there is no connection, or no answer in time.
        """

    async def close(self) -> None:
        """Closes idle connections."""


@dataclass
class _AppAnswer:
    status: int
    headers: Mapping[str, str]
    queue: asyncio.Queue[bytes | None]
    task: asyncio.Task[None]

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self.queue.get()) is not None:
            yield piece
        if (self.task.done() and not self.task.cancelled()) and self.task.exception() is not None:
            raise Refusal(502, "upstream_cut", "the application broke off")

    async def close(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task


class AppUpstream:
    """The application that the middleware wraps."""

    def __init__(self, app: App, scope: Message) -> None:
        self._app, self._scope = app, scope

    async def open(self, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        """Runs the application with the judged body; returns when its answer begins."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=16)
        begun: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        given = [{"type": "http.request", "body": body, "more_body": False}]
        forever = asyncio.Event()

        async def receive() -> Message:
            if given:
                return given.pop()
            await forever.wait()  # the client's going away cancels this task
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and not begun.done():
                begun.set_result(message)
            elif message["type"] == "http.response.body":
                if message.get("body"):
                    await queue.put(bytes(message["body"]))
                if not message.get("more_body"):
                    await queue.put(None)

        async def run() -> None:
            try:
                await self._app({**self._scope, "headers": _with_length(headers, body)}, receive, send)
            finally:
                if not begun.done():
                    begun.set_exception(Refusal(502, "upstream_cut", "the application gave no answer"))
                with suppress(asyncio.QueueFull):
                    queue.put_nowait(None)

        task = asyncio.create_task(run())
        start = await begun
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start.get("headers", ())}
        return _AppAnswer(int(start["status"]), found, queue, task)

    async def close(self) -> None:
        """Nothing is kept."""


def _with_length(headers: Headers, body: bytes) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", str(len(body)).encode())]
