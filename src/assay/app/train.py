"""`assay train`: runs a training command and records what went in and what came out, as SLSA provenance.

Inputs are hashed before and after the command; if one changed meanwhile there is no statement. What the command reads
without being told is not seen, and the statement says so: completeness is `declared`.
Source: SLSA Provenance v1.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

from assay import __version__
from assay.app.project import Project, ProjectAsset
from assay.app.register import Registered, register, subject_of
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.core.digests import Digest, sha256
from assay.core.errors import AssayError, ChangedMeanwhile, UsageError
from assay.core.statements import Statement
from assay.core.times import stamp
from assay.evidence.files import manifest_of
from assay.evidence.ledger import Receipt
from assay.evidence.predicates import Predicate

BUILD_TYPE = "urn:assay:build:train:v1"
MAX_LOG_BYTES = 8 << 20
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
)
_SECRET = re.compile(r"(?i)(pass|secret|token|key|credential|auth)")
_TIMEOUT_S = 10


class TrainingFailed(AssayError):
    """The training command ended with an error; nothing was registered."""

    code, exit_code = "A-TRAINING", 1


@dataclass(frozen=True)
class Material:
    """Something that went in: its role (dataset, base, code, config), where it lies, and its digest before the run."""

    role: str
    name: str
    uri: str
    digest: Digest


@dataclass(frozen=True)
class Trained:
    """What a training run made, and the receipt of its provenance."""

    outputs: tuple[Registered, ...]
    materials: tuple[Material, ...]
    receipt: Receipt
    log: Digest


def train(workspace: Workspace, project: Project, command: Sequence[str], *, uses: Sequence[str], produces: Mapping[str, Path],
          folder: Path | None = None) -> Trained:  # fmt: skip
    """Runs `command` in `folder` with the project assets `uses` as inputs and registers `produces` (name to path).

    Raises:
        UsageError: no command, an input or output that the project file does not name.
        TrainingFailed: the command failed.
        ChangedMeanwhile: an input changed while the command ran.
    """
    if not command:
        raise UsageError("there is no command to run", fix="assay train -- python train.py")
    here = folder or project.folder
    inputs = [project.asset(name) for name in uses]
    outputs = [(path, project.asset(name)) for name, path in produces.items()]
    before, source = _materials(inputs), _source(here)
    started = workspace.clock()
    log = _run(command, here)
    if _materials(inputs) != before:
        raise ChangedMeanwhile("an input changed while the command ran", "nobody can say what the model was trained on",
                               "keep the inputs still and train again")  # fmt: skip
    made = tuple(register(workspace, path, asset.about) for path, asset in outputs)
    predicate = _provenance(command, before, source, log, (started, workspace.clock()))
    subjects = tuple(subject_of(item.version) for item in made)
    receipt = workspace.sign_and_log(Statement(subjects, Predicate.PROVENANCE, predicate), "trainer", [log])
    return Trained(made, before, receipt, sha256(log))


def _materials(inputs: Sequence[ProjectAsset]) -> tuple[Material, ...]:
    found = []
    for item in inputs:
        manifest = manifest_of(item.path, item.about.kind, ignored=item.about.ignored, symlinks=item.about.symlinks)
        role = {"model": "base"}.get(str(item.about.kind), str(item.about.kind))
        found.append(Material(role, item.about.name, f"file:{item.path.name}", manifest.digest))
    return tuple(found)


def _source(folder: Path) -> dict[str, Json]:
    """The git commit of the folder and the digest of what is not committed; nothing where there is no repository.

    It stands beside the materials, not among them: a commit is no registered asset.
    """
    head, diff = _git(folder, "rev-parse", "HEAD"), _git(folder, "diff", "HEAD")
    if head is None or diff is None:
        return {}
    return {"source": {"gitCommit": head.decode().strip(), "uncommittedSha256": sha256(diff) if diff else None}}


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _run(command: Sequence[str], folder: Path) -> bytes:
    """Runs the command with an allow-list of the environment; returns its output, cut at 8 MiB."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(list(command), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # fmt: skip
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}", str(error), "check the command") from error
    if done.returncode != 0:
        last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise TrainingFailed(f"the command failed with exit code {done.returncode}", " | ".join(last) or "it printed nothing",
                             "nothing was registered; mend it and run again")  # fmt: skip
    return done.stdout[:MAX_LOG_BYTES]


def _provenance(command: Sequence[str], materials: Sequence[Material], source: dict[str, Json], log: bytes,
                times: tuple[datetime, datetime]) -> Json:  # fmt: skip
    started, finished = times
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"command": redacted(command), "completeness": "declared"},
            "internalParameters": {
                "os": platform.platform(),
                "packages": _packages(),
                "python": platform.python_version(),
            },
            "resolvedDependencies": [
                {"annotations": {"role": m.role}, "digest": {"sha256": m.digest}, "name": m.name, "uri": m.uri}
                for m in materials
            ],
        },
        "runDetails": {
            "builder": {"id": f"urn:assay:train:{__version__}"},
            "byproducts": [{"digest": {"sha256": sha256(log)}, "name": "log"}],
            "metadata": {
                "finishedOn": stamp(finished),
                "invocationId": secrets.token_hex(16),
                "startedOn": stamp(started),
            },
        },
    }


def redacted(command: Sequence[str]) -> list[str]:
    """The command with the values of arguments whose names look secret replaced."""
    shown: list[str] = []
    hide_next = False
    for argument in command:
        name, equals, _ = argument.partition("=")
        is_secret = _SECRET.search(name) is not None and (name.startswith("-") or bool(equals))
        shown.append("[redacted]" if hide_next else f"{name}=[redacted]" if is_secret and equals else argument[:4096])
        hide_next = is_secret and not equals
    return shown


def _packages() -> Json:
    """Installed distributions of this environment, by name; the training command usually runs in the same one."""
    return {d.metadata["Name"]: d.version for d in metadata.distributions(path=sys.path) if d.metadata["Name"]}
