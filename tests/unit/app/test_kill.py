"""Killed at a hundred random instants: the ledger audits clean, and every statement that was acknowledged is there.

A zygote has everything imported and forks one writer a round. The writer registers, scans, moves, decides and promotes,
and tells of each receipt in one write to a pipe; it is killed (SIGKILL) after a random time.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import ROLES, Team, make_workspace, reopened

from assay.app.audit import audit
from assay.app.sound import SoundLedger
from assay.evidence.keys import PrivateKey

ROUNDS = 100
REPOSITORY = Path(__file__).parents[3]
_ZYGOTE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.unit.app.test_kill import write_until_killed
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write_until_killed(Path(sys.argv[2]), int(line))
        os._exit(0)
    os.write(1, b"child %d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@dataclass(frozen=True)
class Acknowledged:
    index: int
    digest: str


def write_until_killed(folder: Path, turn: int) -> None:
    """Runs in the child: whole lives of assets, one after the other, some with a blob that needs a file."""
    from tests.support import fresh, manifest, scan_of

    from assay.app.lifecycle import move, quarantine
    from assay.app.register import Description, record
    from assay.core.assets import Kind
    from assay.evidence.ledger import Receipt
    from assay.registry.lifecycle import State

    def tell(*receipts: Receipt | None) -> None:
        for receipt in receipts:
            assert receipt is not None
            os.write(1, f"ack {receipt.index} {receipt.digest}\n".encode())

    workspace = reopened(folder)
    names = {path.stem: workspace.key(path.stem) for path in workspace.key_files()}
    team = Team(keys={name: names.get(name) or PrivateKey.generate() for name in (*ROLES, "mallory")})
    os.write(1, b"ready\n")
    for number in range(1000):
        name = f"kill-{turn}-{number}"
        files = {
            f"file-{i}": b"%d %d" % (turn, number) for i in range(1 if number % 3 else 400)
        }  # 400: a large manifest
        made = record(workspace, manifest(files), Description(name, Kind.MODEL, origin={"uri": "https://example.org"}))
        tell(made.receipt)
        version = made.version
        tell(*team.log(workspace, scan_of(version, ["clean"] * len(files)), "runner"))
        tell(move(workspace, version, State.CANDIDATE, "clean"))
        tell(team.allow(workspace, version, "approved"))
        tell(move(workspace, fresh(workspace, version), State.APPROVED, "allowed"))
        tell(team.allow(workspace, version, "production"), team.promote(workspace, version))
        if number % 2:
            tell(quarantine(workspace, version, "drift"))


class Zygote:
    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ZYGOTE, str(REPOSITORY), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def killed_after(self, turn: int, seconds: float) -> list[Acknowledged]:
        """One writer, killed that long after it was ready; what it told before it died."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(b"%d\n" % turn)
        self._process.stdin.flush()
        child, told = 0, []
        for line in self._process.stdout:
            word, *rest = line.split()
            if word == b"child":
                child = int(rest[0])
            elif word == b"ack":
                told.append(Acknowledged(int(rest[0]), rest[1].decode()))
            elif word == b"dead":
                return told
            if child and seconds >= 0 and (word == b"ready" or seconds == 0):
                time.sleep(seconds)
                os.kill(child, signal.SIGKILL)
                seconds = -1
        raise AssertionError("the zygote died")

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.mark.timeout(120)
def test_a_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with make_workspace(tmp_path):
        pass
    seed = random.randrange(2**32)
    luck = random.Random(seed)
    zygote = Zygote(tmp_path)
    acknowledged: list[Acknowledged] = []
    try:
        for turn in range(ROUNDS):
            # Every tenth is killed while it opens the workspace, the others somewhere in the first appends.
            told = zygote.killed_after(turn, 0 if turn % 10 == 9 else luck.uniform(0, 0.05))
            acknowledged += told
            workspace = reopened(tmp_path)
            try:
                assert SoundLedger.of(workspace).size == workspace.ledger.size()
                report = audit(workspace, with_signatures=turn == ROUNDS - 1)
                assert report.problems == (), (seed, turn)
                for one in told:
                    assert workspace.ledger.leaf(one.index).statement == one.digest, (seed, turn)
                    assert workspace.ledger.bundle(workspace.ledger.leaf(one.index))
            finally:
                workspace.close()
    finally:
        zygote.close()
    with reopened(tmp_path) as workspace:
        leaves = [leaf.statement for leaf in workspace.ledger.leaves()]
        assert all(leaves[one.index] == one.digest for one in acknowledged), seed
        assert len(acknowledged) > ROUNDS // 5, "the writers were killed before they wrote"
