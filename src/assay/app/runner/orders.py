"""What a worker is told: one order, as JSON in a file that it reads first.

An order goes from us to the worker only, so reading it trusts it: manifests are rebuilt without validating a million
entries a second time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from assay.app.runner.jobs import Job, Limits, Located
from assay.core.assets import Asset, Entry, Kind, Manifest
from assay.core.canonical import Json
from assay.core.errors import UsageError
from assay.predictors.declared import Reach


@dataclass(frozen=True)
class Order:
    """A job as its worker sees it. `module` and `file` say where the check is; `hidden` are folders it may not read."""

    check_id: str
    version: int
    needs: tuple[str, ...]
    module: str
    file: str | None
    subject: Located
    related: Mapping[str, tuple[Located, ...]]
    options: Mapping[str, Json]
    seed: int
    limits: Limits
    scratch: Path
    hidden: tuple[Path, ...]
    reach: Reach | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


def write_order(job: Job, scratch: Path, hidden: tuple[Path, ...]) -> bytes:
    """The bytes of the order for `job`.

    Raises:
        UsageError: the check stands in `__main__`, or an option is unknown.
    """
    module = check_module(job)
    order = {
        "check_id": job.check.id,
        "version": job.check.version,
        "needs": job.needs,
        "module": module,
        "file": getattr(sys.modules.get(module), "__file__", None),
        "subject": _located(job.subject),
        "related": {role: [_located(one) for one in those] for role, those in job.related.items()},
        "options": dict(job.merged_options),
        "seed": job.seed,
        "limits": asdict(job.limits),
        "scratch": str(scratch),
        "hidden": [str(folder) for folder in hidden],
        "reach": asdict(reach) if (reach := job.reach) else None,
        "keys": {name: os.environ[name]} if reach and (name := reach.key_env) and name in os.environ else {},
    }
    return json.dumps(order).encode()


def read_order(data: bytes) -> Order:
    """The order in bytes that `write_order` made."""
    value = json.loads(data)
    return Order(
        check_id=value["check_id"],
        version=value["version"],
        needs=tuple(value["needs"]),
        module=value["module"],
        file=value["file"],
        subject=_read_located(value["subject"]),
        related={role: tuple(map(_read_located, those)) for role, those in value["related"].items()},
        options=value["options"],
        seed=value["seed"],
        limits=Limits(**value["limits"]),
        scratch=Path(value["scratch"]),
        hidden=tuple(map(Path, value["hidden"])),
        reach=Reach(**value["reach"]) if value["reach"] else None,
        keys=value["keys"],
    )


def check_module(job: Job) -> str:
    """The module to import for the check of a job.

    Raises:
        UsageError: it is `__main__`; a worker that imported that would run the program a second time.
    """
    module = job.check.body.__module__
    if module == "__main__":
        raise UsageError(
            f"check {job.check.id} cannot be run from a script",
            "its worker would have to run the whole script again",
            "move the check into a module of its own and import it",
        )
    return module


def _located(located: Located) -> Json:
    manifest = located.asset.manifest
    return {
        "name": located.asset.name,
        "version": located.asset.version,
        "declared": dict(located.asset.declared),
        "kind": str(manifest.kind),
        "entries": [(entry.path, entry.sha256, entry.size) for entry in manifest.entries],
        "ignored": manifest.ignored,
        "root": str(located.root.absolute()),
    }


def _read_located(value: Json) -> Located:
    entries = tuple(Entry(path, sha256, size) for path, sha256, size in value["entries"])
    manifest = Manifest(Kind(value["kind"]), entries, tuple(value["ignored"]))
    return Located(Asset(value["name"], value["version"], manifest, value["declared"]), Path(value["root"]))
