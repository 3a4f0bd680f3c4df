"""`assay firewall`: the proxy in front of a model's server, texts checked one by one, and the policies that say how."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from assay.app.firewall_policy import policy_named, read_public_key
from assay.core.digests import shown
from assay.core.errors import StorageError, UsageError
from assay.evidence.blobs import write_whole
from assay.evidence.seen import state_folder
from assay.runtime.firewall.firewall import Firewall
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.signed import sign_firewall_policy
from assay.surfaces.cli import firewall_check
from assay.surfaces.cli.session import Session

ABOUT = {
    "firewall": "Guards a model: `serve` is a proxy that judges every prompt, document, tool call and answer against a policy,"
    " `check` judges texts, one JSON object a line, `lint` and `sign` are for policies."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `firewall`."""
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=f"what to do: {', '.join(VERBS)}")
    parser.add_argument(
        "file",
        nargs="?",
        default="",
        metavar="FILE",
        help="the texts to check, by default from standard input; the policy to lint or sign",
    )
    parser.add_argument("--policy", metavar="FILE", default="", help="the firewall policy; default the standard one")
    parser.add_argument(
        "--signer",
        metavar="FILE",
        action="append",
        default=[],
        help="public key that must have signed it; may be repeated",
    )
    group = parser.add_argument_group("serve")
    group.add_argument("--upstream", metavar="URL", default="", help="the model's server, without /v1")
    group.add_argument(
        "--settings", metavar="FILE", default="", help="settings of the proxy: clients, budgets, prices, limits"
    )
    group.add_argument("--listen", metavar="HOST:PORT", default="", help="default 127.0.0.1:8080")
    group.add_argument("--admin", metavar="HOST:PORT", default="", help="where metrics are answered; default nowhere")
    group.add_argument("--workers", metavar="N", type=int, default=0, help="processes; default 1")
    firewall_check.add_arguments(parser)
    group = parser.add_argument_group("sign")
    group.add_argument(
        "--key", metavar="NAME", action="append", default=[], help="key of this workspace; may be repeated"
    )
    group.add_argument("-o", "--output", metavar="FILE", default="", help="where the signed policy is written")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the verbs."""
    return VERBS[options.verb](Session(options))


def _check(session: Session) -> int:
    firewall = Firewall(_policy(session, session.options.policy))
    with _texts(session.options.file) as lines:
        return firewall_check.check(firewall, session.options.route, lines, session.note)


def _texts(file: str) -> AbstractContextManager[BinaryIO]:
    """Where texts come from: a file, or standard input, which is not closed."""
    if file in ("", "-"):
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read {file}", str(error), "give a file of JSON lines, or - for standard input"
        ) from error


def _lint(session: Session) -> int:
    policy = _policy(session, session.options.file or session.options.policy)
    value = {"name": policy.name, "version": policy.version, "digest": shown(policy.digest), "routes": sorted(policy.routes),
             "mode": "dry_run" if policy.is_dry_run else "enforce"}  # fmt: skip
    session.show(
        "firewall-lint", value, f"{policy.name} version {policy.version}: {shown(policy.digest)}, no mistake found"
    )
    return 0


def _sign(session: Session) -> int:
    options = session.options
    if not (options.file and options.output and options.key):
        raise UsageError(
            "what is signed, by whom, and where to?", fix="assay firewall sign policy.yaml --key ada -o policy.json"
        )
    try:
        document = Path(options.file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {options.file}", str(error)) from error
    with session.open() as workspace:
        envelope = sign_firewall_policy(
            document, Path(options.file).name, [workspace.key(name) for name in options.key]
        )
    if not options.dry_run:
        try:
            write_whole(Path(options.output), envelope)
        except OSError as error:
            raise StorageError(f"cannot write {options.output}", str(error)) from error
    session.show(
        "firewall-sign",
        {"file": options.output, "keys": options.key},
        f"signed by {', '.join(options.key)}: {options.output}",
    )
    return 0


def _policy(session: Session, name: str) -> FirewallPolicy:
    return policy_named(name, [read_public_key(Path(path)) for path in session.options.signer])


def _serve(session: Session) -> int:
    options = session.options
    if not 0 <= options.workers <= 64:
        raise UsageError(f"{options.workers} workers make no sense", fix="give 1 to 64")
    if options.file:
        raise UsageError(f"serve takes no file, but {options.file} was given", fix="--policy FILE, or --settings FILE")
    from assay.surfaces.proxy.serving import Plan, serve

    has_workspace = (session.folder / "trust.pin").exists()
    state = str((session.folder if has_workspace else state_folder()) / "firewall")
    workspace = str(session.folder) if has_workspace else ""
    plan = Plan(state, options.settings, options.upstream, options.listen, options.admin, options.policy, options.workers,
                tuple(options.signer), workspace)  # fmt: skip
    if options.dry_run:
        settings = plan.read()
        session.show("firewall-serve", {"listen": settings.listen, "upstream": settings.upstream, "state": settings.state},
                     f"would listen on {settings.listen} in front of {settings.upstream}")  # fmt: skip
        return 0
    serve(plan, session.note)
    return 0


VERBS: Mapping[str, Callable[[Session], int]] = {"serve": _serve, "check": _check, "lint": _lint, "sign": _sign}
