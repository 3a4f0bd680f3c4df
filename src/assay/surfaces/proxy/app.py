"""The ASGI application of the proxy: one door for each API, and a refusal for everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

from assay.core.errors import AssayError
from assay.runtime.gateway.apis import BY_PATH, Api
from assay.surfaces.proxy.exchange import Exchange
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.refusals import Refusal, Reply, refusal_of, reply_to
from assay.surfaces.proxy.watch import Event, Meter, Record, Watch
from assay.surfaces.proxy.wire import ClientGone, Outlet, Receive, Scope, Send, headers_of, key_of, passed_on, read_body

HEALTH = "/healthz"
UNKNOWN = Refusal(404, "unknown_route", "the firewall does not know this route, so nothing was passed on")


class ProxyApp:
    """Answers POST on the paths of the known APIs."""

    def __init__(self, gateway: Gateway, upstream_key: str, record: Record, meters: tuple[Meter, ...] = ()) -> None:
        self._gateway, self._key = gateway, upstream_key
        self._record, self._meters = record, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of the server; answers and never raises because of what a client sent."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            with suppress(ClientGone):
                await self._request(scope, receive, Outlet(send, self._gateway.settings.timeouts.client))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: Scope, receive: Receive, out: Outlet) -> None:
        if scope["path"] == HEALTH and scope["method"] == "GET":
            await out.whole(Reply(200, b'{"ok": true}', ((b"content-type", b"application/json"),)))
            return
        api = BY_PATH.get(scope["path"])
        is_anthropic = api is not None and api.is_anthropic
        try:
            if api is None:
                raise UNKNOWN
            if scope["method"] != "POST":
                raise Refusal(405, "method", "this route answers POST only")
            await self._exchange(api, scope, receive, out)
        except AssayError as error:
            if out.is_begun:
                raise ClientGone from error
            await out.whole(reply_to(refusal_of(error, is_answer=False), is_anthropic=is_anthropic))

    async def _exchange(self, api: Api, scope: Scope, receive: Receive, out: Outlet) -> None:
        settings = self._gateway.settings
        headers = headers_of(scope)
        caller = self._gateway.callers.find(key_of(headers))
        self._gateway.abuse.admit(caller.name)
        size = (
            int(headers.get(b"content-length", b""))
            if headers.get(b"content-length", b"").isdigit()
            else settings.max_body_bytes
        )
        with self._gateway.room(min(size, settings.max_body_bytes)):
            body = await read_body(receive, headers, settings.max_body_bytes, settings.timeouts.client)
            watch = Watch(caller.name, api.name, api.operation, self._record, self._meters)
            sent = passed_on(headers, self._key, is_anthropic=api.is_anthropic)
            query = scope.get("query_string", b"").decode("latin-1")
            exchange = Exchange(self._gateway, api, caller, out, watch)
            try:
                await until_gone(exchange.run(body, query, sent), receive)
            finally:
                watch.ended()
                if watch.is_blocked and self._gateway.abuse.blocked(caller.name):
                    self._record(
                        Event("abuse", watch.began_s, caller.name, api.name, {"contained_s": settings.abuse.contain_s})
                    )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._gateway.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def until_gone(work: Coroutine[None, None, None], receive: Receive) -> None:
    """Runs `work`, and cancels it when the client goes away.

    Raises:
        ClientGone: it went.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()
