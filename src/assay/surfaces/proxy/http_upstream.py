"""A model's server over HTTP/1.1: one write for a request, an answer as it comes, connections kept for the next.

A general client library would add more than a millisecond to every request, which is most of what the proxy may cost (decisions
0026 and 0047). Redirects are not followed, and nothing in the environment leads elsewhere.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from assay.core.errors import MalformedInput
from assay.formats.http1 import END, End, Head, Reader, answer_head, written
from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Settings
from assay.surfaces.proxy.upstream import Answer, Headers

IDLE_S: Final = 4.0
MAX_IDLE: Final = 256
HIGH_BYTES: Final = 128 << 10  # what may wait to be read
MAX_INTERIM: Final = 16  # answers such as 100 and 103 before the answer


class HttpUpstream:
    """The server at the address of the settings."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.upstream)
        self._host, self._prefix = parts.hostname or "", parts.path.rstrip("/")
        self._own = [(b"host", parts.netloc.encode()), (b"accept-encoding", b"identity")]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._times = settings.timeouts
        self._idle: deque[tuple[float, _Connection]] = deque()

    async def open(self, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        """Sends a request and returns when the head of its answer is there."""
        target = f"{self._prefix}{path}" + (f"?{query}" if query else "")
        fields = [*self._own, (b"content-length", b"%d" % len(body)), *headers]
        try:
            request = written(b"POST %s HTTP/1.1" % target.encode(), fields)
        except MalformedInput as error:
            raise Refusal(400, "malformed_request", "the request cannot be sent on", error.why) from error
        connection = self._kept() or await self._connected()
        try:
            head = await connection.ask(request + body)
        except (OSError, MalformedInput) as error:
            connection.close()
            raise _translated(error) from error
        except BaseException:
            connection.close()
            raise
        return _HttpAnswer(self, connection, head)

    async def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop()[1].close()

    def keep(self, connection: _Connection) -> None:
        """Takes a connection back after a whole answer."""
        self._idle.append((time.monotonic(), connection))
        if len(self._idle) > MAX_IDLE:
            self._idle.popleft()[1].close()

    def _kept(self) -> _Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_S and not connection.is_gone:
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._times.connect):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._times.upstream), self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            raise Refusal(502, "upstream_unreachable", "the model's server cannot be reached") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, for one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop, self._timeout_s = loop, timeout_s
        self._reader = Reader(answer_head)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = self._is_over = self._is_whole = False

    # --- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # other loops' transports are no subclass of it

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._reader.waiting > HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        if exc is None:  # else what came was cut, even where nothing says how long it is
            self._reader.close()
        self._wake(exc)

    # --- one exchange

    @property
    def is_gone(self) -> bool:
        """Whether the server closed it, or said something that nobody asked for."""
        return self._is_over or self._transport.is_closing() or not self._reader.is_between

    async def ask(self, request: bytes) -> Head:
        """Sends a request; gives the head of the answer. A server that takes nothing is one that says nothing."""
        self._is_whole = False
        self._transport.write(request)
        due = self._loop.time() + self._timeout_s
        for _ in range(MAX_INTERIM):
            head = await self.event(due)
            if not isinstance(head, Head) or head.status == 101:
                break
            if head.status >= 200:
                return head
        raise MalformedInput("there is no answer among what the server says")

    async def event(self, due: float | None = None) -> Head | bytes | End:
        """What comes next; what came already costs no timer.

        Raises:
            MalformedInput: the server broke off, or does not speak HTTP.
            TimeoutError: it said nothing for too long.
        """
        while (found := self._reader.next()) is None:
            if self._is_over:
                raise MalformedInput("the server closed the connection without an answer")
            due = due or self._loop.time() + self._timeout_s
            await self._more(due)
        self._is_whole = found is END
        return found

    async def _more(self, due: float) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_at(due, self._wake, TimeoutError())
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self, error: Exception | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error) if error else waiter.set_result(None)

    def is_reusable(self, *, is_last: bool) -> bool:
        """Whether another request may follow; what came already and nobody read is looked through for the end."""
        try:
            while not self._is_whole and (found := self._reader.next()) is not None:
                self._is_whole = found is END
        except MalformedInput:
            return False
        return self._is_whole and not is_last and not self.is_gone and not self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Closes it at once; a server that is still writing notices."""
        self._transport.abort()


class _HttpAnswer:
    def __init__(self, home: HttpUpstream, connection: _Connection, head: Head) -> None:
        self._home, self._connection = home, connection
        self.status = head.status
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields
        }
        self._is_last = head.is_old or "close" in self.headers.get("connection", "").lower()

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while isinstance(event := await self._connection.event(), bytes):
                yield event
        except (OSError, MalformedInput) as error:
            raise _translated(error) from error

    async def close(self) -> None:
        if self._connection.is_reusable(is_last=self._is_last):
            self._home.keep(self._connection)
        else:
            self._connection.close()


def _translated(error: OSError | MalformedInput) -> Refusal:
    """What went wrong with a connection, as a refusal."""
    if isinstance(error, TimeoutError):
        return Refusal(504, "upstream_timeout", "the model's server did not answer in time")
    return Refusal(502, "upstream_cut", "the model's server broke off")
