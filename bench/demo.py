"""The two commands of the README on a fresh clone: set-up and demo, and what a command costs to start.

The clone is made with git from this checkout's HEAD, so uncommitted work is not measured. Package files may come from a
cache that earlier set-ups filled; the note says how large the environment became.
How to run: make bench NAME=demo        or        .venv/bin/python bench/demo.py [--data DIR] [--no-setup]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from claims import Claim, child, median, options, scratch, show, took

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--no-setup", action="store_true", help="measure the demo in this environment only")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with scratch(asked.data) as folder:
        claims = [] if asked.no_setup else [setup_claim(folder / "clone")]
        shown = Path(sys.executable).with_name("assay")
        runs = [demo(shown, folder / f"demo{i}") for i in range(asked.repeats)]
        claims.append(Claim("demo, all steps, wall", median(runs), "s", 60))
        claims.append(Claim("assay --version, CPU", median([version_cpu(shown) for _ in range(9)]), "s", 0.15))
        claims.append(Claim("listing all checks, wall", median([listing(shown) for _ in range(5)]), "s", 0.3))
    show(claims)


def setup_claim(clone: Path) -> Claim:
    """Seconds of `make setup` in an empty clone."""
    subprocess.run(["git", "clone", "--quiet", str(HERE), str(clone)], check=True)
    spent = took(lambda: subprocess.run(["make", "setup"], cwd=clone, check=True, capture_output=True))
    return Claim("make setup on a fresh clone, wall", spent.wall_s, "s", 120)


def demo(command: Path, folder: Path) -> float:
    """Seconds of one demo; it must tell its whole story and end with a sound ledger."""
    folder.mkdir(parents=True)
    start = time.perf_counter()
    told = child(
        [command, "demo", "--format", "json", "--quiet", "--folder", folder], {"ASSAY_STATE": str(folder / "state")}
    )
    spent = time.perf_counter() - start
    answers = {step.get("decision") for step in told["steps"]}
    assert answers >= {"allow", "deny", "undecided"} and told["ledger"]["ok"], json.dumps(told)[:500]
    return spent


def version_cpu(command: Path) -> float:
    """CPU seconds of one `assay --version`."""
    before = os.times()
    subprocess.run([command, "--version"], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def listing(command: Path) -> float:
    """Seconds of one `assay checks`."""
    start = time.perf_counter()
    subprocess.run([command, "checks"], check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
