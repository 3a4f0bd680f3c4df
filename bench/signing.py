"""OpenSSF Model Signing: `assay sign` and `assay verify --oms` beside the reference tool, and beside plain hashing.

Library figures come from two processes that stay alive and take turns on the same folder, theirs in its own environment;
command figures from fresh processes, in turns too. The limit is a plain hashlib loop (1 MiB `readinto`) in our process
with as many threads. Files lie in the page cache. BLAKE3 is measured with our code in the peer's environment, where the
library is; shards stand for the parallel verification of one big file, as Assay has no chunk index (decision 0004).
How to run: .venv/bin/python bench/signing.py             2 GiB a layout, about 4 minutes
            .venv/bin/python bench/signing.py --quick     smoke test
Peer:       python -m venv ~/.cache/assay-bench/oms
            ~/.cache/assay-bench/oms/bin/pip install model-signing==1.1.1 pyOpenSSL blake3 cryptography
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.app.init import create_workspace
from assay.app.sign import save_p256
from assay.evidence.keys import P256Key
from claims import HERE, Claim, Took, Unmeasured, children_cpu_s, median, options, scratch, show, took
from manifest import LAYOUTS, STILL_S, edit, make_files, plain

PEER = Path(os.environ.get("OMS_ENV") or Path.home() / ".cache" / "assay-bench" / "oms") / "bin" / "python"
PEER_NAME = "model-signing 1.1.1"
MIB = 1 << 20
SHARD_BYTES = 64 * MIB


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="small folders and one repeat, to see that it runs")
    parser.add_argument("--mb", type=int, default=2048, help="size of a folder")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    mb, repeats = (64, 1) if asked.quick else (asked.mb, asked.repeats)
    claims: list[Claim] = []
    with scratch(asked.data) as folder:
        key = make_keys(folder)
        for layout in LAYOUTS:
            model = folder / layout
            files = make_files(model, layout, mb, asked.seed)
            claims += attempt(f"sign: layout {layout}", lambda: signing(model, files, key, layout, repeats))  # noqa: B023
        claims += attempt("verify: one big file", lambda: verifying(folder / "one", key, repeats))
        claims += attempt("command", lambda: commands(folder, key, min(mb, 512), asked.seed, repeats))
        claims.append(signing_again(folder, folder / "mixed", repeats))
    show(claims, [f"{mb} MiB a layout, medians of {repeats}, in turns; {os.cpu_count()} cores"])


def attempt(name: str, work: Callable[[], list[Claim]]) -> list[Claim]:
    """The claims, or one that says why there are none."""
    try:
        return work()
    except Unmeasured as error:
        return [Claim(name, None, "", 0, peer=PEER_NAME, why=str(error))]


def make_keys(folder: Path) -> Path:
    """A workspace with a P-256 key `oms`; returns the private key, its public half lies beside."""
    with create_workspace(folder / "workspace", state=folder / "state"):
        pass
    save_p256(folder / "workspace", "oms", P256Key.generate(), None)
    return folder / "workspace" / "keys" / "oms.pem"


def signing(model: Path, files: list[Path], key: Path, layout: str, repeats: int) -> list[Claim]:
    """Signs in both libraries and hashes plainly, in turns."""
    signature = model.with_suffix(".sig")
    order = {
        "model": str(model),
        "key": str(key),
        "signature": str(signature),
        "algorithm": "sha256",
        "method": "files",
    }
    largest_first = sorted(files, key=lambda file: -file.stat().st_size)
    with side("assay") as ours, side("peer") as theirs:
        kinds = {"ours": lambda: ours("sign", order), "theirs": lambda: theirs("sign", order),
                 "limit": lambda: took(lambda: plain(largest_first))}  # fmt: skip
        figures = in_turns(kinds, repeats)
        checked = ours("verify", {**order, "public": str(key.with_suffix(".pub"))})  # theirs or ours, whoever was last
    assert checked.wall_s > 0
    mine, peer, limit = figures["ours"], figures["theirs"], figures["limit"]
    why = f"CPU s: ours {cpu(mine):.3f}, theirs {cpu(peer):.3f}, limit {cpu(limit):.3f}"
    wall = f"wall s: ours {span(mine)}, theirs {span(peer)}, limit {span(limit)}"
    return [
        Claim(f"sign: CPU, layout {layout}", cpu(mine) / cpu(limit), "x SHA-256", 1.05, peer=PEER_NAME,
              peer_value=cpu(peer) / cpu(limit), why=why),
        Claim(f"sign: wall, layout {layout}", ratio(mine, peer), "x peer", 1.05, peer=PEER_NAME, peer_value=1.0, why=wall),
    ]  # fmt: skip


def verifying(model: Path, key: Path, repeats: int) -> list[Claim]:
    """Verifies one big file: by SHA-256 here and there, in shards here, by BLAKE3 here and there."""
    order = {"model": str(model), "key": str(key), "public": str(key.with_suffix(".pub"))}

    def made(theirs: Ask, method: str, algorithm: str) -> dict[str, str]:
        signature = model.with_name(f"{method}-{algorithm}.sig")
        asked = {**order, "method": method, "algorithm": algorithm, "signature": str(signature)}
        theirs("sign", asked)
        return asked

    with side("assay") as ours, side("assay-blake3") as ours_blake3, side("peer") as theirs:
        whole, parts, blake3 = (
            made(theirs, "files", "sha256"),
            made(theirs, "shards", "sha256"),
            made(theirs, "files", "blake3"),
        )
        figures = in_turns({
            "ours": lambda: ours("verify", whole), "theirs": lambda: theirs("verify", whole),
            "shards": lambda: ours("verify", parts), "their shards": lambda: theirs("verify", parts),
            "ours blake3": lambda: ours_blake3("verify", blake3), "theirs blake3": lambda: theirs("verify", blake3),
        }, repeats)  # fmt: skip
    peer = figures["theirs"]
    pair = f"theirs {span(peer)} wall s, ours %s"
    fast = f"wall s: ours {span(figures['ours blake3'])}, theirs {span(figures['theirs blake3'])}"
    return [
        Claim("verify: wall, one big file, SHA-256", ratio(figures["ours"], peer), "x peer", 1.05, peer=PEER_NAME,
              peer_value=1.0, why=pair % span(figures["ours"])),
        Claim("verify: speed, one big file in shards, against files of the peer", 1 / ratio(figures["shards"], peer),
              "x peer", 1.8, "higher", PEER_NAME, 1.0, pair % span(figures["shards"]) + f", theirs in shards {span(figures['their shards'])}"),
        Claim("verify: speed, one big file, BLAKE3", 1 / ratio(figures["ours blake3"], figures["theirs blake3"]), "x peer",
              0.95, "higher", PEER_NAME, 1.0, fast),
    ]  # fmt: skip


def commands(folder: Path, key: Path, mb: int, seed: int, repeats: int) -> list[Claim]:
    """Fresh processes: sign 0.5 GiB, and nothing but start."""
    if not PEER.exists():
        raise Unmeasured(f"{PEER_NAME} is not at {PEER.parent.parent}; the head of this file says how to install it")
    model, signature = folder / "command", folder / "command.sig"
    make_files(model, "mixed", mb, seed)
    assay = [sys.executable, "-m", "assay.surfaces.cli.main"]
    ours = [*assay, "sign", model, "-o", signature, "--key", key, "--workspace", folder / "none"]
    theirs = [PEER, "-m", "model_signing", "sign", "key", model, "--signature", signature, "--private_key", key]
    figures = in_turns({
        "ours": lambda: process(ours), "theirs": lambda: process(theirs),
        "our start": lambda: process([*assay, "sign", "--help"]),
        "their start": lambda: process([PEER, "-m", "model_signing", "--help"]),
    }, repeats)  # fmt: skip
    mine, peer = figures["ours"], figures["theirs"]
    return [
        Claim(f"command: sign {mb} MiB, wall", ratio(mine, peer), "x peer", 0.75, peer=PEER_NAME, peer_value=1.0,
              why=f"wall s: ours {span(mine)}, theirs {span(peer)}; no hash cache"),
        Claim("command: start-up, CPU", cpu(figures["our start"]), "s", 0.15, peer=PEER_NAME,
              peer_value=cpu(figures["their start"])),
    ]  # fmt: skip


def signing_again(folder: Path, model: Path, repeats: int) -> Claim:
    """Signs a folder again after an edit of a small file, in a fresh process with the workspace's hash cache."""
    command = [sys.executable, "-m", "assay.surfaces.cli.main", "sign", model, "-o", folder / "again.sig",
               "--workspace", folder / "workspace"]  # fmt: skip
    time.sleep(STILL_S)
    first, again = process(command), []
    for number in range(repeats):
        edit(model, f"edit {number}")
        again.append(process(command).wall_s)
    why = f"the first time took {first.wall_s:.2f} s"
    return Claim("command: sign again after a 1 KB edit, layout mixed", median(again), "s", 0.3, why=why)


