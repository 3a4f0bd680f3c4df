"""A model's server over HTTP/1.1: one write for a request, an answer as it comes, connections kept for the next.

The parser is h11's, which uvicorn brings. A general client library would add more than a millisecond to every request, which
is most of what the proxy may cost (decision 0026). Redirects are not followed, and nothing in the environment leads elsewhere.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import h11

from assay.surfaces.proxy.refusals import Refusal
from assay.surfaces.proxy.settings import Settings
from assay.surfaces.proxy.upstream import Answer, Headers

IDLE_S = 4.0
MAX_IDLE = 256
READ_BYTES = 65536


class HttpUpstream:
    """The server at the address of the settings."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.upstream)
        self._host, self._netloc, self._prefix = parts.hostname or "", parts.netloc, parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._times = settings.timeouts
        self._idle: deque[tuple[float, _Connection]] = deque()

    async def open(self, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        """Sends a request and returns when the head of its answer is there."""
        target = f"{self._prefix}{path}" + (f"?{query}" if query else "")
        own = [
            (b"host", self._netloc.encode()),
            (b"accept-encoding", b"identity"),
            (b"content-length", str(len(body)).encode()),
        ]
        request = h11.Request(method="POST", target=target.encode(), headers=[*own, *headers])
        connection = self._kept() or await self._connected()
        try:
            with _translated():
                response = await connection.ask(request, body)
        except BaseException:
            connection.close()
            raise
        return _HttpAnswer(self, connection, response)

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
        try:
            async with asyncio.timeout(self._times.connect):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=READ_BYTES)
        except (OSError, TimeoutError) as error:
            raise Refusal(502, "upstream_unreachable", "the model's server cannot be reached") from error
        return _Connection(reader, writer, self._times.upstream)


class _Connection:
    """One connection, for one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader, self._writer, self._timeout_s = reader, writer, timeout_s
        self._state = h11.Connection(h11.CLIENT)

    @property
    def is_gone(self) -> bool:
        """Whether the server closed it, or said something that nobody asked for."""
        return self._reader.at_eof() or self._writer.is_closing() or self._state.trailing_data[0] != b""

    async def ask(self, request: h11.Request, body: bytes) -> h11.Response:
        send = self._state.send
        data = (send(request) or b"") + (send(h11.Data(data=body)) or b"") + (send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(self._timeout_s):
            self._writer.write(data)
            await self._writer.drain()
            while True:
                event = await self._event()
                if isinstance(event, h11.Response):
                    return event
                if not isinstance(event, h11.InformationalResponse):
                    raise h11.RemoteProtocolError("the server closed the connection without an answer")

    async def event(self) -> h11.Event:
        """The next event of the server; what came already costs no timer."""
        if (event := self._state.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._timeout_s):
                return await self._event()
        return _said(event)

    async def _event(self) -> h11.Event:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            self._state.receive_data(await self._reader.read(READ_BYTES))
        return _said(event)

    def is_reusable(self) -> bool:
        """Whether another request may follow; what came already and nobody read is looked through for the end."""
        with suppress(h11.RemoteProtocolError):
            while self._state.their_state is h11.SEND_BODY and isinstance(self._state.next_event(), h11.Data):
                pass
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    def close(self) -> None:
        """Closes it at once; a server that is still writing notices."""
        with suppress(Exception):
            self._writer.transport.abort() if self._state.their_state is h11.SEND_BODY else self._writer.close()


def _said(event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> h11.Event:
    if isinstance(event, type):
        raise h11.RemoteProtocolError("the server says more than was asked for")
    return event


class _HttpAnswer:
    def __init__(self, home: HttpUpstream, connection: _Connection, response: h11.Response) -> None:
        self._home, self._connection = home, connection
        self.status = response.status_code
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers
        }

    async def pieces(self) -> AsyncIterator[bytes]:
        with _translated():
            while not isinstance(event := await self._connection.event(), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    raise h11.RemoteProtocolError("the server broke off")
                yield bytes(event.data)

    async def close(self) -> None:
        if self._connection.is_reusable():
            self._home.keep(self._connection)
        else:
            self._connection.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns what can go wrong with a connection into refusals."""
    try:
        yield
    except TimeoutError as error:
        raise Refusal(504, "upstream_timeout", "the model's server did not answer in time") from error
    except (OSError, h11.RemoteProtocolError) as error:
        raise Refusal(502, "upstream_cut", "the model's server broke off") from error
    except h11.LocalProtocolError as error:
        raise Refusal(400, "malformed_request", "the request cannot be sent on", str(error)[:100]) from error
