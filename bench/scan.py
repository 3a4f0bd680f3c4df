"""The scan beside picklescan, fickling and modelscan: detection on the project's corpus, false alarms, and cost.

A file is caught if the exit code is 1, or 2 where a peer crashes on purpose; for Assay only 1 counts, and 3 is inconclusive.
Speed is CPU seconds and peak memory of whole processes, the median of repeats, peers and Assay in turns in one run.
How to run: make bench NAME=scan        or        .venv/bin/python bench/scan.py [--data DIR] [--seed N] [--quick]
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from claims import HERE, Claim, Unmeasured, child, median, options, scratch, show
from peers.environment import peer_python

sys.path.insert(0, str(HERE.parent))
from tests.corpus.model_file.attacks import attacks, twins

BAD = ("malicious", "unknown")
PEERS = {"picklescan": "1.0.5", "fickling": "0.1.12", "modelscan": "0.8.8"}
ASSAY = [sys.executable, "-m", "assay.surfaces.cli.main", "scan", "--quiet", "--format", "json"]
HASH = "import hashlib,sys;h=hashlib.sha256();f=open(sys.argv[1],'rb',buffering=0);b=bytearray(1<<20);v=memoryview(b)\nwhile n:=f.readinto(b):h.update(v[:n])"


class Cost(NamedTuple):
    """CPU seconds and peak MiB of one process."""

    cpu_s: float
    mib: float
    code: int


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="64 MiB instead of 1 GiB, 200 pickles instead of 2,000")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with scratch(asked.data) as folder:
        costs = speed(
            folder, asked.quick, 1 if asked.quick else asked.repeats
        )  # first: a child's peak counts its parent's size
        claims = [*detection(folder, asked.seed), *costs]
    show(claims, NOTES)
    return 0 if all(claim.met for claim in claims) else 1


NOTES: list[str] = []


def detection(folder: Path, seed: int) -> list[Claim]:
    """Attacks flagged and benign files flagged, beside each peer."""
    cases, benign = attacks(seed), [*twins()]
    bad, good = folder / "attacks", folder / "benign"
    for root, files in ((bad, cases), (good, benign)):
        for number, case in enumerate(files):
            (root / f"{number:04}").mkdir(parents=True)
            (root / f"{number:04}" / case.path).write_bytes(case.data)
    libraries(good / "libraries", seed)
    ours, alarms = verdicts(bad), verdicts(good)
    proven = [f"{number:04}" for number, case in enumerate(cases) if case.needs_proof]
    flagged = {name.partition("/")[0]: verdict in ("malicious", "unknown") for name, verdict in ours.items()}
    peers = {name: peer_rates(name, bad, good) for name in PEERS}
    best = max(((rates[0], name) for name, rates in peers.items() if rates), default=(None, None))
    least = min(((rates[1], name) for name, rates in peers.items() if rates), default=(None, None))
    NOTES.append(
        f"{len(ours)} attacks, {len(alarms)} benign files; rates of peers (attacks, benign flagged, benign not examined):"
    )
    NOTES.extend(f"  {name} {PEERS[name]}: {rates}" for name, rates in peers.items())
    share = 100 * sum(v in ("malicious", "unknown") for v in ours.values()) / len(ours)
    return [
        Claim("scan: attacks with exit 1", share, "%", 98.0, "higher", best[1], best[0]),
        Claim("scan: attacks called clean", float(sum(v == "clean" for v in ours.values())), "files", 0.0),
        Claim(
            "scan: attacks proven to run, flagged",
            100 * sum(flagged[p] for p in proven) / len(proven),
            "%",
            100.0,
            "higher",
        ),
        Claim(
            "scan: benign files flagged",
            100 * sum(v in ("malicious", "unknown") for v in alarms.values()) / len(alarms),
            "%",
            1.0,
            "lower",
            least[1],
            least[0],
        ),
        Claim(
            "scan: benign files not examined",
            100 * sum(v == "inconclusive" for v in alarms.values()) / len(alarms),
            "%",
            0.0,
        ),
    ]


def libraries(folder: Path, seed: int) -> None:
    """Benign files as the installed libraries write them."""
    import joblib
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.utils import all_estimators

    folder.mkdir()
    X, y = make_classification(60, 6, random_state=seed)
    os.environ["PYTHONWARNINGS"] = "ignore"
    import warnings

    warnings.simplefilter("ignore")
    for name, make in all_estimators():
        try:
            model = make().fit(abs(X), y)
            data = pickle.dumps(model)
        except Exception:
            continue
        (folder / f"{name}.pkl").write_bytes(data)
        joblib.dump(model, folder / f"{name}.joblib", compress=len(name) % 4)
    np.save(folder / "a.npy", X)
    np.savez_compressed(folder / "a.npz", X=X, y=y)


def verdicts(folder: Path) -> dict[str, str]:
    """What Assay says of every file."""
    done = subprocess.run([*ASSAY, str(folder)], capture_output=True, text=True)
    return {os.path.relpath(file["path"], folder): file["verdict"] for file in json.loads(done.stdout)["files"]}


def peer_rates(name: str, bad: Path, good: Path) -> tuple[float, float, float] | None:
    """Percent of attacks flagged, of benign files flagged, of benign files that ended in an error or unexamined."""
    try:
        python = peer_python(name, PEERS[name])
        if name == "fickling":  # it imports a package that it does not declare
            subprocess.run([python, "-m", "pip", "install", "-q", "typing_extensions"], capture_output=True)
        found = [child([python, HERE / "peers/scan_peer.py", name, folder])["codes"].values() for folder in (bad, good)]
    except (Unmeasured, subprocess.TimeoutExpired) as error:
        NOTES.append(f"{name}: {str(error)[:150]}")
        return None
    rate = lambda codes, wanted: round(100 * sum(code in wanted for code in codes) / len(codes), 1)  # noqa: E731
    return rate(found[0], (1,)), rate(found[1], (1,)), rate(found[1], (2, 3))


def speed(folder: Path, is_quick: bool, repeats: int) -> list[Claim]:
    """Large files, many small files, start-up."""
    size = (64 << 20) if is_quick else 1 << 30
    torch, tensors = large_torch(folder / "large.pt", size), large_safetensors(folder / "large.safetensors", size)
    small = small_pickles(folder / "small", 200 if is_quick else 2000)
    scale = size / (1 << 30)
    pickers = {name: peer_command(name) for name in ("picklescan", "modelscan")}
    runs: dict[str, list[str]] = {
        "torch": [*ASSAY, "--no-hash", str(torch)], "torch hashed": [*ASSAY, str(torch)], "tensors": [*ASSAY, "--no-hash", str(tensors)],
        "tensors hashed": [*ASSAY, str(tensors)],
        "plain hash": [sys.executable, "-c", HASH, str(torch)], "small": [*ASSAY, str(small)], "start": [*ASSAY, str(small / "0000.pkl")],
    }  # fmt: skip
    for name, command in pickers.items():
        if command:
            runs |= {f"{name} small": [*command, str(small)], f"{name} torch": [*command, str(torch)]}
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, command in runs.items():
            costs[name].append(cost(command))
    cpu = {name: median([c.cpu_s for c in found]) for name, found in costs.items()}
    mib = {name: max(c.mib for c in found) for name, found in costs.items()}
    count = 200 if is_quick else 2000
    return [
        Claim(
            "scan: torch zip, structure",
            cpu["torch"],
            "CPU s",
            max(0.25 * scale, 0.25),
            "lower",
            "modelscan",
            cpu.get("modelscan torch"),
        ),
        Claim("scan: torch zip, memory", mib["torch"], "MiB", 60.0),
        Claim("scan: safetensors, structure", cpu["tensors"], "CPU s", max(0.25 * scale, 0.25)),
        Claim("scan: safetensors, memory", mib["tensors"], "MiB", 60.0),
        Claim(
            "scan: torch zip with SHA-256 over plain hash",
            cpu["torch hashed"] / cpu["plain hash"],
            "x",
            1.2 if not is_quick else 4.0,
        ),
        Claim(
            "scan: safetensors with SHA-256 over plain hash",
            cpu["tensors hashed"] / cpu["plain hash"],
            "x",
            1.2 if not is_quick else 4.0,
        ),
        Claim(
            "scan: small pickles, hashed",
            count / cpu["small"],
            "files/CPU s",
            4000.0 if not is_quick else 1000.0,
            "higher",
        ),
        Claim(
            "scan: small pickles over picklescan",
            over(cpu, "picklescan"),
            "x",
            2.0,
            "lower",
            "picklescan",
            cpu.get("picklescan small"),
        ),
        Claim(
            "scan: small pickles over modelscan",
            over(cpu, "modelscan"),
            "x",
            1.0,
            "lower",
            "modelscan",
            cpu.get("modelscan small"),
        ),
        Claim("scan: start-up of one small file", cpu["start"], "CPU s", 0.2),
    ]


def over(cpu: dict[str, float], peer: str) -> float | None:
    return cpu["small"] / cpu[f"{peer} small"] if f"{peer} small" in cpu else None


def peer_command(name: str) -> list[str]:
    """The peer's own command; [] where it cannot be had."""
    try:
        python = peer_python(name, PEERS[name])
    except Unmeasured:
        return []
    if name == "picklescan":
        return [str(python), "-c", "import sys;from picklescan.cli import main;sys.exit(main())", "-p"]
    return [str(python), "-c", "import sys;from modelscan.cli import main;sys.exit(main())", "scan", "-p"]


def cost(command: list[str]) -> Cost:
    """Runs a command and measures the whole process."""
    nothing, environment = subprocess.DEVNULL, {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=nothing, stderr=nothing, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


def large_torch(path: Path, size: int) -> Path:
    """A checkpoint of one tensor, as torch lays it out."""
    state = (
        b"\x80\x02}q\x00X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
        + struct.pack("<i", size // 4) + b"tQK\x00J" + struct.pack("<i", size // 4) + b"\x85K\x01\x85\x89}tRs."
    )  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state)
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(size >> 20):
                member.write(bytes(1 << 20))
        archive.writestr("archive/version", b"3\n")
    return path


def large_safetensors(path: Path, size: int) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return path


def small_pickles(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.pkl").write_bytes(
            pickle.dumps({"id": number, "weights": [0.5] * 8, "name": f"m{number}"})
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())
