"""The demo, played once for all tests of a run; each test that changes something gets a copy."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.surface.shop import ASSAY, Shop

from assay.app.runner.nursery import kept


@dataclass(frozen=True)
class Played:
    """The played demo, which nobody opens, a copy to look at, and what it printed."""

    pristine: Shop
    shop: Shop
    text: str
    code: int


@pytest.fixture(scope="session", autouse=True)
def _servers_are_kept() -> Iterator[None]:
    """Commands that run in this process share their worker servers; those in processes of their own start new ones."""
    with kept():
        yield


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`assay demo` in an empty folder. Parallel workers share one; nobody may open it."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "played"
    root.mkdir(exist_ok=True)
    shop = Shop(root / "shop", root / "state")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "code").exists():
            shop.folder.mkdir()
            done = subprocess.run([*ASSAY, "demo"], cwd=shop.folder, env=shop.child_environment(), text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=280)  # fmt: skip
            (root / "text").write_text(done.stdout + done.stderr)
            (root / "code").write_text(str(done.returncode))
        # NOTE: an open SQLite database has files that come and go, so each worker plays with a copy of its own.
        glass = shop.copy(tmp_path_factory.mktemp("glass"))
    return Played(shop, glass, (root / "text").read_text(), int((root / "code").read_text()))


@pytest.fixture
def shop(played: Played, tmp_path: Path) -> Shop:
    """A copy of the played demo that the test may spoil."""
    assert played.code == 0, played.text
    return played.pristine.copy(tmp_path)


@pytest.fixture
def glass(played: Played) -> Shop:
    """The played demo itself, to look at only."""
    assert played.code == 0, played.text
    return played.shop
