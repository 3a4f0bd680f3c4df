"""Runs the proxy: listens, watches over worker processes, and tells Prometheus how it goes.

With one worker everything is in this process. With more, uvicorn starts them and starts a dead one anew; they share the
listening socket and the account of budgets, and a worker that dies takes its unfinished requests with it, unanswered.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.app.firewall_policy import read_public_key
from assay.app.firewall_records import Records
from assay.app.firewall_spool import Spool
from assay.app.workspace import Workspace
from assay.core.errors import AssayError, MissingExtra, StorageError, UsageError
from assay.runtime.budget.account import Account
from assay.surfaces.proxy.app import ProxyApp
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.journal import Journal
from assay.surfaces.proxy.metrics import Metrics
from assay.surfaces.proxy.policy_in_force import HeldPolicy
from assay.surfaces.proxy.settings import Settings, read_settings
from assay.surfaces.proxy.tracing import traces_to
from assay.surfaces.proxy.watch import Meter

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

BACKLOG = 8192
CONFIGURED = "ASSAY_FIREWALL_SERVES"  # carries the plan to worker processes


@dataclass(frozen=True)
class Plan:
    """What is to be served: the file of settings, what the command line says instead, and where state is kept."""

    state: str
    settings: str = ""
    upstream: str = ""
    listen: str = ""
    admin: str = ""
    policy: str = ""
    workers: int = 0
    signers: tuple[str, ...] = ()
    workspace: str = ""

    def read(self) -> Settings:
        """The settings with the command line's words over them.

        Raises:
            UsageError: there is no upstream, or the file does not say one clear thing.
        """
        if not self.settings and not self.upstream:
            raise UsageError("which server stands behind the firewall?", fix="add --upstream URL, or --settings FILE")
        found = read_settings(Path(self.settings)) if self.settings else Settings("")
        said = {
            name: value
            for name in ("upstream", "listen", "admin", "policy", "workers")
            if (value := getattr(self, name))
        }
        if not (merged := replace(found, **said)).upstream.startswith(("http://", "https://")):
            raise UsageError(
                f"{merged.upstream[:80]!r} is no address", fix="give one such as https://models.example.com"
            )
        return replace(
            merged, state=merged.state or self.state, upstream=merged.upstream.rstrip("/").removesuffix("/v1")
        )


def serve(plan: Plan, note: Callable[[str], None]) -> None:
    """Serves until it is interrupted.

    Raises:
        MissingExtra: the extra `server` is not installed.
        UsageError: the settings do not say what to do, or the address is taken.
    """
    settings = plan.read()
    try:
        import uvicorn
        from uvicorn.supervisors import Multiprocess
    except ImportError as error:
        raise MissingExtra("the proxy's server is not installed", str(error), "pip install 'assay[server]'") from error
    os.environ[CONFIGURED] = json.dumps(vars(plan))
    listening = listen_on(settings.listen)
    if settings.workers > 1 and settings.admin:
        _gather_metrics(settings)
    note(f"the firewall listens on http://{settings.listen} in front of {settings.upstream}")
    config = uvicorn.Config(
        f"{__name__}:planned_app", factory=True, workers=settings.workers, log_level="warning", access_log=False, lifespan="on",
        backlog=BACKLOG, timeout_graceful_shutdown=10, http="assay.surfaces.proxy.connection:ClientConnection", ws="none",
        proxy_headers=False,  # nobody asks who the client's address says it is
    )  # fmt: skip
    server = uvicorn.Server(config)
    if settings.workers > 1:
        Multiprocess(config, [listening]).run()
    else:
        server.run(sockets=[listening])


def planned_app() -> ProxyApp:
    """The application of one worker process, from what `serve` left in the environment."""
    plan = Plan(**json.loads(os.environ[CONFIGURED]))
    settings = plan.read()
    key = os.environ.get(settings.upstream_key_env, "") if settings.upstream_key_env else ""
    if settings.upstream_key_env and not key:
        raise UsageError(f"the environment has no {settings.upstream_key_env}", "the settings name it for the server's key",
                         "set it, or leave upstream_key_env out")  # fmt: skip
    meters: list[Meter] = [_metered(settings)] if settings.admin else []
    meters += [traces_to(settings.tracing, settings.upstream)] if settings.tracing else []
    journal = Journal(Path(settings.state), _records(plan.workspace, Path(settings.state)), _tell)
    held = HeldPolicy(settings.policy, [read_public_key(Path(path)) for path in plan.signers], journal)
    gateway = Gateway(settings, held.firewall, Account(Path(settings.state) / "budgets.sqlite"))
    gateway.at_end += [held.close, journal.close]
    gateway.is_recording = lambda: not journal.is_full
    gc.freeze()  # what is loaded stays; the collector need not look through it while requests wait
    # A request leaves little behind in circles, and the default looks several times in each.
    gc.set_threshold(20_000, 20)
    from assay.surfaces.proxy.http_upstream import HttpUpstream

    return ProxyApp(gateway, HttpUpstream(settings), key, journal, tuple(meters))


def _records(folder: str, state: Path) -> Records | None:
    """The way into the ledger, where there is a workspace and a key here may sign what is observed."""
    if not folder:
        return None
    try:
        workspace = Workspace(Path(folder))
        workspace.signer("observer")
    except AssayError as error:
        _tell(f"verdicts will not be logged: {error}")
        return None
    return Records(workspace, "firewall", Spool(state))


def _tell(text: str) -> None:
    print(f"assay: {text}", file=sys.stderr, flush=True)


def _metered(settings: Settings) -> Metrics:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    if settings.workers == 1:
        _offer_metrics(settings.admin, registry)
    return Metrics(registry)


def _offer_metrics(address: str, registry: CollectorRegistry) -> None:
    """A thread of its own answers scrapers, so that they never wait behind requests."""
    from prometheus_client import start_http_server

    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as error:
        raise StorageError(f"cannot listen on {address}", str(error), "choose another address with --admin") from error


def _gather_metrics(settings: Settings) -> None:
    """Of several workers: each counts into files, and this process adds them up."""
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="assay-metrics-"))
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    _offer_metrics(settings.admin, registry)


def listen_on(address: str) -> socket.socket:
    """A listening socket. Its protocol is named, or asyncio would leave Nagle's algorithm on and add 40 ms."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), int(port)))
    except (OSError, OverflowError) as error:
        listening.close()
        raise StorageError(f"cannot listen on {address}", str(error), "choose another address with --listen") from error
    return listening