Ask = Callable[[str, dict[str, str]], Took]


@contextmanager
def side(name: str) -> Iterator[Ask]:
    """A process that signs and verifies on request and says what it took."""
    python = sys.executable if name == "assay" else str(PEER)
    if not Path(python).exists():
        raise Unmeasured(f"{PEER_NAME} is not at {PEER.parent.parent}; the head of this file says how to install it")
    source = {"PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), str(HERE)])} if name == "assay-blake3" else {}
    command = [python, str(HERE / "peers" / "oms.py") if name == "peer" else str(HERE / "peers" / "oms_ours.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **source}) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        send, receive = process.stdin, process.stdout

        def ask(verb: str, order: dict[str, str]) -> Took:
            print(json.dumps({"verb": verb, **order}), file=send, flush=True)
            line = receive.readline()
            if not line:
                raise Unmeasured(f"{name} ended while it was asked to {verb}")
            said: dict[str, Any] = json.loads(line)
            return Took(said["wall_s"], said["cpu_s"])

        yield ask
        send.close()


def in_turns(kinds: dict[str, Callable[[], Took]], repeats: int) -> dict[str, list[Took]]:
    """Runs every kind `repeats` times, each round in the other direction; the first round warms up."""
    figures: dict[str, list[Took]] = {name: [] for name in kinds}
    for number in range(repeats + 1):
        for name in list(kinds) if number % 2 else reversed(kinds):
            measured = kinds[name]()
            if number:
                figures[name].append(measured)
    return figures


def process(command: Sequence[str | Path]) -> Took:
    """Runs a command that must succeed."""
    wall, used = time.perf_counter(), children_cpu_s()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unmeasured(f"{command[2]} ended with {done.returncode}: {done.stderr[-300:]}")
    return Took(time.perf_counter() - wall, children_cpu_s() - used)


def cpu(figures: list[Took]) -> float:
    """Median CPU seconds."""
    return median([one.cpu_s for one in figures])


def ratio(ours: list[Took], theirs: list[Took]) -> float:
    """Median of the wall times, ours over theirs."""
    return median([one.wall_s for one in ours]) / median([one.wall_s for one in theirs])


def span(figures: list[Took]) -> str:
    """Median and range of the wall times."""
    walls = [one.wall_s for one in figures]
    return f"{median(walls):.3f} ({min(walls):.3f} to {max(walls):.3f})"


if __name__ == "__main__":
    main()
