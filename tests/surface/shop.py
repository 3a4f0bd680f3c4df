"""A project with a workspace of its own, and commands run in it as a user would run them.

    shop.run("gate", "loan-scorer@1", "--to", "production", "--format", "json").json["decision"]

`run` calls the command's `main` in this process, which saves the interpreter's start; `child` starts a real one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from assay.app.workspace import Workspace
from assay.surfaces.cli.main import main

COMMAND = ("-m", "assay.surfaces.cli.main")
ASSAY = (sys.executable, *COMMAND)
REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command printed and the code that it ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: a JSON value
        """Stdout as one JSON value."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """All that a user sees."""
        return self.out + self.err


@dataclass(frozen=True)
class Shop:
    """A project folder with `.assay`, and the state folder that remembers its ledger's head."""

    folder: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """What commands of this shop find in their environment."""
        return {"ASSAY_STATE": str(self.state), "OMP_NUM_THREADS": "1"}

    @property
    def database(self) -> Path:
        """The ledger file."""
        return self.folder / ".assay" / "ledger.sqlite"

    @property
    def pin(self) -> str:
        """The digest of the first trust policy, as `assay init` prints it."""
        return "sha256:" + (self.folder / ".assay" / "trust.pin").read_text().strip()

    def run(self, *words: str | Path, **environment: str) -> Ran:
        """Runs a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ, self.environment | environment),
        ):
            try:
                code = main([str(word) for word in words])
            except SystemExit as ended:  # as argparse ends
                code = int(ended.code or 0)
        return Ran(code, out.getvalue(), err.getvalue())

    def child(self, *words: str | Path, environment: dict[str, str] | None = None, python: str = sys.executable) -> Ran:
        """Runs a command in a process of its own, with another interpreter if one is given."""
        done = subprocess.run([python, *COMMAND, *map(str, words)], cwd=self.folder, env=self.child_environment(environment),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def child_environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of a child: ours, without what would change its output."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ASSAY_", "LC_", "PYTHONHASH", "PYTHONUNBUF"))}
        return kept | self.environment | (more or {})

    def open(self) -> Workspace:
        """The workspace of the shop."""
        return Workspace(self.folder / ".assay", state=self.state)

    def size(self) -> int:
        """Entries of the ledger, read past all of our code."""
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])

    def forge(self, *statements: str) -> None:
        """Runs SQL on the ledger file the way somebody with the file but no key would: triggers dropped first."""
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
            db.commit()

    def copy(self, folder: Path) -> Shop:
        """The same shop elsewhere, as if it had always been there; what it logs is not seen by this one."""
        made = Shop(folder / "shop", folder / "state")
        shutil.copytree(self.folder, made.folder)
        shutil.copytree(self.state, made.state)
        for place in (made.folder / ".assay" / "locations").iterdir():
            place.write_text(place.read_text().replace(str(self.folder), str(made.folder)))
        return made
