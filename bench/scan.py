"""The scan beside picklescan, fickling, modelscan and modelaudit: detection by class, false alarms, and cost.

A file is flagged if the exit code is 1; refused if it is 2 or 3 (errors, unsupported, inconclusive); silent if it is 0. Attacks
that claim to run are loaded with their real loaders in throw-away processes first. Speed is processor seconds and peak memory of
whole processes: peers and Assay take turns in one run, and a ratio is the median of the ratios of the rounds.
`--quick` draws 150 attacks and 150 benign files for every tool, and makes the large files small; its figures are no claims.
How to run: make bench NAME=scan        or        .venv/bin/python bench/scan.py [--data DIR] [--seed N] [--quick] [--only speed]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from claims import HERE, Claim, Unmeasured, child, median, options, scratch, show
from peers.environment import environment_python

sys.path.insert(0, str(HERE.parent))
from assay.statistics.intervals import share_interval_exact
from scanning.corpus import Row, write_attacks, write_benign
from scanning.inputs import large_safetensors, large_torch, small_pickles

PEERS = {"picklescan": "1.0.5", "fickling": "0.1.12", "modelscan": "0.8.8", "modelaudit": "0.2.54"}
MORE = {"fickling": ("typing_extensions",)}  # imported, but not declared
SLOW = {"modelaudit": 150}  # files of each sort that it is shown, for time
QUICK_FILES = 150
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
ASSAY = [sys.executable, "-m", "assay.surfaces.cli.main", "scan", "--quiet", "--format", "json"]
FLAGGED = ("malicious", "unknown")
HASH = "import hashlib,sys;h=hashlib.sha256();f=open(sys.argv[1],'rb',buffering=0);b=bytearray(1<<20);v=memoryview(b)\nwhile n:=f.readinto(b):h.update(v[:n])"
STARTER = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, used = os.wait4(pid, 0)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""
NOTES: list[str] = []


class Cost(NamedTuple):
    """Processor seconds and peak MiB of one process and of all that it waited for."""

    cpu_s: float
    mib: float
    code: int


def main() -> int:
    parser = options(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="64 MiB instead of 1 GiB, 200 pickles, 150 files of each sort"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["detection", "speed"])
    asked = parser.parse_args()
    claims: list[Claim] = []
    with scratch(asked.data) as folder:
        if asked.only != "detection":
            claims += speed(folder, asked.quick, 1 if asked.quick else asked.repeats)
        if asked.only != "speed":
            claims += detection(folder, asked.seed, asked.quick)
    show(claims, NOTES)
    return 0 if all(claim.met for claim in claims) else 1


def progress(words: str) -> None:
    """Says what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def noted(words: str) -> None:
    """Keeps a line for the end, and says it now."""
    NOTES.append(words)
    progress(words)


def detection(folder: Path, seed: int, is_quick: bool) -> list[Claim]:
    """Attacks and benign files flagged, refused and silent, beside each peer."""
    progress("writing attacks and benign files")
    rows = write_attacks(folder / "attacks", seed)
    write_benign(folder / "benign", seed, noted, has_older=not is_quick)
    if is_quick:
        rows = _thinned(folder, rows, seed)
    progress(f"{len(rows)} attacks and the benign files are scanned")
    ours, alarms = verdicts(folder / "attacks"), verdicts(folder / "benign")
    progress("attacks are loaded with their real loaders")
    proven = prove(rows)
    progress("peers look at the same files")
    with ThreadPoolExecutor(2) as pool:
        peers = dict(
            zip(
                PEERS,
                pool.map(lambda name: codes(name, folder / "attacks", folder / "benign", seed, is_quick), PEERS),
                strict=True,
            )
        )
    said = {row.path: ours[os.path.relpath(row.path, folder / "attacks")] for row in rows}
    core = [row for row in rows if row.case.is_core or row.path in proven]
    evasions = [row for row in rows if row not in core]
    table(rows, said, peers, folder / "attacks", alarms)
    clean = [row.case.name for row in rows if said[row.path] == "clean"]
    NOTES.extend(f"  called clean: {name}" for name in clean)
    NOTES.extend(f"  core, not flagged: {row.case.name}" for row in core if said[row.path] not in FLAGGED)
    NOTES.extend(f"  benign, {verdict}: {name}" for name, verdict in alarms.items() if verdict != "clean")
    functions = [row for row in rows if row.case.name.startswith("drawn-function")]
    return [
        Claim("scan: core attacks flagged", share(said[r.path] in FLAGGED for r in core), "%", 100.0, "higher"),
        Claim("scan: evasions flagged", share(said[r.path] in FLAGGED for r in evasions), "%", 98.0, "higher"),
        Claim("scan: attacks called clean", float(len(clean)), "files", 0.0),
        Claim(
            f"scan: {len(proven)} attacks that ran in a real loader, flagged",
            share(said[p] in FLAGGED for p in proven),
            "%",
            100.0,
            "higher",
        ),
        Claim(
            f"scan: {len(functions)} functions of the standard library called clean",
            float(sum(said[r.path] == "clean" for r in functions)),
            "files",
            0.0,
        ),
        Claim(f"scan: {len(alarms)} benign files flagged", share(v in FLAGGED for v in alarms.values()), "%", 1.0),
        Claim("scan: benign files not examined", share(v == "inconclusive" for v in alarms.values()), "%", 0.0),
    ]


