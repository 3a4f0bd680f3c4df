"""kill -9 at random instants: what was acknowledged is there, the ledger audits, and the next command goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time

import pytest
from tests.surface.shop import ASSAY, Shop

KILLS = 4
COMMANDS = {
    "check": (("check", "loan-scorer@1", "--only", "quality.*", "--only", "model_file.*"), 2.0),
    "promote": (("promote", "loan-scorer@1", "--to", "production"), 0.7),
    "register": (("register", "data/small.csv", "--kind", "dataset", "--name", "small"), 0.5),
}


def killed_after(shop: Shop, words: tuple[str, ...], delay_s: float) -> str:
    """Starts the command in a session of its own, kills all of that after a while, and returns what it had said."""
    child = subprocess.Popen([*ASSAY, *words], cwd=shop.folder, env=shop.child_environment(), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    with child:
        time.sleep(delay_s)
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            child.kill()
        assert child.stdout
        return child.stdout.read().decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_leaves_a_sound_ledger_and_loses_nothing_that_it_acknowledged(
    command: str, shop: Shop
) -> None:
    words, span_s = COMMANDS[command]
    draw = random.Random(f"{command} 20261123")
    size = shop.size()
    for turn in range(KILLS):
        (shop.folder / "data" / "small.csv").write_text(f"a,b\n{turn},1\n")
        said = killed_after(shop, words, 0.15 + draw.random() * span_s)
        audit = shop.run("ledger", "verify", "--format", "json")
        assert audit.code == 0, audit.said
        assert audit.json["size"] >= size
        size = audit.json["size"]
        for digest in re.findall(r"(?:recorded as sha256:|statement )([0-9a-f]{12,64})", said):
            assert shop.run("show", digest).code == 0
    assert shop.run("verify", "models/first", "--stage", "production").code in (0, 3)
    ran = shop.run(*words)
    assert ran.code == 0, ran.said
    assert shop.run("ledger", "verify").code == 0
