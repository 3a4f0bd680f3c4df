"""The ledger alone: durable appends, proofs and a full audit of a large log, and kills of a writer.

The large log is made here by `Ledger.append` from signed statements (`statements.py`: a fifth of them changes the
registry); signing them takes most of the time. A kill is SIGKILL of the process, so it shows that nothing is kept in
the process that was acknowledged; a power cut is the business of the disk and of SQLite's `synchronous=FULL`.
How to run: .venv/bin/python bench/ledger.py                                              about 6 minutes, 6 GB of disk
            .venv/bin/python bench/ledger.py --entries 20000 --appends 3000 --kills 3     smoke test
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from assay.app.audit import AuditReport, audit
from assay.app.init import create_workspace
from assay.app.workspace import Workspace
from assay.core.digests import Digest
from assay.evidence.merkle import leaf_hash, verify_inclusion
from claims import HERE, Claim, children_cpu_s, median, options, peak_mb, scratch, show
from statements import Made, Signers, history, history_changes, observations

BATCH = 2000
WRITERS = 64
WRITERS_TO_KILL = 4
PROOFS = 1000
AUDIT_S = 60.0
MILLION = 1_000_000


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--entries", type=int, default=MILLION, help="size of the large log")
    parser.add_argument("--appends", type=int, default=12_800, help="appends by all writers together, each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writer", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.writer is not None:
        write_until_killed(asked.data, asked.seed, asked.writer)
    with scratch(asked.data) as folder:
        large, notes = large_log(folder / "large", asked.entries, asked.seed)
        claims = [appends(folder / "appends", asked.appends, asked.repeats, asked.seed), *large,
                  kills(folder / "kills", asked.kills, asked.seed)]  # fmt: skip
        show(claims, notes)


def new_workspace(folder: Path) -> Workspace:
    """A workspace that remembers its head beside it rather than in the user's folder."""
    return create_workspace(folder / "workspace", state=folder / "state")


def opened(folder: Path) -> Workspace:
    """The same, later."""
    return Workspace(folder / "workspace", state=folder / "state")


