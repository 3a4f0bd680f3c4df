"""What the firewall costs: CPU time a text, texts a CPU second, import and size, beside LLM Guard's scanners that run offline.

Time is CPU time of one thread. Peer and Assay take turns, round by round, on the same texts.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from assay.firewall import Firewall, Role, Segment, Source, ready_policy
from claims import HERE, Claim, Unmeasured, child, median
from firewall_data import folder_of, planted, texts
from peers.environment import environment_python

PEER = "LLM Guard 0.3.16"
ROUNDS = 5
Row = dict[str, float]


def speed(folder: Path | None, seed: int, no_peer: bool) -> tuple[list[Claim], list[str]]:
    """The whole light tier as the standard policy runs it on what people type, and LLM Guard's four scanners."""
    short, long = _joined(folder, seed, 300, 1000), _joined(folder, seed, 8192, 300)
    firewall = Firewall(ready_policy())

    def check(text: str) -> object:
        return firewall.check(Segment(text, Role.USER, Source.USER))

    ours: list[Row] = []
    theirs: list[dict[str, Row]] = []
    notes: list[str] = []
    try:
        if no_peer:
            raise Unmeasured("left out")
        with _llm_guard() as (greeting, ask):
            notes += [f"{PEER}: import {greeting['import_s']:.1f} s of CPU"]
            notes += [f"{PEER}: {name} does not start offline: {why}" for name, why in greeting["refused"].items()]
            for _ in range(ROUNDS):
                ours.append(timed(check, short))
                theirs.append(ask(short[:200]))
        why = ""
    except (Unmeasured, OSError) as error:
        why = f"peer not measured: {str(error)[:120]}"
        ours = [timed(check, short) for _ in range(ROUNDS)]
        greeting = {}
    notes += list(_by_scanner(theirs))
    long_p99 = median([timed(check, long)["p99_us"] for _ in range(3)])

    def beside(what: str, name: str, unit: str, target: float, better: str = "lower") -> Claim:
        peer = median([found["pipeline"][name] for found in theirs]) if theirs else None
        return Claim(f"firewall: {what}", median([row[name] for row in ours]), unit, target, better, PEER, peer, why)

    return [
        beside("light tier, 300 characters, CPU p50", "p50_us", "us", 150),
        beside("light tier, 300 characters, CPU p99", "p99_us", "us", 1000),
        beside("texts of 300 characters a CPU second", "per_s", "1/s", 5000, "higher"),
        Claim("firewall: light tier, 8 KB, CPU p99", long_p99, "us", 5000),
        Claim("firewall: import in a fresh interpreter", median([_import_s() for _ in range(5)]), "s", 0.5,
              peer=PEER, peer_value=greeting.get("import_s")),
    ], notes  # fmt: skip


def timed(work: Callable[[str], object], items: Sequence[str]) -> Row:
    """Median and 99th percentile of the CPU microseconds of one item, and items a CPU second."""
    took = []
    for item in items:
        start = time.thread_time_ns()
        work(item)
        took.append((time.thread_time_ns() - start) / 1000)
    took.sort()
    return {"p50_us": took[len(took) // 2], "p99_us": took[int(len(took) * 0.99)], "per_s": 1e6 * len(took) / sum(took)}


def _by_scanner(found: Sequence[dict[str, Row]]) -> Iterator[str]:
    for name in found[0] if found else ():
        p50, p99, per_s = (median([row[name][part] for row in found]) for part in ("p50_us", "p99_us", "per_s"))
        yield f"{PEER} {name}: CPU p50 {p50:.0f} us, p99 {p99:.0f} us, {per_s:.0f} texts a CPU second"


@contextmanager
def _llm_guard() -> Iterator[tuple[dict[str, Any], Callable[[Sequence[str]], dict[str, Row]]]]:
    """What the peer says of itself, and a function that has it scan texts.

    Raises:
        Unmeasured: it cannot be installed or started here.
    """
    python = environment_python("llm-guard-0.3.16", (("torch==2.13.0",), ("llm-guard==0.3.16",)))
    script = HERE / "peers" / "llm_guard_speed.py"
    with subprocess.Popen(
        [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        sent, heard = process.stdin, process.stdout

        def ask(items: Sequence[str]) -> dict[str, Row]:
            sent.write(json.dumps(list(items)) + "\n")
            sent.flush()
            return _answer(heard)

        try:
            yield _answer(heard), ask
        finally:
            process.kill()


def _answer(heard: IO[str]) -> dict[str, Any]:
    for line in heard:
        if line.startswith("{"):
            answer = json.loads(line)
            assert isinstance(answer, dict)
            return answer
    raise Unmeasured("it ended without an answer")


def _joined(folder: Path | None, seed: int, chars: int, count: int) -> list[str]:
    try:
        source = texts(folder_of(folder), "benign_instructions_train")
    except Unmeasured:
        source = [case.text for case in planted(seed, 500)]
    rng = random.Random(seed)
    return [" ".join(rng.choices(source, k=chars // 20 + 2))[:chars] for _ in range(count)]


def _import_s() -> float:
    code = (
        "import time; a = time.process_time(); import assay.firewall, sys, json;"
        "assert 'numpy' not in sys.modules; print(json.dumps(time.process_time() - a))"
    )
    return float(child([sys.executable, "-c", code]))


def size() -> tuple[list[Claim], list[str]]:
    """What the firewall adds to the package: code, weights of the light tier, and the adapter of the ML tier."""
    folder = HERE.parent / "src" / "assay" / "runtime" / "firewall"
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    peer = Path.home() / ".cache" / "assay-bench" / "llm-guard-0.3.16"
    theirs = sum(path.lstat().st_size for path in peer.rglob("*")) / 1e6 if peer.is_dir() else None
    return [Claim("firewall: size in the package", total / 1e6, "MB", 2, peer=PEER, peer_value=theirs)], []
