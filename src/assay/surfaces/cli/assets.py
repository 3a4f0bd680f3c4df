"""`assay register`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.app.register import Description, Registered, register
from assay.core.assets import Kind, check_name
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.errors import UsageError
from assay.evidence.files import manifest_of
from assay.surfaces.cli.progress import hashing
from assay.surfaces.cli.session import Session, receipt_json, table

ABOUT = {
    "register": "Hashes the bytes of assets and records each as a version. Nothing is copied. Without arguments: all of assay.yaml."
}


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `register`."""
    parser.add_argument(
        "assets", nargs="*", metavar="NAME|PATH", help="names of assay.yaml, or one path with --kind and --name"
    )
    parser.add_argument("--kind", choices=[str(kind) for kind in Kind], help="what the path is")
    parser.add_argument("--name", help="the name to register the path under")
    parser.add_argument("--origin", metavar="URI", help="where the bytes came from")
    parser.add_argument("--external", action="store_true", help="somebody else made them")
    parser.add_argument("--label", metavar="KEY=VALUE", action="append", default=[], help="may be repeated")
    parser.add_argument(
        "--ignore", metavar="GLOB", action="append", default=[], help="leave files out; recorded in the manifest"
    )
    parser.add_argument(
        "--symlinks", choices=("refuse", "content"), default="refuse", help="content: hash what links point to"
    )


def run(command: str, options: argparse.Namespace) -> int:
    """Runs `register`."""
    session = Session(options)
    wanted = _wanted(session)
    if options.dry_run:
        made = [manifest_of(path, about.kind, ignored=about.ignored, symlinks=about.symlinks) for path, about in wanted]
        assets: Json = [
            {"name": about.name, "digest": shown(m.digest), "files": len(m.entries)}
            for (_, about), m in zip(wanted, made, strict=True)
        ]
        session.show(
            "register",
            {"assets": assets, "dry_run": True},
            lambda: "\n".join(f"{a['name']}  {a['digest']}" for a in assets),
        )
        return 0
    done = []
    with session.open() as workspace:
        for path, about in wanted:
            with hashing(session, about.name) as seen:
                done.append(register(workspace, path, about, seen=seen))
    session.show("register", {"assets": [_json(item) for item in done]}, lambda: _text(done))
    return 0


def _wanted(session: Session) -> list[tuple[Path, Description]]:
    options = session.options
    if options.name or options.kind:
        if len(options.assets) != 1 or not (options.name and options.kind):
            raise UsageError(
                "a path needs both --kind and --name", fix="assay register PATH --kind model --name scorer"
            )
        origin: dict[str, Json] = ({"uri": options.origin} if options.origin else {}) | (
            {"external": True} if options.external else {}
        )
        about = Description(
            check_name(options.name),
            Kind(options.kind),
            {},
            origin,
            _labels(options.label),
            options.ignore,
            options.symlinks,
        )
        return [(Path(options.assets[0]), about)]
    names = options.assets or list(session.project.assets)
    if not names:
        raise UsageError(
            "nothing to register",
            "no asset is named and assay.yaml lists none",
            "assay register PATH --kind model --name scorer",
        )
    return [(asset.path, asset.about) for asset in map(session.project.asset, names)]


def _labels(pairs: list[str]) -> dict[str, str]:
    if bad := next((pair for pair in pairs if "=" not in pair), None):
        raise UsageError(f"{bad!r} is no label", "expected KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _json(item: Registered) -> Json:
    version = item.version
    return {
        "name": version.name, "kind": str(version.kind), "version": version.n, "digest": shown(version.digest), "state": str(version.state),
        "files": len(item.manifest.entries), "size_bytes": item.manifest.size_bytes, "is_new": item.receipt is not None,
        "statement": receipt_json(item.receipt),
    }  # fmt: skip


def _text(done: list[Registered]) -> str:
    rows = [
        (str(r.version), str(r.version.kind), shown(r.version.digest)[:25] + "…", str(len(r.manifest.entries)), _size(r.manifest.size_bytes),
         "registered" if r.receipt else f"unchanged, {r.version.state}")
        for r in done
    ]  # fmt: skip
    return table(rows, ("asset", "kind", "digest", "files", "size", ""))


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
