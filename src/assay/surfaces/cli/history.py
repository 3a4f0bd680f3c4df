"""`assay log` and `assay show`."""

from __future__ import annotations

import argparse
import json

from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.evidence.envelope import read_bundle
from assay.evidence.predicates import Predicate, short_type
from assay.evidence.trust import TRUST_PAYLOAD
from assay.policy.view import Evidence
from assay.surfaces.cli.session import Session, resolve, statement_named, table

ABOUT = {
    "log": "Lists the evidence about an asset, newest first; without an asset, every version and where it stands.",
    "show": "Shows one statement: what it says, who signed it, where it is in the ledger.",
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of one of the commands."""
    if command == "log":
        parser.add_argument("asset", nargs="?", metavar="ASSET")
    else:
        parser.add_argument("digest", metavar="DIGEST", help="a statement digest, or its first characters")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    session = Session(options)
    with session.open() as workspace:
        if command == "show":
            return _show(session, workspace)
        return _log(session, workspace) if options.asset else _versions(session, workspace)


def _versions(session: Session, workspace: Workspace) -> int:
    aliases = {v.name: workspace.registry.aliases(v.name) for v in workspace.registry.versions()}
    assets: list[Json] = [
        {"name": v.name, "version": v.n, "kind": str(v.kind), "state": str(v.state), "digest": shown(v.digest),
         "aliases": [alias for alias, digest in aliases[v.name].items() if digest == v.digest]}
        for v in workspace.registry.versions()
    ]  # fmt: skip
    rows = [
        (f"{a['name']}@{a['version']}", a["kind"], a["state"], ", ".join(a["aliases"]) or "-", a["digest"][:19] + "…")
        for a in assets
    ]
    session.show("assets", {"assets": assets}, lambda: table(rows, ("asset", "kind", "state", "stages", "digest")))
    return 0


def _log(session: Session, workspace: Workspace) -> int:
    version = resolve(workspace, session.project, session.options.asset)
    sound = SoundLedger.of(workspace)
    found = Reader(sound, sound.chain).about(version.digest)
    statements: list[Json] = [
        {"digest": shown(e.digest), "index": e.index, "type": short_type(e.type), "signer": e.owner or e.key_id, "roles": list(e.roles),
         "time": e.logged_at, "problem": e.problem, "summary": _summary(e)}
        for e in reversed(found)
    ]  # fmt: skip
    rows = [(str(s["index"]), s["time"][:19], s["type"], s["signer"], s["summary"] + (f"  [{s['problem']}]" if s["problem"] else ""), s["digest"][7:19])
            for s in statements]  # fmt: skip
    head = f"{version}  {version.kind}  {version.state}  {shown(version.digest)}\n\n"
    session.show("log", {"asset": str(version), "state": str(version.state), "statements": statements},
                 lambda: head + table(rows, ("entry", "time", "statement", "by", "says", "digest")))  # fmt: skip
    return 0


def _summary(e: Evidence) -> str:
    """One line of what a statement says."""
    p = e.predicate
    if not p:
        return "not readable"
    if e.type == Predicate.REGISTRATION:
        return f"registered as {p['name']}@{p['version']}"
    if e.type in (Predicate.SCAN_RESULT, Predicate.EVAL_RESULT):
        check = p["head"]["check"]["id"]
        what = (
            ", ".join(f"{m['metric']} {m['value']:.3g}" for m in p.get("measurements", [])[:2])
            or f"{len(p.get('files', []))} files"
        )
        return f"{check}: {p['failure'][:60] if p['state'] == 'failed' else what}"
    if e.type == Predicate.DECISION:
        return f"{p['assay_decision']} for {p['assay_target']}"
    if e.type == Predicate.PROMOTION:
        return f"{p['action']} {p['alias']}"
    if e.type == Predicate.LIFECYCLE:
        return f"{p['from']} to {p['to']}"
    if e.type == Predicate.QUARANTINE:
        return f"{p['action']}: {p['reason'][:60]}"
    if e.type == Predicate.INCIDENT:
        return f"{p['id']} {p['state']}: {p['summary'][:50]}"
    if e.type == Predicate.APPROVAL:
        return f"{p['result']} for {p['target']}: {p['reason'][:50]}"
    if e.type == Predicate.PROVENANCE:
        return f"made by {' '.join(map(str, p['buildDefinition']['externalParameters'].get('command', [])))[:60]}"
    return str(p.get("rule") or p.get("reason") or "")[:60]


def _show(session: Session, workspace: Workspace) -> int:
    wanted = statement_named(workspace, session.options.digest)
    entries = workspace.ledger.find(wanted)
    trust = workspace.trust()
    bundle = workspace.ledger.bundle(entries[0])
    payload: Json = json.loads(bundle if entries[0].type == TRUST_PAYLOAD else read_bundle(bundle).payload)
    signers: Json = [
        {"key": e.key_id, "owner": trust.owner_of(e.key_id), "index": e.index, "time": e.time} for e in entries
    ]
    value: Json = {"digest": shown(wanted), "signers": signers, "statement": payload}
    lines = [f"statement {shown(wanted)}"]
    lines += [
        f"  entry {s['index']}  {s['time']}  signed by {s['owner'] or 'an unknown key'} ({s['key'][:12]}…)"
        for s in signers
    ]
    session.show("statement", value, lambda: "\n".join(lines) + "\n" + json.dumps(payload, indent=2, ensure_ascii=True))
    return 0
