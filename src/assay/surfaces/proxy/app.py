"""The ASGI application of the proxy: one door for each API, and a refusal for everything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

from assay.core.errors import AssayError
from assay.runtime.gateway.apis import BY_PATH, Api
from assay.surfaces.proxy.exchange import Exchange
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.refusals import Refusal, Reply, refusal_of, reply_to
from assay.surfaces.proxy.upstream import Upstream
from assay.surfaces.proxy.watch import Event, Meter, Record, Watch
from assay.surfaces.proxy.wire import ClientGone, Outlet, Receive, Scope, Send, headers_of, key_of, passed_on, read_body

HEALTH = "/healthz"
Until = Callable[[Coroutine[None, None, None], Receive], Coroutine[None, None, None]]
GONE = 499  # as nginx counts clients that did not wait


class ProxyApp:
    """Answers POST on the paths of the known APIs; its server cancels the task of a client that goes away."""

    def __init__(self, gateway: Gateway, upstream: Upstream, upstream_key: str, record: Record, meters: tuple[Meter, ...] = ()) -> None:  # fmt: skip
        self._gateway, self._upstream = gateway, upstream
        self._door = Door(gateway, upstream_key, record, meters, until_cancelled)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of the server; answers and never raises because of what a client sent."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == HEALTH and scope["method"] == "GET":
            with suppress(ClientGone):
                health = Reply(200, b'{"ok": true}', ((b"content-type", b"application/json"),))
                await Outlet(send, self._gateway.settings.timeouts.client).whole(health)
        else:
            await self._door.answer(BY_PATH.get(scope["path"]), lambda: self._upstream, scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._upstream.close()
                self._gateway.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


class Door:
    """Lets requests in: who calls, is there room, is it one request; then the exchange. Tells of everything it turns away."""

    def __init__(
        self, gateway: Gateway, upstream_key: str, record: Record, meters: tuple[Meter, ...], until: Until
    ) -> None:
        self._gateway, self._key = gateway, upstream_key
        self._record, self._meters, self._until = record, meters, until

    async def answer(self, api: Api | None, upstream: Callable[[], Upstream], scope: Scope, receive: Receive, send: Send) -> None:  # fmt: skip
        """Answers one request; `api` is None where the route is not known."""
        out = Outlet(send, self._gateway.settings.timeouts.client)
        watch = Watch(
            "unknown", *((api.name, api.operation) if api else ("unknown", "unknown")), self._record, self._meters
        )
        with suppress(ClientGone):
            try:
                await self._enter(api, upstream, scope, receive, out, watch)
            except (ClientGone, asyncio.CancelledError):
                watch.answered(GONE)
                raise
            except AssayError as error:
                await self._turn_away(refusal_of(error, is_answer=False), api, out, watch)
            except Exception:
                # A fault of ours passes nothing on: the client gets an error, or the stream ends without its end.
                await self._turn_away(Refusal(500, "internal_error", "the firewall failed"), api, out, watch)
                raise
            finally:
                watch.ended()
                if watch.is_blocked and self._gateway.abuse.blocked(watch.client):
                    seconds = self._gateway.settings.abuse.contain_s
                    self._record(Event("abuse", time.time(), watch.client, watch.api, {"contained_s": seconds}))

    async def _enter(self, api: Api | None, upstream: Callable[[], Upstream], scope: Scope, receive: Receive, out: Outlet, watch: Watch) -> None:  # fmt: skip
        if api is None:
            raise Refusal(404, "unknown_route", "the firewall does not know this route, so nothing was passed on")
        if scope["method"] != "POST":
            raise Refusal(405, "method", "this route answers POST only")
        settings = self._gateway.settings
        headers = headers_of(scope)
        if self._key and not settings.clients and b"origin" in headers:
            raise Refusal(
                403, "browser", "a page in a browser may not spend the server's key", "name clients in the settings"
            )
        caller = self._gateway.callers.find(key_of(headers))
        watch.client = caller.name
        self._gateway.abuse.admit(caller.name)
        size = int(headers.get(b"content-length", settings.max_body_bytes))
        with self._gateway.room(min(size, settings.max_body_bytes)):
            body = await read_body(receive, headers, settings.max_body_bytes, settings.timeouts.client)
            sent = passed_on(headers, self._key, is_anthropic=api.is_anthropic)
            query = scope.get("query_string", b"").decode("latin-1")
            exchange = Exchange(self._gateway, api, caller, upstream(), out, watch)
            await self._until(exchange.run(body, query, sent), receive)

    async def _turn_away(self, refusal: Refusal, api: Api | None, out: Outlet, watch: Watch) -> None:
        watch.refused(refusal)
        if not out.is_begun:
            await out.whole(reply_to(refusal, is_anthropic=api is not None and api.is_anthropic))


def until_cancelled(work: Coroutine[None, None, None], receive: Receive) -> Coroutine[None, None, None]:
    """Runs `work` under a server that cancels it when the client goes away."""
    return work


async def until_gone(work: Coroutine[None, None, None], receive: Receive) -> None:
    """Runs `work`, and cancels it when the client goes away, as servers say who only tell `receive`.

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
