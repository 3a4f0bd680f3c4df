"""`assay init` and `assay config`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from assay.app.init import create_workspace
from assay.app.project import FILE_NAME
from assay.core.assets import Kind
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.evidence.seen import state_folder
from assay.surfaces.cli.session import Session, new_passphrase, table

ABOUT = {
    "init": "Makes a workspace with two keys (yours and this machine's), a trust policy and an empty ledger, and a project file.",
    "config": "Shows every setting, its value and where it comes from.",
}
_MODEL_ENDINGS = {
    ".skops",
    ".joblib",
    ".pkl",
    ".pickle",
    ".safetensors",
    ".onnx",
    ".pt",
    ".pth",
    ".gguf",
    ".keras",
    ".h5",
}
_DATA_ENDINGS = {".csv", ".parquet", ".jsonl", ".npz"}
_DEPLOY = ("deploy", "deployment", "k8s", "kubernetes", "helm", "manifests")
_LOCKS = ("uv.lock", "poetry.lock", "pylock.toml", "requirements.txt", "environment.yml", "pyproject.toml")
_NEVER_CODE = (".assay", ".git", ".venv", "venv", "build", "dist", "node_modules", "__pycache__", "*/__pycache__")


@dataclass(frozen=True)
class Found:
    """Something that `init` found: what it is, where it lies, its lock file, and what is no part of it."""

    kind: Kind
    path: str
    lock: str = ""
    ignored: tuple[str, ...] = ()


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `init`."""
    if command == "init":
        parser.add_argument("--owner", help="who the first key belongs to; default the user's name")
        parser.add_argument("--no-passphrase", action="store_true", help="keep your key unencrypted on disk")


def run(command: str, options: argparse.Namespace) -> int:
    """Runs one of the commands."""
    return {"init": _init, "config": _config}[command](Session(options))


def _init(session: Session) -> int:
    found = _found_assets(session)
    project_file = session.project.folder / FILE_NAME
    if (session.folder / "trust.pin").exists():  # before anybody is asked for a passphrase
        raise UsageError(f"there is a workspace at {session.folder} already", fix="remove the folder to begin anew")
    if session.options.dry_run:
        session.show("init", {"assets": list(found), "workspace": str(session.folder)}, f"would make {session.folder}")
        return 0
    secret = None if session.options.no_passphrase else new_passphrase("person")
    with create_workspace(
        session.folder, owner=session.options.owner, secret=secret, passphrase=session.passphrase
    ) as workspace:
        pin = workspace.pin
    if not project_file.exists():
        project_file.write_text(_project_text(session.project.folder.name, found), "utf-8")
    value: Json = {"assets": list(found), "workspace": str(session.folder), "trust": shown(pin)}
    names = ", ".join(found) or "no assets; add them to the file"
    session.show("init", value, f"workspace  {session.folder}\nproject    {project_file}: {names}\ntrust      {shown(pin)}\n"
                 "           give this digest to whoever verifies your bundles\nnext       assay register")  # fmt: skip
    return 0


def _config(session: Session) -> int:
    origin = (
        "--workspace"
        if session.options.workspace
        else "ASSAY_WORKSPACE"
        if os.environ.get("ASSAY_WORKSPACE")
        else "nearest upward"
    )
    rows = [
        ("workspace", str(session.folder), origin),
        ("project file", str(session.project.folder / FILE_NAME), "nearest upward"),
        ("policies", ", ".join(map(str, session.project.policies)) or "-", FILE_NAME),
        ("state folder", str(state_folder()), "ASSAY_STATE" if os.environ.get("ASSAY_STATE") else "XDG state folder"),
        (
            "passphrases",
            "file descriptor"
            if os.environ.get("ASSAY_PASSPHRASE_FD")
            else "terminal"
            if sys.stdin.isatty()
            else "nowhere",
            "ASSAY_PASSPHRASE_FD or prompt",
        ),
    ]
    rows += [
        (f"checks.{pattern}", str(dict(options)), FILE_NAME) for pattern, options in session.project.options.items()
    ]
    settings = [{"name": name, "value": value, "origin": where} for name, value, where in rows]
    session.show("config", {"settings": settings}, lambda: table(rows, ("setting", "value", "from")))
    return 0


def _found_assets(session: Session) -> dict[str, Found]:
    """What lies below the folder, at most three folders deep, hidden folders left out."""
    if session.project.assets:
        return {name: Found(asset.about.kind, str(asset.path)) for name, asset in session.project.assets.items()}
    found: dict[str, Found] = {}
    root = session.project.folder
    for pattern in ("*", "*/*", "*/*/*"):
        for path in sorted(root.glob(pattern)):
            relative = path.relative_to(root)
            kind = _kind_of(relative)
            if kind and path.is_file() and not any(part.startswith(".") for part in relative.parts):
                found.setdefault(_name(path.stem), Found(kind, relative.as_posix()))
    if lock := next((name for name in _LOCKS if (root / name).is_file()), None):
        found.setdefault(
            "code",
            Found(
                Kind.CODE, ".", lock, tuple(p for p in _NEVER_CODE if "*" in p or (root / p).exists() or p == ".assay")
            ),
        )
    return found


def _kind_of(path: Path) -> Kind | None:
    name = path.name.lower()
    if path.suffix in _MODEL_ENDINGS:
        return Kind.MODEL
    if path.suffix in _DATA_ENDINGS:
        return Kind.DATASET
    if "prompts" in path.parts[:-1] and path.suffix in (".yaml", ".yml", ".txt", ".md", ".json", ".jinja"):
        return Kind.PROMPT
    if name.startswith(("dockerfile", "docker-compose", "compose.y")) or (
        path.parts[0] in _DEPLOY and path.suffix in (".yaml", ".yml")
    ):
        return Kind.INFRASTRUCTURE
    return None


def _name(stem: str) -> str:
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem.lower()).strip("._-")
    return cleaned[:64] or "asset"


def _project_text(name: str, found: dict[str, Found]) -> str:
    lines = [
        "# assay.yaml: what this repository ships, and what must be true of it",
        f"project: {_name(name)}",
        "assets:",
    ]
    lines += [f"  {asset}: {{{_described(item)}}}" for asset, item in found.items()]
    if not found:
        lines[-1] = "assets: {}"
    return "\n".join([*lines, "policies: []  # files, or ready ones such as pack:production-tabular-classifier"]) + "\n"


def _described(item: Found) -> str:
    parts = [f"kind: {item.kind}", f"path: {_quoted(item.path)}"]
    parts += [f"lock: {_quoted(item.lock)}"] if item.lock else []
    parts += [f"ignore: [{', '.join(map(_quoted, item.ignored))}]"] if item.ignored else []
    return ", ".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
