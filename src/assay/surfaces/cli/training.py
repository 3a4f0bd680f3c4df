"""`assay train -- COMMAND`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.app.train import train
from assay.core.assets import Kind
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.surfaces.cli.session import Session, receipt_json, receipt_text

ABOUT = {
    "train": "Runs a training command, registers what it made, and records SLSA provenance: inputs, code, environment, outputs."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `train`."""
    parser.add_argument(
        "--uses",
        metavar="NAME",
        action="append",
        default=[],
        help="an input of assay.yaml; default what the output declares",
    )
    parser.add_argument(
        "--produces",
        metavar="NAME[=PATH]",
        action="append",
        default=[],
        help="an output of assay.yaml; default its only model",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the training command")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs `train`."""
    session = Session(options)
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    produces = _produces(session)
    uses = options.uses or _declared_inputs(session, produces)
    if options.dry_run:
        session.show(
            "train",
            {"uses": uses, "produces": list(produces)},
            f"would run {' '.join(words)}\n  uses {uses}\n  makes {list(produces)}",
        )
        return 0
    with session.open() as workspace:
        done = train(workspace, session.project, words, uses=uses, produces=produces)
    outputs = [
        {"name": o.version.name, "version": o.version.n, "digest": shown(o.version.digest)} for o in done.outputs
    ]
    materials = [{"role": m.role, "name": m.name, "digest": shown(m.digest)} for m in done.materials]
    lines = [f"made {o.version}  {shown(o.version.digest)[:19]}…" for o in done.outputs]
    lines += [f"from {m.role} {m.name}  {shown(m.digest)[:19]}…" for m in done.materials]
    session.show("train", {"subject": outputs, "materials": materials, "statement": receipt_json(done.receipt)},
                 "\n".join([*lines, receipt_text(done.receipt)]))  # fmt: skip
    return 0


def _produces(session: Session) -> dict[str, Path]:
    models = [name for name, asset in session.project.assets.items() if asset.about.kind is Kind.MODEL]
    wanted = session.options.produces or models
    if not session.options.produces and len(models) != 1:
        raise UsageError("what does the command make?", f"assay.yaml names {len(models)} models", "add --produces NAME")
    made = {}
    for text in wanted:
        name, _, path = text.partition("=")
        made[name] = Path(path).absolute() if path else session.project.asset(name).path
    return made


def _declared_inputs(session: Session, produces: dict[str, Path]) -> list[str]:
    """What the outputs say that they are trained on, built by and based on."""
    found: list[str] = []
    for name in produces:
        declared = session.project.asset(name).about.declared
        for key in ("trainedOn", "builtBy", "base"):
            said = declared.get(key, [])
            found += [said] if isinstance(said, str) else said
    return list(dict.fromkeys(text.partition("@")[0] for text in found))
