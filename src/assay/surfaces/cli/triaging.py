"""`assay vex`: a person's word on the vulnerabilities in an asset's packages."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.app.triage import read_vex, sign_vex
from assay.core.canonical import Json
from assay.formats.dependencies.vex import VEX_TYPE
from assay.surfaces.cli.living import signer_for
from assay.surfaces.cli.session import Session, receipt_json, receipt_text, resolve, table

ABOUT = {
    "vex": "Signs a VEX document (OpenVEX or CycloneDX, JSON) about an asset; matches and gates honour it from then on."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `vex`."""
    parser.add_argument("asset", metavar="ASSET", help="whose packages the document is about")
    parser.add_argument("document", type=Path, metavar="FILE")
    parser.add_argument("--key", required=True, metavar="NAME", help="the key of this machine that signs as approver")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs `vex`."""
    session = Session(options)
    document = read_vex(options.document)
    with session.open() as workspace:
        version = resolve(workspace, session.project, options.asset)
        receipt = None
        if not options.dry_run:
            receipt = sign_vex(workspace, version, document, signer_for(workspace, options.key, VEX_TYPE))
    said: dict[str, Json] = {
        "asset": str(version),
        "statements": document["statements"],
        "statement": receipt_json(receipt),
    }
    rows = [(_name(one["vulnerability"]), one["status"], _products(one)) for one in document["statements"]]
    session.show("vex", said, lambda: f"{table(rows, ('vulnerability', 'status', 'in'))}\n{receipt_text(receipt)}")
    return 0


def _name(vulnerability: Json) -> str:
    return str(vulnerability.get("name") if isinstance(vulnerability, dict) else vulnerability)[:80]


def _products(statement: Json) -> str:
    named = [one.get("@id", "") if isinstance(one, dict) else one for one in statement.get("products", [])]
    return ", ".join(map(str, named))[:120] or "all of it"
