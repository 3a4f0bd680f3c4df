"""The file of imported advisories: SQLite by (ecosystem, normalised name), written whole and read only.

A CRC-32 of the whole file stands in the header field `application_id`, so that a flipped bit anywhere makes the file
unusable instead of making a package look clean. It guards against damage; against edits stands the digest under which
the file is registered. `digest` is that of the records' bytes and the same wherever the same records are imported.
Source: SQLite file format, section 1.3 (the database header, offset 68).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Final
from urllib.parse import quote

from assay.core.canonical import Json
from assay.core.errors import StorageError
from assay.formats.dependencies.osv import Affected, Range, Record
from assay.formats.dependencies.versions import same_version

LAYOUT = "assay-advisories-1"
_BUSY_S = 2.0
_BLOCK = 1 << 20
_CRC_AT = 68
_TABLES: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record(id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, modified TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE affected(ecosystem TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL,
                      PRIMARY KEY(ecosystem, name, record, n)) WITHOUT ROWID;
CREATE INDEX affected_record ON affected(record);
CREATE TABLE ecosystem(name TEXT PRIMARY KEY, records INTEGER NOT NULL, newest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE problem(path TEXT NOT NULL, reason TEXT NOT NULL, packages INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Ecosystem:
    """How much is known of one ecosystem; `newest` is the date of its newest record, never one of the future."""

    records: int
    newest: str


@dataclass(frozen=True)
class Facts:
    """What a database holds. `unreadable` records could be about any package; `left_out` ones too, but were accepted."""

    digest: str
    records: int
    newest: str
    imported: str
    unreadable: int
    left_out: int
    ecosystems: Mapping[str, Ecosystem]


@dataclass(frozen=True)
class Row:
    """One advisory about one package. `affected.versions` are in their normal form."""

    record: Record
    affected: Affected


class Database:
    """An open database; close it with `close`."""

    def __init__(self, path: Path) -> None:
        """Opens and checks the file.

        Raises:
            StorageError: it is missing, damaged, locked, or of another layout.
        """
        check_sum(path)
        with _translated(path):
            address = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._db = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
            try:
                self._db.execute("PRAGMA trusted_schema=OFF")
                self._db.execute("BEGIN")
                self.facts = _facts(self._db)
            except BaseException:
                self._db.close()
                raise
        self._path = path
        self._last: tuple[tuple[str, str], list[Row]] = (("", ""), [])

    def rows(self, ecosystem: str, name: str) -> list[Row]:
        """Every advisory that names the package; `name` is normalised.

        Raises:
            StorageError: the file cannot be read after all.
        """
        if self._last[0] == (ecosystem, name):  # one package at many versions is asked for in a row
            return self._last[1]
        query = ("SELECT r.id, r.modified, r.body, a.body FROM affected a LEFT JOIN record r ON r.id=a.record"
                 " WHERE a.ecosystem=? AND a.name=? ORDER BY a.record, a.n")  # fmt: skip
        with _translated(self._path):
            found = self._db.execute(query, (ecosystem, name)).fetchall()
            self._last = ((ecosystem, name), [_row(ecosystem, name, *row) for row in found])
        return self._last[1]

    def records(self) -> Iterator[tuple[str, str, str]]:
        """(id, ecosystem, name) of everything in it, for audits."""
        with _translated(self._path):
            yield from self._db.execute("SELECT record, ecosystem, name FROM affected")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


class Writer:
    """Fills a new file; nobody sees it before `finish` returned and the caller moved it to its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")
        self.superseded = 0

    def add(self, record: Record, sha256: str) -> None:
        """Adds a record; of two with one id the later modified stays."""
        known = self._db.execute("SELECT modified FROM record WHERE id=?", (record.id,)).fetchone()
        if known is not None:
            self.superseded += 1
            if known[0] >= record.modified:
                return
            self._db.execute("DELETE FROM affected WHERE record=?", (record.id,))
            self._db.execute("DELETE FROM record WHERE id=?", (record.id,))
        row = (record.id, sha256, record.modified, _json(_record_body(record)))
        self._db.execute("INSERT INTO record VALUES(?,?,?,?)", row)
        rows = [(a.ecosystem, a.name, record.id, n, _json(_affected_body(a))) for n, a in enumerate(record.affected)]
        self._db.executemany("INSERT INTO affected VALUES(?,?,?,?,?)", rows)

    def add_problem(self, path: str, reason: str, packages: Iterable[tuple[str, str]]) -> None:
        """Notes a record that could not be read; packages that it surely names become unknown."""
        named = list(packages)
        self._db.execute("INSERT INTO problem VALUES(?,?,?)", (path, reason, len(named)))
        body = _json({"b": f"a record about it could not be read: {path}"[:300]})
        rows = [(ecosystem, name, f"unreadable:{path}", n, body) for n, (ecosystem, name) in enumerate(named)]
        self._db.executemany("INSERT OR IGNORE INTO affected VALUES(?,?,?,?,?)", rows)

    def finish(self, imported: str, *, leave_unreadable: bool) -> None:
        """Sums up, writes everything to the disk and puts the checksum into the header."""
        horizon = imported[:10] + "T99"
        self._db.execute(
            "INSERT INTO ecosystem SELECT a.ecosystem, count(DISTINCT a.record),"
            " coalesce(max(CASE WHEN r.modified<=? THEN r.modified END), '')"
            " FROM affected a JOIN record r ON r.id=a.record GROUP BY a.ecosystem",
            (horizon,),
        )
        unread = self._one("SELECT count(*) FROM problem WHERE packages=0")
        newest = self._one("SELECT coalesce(max(modified), '') FROM record WHERE modified<=?", horizon)
        said = {
            "layout": LAYOUT, "imported": imported, "digest": self._digest(), "newest": newest,
            "records": self._one("SELECT count(*) FROM record"),
            "unreadable": 0 if leave_unreadable else unread, "left_out": unread if leave_unreadable else 0,
        }  # fmt: skip
        self._db.executemany("INSERT INTO meta VALUES(?,?)", [(key, str(value)) for key, value in said.items()])
        self._db.execute("COMMIT")
        self._db.close()
        _seal(self._path)

    def abandon(self) -> None:
        """Closes the file without finishing it."""
        self._db.close()

    def _digest(self) -> str:
        """The records by their ids and bytes, in order of id."""
        hasher = hashlib.sha256()
        for name, sha256 in self._db.execute("SELECT id, sha256 FROM record ORDER BY id"):
            hasher.update(f"{name} {sha256}\n".encode())
        return hasher.hexdigest()

    def _one(self, query: str, *values: str) -> Json:
        return self._db.execute(query, values).fetchone()[0]