def _thinned(folder: Path, rows: Sequence[Row], seed: int) -> list[Row]:
    """A sample of the attacks and of the benign files; the others are removed."""
    choice = random.Random(seed)
    kept = choice.sample(rows, min(QUICK_FILES, len(rows)))
    benign = sorted(path for path in (folder / "benign").rglob("*") if path.is_file())
    spared = {row.path for row in kept} | set(choice.sample(benign, min(QUICK_FILES, len(benign))))
    for path in [*(row.path for row in rows), *benign]:
        if path not in spared:
            path.unlink()
    return kept


def verdicts(folder: Path) -> dict[str, str]:
    """What Assay says of every file."""
    done = subprocess.run([*ASSAY, str(folder)], capture_output=True, text=True)
    return {os.path.relpath(file["path"], folder): file["verdict"] for file in json.loads(done.stdout)["files"]}


def prove(rows: Sequence[Row]) -> set[Path]:
    """Files whose payload ran; one that claims to run in a plain unpickler and does not is noted."""
    tried = [row for row in rows if row.case.needs_proof or row.kind.startswith("drawn compositions")]
    script = [sys.executable, str(HERE / "scanning" / "prove.py")]
    text, environment = json.dumps([str(row.path) for row in tried]), {**os.environ, **QUIET}
    done = subprocess.run(script, input=text, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    loaders = {Path(path): loader for path, loader in json.loads(done.stdout.splitlines()[-1]).items() if loader}
    NOTES.append(f"{len(loaders)} of {len(tried)} files ran their payload: {dict(Counter(loaders.values()))}")
    NOTES.extend(
        f"  claims to run and did not: {row.case.name}"
        for row in tried
        if row.case.needs_proof and row.path not in loaders
    )
    return set(loaders)


def codes(name: str, bad: Path, good: Path, seed: int, is_quick: bool) -> tuple[dict[str, int], dict[str, int]] | None:
    """Exit codes of a peer for attacks and for benign files; a sample of them where it is slow."""
    found = []
    try:
        python = peer(name)
        for folder in (bad, good):
            files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
            most = SLOW.get(name, len(files)) // (5 if is_quick else 1)
            files = random.Random(seed).sample(files, most) if name in SLOW and len(files) > most else files
            with tempfile.TemporaryDirectory() as home:
                listed = Path(home) / "files.json"
                listed.write_text(json.dumps(files))
                script = HERE / "peers/scan_peer.py"
                answers = child([python, script, name, listed], {**QUIET, "HOME": home}, timeout_s=3600)["codes"]
            found.append({os.path.relpath(path, folder): code for path, code in answers.items()})
            progress(f"  {name}: {len(answers)} files of {folder.name}")
    except (Unmeasured, subprocess.TimeoutExpired) as error:
        NOTES.append(f"{name}: {str(error)[:150]}")
        return None
    return found[0], found[1]


def table(rows: Iterable[Row], said: Mapping[Path, str], peers: Mapping[str, tuple[dict[str, int], dict[str, int]] | None], bad: Path,
          alarms: Mapping[str, str]) -> None:  # fmt: skip
    """One line a class: flagged / refused / silent, for Assay and for each peer."""
    known = {name: found for name, found in peers.items() if found}
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        mine, key = said[row.path], os.path.relpath(row.path, bad)
        for kind in (row.kind, "all attacks"):
            counts[kind]["assay"]["flagged" if mine in FLAGGED else "silent" if mine == "clean" else "refused"] += 1
            for name, (attacked, _) in known.items():
                if key in attacked:
                    counts[kind][name][outcome(attacked[key])] += 1
    for path, verdict in alarms.items():
        counts["benign"]["assay"][
            "flagged" if verdict in FLAGGED else "silent" if verdict == "clean" else "refused"
        ] += 1
        for name, (_, examined) in known.items():
            if path in examined:
                counts["benign"][name][outcome(examined[path])] += 1
    NOTES.append(
        "flagged / refused / silent in %, and files: " + ", ".join(["assay", *(f"{n} {PEERS[n]}" for n in known)])
    )
    order = [*sorted(kind for kind in counts if kind not in ("all attacks", "benign")), "all attacks", "benign"]
    for kind in order:
        NOTES.append(f"  {kind:<44}" + "   ".join(f"{cells(counts[kind][name]):>22}" for name in ["assay", *known]))
    total = counts["benign"]["assay"]
    interval = share_interval_exact(total["flagged"], sum(total.values()))
    NOTES.append(f"  benign flagged by assay: 95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %")


def outcome(code: int) -> str:
    return "flagged" if code == 1 else "silent" if code == 0 else "refused"


def cells(found: Counter[str]) -> str:
    total = sum(found.values()) or 1
    return (
        " / ".join(f"{100 * found[key] / total:.0f}" for key in ("flagged", "refused", "silent"))
        + f" of {sum(found.values())}"
    )


def share(flags: Iterable[bool]) -> float:
    given = list(flags)
    return 100 * sum(given) / len(given) if given else 0.0


def speed(folder: Path, is_quick: bool, repeats: int) -> list[Claim]:
    """Large files, many small files, start-up; every tool in every round, in a new order each."""
    size, count = ((64 << 20), 200) if is_quick else (1 << 30, 2000)
    torch, tensors = large_torch(folder / "large.pt", size), large_safetensors(folder / "large.safetensors", size)
    small = small_pickles(folder / "small", count)
    runs: dict[str, list[str]] = {
        "assay torch": [*ASSAY, "--no-hash", str(torch)], "assay torch hashed": [*ASSAY, str(torch)], "assay tensors": [*ASSAY, "--no-hash", str(tensors)],
        "assay tensors hashed": [*ASSAY, str(tensors)], "plain hash torch": [sys.executable, "-c", HASH, str(torch)], "assay small": [*ASSAY, str(small)],
        "plain hash tensors": [sys.executable, "-c", HASH, str(tensors)], "assay start": [*ASSAY, str(small / "0000.pkl")],
        "python start": [sys.executable, "-c", "pass"],
    }  # fmt: skip
    slow: dict[str, list[str]] = {}
    for name in PEERS:
        if command := peer_command(name):
            inputs = {"torch": torch, "tensors": tensors, "small": small, "start": small / "0000.pkl"}
            wanted = ("start",) if name == "fickling" else tuple(inputs)  # fickling takes one pickle a process
            (slow if name in SLOW else runs).update({f"{name} {key}": [*command, str(inputs[key])] for key in wanted})
    costs: dict[str, list[Cost]] = defaultdict(list)
    names, choice = list(runs), random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        for command in runs.values():
            cost(command, home)  # warms the caches
        for number in range(repeats):
            progress(f"speed: round {number + 1} of {repeats}")
            choice.shuffle(names)
            for name in names:
                costs[name].append(cost(runs[name], home))
        progress(f"speed: {', '.join(SLOW)} once")
        for name, command in slow.items():
            costs[name].append(cost(command, home))
    NOTES.append("processor seconds / peak MiB, medians; exit codes other than 0 are said")
    for name in sorted(costs):
        codes = sorted({c.code for c in costs[name]} - {0})
        NOTES.append(
            f"  {name:<22} {median([c.cpu_s for c in costs[name]]):7.3f} / {median([c.mib for c in costs[name]]):6.1f}"
            + (f"   exit {codes}" if codes else "")
        )
    return speed_claims(costs, count)


def speed_claims(costs: Mapping[str, Sequence[Cost]], count: int) -> list[Claim]:
    cpu = {name: median([c.cpu_s for c in found]) for name, found in costs.items()}
    mib = {name: median([c.mib for c in found]) for name, found in costs.items()}

    def rate(name: str) -> float | None:
        return count / cpu[name] if name in cpu else None

    def over(mine: str, theirs: str) -> float | None:
        """The median of the ratios of the rounds."""
        rounds = zip(costs[mine], costs.get(theirs, ()), strict=False)
        ratios = [a.cpu_s / b.cpu_s for a, b in rounds]
        return median(ratios) if ratios else None

    return [
        Claim("scan: torch zip, structure", cpu["assay torch"], "CPU s", 0.25, "lower", "picklescan", cpu.get("picklescan torch")),
        Claim("scan: torch zip, structure, over modelscan", over("assay torch", "modelscan torch"), "x", 1.0, "lower", "modelscan", cpu.get("modelscan torch")),
        Claim("scan: torch zip, memory", mib["assay torch"], "MiB", 60.0, "lower", "picklescan", mib.get("picklescan torch")),
        Claim("scan: safetensors, structure", cpu["assay tensors"], "CPU s", 0.25, "lower", "modelaudit", cpu.get("modelaudit tensors")),
        Claim("scan: safetensors, memory", mib["assay tensors"], "MiB", 60.0, "lower", "modelaudit", mib.get("modelaudit tensors")),
        Claim("scan: torch zip with SHA-256 over plain hash", over("assay torch hashed", "plain hash torch"), "x", 1.2),
        Claim("scan: safetensors with SHA-256 over plain hash", over("assay tensors hashed", "plain hash tensors"), "x", 1.2),
        Claim("scan: small pickles, hashed", rate("assay small"), "files/CPU s", 4000.0, "higher", "picklescan", rate("picklescan small")),
        Claim("scan: small pickles over picklescan", over("assay small", "picklescan small"), "x", 2.0, "lower", "picklescan", cpu.get("picklescan small")),
        Claim("scan: small pickles over modelscan", over("assay small", "modelscan small"), "x", 1.0, "lower", "modelscan", cpu.get("modelscan small")),
        Claim("scan: start-up of one small file", cpu["assay start"], "CPU s", 0.2, "lower", "picklescan", cpu.get("picklescan start")),
    ]  # fmt: skip


def peer(name: str) -> Path:
    """The interpreter of a peer's own environment.

    Raises:
        Unmeasured: it cannot be made here.
    """
    return environment_python(f"{name}-{PEERS[name]}", ((f"{name}=={PEERS[name]}", *MORE.get(name, ())),))


def peer_command(name: str) -> list[str]:
    """The peer's own command; [] where it cannot be had."""
    try:
        python = str(peer(name))
    except Unmeasured as error:
        NOTES.append(f"{name}: {str(error)[:150]}")
        return []
    return {
        "picklescan": [python, "-c", "import sys;from picklescan.cli import main;sys.exit(main())", "-p"],
        "modelscan": [python, "-c", "import sys;from modelscan.cli import main;sys.exit(main())", "scan", "-p"],
        "fickling": [python, "-c", "import sys;from fickling.cli import main;sys.exit(main())", "--check-safety"],
        "modelaudit": [python, "-m", "modelaudit", "scan", "--no-cache"],
    }[name]


def cost(command: list[str], home: str) -> Cost:
    """Runs a command and measures the whole process. A small process starts it: a child's peak counts what its parent has."""
    environment = {**os.environ, **QUIET, "HOME": home}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled; so is ours after the first run
    starter = [sys.executable, "-I", "-S", "-c", STARTER, *command]
    done = subprocess.run(
        starter, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=home, check=True
    )
    cpu_s, kib, code = json.loads(done.stdout)
    return Cost(cpu_s, kib / 1024, code)


if __name__ == "__main__":
    sys.exit(main())
