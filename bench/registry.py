"""The registry beside MLflow's: rounds a second, reads, first use and import, taking turns in one run.

A round is create (version 1 of a new name), version (version 2), tag (a label) and read back (the version and its
decision). Ours are durable, signed and logged, each as a statement of its own; MLflow's are durable. Neither hashes files.
How to run: .venv/bin/python bench/registry.py            about 3 minutes, once the peer's environment is there
            .venv/bin/python bench/registry.py --rounds 20 --reads 50 --repeats 1          smoke test
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from claims import HERE, Claim, Unmeasured, child, children_cpu_s, median, options, scratch, show
from peers.environment import QUIET, peer_python

MLFLOW = "3.17.2"
PEER = f"MLflow {MLFLOW} on SQLite"
CLIENTS = 8


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--reads", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ours", choices=("alone", "client"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours == "alone":
        print(json.dumps(alone(asked.data, asked.rounds, asked.reads)))
    elif asked.ours == "client":
        client(asked.data, asked.rounds, asked.seed)
    else:
        with scratch(asked.data) as folder:
            show(*compare(folder, asked.rounds, asked.reads, asked.repeats))


def compare(folder: Path, rounds: int, reads: int, repeats: int) -> tuple[list[Claim], list[str]]:
    """Peer and Assay in turns, each repeat in fresh processes and a fresh folder."""
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    why = ""
    for number in range(repeats):
        try:
            theirs.append(peer(folder / f"mlflow-{number}", rounds, reads))
        except Unmeasured as error:
            why = str(error)
        size = ["--rounds", str(rounds), "--reads", str(reads)]
        found = child(
            [sys.executable, HERE / "registry.py", "--ours", "alone", "--data", folder / f"ours-{number}", *size]
        )
        ours.append(found | {"processes_per_s": processes(folder / f"clients-{number}", rounds)})
    mine = {key: median([found[key] for found in ours]) for key in ours[0]}
    peers = {key: median([found[key] for found in theirs]) for key in theirs[0]} if theirs else {}
    return claims_of(mine, peers, why), [
        f"medians of {repeats} repeats of {rounds} rounds, peer and Assay in turns; the store of each is a fresh SQLite file",
        f"rounds a second of each repeat: Assay {_list(ours, 'rounds_per_s')}, {PEER} {_list(theirs, 'rounds_per_s')}",
    ]


def claims_of(mine: dict[str, float], peers: dict[str, float], why: str) -> list[Claim]:
    """The claims; those that need the peer are not measured without it."""

    def times(name: str, key: str, target: float, their_key: str, better: str = "higher") -> Claim:
        theirs = peers.get(their_key)
        ratio = mine[key] / theirs if theirs else None
        said = f"Assay {mine[key]:.4g}" + (f", peer {theirs:.4g}" if theirs else f"; {why}")
        return Claim(name, ratio, "x peer", target, better, PEER, theirs, said)

    return [
        times("registry: rounds/s, 1 client", "rounds_per_s", 2, "rounds_per_s"),
        times("registry: rounds/s, as one call", "batch_per_s", 5, "rounds_per_s"),
        times("registry: rounds/s, 8 client threads", "threads_per_s", 5, "rounds_per_s"),
        times("registry: rounds/s, 8 client processes", "processes_per_s", 5, "rounds_per_s"),
        times("registry: version with its decision, p50 of reads", "read_p50_ms", 0.15, "read_p50_ms", "lower"),
        Claim("registry: first use of an empty store", mine["first_use_s"], "s", 0.5, "lower", PEER, peers.get("first_use_s")),
        Claim("registry: import", mine["import_s"], "s", 0.3, "lower", PEER, peers.get("import_s")),
        start_up(),
    ]  # fmt: skip


def peer(folder: Path, rounds: int, reads: int) -> dict[str, float]:
    """One repeat of MLflow in a fresh process.

    Raises:
        Unmeasured: it cannot be installed or failed.
    """
    script = HERE / "peers" / "mlflow_registry.py"
    command = [peer_python("mlflow", MLFLOW), script, folder, "--rounds", str(rounds), "--reads", str(reads)]
    found: dict[str, float] = child(command, QUIET)
    return found


def start_up() -> Claim:
    """CPU seconds of `assay --version`, median of seven."""
    name, command = "assay --version", Path(sys.executable).with_name("assay")
    if not command.exists():
        return Claim(name, None, "CPU s", 0.15, why=f"{command} is not installed")
    used = []
    for _ in range(7):
        before = children_cpu_s()
        done = subprocess.run([command, "--version"], capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return Claim(name, None, "CPU s", 0.15, why=f"it ended with {done.returncode}: {said}")
        used.append(children_cpu_s() - before)
    return Claim(name, median(used), "CPU s", 0.15)


def processes(folder: Path, rounds: int) -> float:
    """Rounds a second of eight processes on one workspace, from a common start to the end of the last."""
    from assay.app.init import create_workspace

    create_workspace(folder / "workspace", state=folder / "state").close()
    each = max(1, rounds // CLIENTS)
    commands = [[sys.executable, str(HERE / "registry.py"), "--ours", "client", "--data", str(folder), "--rounds", str(each),
                 "--seed", str(number)] for number in range(CLIENTS)]  # fmt: skip
    started = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()
    before = time.perf_counter()
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    ends = [float(one.communicate()[0] or "nan") for one in started]
    return each * CLIENTS / (max(ends) - before)


def client(folder: Path, rounds: int, number: int) -> None:
    """One of the eight: opens the workspace, waits for the word, and prints when it was done (a clock common to all)."""
    from assay.app.workspace import Workspace

    with Workspace(folder / "workspace", state=folder / "state") as workspace:
        _rounds(workspace, f"warm-{number}", 1)
        print("ready", flush=True)
        sys.stdin.readline()
        _rounds(workspace, f"client-{number}", rounds)
        print(time.perf_counter(), flush=True)


def alone(folder: Path, rounds: int, reads: int) -> dict[str, float]:
    """One repeat of ours in this fresh process."""
    start = time.perf_counter()
    import assay.app.init
    import assay.app.register

    imported = time.perf_counter()
    workspace = assay.app.init.create_workspace(folder / "workspace", state=folder / "state")
    workspace.registry.versions()
    found = {"import_s": imported - start, "first_use_s": time.perf_counter() - imported}
    with workspace:
        _rounds(workspace, "warm", 3)
        _batches(workspace, "warm-batch", 3)
        found["rounds_per_s"] = rounds / _seconds(lambda: _rounds(workspace, "single", rounds))
        found["batch_per_s"] = rounds / _seconds(lambda: _batches(workspace, "batch", rounds))
        found["threads_per_s"] = CLIENTS * rounds / _seconds(lambda: _threads(workspace, rounds))
        found["read_p50_ms"] = _reads(workspace, reads)
    return found


def _rounds(workspace: Any, prefix: str, rounds: int) -> None:
    """Each write an append of its own."""
    from assay.app.register import Description, record, set_labels
    from assay.core.assets import Kind, Reference

    for name, manifests in _models(prefix, rounds):
        about = Description(name, Kind.MODEL)
        record(workspace, manifests[0], about)
        version = record(workspace, manifests[1], about).version
        set_labels(workspace, version, {"team": "risk"})
        found = workspace.registry.resolve(Reference(name, version=2))
        workspace.registry.decision(found.digest, "production")
        assert found.labels == {"team": "risk"}


def _batches(workspace: Any, prefix: str, rounds: int) -> None:
    """All three statements of a round in one append."""
    from assay.app.register import Description, registration
    from assay.core.assets import Kind, Reference
    from assay.core.statements import Statement, Subject
    from assay.evidence.envelope import sign
    from assay.evidence.ledger import Item
    from assay.evidence.predicates import Predicate

    signer = workspace.signer("registrar")
    for name, manifests in _models(prefix, rounds):
        about = Description(name, Kind.MODEL)
        first, second = (registration(workspace, manifest, about, False) for manifest in manifests)
        second = Statement((Subject(f"assay:{name}@2", manifests[1].digest), *second.subjects[1:]), second.type,
                           {**second.predicate, "version": 2})  # fmt: skip
        label = Statement(
            second.subjects[:1], Predicate.LABEL, {"labels": {"team": "risk"}, "name": name, "version": 2}
        )
        items = [Item.of(sign(statement, signer)) for statement in (first, second, label)]
        workspace.log(items, [manifest.canonical_bytes for manifest in manifests])
        found = workspace.registry.resolve(Reference(name, version=2))
        workspace.registry.decision(found.digest, "production")
        assert found.labels == {"team": "risk"}


def _threads(workspace: Any, rounds: int) -> None:
    _together([lambda n=n: _rounds(workspace, f"thread-{n}", rounds) for n in range(CLIENTS)])  # type: ignore[misc]


def _reads(workspace: Any, reads: int) -> float:
    """Milliseconds, median: one version that has a decision, and that decision."""
    from assay.core.assets import Reference
    from assay.core.statements import Statement, Subject
    from assay.evidence.predicates import Predicate
    from statements import decision

    version = workspace.registry.resolve(Reference("bench/single-0", version=2))
    said = Statement((Subject(f"assay:{version}", version.digest),), Predicate.DECISION, decision(version.digest))
    workspace.sign_and_log(said, "gate")

    def read() -> None:
        found = workspace.registry.resolve(Reference("bench/single-0", version=2))
        answer = workspace.registry.decision(found.digest, "production")
        assert answer is not None and answer.answer == "allow"

    return median([_seconds(read) for _ in range(reads)]) * 1e3


def _models(prefix: str, rounds: int) -> Iterator[tuple[str, Sequence[Any]]]:
    """Names and two manifests for each, which nobody has elsewhere."""
    from assay.core.assets import Entry, Kind, Manifest
    from assay.core.digests import sha256

    for number in range(rounds):
        name = f"bench/{prefix}-{number}"
        entries = [Entry("model.safetensors", sha256(f"{name} {n}".encode()), 1000 + n) for n in (1, 2)]
        yield name, [Manifest.of(Kind.MODEL, [entry]) for entry in entries]


def _together(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _seconds(work: Callable[[], None]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def _list(found: Sequence[dict[str, float]], key: str) -> str:
    return ", ".join(f"{one[key]:.0f}" for one in found) or "not measured"


if __name__ == "__main__":
    main()
