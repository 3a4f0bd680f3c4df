"""What every benchmark shares: a claim and how it is printed, stopwatches, scratch folders and child processes.

A claim is one JSON line on stdout, for machines; all claims of a script are a table on stderr, for people. Timings are
medians of repeats; where a peer is measured, peer and Assay take turns in one run, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Claim:
    """One figure beside its target. `value` is None where it could not be measured; then `why` says so."""

    claim: str
    value: float | None
    unit: str
    target: float
    better: str = "lower"
    peer: str | None = None
    peer_value: float | None = None
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure reaches its target."""
        if self.value is None:
            return False
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    def line(self) -> dict[str, Any]:
        """The claim as one JSON object."""
        said: dict[str, Any] = {
            "claim": self.claim, "value": rounded(self.value), "unit": self.unit, "peer": self.peer,
            "peer_value": rounded(self.peer_value), "target": self.target, "better": self.better, "met": self.met,
        }  # fmt: skip
        return said | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Took:
    """Wall and CPU seconds of something; CPU counts all threads of this process."""

    wall_s: float
    cpu_s: float


class Unmeasured(Exception):
    """Something could not be measured here; the text says why."""


def show(claims: Sequence[Claim], notes: Sequence[str] = ()) -> None:
    """Prints the JSON lines on stdout and a table with the notes on stderr."""
    for claim in claims:
        print(json.dumps(claim.line()), flush=True)
    width = max((len(claim.claim) for claim in claims), default=0)
    for claim in claims:
        value = "not measured" if claim.value is None else f"{rounded(claim.value)} {claim.unit}"
        peer = f"   {claim.peer} {rounded(claim.peer_value)}" if claim.peer else ""
        sign = "<=" if claim.better == "lower" else ">="
        verdict = "met   " if claim.met else "MISSED"
        said = f"{verdict}  {claim.claim:<{width}}  {value:>20}   target {sign} {claim.target}{peer}"
        print(said + (f"   ({claim.why})" if claim.why else ""), file=sys.stderr)
    for note in notes:
        print(f"        {note}", file=sys.stderr)


def took(work: Callable[[], object]) -> Took:
    """Runs `work` once and measures it."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def median(values: Sequence[float]) -> float:
    """The middle of at least one value."""
    return statistics.median(values)


def peak_mb() -> int:
    """The largest resident size of this process and of its children, in MB."""
    mine, theirs = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(mine, theirs) // 1024


def children_cpu_s() -> float:
    """CPU seconds of ended child processes so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rounded(value: float | None) -> float | None:
    """Four significant digits, but whole numbers stay whole."""
    if value is None or abs(value) >= 1000:
        return None if value is None else round(value)
    return float(f"{value:.4g}")


def options(text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="working folder; a temporary one by default, removed at the end")
    parser.add_argument("--seed", type=int, default=0)
    return parser


@contextmanager
def scratch(data: Path | None) -> Iterator[Path]:
    """A new folder below `data` (or the system's temporary folder), removed at the end."""
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="assay-bench-", dir=data))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def child(command: Sequence[str | Path], environment: Mapping[str, str] | None = None, timeout_s: float = 1800) -> Any:
    """Runs a command and returns the JSON value of its last line of output.

    Raises:
        Unmeasured: it failed or printed no JSON.
    """
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout_s,
                          env={**os.environ, **(environment or {})})  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Unmeasured(f"{Path(str(command[1])).name} ended with {done.returncode}: {said[-1][:200]}")
    return json.loads(lines[-1])
