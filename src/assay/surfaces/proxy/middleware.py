"""The firewall inside an ASGI application that serves a model itself.

    from assay.firewall import FirewallMiddleware

    app = FirewallMiddleware(app)                                  # the paths of the known APIs
    app = FirewallMiddleware(app, json_paths=["/ask"])             # and JSON of any shape: every string is judged

Requests to these paths are judged before the application sees them, and its answers before the client does. Every other path
goes through untouched: what lies there is not guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from assay.core.canonical import Json
from assay.runtime.budget.account import Account
from assay.runtime.firewall.firewall import Firewall
from assay.runtime.firewall.packs import ready_policy
from assay.runtime.gateway.apis import BY_PATH, Api
from assay.runtime.gateway.guard import Check, Guard, scanned
from assay.runtime.gateway.provenance import FROM_MODEL, FROM_USER
from assay.surfaces.proxy.app import Door, until_gone
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.settings import Settings
from assay.surfaces.proxy.upstream import App, AppUpstream
from assay.surfaces.proxy.watch import Event
from assay.surfaces.proxy.wire import Receive, Scope, Send


class FirewallMiddleware:
    """Wraps an ASGI application."""

    def __init__(self, app: App, firewall: Check | None = None, *, json_paths: Iterable[str] = (), settings: Settings | None = None,
                 on_event: Callable[[Event], None] = lambda event: None) -> None:  # fmt: skip
        """Makes the middleware.

        Args:
            app: The application.
            firewall: Default one with the standard policy.
            json_paths: Paths that take and give JSON of no known API; every string in it is the user's or the model's.
            settings: Bounds and budgets, as the proxy has them; `upstream` in them means nothing here. Without `state`
                what clients have spent is forgotten when the process ends.
            on_event: Told of every verdict, from any thread.
        """
        self._app = app
        self._apis = {**BY_PATH, **{path: any_json(path) for path in json_paths}}
        given = settings or Settings("")
        chosen = firewall or Firewall(ready_policy())
        account = Account(Path(given.state) / "budgets.sqlite" if given.state else None)
        gateway = Gateway(given, lambda: chosen, account)
        self._door = Door(gateway, "", on_event, (), until_gone)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guards one request, or passes it on."""
        api = self._apis.get(scope.get("path", "")) if scope["type"] == "http" else None
        if api is None:
            await self._app(scope, receive, send)
        else:
            await self._door.answer(api, lambda: AppUpstream(self._app, scope), scope, receive, send)


def any_json(path: str) -> Api:
    """An API of no known shape: whatever strings a request holds are the user's."""
    return Api("json", path, FROM_USER, _judge)


def _judge(answer: dict[str, Json], guard: Guard) -> None:
    scanned(answer, FROM_MODEL, guard)
