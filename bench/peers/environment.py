"""Peers live in environments of their own, below the user's cache folder, made the first time that they are asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from claims import Unmeasured

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}


def peer_python(name: str, version: str) -> Path:
    """The interpreter of an environment that holds one release of a peer.

    Raises:
        Unmeasured: it cannot be made here.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "assay-bench" / f"{name}-{version}"
    if not (folder / "bin" / "python").exists():
        _make(folder, f"{name}=={version}")
    return folder / "bin" / "python"


def _make(folder: Path, requirement: str) -> None:
    """Makes it beside its place and moves it there whole; only its interpreter is used, never its scripts."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    print(f"making an environment for {requirement} ...", file=sys.stderr)
    try:
        _run([sys.executable, "-m", "venv", str(part)])
        _run([str(part / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement])
        part.rename(folder)
    except (OSError, Unmeasured) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise Unmeasured(f"{requirement} could not be installed: {error}") from error


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unmeasured((done.stderr.strip().splitlines() or ["no reason given"])[-1][:200])
