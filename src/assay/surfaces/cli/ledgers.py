"""`assay ledger verify|checkpoint|export|prove`."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

from assay.app.audit import AuditReport, audit
from assay.app.workspace import Workspace
from assay.core.errors import EvidenceError, UsageError
from assay.evidence.tiles import export_tiles
from assay.surfaces.cli.progress import bars
from assay.surfaces.cli.session import Session, statement_named

ABOUT = {
    "ledger": "The log itself: rebuild and verify everything, sign a checkpoint, export static tiles, prove an entry."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `ledger`."""
    parser.add_argument("action", choices=("verify", "checkpoint", "export", "prove"))
    parser.add_argument(
        "argument", nargs="?", metavar="DIR|DIGEST", help="the folder to export to, or the statement to prove"
    )
    parser.add_argument("--without-signatures", action="store_true", help="verify the log's structure only; says so")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one action."""
    session = Session(options)
    with session.open() as workspace:
        return {"verify": _verify, "checkpoint": _checkpoint, "export": _export, "prove": _prove}[options.action](
            session, workspace
        )


def _verify(session: Session, workspace: Workspace) -> int:
    with bars(session) as update:
        report = audit(workspace, with_signatures=not session.options.without_signatures,
                       progress=lambda done, total: update("auditing the ledger", done, total))  # fmt: skip
    problems = [{"code": p.code, "text": p.text, "index": p.index} for p in report.problems]
    session.show("ledger", {
        "ok": report.ok, "size": report.size, "root": report.root.hex(), "problems": problems, "signatures": report.signatures,
        "unverified": report.unverified, "checkpoints": report.checkpoints, "blobs": report.blobs,
    }, lambda: _text(report, not session.options.without_signatures))  # fmt: skip
    return 0 if report.ok else 1


def _checkpoint(session: Session, workspace: Workspace) -> int:
    if session.options.dry_run:
        session.show("checkpoint", {"checkpoint": None}, f"would sign the head of {workspace.ledger.size()} entries")
        return 0
    note = workspace.sign_checkpoint()
    if note is None:
        raise EvidenceError("no ledger key is on this machine", "only the ledger's keeper can sign a checkpoint")
    session.show("checkpoint", {"checkpoint": note.decode()}, note.decode().rstrip())
    return 0


def _export(session: Session, workspace: Workspace) -> int:
    if not session.options.argument:
        raise UsageError("export to where?", fix="assay ledger export DIR")
    folder = Path(session.options.argument)
    if session.options.dry_run:
        size = workspace.ledger.size()
        session.show("export", {"directory": str(folder), "size": size}, f"would write {size} entries below {folder}")
        return 0
    note = workspace.sign_checkpoint() or workspace.ledger.newest_checkpoint()
    if note is None:
        raise EvidenceError("there is no checkpoint to export", "no ledger key is on this machine")
    size = int(note.split(b"\n")[1])
    folder.mkdir(parents=True, exist_ok=True)
    export_tiles(folder, size, (leaf.data for leaf in workspace.ledger.leaves(0, size)), note)
    session.show(
        "export",
        {"directory": str(folder), "size": size},
        f"{folder}: {size} entries as static tiles; any web server can serve them",
    )
    return 0


def _prove(session: Session, workspace: Workspace) -> int:
    if not session.options.argument:
        raise UsageError("prove which statement?", fix="assay ledger prove DIGEST")
    entries = workspace.ledger.find(statement_named(workspace, session.options.argument))
    head = workspace.ledger.head()
    proof = [base64.b64encode(step).decode() for step in workspace.ledger.inclusion(entries[0].index, head.size)]
    value = {
        "index": entries[0].index,
        "size": head.size,
        "root": head.root.hex(),
        "leaf": entries[0].data.decode(),
        "proof": proof,
    }
    session.show(
        "proof", value, "\n".join([f"entry {entries[0].index} of {head.size}, root {head.root.hex()}", *proof])
    )
    return 0


def _text(report: AuditReport, with_signatures: bool) -> str:
    what = (
        f"{report.size} entries, {report.signatures} signatures, {report.checkpoints} checkpoints, {report.blobs} blobs"
    )
    if report.ok:
        extra = "" if with_signatures else "\n  signatures were not verified"
        return f"the ledger is sound: {what}\n  root {report.root.hex()}{extra}"
    lines = [f"THE LEDGER IS NOT SOUND: {len(report.problems)} problems in {what}"]
    lines += [
        f"  {'entry ' + str(p.index) if p.index is not None else 'ledger':12s} {p.code}: {p.text}"
        for p in report.problems
    ]
    return "\n".join(lines)
