"""Requests as they come over the wire: which are refused before anybody looks into them, and how bodies are read.

What two readers could understand in two ways is refused: repeated headers, two lengths, packed or oddly encoded bodies.
Only headers on a list go on to the model's server, and only those with plain values.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from assay.surfaces.proxy.refusals import Refusal, Reply
from assay.surfaces.proxy.upstream import Headers, Message
from assay.surfaces.proxy.waiting import within

Scope = Any  # an ASGI connection scope
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_ONCE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"authorization",
        b"x-api-key",
    }
)
_PASSED: Final = frozenset({
    b"accept", b"user-agent", b"openai-organization", b"openai-project", b"openai-beta", b"anthropic-version", b"anthropic-beta",
    b"idempotency-key", b"traceparent",
})  # fmt: skip
_RETURNED: Final = ("x-request-id", "request-id", "retry-after", "openai-processing-ms", "openai-version")
_RETURNED_PREFIX: Final = ("x-ratelimit-", "anthropic-ratelimit-")
_IS_LENGTH: Final = re.compile(rb"[0-9]{1,15}").fullmatch
_IS_PLAIN: Final = re.compile(rb"[A-Za-z0-9 ._:/,;=()+*@-]{1,256}").fullmatch
_IS_JSON: Final = re.compile(r"application/json\s*(;\s*charset\s*=\s*\"?utf-?8\"?\s*)?", re.IGNORECASE).fullmatch
# What the known clients send.
_IS_QUERY: Final = re.compile(r"(?:(?:api-version|beta)=[A-Za-z0-9._-]{1,40}(?:&(?=.)|$)){0,2}").fullmatch


class ClientGone(Exception):
    """The client went away, or does not take its answer; there is nobody to tell."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request, each name once.

    Raises:
        Refusal: one that must not be repeated is, or the lengths contradict each other, or the body is packed or no JSON.
    """
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in _ONCE:
            raise Refusal(400, "duplicate_header", f"the header {name.decode()} is there twice")
        found[name] = value
    if b"content-length" in found and b"transfer-encoding" in found:
        raise Refusal(400, "two_lengths", "the request has a content-length and a transfer-encoding")
    if not _IS_LENGTH(found.get(b"content-length", b"0")):
        raise Refusal(400, "malformed_request", "the content-length is no number")
    if found.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise Refusal(400, "transfer_encoding", "only the transfer encoding `chunked` is read")
    if found.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise Refusal(415, "content_encoding", "packed bodies are not read", "send the body as plain JSON")
    if not _IS_JSON(found.get(b"content-type", b"").decode("latin-1").strip()):
        raise Refusal(415, "content_type", "the body must be application/json in UTF-8")
    if not _IS_QUERY(scope.get("query_string", b"").decode("latin-1")):
        raise Refusal(400, "query", "the query of the address is not understood")
    return found


def passed_on(headers: dict[bytes, bytes], upstream_key: str, *, is_anthropic: bool) -> Headers:
    """The headers for the model's server: those on the list, and the operator's key instead of the client's if there is one."""
    kept = [(name, value) for name, value in headers.items() if name in _PASSED and _IS_PLAIN(value)]
    kept.append((b"content-type", b"application/json"))
    if not upstream_key:
        return kept + [(name, headers[name]) for name in (b"authorization", b"x-api-key") if name in headers]
    own = (
        (b"x-api-key", upstream_key.encode()) if is_anthropic else (b"authorization", f"Bearer {upstream_key}".encode())
    )
    return [*kept, own]


def returned(headers: Any, content_type: bytes) -> Headers:
    """The headers for the client: those on the list."""
    kept = [(b"content-type", content_type)]
    for name, value in headers.items():
        raw = value.encode("latin-1", "replace")
        if (name in _RETURNED or name.startswith(_RETURNED_PREFIX)) and _IS_PLAIN(raw):
            kept.append((name.encode(), raw))
    return kept


def key_of(headers: dict[bytes, bytes]) -> bytes:
    """The client's key, from either style of header; empty if there is none.

    Raises:
        Refusal: there are two.
    """
    bearer, own = headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
    if bearer and own:
        raise Refusal(400, "two_keys", "the request has an authorization and an x-api-key")
    return own or (bearer[7:].strip() if bearer[:7].lower() == b"bearer " else bearer)


async def read_body(receive: Receive, headers: dict[bytes, bytes], max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large or comes too slowly.
        ClientGone: the client went away.
    """
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        raise Refusal(413, "request_too_large", f"a request may have at most {max_bytes} bytes")
    try:
        return await within(timeout_s, _pieces(receive, max_bytes))
    except TimeoutError as error:
        raise Refusal(408, "request_timeout", f"the request did not arrive within {timeout_s:g} seconds") from error


async def _pieces(receive: Receive, max_bytes: int) -> bytes:
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > max_bytes:
            raise Refusal(413, "request_too_large", f"a request may have at most {max_bytes} bytes")
        if not message.get("more_body"):
            return b"".join(pieces)


class Outlet:
    """The way back to the client; every write has a deadline, so that a client that stops reading holds nothing."""

    def __init__(self, send: Send, timeout_s: float) -> None:
        self._send, self._timeout_s = send, timeout_s
        self.is_begun = False

    async def whole(self, reply: Reply) -> None:
        """A whole answer."""
        length = (b"content-length", str(len(reply.body)).encode())
        self.is_begun = True
        begin = {"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, length]}
        await self._write(begin, {"type": "http.response.body", "body": reply.body, "more_body": False})

    async def begin(self, status: int, headers: Headers) -> None:
        """The head of an answer."""
        self.is_begun = True
        await self._write(
            {"type": "http.response.start", "status": status, "headers": list(headers)},
            {"type": "http.response.body", "body": b"", "more_body": True},  # ASGI keeps the head until a piece comes
        )

    async def piece(self, data: bytes) -> None:
        """A piece of a stream."""
        await self._write({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        """The end of a stream."""
        await self._write({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, *messages: Message) -> None:
        try:
            await within(self._timeout_s, self._sent(messages))
        except (TimeoutError, OSError) as error:
            raise ClientGone from error

    async def _sent(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._send(message)
