"""One request of a client and its answer, as ASGI has them: what the connection brings, and what the application says to it.

The body waits here until the application asks for it. Head and first piece of an answer leave in one write, as ASGI wants it.
"""

from __future__ import annotations

import asyncio
import http
import logging
from typing import Final, Protocol

from assay.formats.http1 import Ends, Head, written
from assay.surfaces.proxy.upstream import App, Message

LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in http.HTTPStatus}


class Connection(Protocol):
    """What an exchange asks of its connection."""

    async def write(self, data: bytes) -> None:
        """Sends, and waits where the client is slow."""

    def resume(self) -> None:
        """What waits is wanted."""

    def ended(self, exchange: Exchanged, *, is_whole: bool) -> None:
        """The exchange is over; where it is not whole the connection cannot go on."""


class Exchanged:
    """One request and its answer, as ASGI has them."""

    def __init__(self, connection: Connection, head: Head) -> None:
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
        return written(LINES.get(status, b"HTTP/1.1 %d Unknown" % status), fields)

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
