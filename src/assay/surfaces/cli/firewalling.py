"""`assay firewall`: the proxy in front of a model's server."""

from __future__ import annotations

import argparse

from assay.core.errors import UsageError
from assay.evidence.seen import state_folder
from assay.surfaces.cli.session import Session

ABOUT = {
    "firewall": "Guards a model: `serve` is a proxy that judges every prompt, document, tool call and answer against a policy."
}
VERBS = ("serve",)


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `firewall`."""
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="what to do")
    parser.add_argument("--policy", metavar="FILE", default="", help="the firewall policy; default the standard one")
    group = parser.add_argument_group("serve")
    group.add_argument("--upstream", metavar="URL", default="", help="the model's server, without /v1")
    group.add_argument(
        "--settings", metavar="FILE", default="", help="settings of the proxy: clients, budgets, prices, limits"
    )
    group.add_argument("--listen", metavar="HOST:PORT", default="", help="default 127.0.0.1:8080")
    group.add_argument("--admin", metavar="HOST:PORT", default="", help="where metrics are answered; default nowhere")
    group.add_argument("--workers", metavar="N", type=int, default=0, help="processes; default 1")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the verbs."""
    return _serve(Session(options))


def _serve(session: Session) -> int:
    options = session.options
    if not 0 <= options.workers <= 64:
        raise UsageError(f"{options.workers} workers make no sense", fix="give 1 to 64")
    from assay.surfaces.proxy.serving import Plan, serve

    state = session.folder if (session.folder / "trust.pin").exists() else state_folder()
    plan = Plan(
        str(state / "firewall"),
        options.settings,
        options.upstream,
        options.listen,
        options.admin,
        options.policy,
        options.workers,
    )
    if options.dry_run:
        settings = plan.read()
        session.show("firewall-serve", {"listen": settings.listen, "upstream": settings.upstream, "state": settings.state},
                     f"would listen on {settings.listen} in front of {settings.upstream}")  # fmt: skip
        return 0
    serve(plan, session.note)
    return 0
