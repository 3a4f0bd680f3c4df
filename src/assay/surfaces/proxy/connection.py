"""One connection of a client: HTTP/1.1 for an ASGI application, one request after the other, with an end to its patience.

    bytes ─► Reader ─► a task for each request ─► the application ─► one write for head and body ─► the next request

In the place of uvicorn's own protocol, which costs a quarter of what the proxy adds to a request (decision 0047). A client that
says nothing, never finishes a head or the rest of a body that nobody waits for, or does not take its answer is let go. Where it
goes away while its request is answered, the task of that request is cancelled.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
from typing import Any, Final, cast

from assay.core.errors import MalformedInput
from assay.formats.http1 import END, Ends, Head, Reader, request_head, written
from assay.surfaces.proxy.upstream import App, Message

SILENT_S: Final = 75.0  # without a byte between requests
HEAD_S: Final = 20.0  # from the first byte of a request to the end of its head, or for a body that nobody waits for
LINGER_S: Final = 2.0  # for a client to read the last answer before the connection is cut
HIGH_BYTES: Final = 64 << 10  # what may wait to be read
_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in http.HTTPStatus}


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
        self._exchange: _Exchange | None = None
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

    def ended(self, exchange: _Exchange, *, is_whole: bool) -> None:
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
        self._exchange = exchange = _Exchange(self, head)
        exchange.task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(exchange.task)

    def _abandon(self, exchange: _Exchange) -> None:
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
        self._transport.write(written(_LINES[400], fields) + body)
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


class _Exchange:
    """One request and its answer, as ASGI has them."""

    def __init__(self, connection: ClientConnection, head: Head) -> None:
        self._connection, self._head = connection, head
        self.is_last = head.is_old or head.length is Ends.UNCLEAR or _asks_for(head, b"connection", b"close")
        self.is_read = self._is_given = False  # the whole body is here; the application has it
        self.is_begun = self.is_answered = False  # the first piece of the answer was handed over; the last was
        self.is_over = False  # the last piece was taken, or the exchange failed
        self.task: asyncio.Task[None] | None = None
        self._expects = _asks_for(head, b"expect", b"100-continue") and not head.is_old
        self._pieces: list[bytes] = []
        self._size = 0
        self._arrived: asyncio.Future[None] | None = None
        self._start: bytes = b""
        self._left: int | None = None  # of the body of an answer with a length
        self._is_chunked = False

    # --- from the connection

    def take(self, piece: bytes) -> int:
        """A piece of the body; says how much waits. After the answer it is dropped."""
        if not self.is_answered:
            self._pieces.append(piece)
            self._size += len(piece)
            self._wake()
        return self._size

    def read_whole(self) -> None:
        """The body is there."""
        self.is_read = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # --- the application's side

    async def run(self, app: App) -> None:
        """Answers the request, whatever becomes of it."""
        try:
            await app(self._scope(), self.receive, self.send)
        except Exception:
            logging.getLogger("uvicorn.error").exception("a request ended in a fault")
        finally:
            if not self.is_over:
                self.is_answered = True
                self._connection.ended(self, is_whole=False)

    def _scope(self) -> Message:
        path, _, query = self._head.target.partition(b"?")
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.0" if self._head.is_old else "1.1",
            "scheme": "http", "method": self._head.method, "path": path.decode("ascii"), "raw_path": path, "query_string": query,
            "root_path": "", "headers": self._head.fields, "client": None, "server": None,
        }  # fmt: skip

    async def receive(self) -> Message:
        """What has come of the body. After its end there is nothing to wait for: the task of a client that goes is cancelled."""
        if self.is_answered:
            return {"type": "http.disconnect"}
        if self._is_given:
            await asyncio.get_running_loop().create_future()
        if self._expects and not (self.is_read or self._pieces):
            await self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects = False
        while not (self.is_read or self._pieces):
            self._connection.resume()
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        self._is_given = self.is_read
        return {"type": "http.request", "body": self._taken(), "more_body": not self.is_read}

    def _taken(self) -> bytes:
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return body

    async def send(self, message: Message) -> None:
        """Head and first piece of a body leave together."""
        if message["type"] == "http.response.start":
            self._start = self._opened(message["status"], list(message["headers"]))
            return
        piece, is_end = message.get("body", b""), not message.get("more_body")
        data, self._start = self._start + self._framed(piece, is_end=is_end), b""
        self.is_begun = True
        if is_end:
            self.is_answered = True
            self._taken()  # what nobody read
        await self._connection.write(data)
        if is_end:
            self._connection.ended(self, is_whole=not self._left)

    def _opened(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        said = dict(fields).get(b"content-length")
        self._left = None if said is None else int(said)
        self._is_chunked = said is None and not self._head.is_old
        if self._is_chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        # A client that was never told to go on may leave its body out, and what comes next could be either.
        self.is_last = self.is_last or self._expects
        if self.is_last:
            fields.append((b"connection", b"close"))
        return written(_LINES.get(status, b"HTTP/1.1 %d Unknown" % status), fields)

    def _framed(self, piece: bytes, *, is_end: bool) -> bytes:
        if self._head.method == "HEAD":
            self._left = 0
            return b""
        if self._left is not None:
            self._left -= len(piece)
            return piece
        if not self._is_chunked:
            return piece
        chunk = b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
        return chunk + b"0\r\n\r\n" if is_end else chunk


def _asks_for(head: Head, name: bytes, token: bytes) -> bool:
    said = [value for key, value in head.fields if key == name]
    return any(token in [part.strip().lower() for part in value.split(b",")] for value in said)
