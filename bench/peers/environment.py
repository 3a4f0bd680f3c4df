"""Peers live in environments of their own, below the user's cache folder, made the first time that they are asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from claims import Unmeasured

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}


# Peers of the evaluation share one environment; torch goes first, so that what follows takes the release that is there.
EVALUATION = (
    ("torch==2.13.0",),
    ("numpy", "scipy", "scikit-learn", "pandas", "packaging", "adversarial-robustness-toolbox==1.20.1", "foolbox==3.3.4",
     "fairlearn==0.15.0"),
)  # fmt: skip


def peer_python(name: str, version: str) -> Path:
    """The interpreter of an environment that holds one release of a peer.

    Raises:
        Unmeasured: it cannot be made here.
    """
    return environment_python(f"{name}-{version}", ((f"{name}=={version}",),))


def environment_python(name: str, steps: Sequence[Sequence[str]]) -> Path:
    """The interpreter of an environment that holds what `steps` install, one after the other.

    Raises:
        Unmeasured: it cannot be made here.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "assay-bench" / name
    if not (folder / "bin" / "python").exists():
        _make(folder, steps)
    return folder / "bin" / "python"


def _make(folder: Path, steps: Sequence[Sequence[str]]) -> None:
    """Makes it beside its place and moves it there whole; only its interpreter is used, never its scripts."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    wanted = " ".join(requirement for step in steps for requirement in step)
    print(f"making an environment for {wanted} ...", file=sys.stderr)
    try:
        _run([sys.executable, "-m", "venv", str(part)])
        for step in steps:
            _run([str(part / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *step])
        part.rename(folder)
    except (OSError, Unmeasured) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise Unmeasured(f"{wanted} could not be installed: {error}") from error


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unmeasured((done.stderr.strip().splitlines() or ["no reason given"])[-1][:200])
