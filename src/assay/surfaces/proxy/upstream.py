"""The model's server: one request out, an answer in pieces back. Over HTTP, or an ASGI application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Settings

if TYPE_CHECKING:
    import httpx

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


class HttpUpstream:
    """A server at an address. Redirects are not followed and the environment's proxies are not used."""

    def __init__(self, settings: Settings) -> None:
        import httpx

        times = settings.timeouts
        self._base = settings.upstream
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(times.upstream, connect=times.connect, pool=times.connect),
            limits=httpx.Limits(max_connections=settings.max_concurrent, max_keepalive_connections=100),
            follow_redirects=False,
            trust_env=False,
        )

    async def open(self, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        """Sends a request and returns when the head of its answer is there."""
        url = f"{self._base}{path}" + (f"?{query}" if query else "")
        request = self._client.build_request("POST", url, headers=list(headers), content=body)
        request.headers["accept-encoding"] = "identity"
        with _translated():
            return _HttpAnswer(await self._client.send(request, stream=True))

    async def close(self) -> None:
        """Closes the pool."""
        await self._client.aclose()


class _HttpAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        with _translated():
            async for piece in self._response.aiter_raw():
                yield piece

    async def close(self) -> None:
        await self._response.aclose()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the client library's errors into refusals."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Refusal(502, "upstream_unreachable", "the model's server cannot be reached") from error
    except httpx.PoolTimeout as error:
        raise Refusal(503, "overloaded", "too many requests are on their way", wait_s=1) from error
    except httpx.TimeoutException as error:
        raise Refusal(504, "upstream_timeout", "the model's server did not answer in time") from error
    except httpx.HTTPError as error:
        raise Refusal(502, "upstream_cut", "the model's server broke off") from error


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
