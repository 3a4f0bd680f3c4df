"""One connection of a client: HTTP/1.1 for an ASGI application, one request after the other, with an end to its patience.

    bytes ─► Reader ─► a task for each request ─► the application ─► one write for head and body ─► the next request

In the place of uvicorn's own protocol, which costs a quarter of what the proxy adds to a request (decision 0047). A client that
says nothing, never finishes a head or the rest of a body that nobody waits for, or does not take its answer is let go. Where it
goes away while its request is answered, the task of that request is cancelled.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, cast

from assay.core.errors import MalformedInput
from assay.formats.http1 import END, Head, Reader, request_head, written
from assay.surfaces.proxy.exchanged import LINES, Exchanged
from assay.surfaces.proxy.upstream import App

SILENT_S: Final = 75.0  # without a byte between requests
HEAD_S: Final = 20.0  # from the first byte of a request to the end of its head, or for a body that nobody waits for
LINGER_S: Final = 2.0  # for a client to read the last answer before the connection is cut
HIGH_BYTES: Final = 64 << 10  # what may wait to be read


class ClientConnection(asyncio.Protocol):
    """A protocol as uvicorn makes them. Requests that come while one is answered wait in the reader."""

    def __init__(
        self, config: Any, server_state: Any, app_state: Any, _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Takes what uvicorn gives to each protocol; its classes are not imported, so that nothing here loads it."""
        self._app: App = config.loaded_app
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._reader = Reader(request_head)
        self._transport: asyncio.Transport
        self._exchange: Exchanged | None = None
        self._is_last = self._is_paused = self._is_refused = False
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # --- what the event loop and the server tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for a first byte, but not for ever."""
        self._transport = cast(asyncio.Transport, transport)  # other loops' transports are no subclass of it
        self._state.connections.add(self)
        self._within(SILENT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, and so is what was done for it."""
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        if self._exchange is not None:
            self._abandon(self._exchange)

    def data_received(self, data: bytes) -> None:
        """Reads on, unless a request is being answered; then little more may come."""
        if self._is_refused:
            return
        was_between = self._exchange is None and self._reader.is_between
        self._reader.feed(data)
        if self._exchange is None or not self._exchange.is_read:
            self._read()
        if self._reader.waiting > HIGH_BYTES:
            self._pause()
        if was_between and self._exchange is None and not self._is_refused:
            self._within(HEAD_S)

    def pause_writing(self) -> None:
        """The client is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def shutdown(self) -> None:
        """The server ends: what is being answered is answered."""
        self._is_last = True
        if self._exchange is None or self._exchange.is_over:
            self._transport.close()

    # --- what exchanges ask for

    async def write(self, data: bytes) -> None:
        """Sends, and waits where the client is slow.

        Raises:
            ConnectionResetError: it is gone.
        """
        if self._is_refused or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def resume(self) -> None:
        """What waits is wanted."""
        if self._is_paused and not self._is_refused:
            self._is_paused = False
            self._transport.resume_reading()

    def ended(self, exchange: Exchanged, *, is_whole: bool) -> None:
        """One request was answered; the rest of its body is read past before the next one begins."""
        exchange.is_over = True
        self._state.total_requests += 1
        self._state.tasks.discard(exchange.task)
        if self._is_refused or self._transport.is_closing():
            return
        if not is_whole:
            self._transport.abort()
        elif self._is_last or exchange.is_last:
            self._say_goodbye()
        elif exchange.is_read:
            self._next()
        else:
            self.resume()
            self._within(HEAD_S)

    # --- between

    def _read(self) -> None:
        try:
            while (event := self._reader.next()) is not None:
                if isinstance(event, Head):
                    self._begin(event)
                elif event is END:
                    self._exchange_read()
                    return
                elif self._exchange is not None and self._exchange.take(event) > HIGH_BYTES:
                    self._pause()
        except MalformedInput as error:
            self._refuse(error)

    def _begin(self, head: Head) -> None:
        self._due = 0.0
        self._exchange = exchange = Exchanged(self, head)
        exchange.task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(exchange.task)

    def _abandon(self, exchange: Exchanged) -> None:
        """Stops what is done for a client that is gone."""
        if exchange.task is not None and not exchange.is_answered:
            exchange.task.add_done_callback(self._state.tasks.discard)  # one that never began has no end of its own
            exchange.task.cancel()

    def _exchange_read(self) -> None:
        assert self._exchange is not None
        self._exchange.read_whole()
        if self._exchange.is_over:
            self._next()

    def _next(self) -> None:
        self._exchange = None
        self.resume()
        self._within(SILENT_S)
        if self._reader.waiting:
            self._within(HEAD_S)
            self._read()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _refuse(self, error: MalformedInput) -> None:
        """What is no HTTP is told so, unless an answer is on its way already."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.is_answered:
            self._abandon(exchange)
            if exchange.is_begun:
                self._transport.abort()
                return
        body = json.dumps({"error": {"message": str(error.what), "type": "invalid_request_error", "param": None,
                                     "code": "malformed_request"}}).encode()  # fmt: skip
        fields = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        self._transport.write(written(LINES[400], fields) + body)
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        """The end of what is said; the client gets a moment to take it, and what it says is not read any more."""
        self.resume()
        self._is_refused = True
        self._transport.write_eof()
        self._within(LINGER_S)

    def _within(self, seconds: float) -> None:
        """Something must have happened by then. One timer serves all requests, set anew only where it would be too late."""
        self._due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._look)
        elif self._due:
            self._transport.abort() if self._is_refused else self._transport.close()
