"""What clients have spent, in one SQLite file that several processes share.

A reservation is one transaction that checks every limit and adds to every window, or changes nothing. A commit survives the
death of any process; after a loss of power the last moments may be missing (`synchronous=NORMAL`), which costs no sync to disk
on the path of a request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StorageError
from assay.runtime.budget.limits import Amount, BudgetSpent, Limit

_TABLES = """
CREATE TABLE IF NOT EXISTS spent(client TEXT NOT NULL, name TEXT NOT NULL, window INTEGER NOT NULL, amount INTEGER NOT NULL,
                                 PRIMARY KEY(client, name, window)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contained(client TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""
_ADD = """INSERT INTO spent(client, name, window, amount) VALUES(?,?,?,?)
          ON CONFLICT(client, name, window) DO UPDATE SET amount = amount + excluded.amount"""
_BUSY_S = 2.0
_KEPT_WINDOWS = 2


class AccountBusy(StorageError):
    """Another process holds the account of budgets; nothing was sent."""

    code, exit_code = "A-BUSY", 3


@dataclass(frozen=True)
class Reservation:
    """What was set aside for one request, and in which windows."""

    client: str
    amount: Amount
    windows: tuple[tuple[Limit, int], ...]


class Account:
    """The file. Used by one thread of each process."""

    def __init__(self, path: Path | None) -> None:
        """Opens or makes the file; None keeps everything in memory, for this process alone.

        Raises:
            StorageError: it cannot be used.
        """
        with _translated():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.executescript(_TABLES)

    def reserve(self, client: str, limits: Sequence[Limit], most: Amount, now: float) -> Reservation:
        """Sets `most` aside under every limit, or nothing.

        Raises:
            BudgetSpent: a limit would be passed.
            StorageError: the file cannot be written, so nothing may be sent.
        """
        windows = tuple((limit, int(now // limit.window_s)) for limit in limits)
        with self._writing():
            for limit, window in windows:
                spent, wanted = self.spent(client, limit, now), most.of(limit.what)
                if spent + wanted > limit.most:
                    raise BudgetSpent(limit, spent, wanted, int((window + 1) * limit.window_s - now) + 1)
            for limit, window in windows:
                self._db.execute(_ADD, (client, limit.name, window, most.of(limit.what)))
                self._db.execute("DELETE FROM spent WHERE client=? AND name=? AND window<?",
                                 (client, limit.name, window - _KEPT_WINDOWS))  # fmt: skip
        return Reservation(client, most, windows)

    def settle(self, reservation: Reservation, used: Amount) -> None:
        """Replaces what was set aside by what was used, which may be more."""
        with self._writing():
            for limit, window in reservation.windows:
                difference = used.of(limit.what) - reservation.amount.of(limit.what)
                self._db.execute(_ADD, (reservation.client, limit.name, window, difference))

    def spent(self, client: str, limit: Limit, now: float) -> int:
        """What is spent or set aside under a limit in the window of `now`."""
        query = "SELECT amount FROM spent WHERE client=? AND name=? AND window=?"
        with _translated():
            row = self._db.execute(query, (client, limit.name, int(now // limit.window_s))).fetchone()
        return int(row[0]) if row else 0

    def contain(self, client: str, until: float) -> None:
        """Refuses a client until then."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO contained(client, until) VALUES(?,?)", (client, until))

    def contained_until(self, client: str) -> float:
        """Until when a client is refused; 0 if it is not."""
        with _translated():
            row = self._db.execute("SELECT until FROM contained WHERE client=?", (client,)).fetchone()
        return float(row[0]) if row else 0.0

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise AccountBusy("the account of budgets is locked", str(error), "try again") from error
        raise StorageError(
            "the account of budgets cannot be used", str(error), "check the folder and the disk"
        ) from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            "the account of budgets cannot be used", str(error), "check the folder and the disk"
        ) from error