def appends(folder: Path, count: int, repeats: int, seed: int) -> Claim:
    """Appends a second by 64 threads, each signing and logging one statement after the other."""
    rates = []
    with new_workspace(folder) as workspace:
        signers = Signers.of(workspace.folder)
        each = max(1, count // WRITERS)
        for repeat in range(repeats):

            def write(writer: int, repeat: int = repeat) -> None:
                for item in observations(each, seed, signers, start=(repeat * WRITERS + writer) * each):
                    workspace.log([item])

            threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
            before, size = time.perf_counter(), workspace.ledger.size()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates.append((workspace.ledger.size() - size) / (time.perf_counter() - before))
    return Claim("ledger: durable appends, 64 writers", median(rates), "statements/s", 2000, "higher")


def large_log(folder: Path, entries: int, seed: int) -> tuple[list[Claim], list[str]]:
    """Builds the large log, then proofs and audits over it."""
    before = time.perf_counter()
    with new_workspace(folder) as workspace:
        build(workspace, entries, seed)
        workspace.sign_checkpoint()
    built = time.perf_counter() - before
    size_mb = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 20
    notes = [f"log of {entries} statements, {history_changes(entries)} of which change the registry: "
             f"built in {built:.0f} s, {size_mb} MB on disk"]  # fmt: skip
    with opened(folder) as workspace:
        claims = [proofs(workspace, seed)]
    target = AUDIT_S * entries / MILLION
    for with_signatures in (True, False):
        report, wall_s, cpu_s = audited(folder, with_signatures)
        how = "with" if with_signatures else "without"
        name = f"ledger: full audit of {entries:,}, {how} signatures"
        claims.append(
            Claim(name, wall_s if report.ok else None, "s", target, why=f"{cpu_s:.0f} CPU s, " + _said(report))
        )
    return claims, [*notes, f"largest process of all: {peak_mb()} MB resident"]


def build(workspace: Workspace, entries: int, seed: int) -> None:
    """Appends the history; signing goes on in other processes meanwhile."""
    with ProcessPoolExecutor() as pool:
        for batch in _signed(pool, workspace.folder, entries, seed):
            workspace.log([one.item for one in batch], [blob for one in batch for blob in one.attachments])


def proofs(workspace: Workspace, seed: int) -> Claim:
    """Milliseconds of one inclusion proof at random places; every proof is verified, outside the clock."""
    head, ledger, took_ms = workspace.ledger.head(), workspace.ledger, []
    chosen = random.Random(seed)
    for _ in range(PROOFS):
        index = chosen.randrange(head.size)
        before = time.perf_counter()
        path = ledger.inclusion(index, head.size)
        took_ms.append((time.perf_counter() - before) * 1e3)
        assert verify_inclusion(index, head.size, leaf_hash(ledger.leaf(index).data), path, head.root)
    return Claim(f"ledger: inclusion proof at {head.size:,}, p50", median(took_ms), "ms", 1.0)


def audited(folder: Path, with_signatures: bool) -> tuple[AuditReport, float, float]:
    """An audit of a workspace, its wall seconds, and the CPU seconds of all its processes."""
    with opened(folder) as workspace:
        wall, cpu = time.perf_counter(), time.process_time() + children_cpu_s()
        report = audit(workspace, with_signatures=with_signatures)
        return report, time.perf_counter() - wall, time.process_time() + children_cpu_s() - cpu


def kills(folder: Path, count: int, seed: int) -> Claim:
    """Kills a writing process at random moments and looks for what it had acknowledged."""
    new_workspace(folder).close()
    chosen, acknowledged, lost = random.Random(seed), 0, 0
    for number in range(count):
        said = _killed(folder, seed, number, chosen.uniform(0.05, 0.8))
        with opened(folder) as workspace:
            lost += sum(_is_missing(workspace, index, digest) for index, digest in said)
        acknowledged += len(said)
    report = audited(folder, True)[0]
    why = f"{count} kills, {acknowledged} acknowledged; audit afterwards: {_said(report)}"
    measured = float(lost) if report.ok and acknowledged else None
    return Claim("ledger: acknowledged and lost over kills", measured, "statements", 0, why=why)


def write_until_killed(folder: Path, seed: int, number: int) -> None:
    """The writer that is killed: some threads that say index and digest of every statement once it is acknowledged."""
    workspace = opened(folder)
    signers = Signers.of(workspace.folder)

    def write(writer: int) -> None:
        for item in observations(MILLION, seed, signers, start=(number * WRITERS_TO_KILL + writer) * MILLION):
            receipt = workspace.log([item])[0]
            print(f"{receipt.index} {receipt.digest}\n", end="", flush=True)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS_TO_KILL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _killed(folder: Path, seed: int, number: int, after_s: float) -> list[tuple[int, Digest]]:
    """Runs the writer, kills it `after_s` after its first acknowledgement, and returns all that it had said."""
    command = [
        sys.executable,
        str(HERE / "ledger.py"),
        "--data",
        str(folder),
        "--seed",
        str(seed),
        "--writer",
        str(number),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        clock = threading.Timer(after_s, writer.kill)
        clock.start()
        lines = [first, *writer.stdout]
    whole = [line.split() for line in lines if line.endswith("\n") and line.strip()]
    return [(int(index), digest) for index, digest in whole]


def _is_missing(workspace: Workspace, index: int, digest: Digest) -> bool:
    return workspace.ledger.size() <= index or workspace.ledger.leaf(index).statement != digest


def _signed(pool: ProcessPoolExecutor, workspace: Path, entries: int, seed: int) -> Iterator[list[Made]]:
    """Batches of the history in order, a few ahead of whoever takes them."""
    starts = deque(range(0, entries, BATCH))
    ahead: deque[Future[list[Made]]] = deque()
    while starts or ahead:
        while starts and len(ahead) < 6:
            start = starts.popleft()
            ahead.append(pool.submit(history, start, min(start + BATCH, entries), seed, workspace))
        yield ahead.popleft().result()


def _said(report: AuditReport) -> str:
    if report.ok:
        return f"{report.size} entries fit, {report.signatures} signatures checked"
    return f"{len(report.problems)} problems, first: {report.problems[0].text}"


if __name__ == "__main__":
    main()