def check_sum(path: Path) -> None:
    """Compares the checksum in the header with that of the file.

    Raises:
        StorageError: they differ, or the file is missing, empty or no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StorageError("there is no advisory database", f"nothing is at {path}",
                           "import one with `assay advisories import PATH`", reason="missing") from error  # fmt: skip
    except OSError as error:
        raise StorageError("the advisory database cannot be opened", str(error), reason="unreadable") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _damaged(path, "it is no regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            said, found = _sums(file.read(100), file)
        except OSError as error:
            raise StorageError("the advisory database cannot be read", str(error), reason="unreadable") from error
    if said != found:
        raise _damaged(path, "its checksum does not fit its bytes")


def _sums(head: bytes, file: RawIOBase) -> tuple[int | None, int]:
    """The checksum in the header, None if there is no header, and that of the bytes."""
    if len(head) < 100 or not head.startswith(b"SQLite format 3\x00"):
        return None, 0
    said = int.from_bytes(head[_CRC_AT : _CRC_AT + 4], "big")
    found = zlib.crc32(head[:_CRC_AT] + bytes(4) + head[_CRC_AT + 4 :])
    while block := file.read(_BLOCK):
        found = zlib.crc32(block, found)
    return said, found


def _seal(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        head = bytearray(file.read(100))
        head[_CRC_AT : _CRC_AT + 4] = bytes(4)
        _, found = _sums(bytes(head), file)
        file.seek(_CRC_AT)
        file.write(found.to_bytes(4, "big"))
        os.fsync(file.fileno())


def _damaged(path: Path, why: str) -> StorageError:
    fix = "import the advisories again with `assay advisories import PATH`"
    return StorageError(f"the advisory database {path.name} is damaged", why, fix, reason="damaged")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StorageError("the advisory database is locked by another process", str(error),
                               "wait for it to finish and run again", reason="locked") from error  # fmt: skip
        raise _damaged(path, str(error)) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _facts(db: sqlite3.Connection) -> Facts:
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("layout") != LAYOUT:
        raise ValueError("it has another layout")
    rows = db.execute("SELECT name, records, newest FROM ecosystem ORDER BY name").fetchall()
    return Facts(
        meta["digest"], int(meta["records"]), meta["newest"], meta["imported"], int(meta["unreadable"]),
        int(meta["left_out"]), {name: Ecosystem(records, newest) for name, records, newest in rows},
    )  # fmt: skip


def _record_body(record: Record) -> Json:
    said = {"p": record.published, "w": record.withdrawn, "a": record.aliases, "t": record.summary, "s": record.severity,
            "g": record.grade}  # fmt: skip
    return {key: value for key, value in said.items() if value}


def _affected_body(affected: Affected) -> Json:
    normal = list(dict.fromkeys(same_version(affected.ecosystem, version) for version in affected.versions))
    said = {
        "v": normal,
        "r": [[r.type, r.events] for r in affected.ranges],
        "s": affected.severity,
        "b": affected.broken,
    }
    return {key: value for key, value in said.items() if value}


def _row(ecosystem: str, name: str, record: str | None, modified: str | None, about: str | None, body: str) -> Row:
    said, more = json.loads(body), json.loads(about) if about else {}
    affected = Affected(
        ecosystem, name, tuple(said.get("v", ())),
        tuple(Range(kind, tuple((what, version) for what, version in events)) for kind, events in said.get("r", ())),
        _pairs(said), said.get("b", ""),
    )  # fmt: skip
    found = Record(
        record or "", modified or "", more.get("p", ""), more.get("w", ""), tuple(more.get("a", ())), more.get("t", ""),
        _pairs(more), more.get("g", ""),
    )  # fmt: skip
    return Row(found, affected)


def _pairs(said: Json) -> tuple[tuple[str, str], ...]:
    return tuple((kind, score) for kind, score in said.get("s", ()))


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
