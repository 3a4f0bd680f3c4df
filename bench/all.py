"""Runs benchmarks by name, one script after the other: `bench/all.py registry`, `bench/all.py provenance`, or all of them.

Claims are JSON lines on stdout, tables are on stderr. Exit code 1 if a claim is missed or a script failed.
How to run: make bench NAME=registry        or        .venv/bin/python bench/all.py [NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# A name of a part stands for its scripts; any script is also a name of its own.
PARTS = {
    "provenance": ("registry", "ledger", "manifest", "signing"),
    "gate": ("gate_calibration", "policy_expr"),
    "demo": ("demo",),
    "scan": ("scan", "deps", "secret_search"),
    "evaluation": ("evaluation_evasion", "evaluation_privacy", "evaluation_fairness", "evaluation_gate"),
    "firewall": ("firewall", "firewall_wordings", "firewall_proxy"),
}
QUICK = {
    "registry": ("--rounds", "30", "--reads", "100", "--repeats", "1"),
    "ledger": ("--entries", "20000", "--appends", "3200", "--repeats", "1", "--kills", "3"),
    "manifest": ("--mb", "64", "--repeats", "3"),
    "gate_calibration": ("--quick",),
    "evaluation_gate": ("--runs", "100"),
    "signing": ("--quick",),
    "deps": ("--quick",),
    "scan": ("--quick",),
    "evaluation_evasion": ("--quick",),
    "firewall_proxy": ("--quick",),
}
# Parts of other scripts, not benchmarks.
SHARED = (
    "all", "claims", "statements", "evaluation_data", "firewall_data", "firewall_detection", "firewall_speed", "firewall_values",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all of them by default; or {', '.join(known())}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--data", type=Path, help="working folder, passed on")
    parser.add_argument("--seed", type=int, default=0, help="passed on")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(known()):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(known())}")
    failed = False
    for name in scripts(asked.names or list(PARTS)):
        options = ["--seed", str(asked.seed), *(["--data", str(asked.data)] if asked.data else [])]
        failed = not run(name, [*options, *(QUICK.get(name, ()) if asked.quick else ())]) or failed
    return 1 if failed else 0


def known() -> list[str]:
    """Every name that can be asked for."""
    return [*PARTS, *sorted(file.stem for file in HERE.glob("*.py") if file.stem not in {*SHARED, *PARTS})]


def scripts(names: list[str]) -> list[str]:
    """The scripts behind names, each once."""
    return list(dict.fromkeys(script for name in names for script in PARTS.get(name, (name,))))


def run(name: str, options: list[str]) -> bool:
    """Runs one script and passes its claims on; whether all of them are met."""
    script = HERE / f"{name}.py"
    print(f"== {name}", file=sys.stderr, flush=True)
    if not script.exists():
        return missing(name, f"{script.name} is not there")
    with subprocess.Popen([sys.executable, str(script), *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        all_met = True
        for line in process.stdout:
            print(line, end="", flush=True)
            all_met = all_met and bool(json.loads(line).get("met"))
    if process.returncode not in (0, 1):
        return missing(name, f"it ended with {process.returncode}")
    return all_met and process.returncode == 0


def missing(name: str, why: str) -> bool:
    """A claim that says that nothing could be measured."""
    print(json.dumps({"claim": name, "value": None, "unit": "", "peer": None, "peer_value": None, "target": None,
                      "better": "lower", "met": False, "why": why}), flush=True)  # fmt: skip
    return False


if __name__ == "__main__":
    sys.exit(main())
