"""Dependencies against advisories, offline: time for 500 packages, versions that a record lists, and outages.

The advisories are the archive under `--advisories` (OSV records of PyPI) or, where there is none, made-up records in the
same shape. Outages: each way in which advisory data can be missing, asked about packages that are harmless; a verdict
`clean` (or an exit code 0) is a fault. The peer is pip-audit without its service, in an environment of its own.
How to run: .venv/bin/python bench/deps.py                        about a minute
            .venv/bin/python bench/deps.py --quick                without the peer, one record in ten
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from assay.app.advisories import import_advisories
from assay.app.advisory_sources import files_in
from assay.app.dependencies import Answer, collect, look_up
from assay.checks.dependency.matching import Matcher, State
from assay.formats.dependencies.database import Database
from assay.formats.dependencies.osv import Affected, read_record
from assay.formats.dependencies.values import Dependency
from claims import Claim, Unmeasured, median, options, scratch, show, took
from peers.environment import QUIET, peer_python

ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "advisories" / "pypa-advisory-database.tar.gz"
PEER = ("pip-audit", "2.10.1")
FOREVER = timedelta(days=100_000)
PACKAGES = 500
HARMLESS = "assay-bench-harmless==1.0\nassay-bench-other==2.0\n"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="no peer, one record in ten")
    parser.add_argument("--advisories", type=Path, default=ARCHIVE, help="a folder or archive of OSV records")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with scratch(asked.data) as folder:
        source, now = asked.advisories, datetime.now(UTC)
        if not source.exists():
            source = made_up(folder / "osv", random.Random(asked.seed))
        database = folder / "advisories.sqlite"
        loading = took(lambda: import_advisories([source], database, now))
        claims = [
            Claim("deps: import of the advisories", loading.wall_s, "s", 10, why=f"{source.name}"),
            *timing(folder, database, asked.seed, asked.repeats),
            recall(source, database, 10 if asked.quick else 1),
            outages(folder, database, now, peer=not asked.quick),
        ]
    show(claims, [f"medians of {asked.repeats}; {PACKAGES} packages, half of them with advisories"])


def made_up(folder: Path, chosen: random.Random) -> Path:
    """2,000 records in the shape of real ones."""
    folder.mkdir(parents=True)
    for n in range(2000):
        versions = [f"{major}.{minor}" for major in range(5) for minor in range(chosen.randint(1, 20))]
        affected = {"package": {"ecosystem": "PyPI", "name": f"made-up-{n % 700}"}, "versions": versions,
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.0"}]}]}  # fmt: skip
        record = {"id": f"MADE-{n}", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}
        (folder / f"{n}.json").write_text(json.dumps(record))
    return folder


def timing(folder: Path, database: Path, seed: int, repeats: int) -> Iterator[Claim]:
    """500 pinned packages in this process, and through the command in a fresh one."""
    lock = folder / "requirements.txt"
    lock.write_text(requirements(database, seed))
    collected = collect([lock])
    assert len(collected.dependencies) == PACKAGES

    def once() -> Answer:
        return look_up(collected, database, datetime.now(UTC), max_age=FOREVER)

    once()  # warm
    walls = [took(once).wall_s for _ in range(repeats)]
    vulnerable = sum(match.state is State.VULNERABLE for match in once().matches)
    yield Claim(f"deps: {PACKAGES} packages matched, warm", median(walls), "s", 1.0, why=f"{vulnerable} vulnerable")
    command = [sys.executable, "-m", "assay.surfaces.cli.main", "deps", str(lock), "--database", str(database),
               "--format", "json", "--max-age", "99999d", "--workspace", str(folder / "none")]  # fmt: skip
    fresh = [took(lambda: subprocess.run(command, capture_output=True, check=False)).wall_s for _ in range(repeats)]
    yield Claim(f"deps: {PACKAGES} packages, whole command", median(fresh), "s", 1.0)


def requirements(database: Path, seed: int) -> str:
    """Half of the packages have advisories, at a version drawn from 0.1 to 9.9; half are unknown to the database."""
    chosen = random.Random(seed)
    with closing(sqlite3.connect(database)) as db:
        names = [
            name for (name,) in db.execute("SELECT DISTINCT name FROM affected WHERE ecosystem='PyPI' ORDER BY name")
        ]
    known = chosen.sample(names, PACKAGES // 2)
    lines = [f"{name}=={chosen.randint(0, 9)}.{chosen.randint(1, 9)}" for name in known]
    return "\n".join([*lines, *(f"assay-bench-{n}==1.{n}" for n in range(PACKAGES - len(known)))]) + "\n"


def recall(source: Path, database: Path, step: int) -> Claim:
    """The share of (record, listed version) pairs for which the matcher names the record or an alias of it."""
    wanted: dict[str, dict[str, list[tuple[Affected, str]]]] = {}
    for number, item in enumerate(files_in(source)):
        record = read_record(item.data, item.path)
        if number % step == 0 and not record.withdrawn:
            for affected in record.affected:
                for version in affected.versions:
                    wanted.setdefault(affected.name, {}).setdefault(version, []).append((affected, record.id))
    asked = hit = 0
    with closing(Database(database)) as opened:
        matcher = Matcher(opened, datetime.now(UTC), max_age=FOREVER)
        for name, versions in wanted.items():
            for version, pairs in versions.items():
                match = matcher.match(Dependency(pairs[0][0].ecosystem, name, version, "bench"))
                named = frozenset(text for one in match.advisories for text in one.names)
                asked += len(pairs)
                hit += sum(record in named for _, record in pairs)
    share = 100 * hit / asked if asked else 0.0
    return Claim("deps: listed versions that are hit", share, "%", 100, "higher", why=f"{hit:,} of {asked:,}")


def outages(folder: Path, database: Path, now: datetime, *, peer: bool) -> Claim:
    """How many of the outages end in a clean verdict. The peer is asked in two."""
    lock = folder / "harmless.txt"
    lock.write_text(HARMLESS)
    cases: dict[str, Callable[[Path], object]] = {
        "missing": lambda path: None,
        "empty file": lambda path: path.write_bytes(b""),
        "cut short": lambda path: path.write_bytes(database.read_bytes()[:-5000]),
        "flipped bit": lambda path: path.write_bytes(flipped(database.read_bytes())),
        "other file": lambda path: path.write_bytes(b"{}" * 4000),
        "folder": lambda path: path.mkdir(),
        "stale": lambda path: path.write_bytes(database.read_bytes()),
        "other ecosystem": lambda path: import_advisories([npm(folder / "npm", now)], path, now),
        "unreadable record": lambda path: import_advisories([broken(folder / "broken", now)], path, now),
        "locked": lambda path: path.write_bytes(database.read_bytes()),
    }
    clean = []
    for number, (name, prepare) in enumerate(cases.items()):
        path = folder / f"outage-{number}.sqlite"
        prepare(path)
        when = now + timedelta(days=400) if name == "stale" else now
        with closing(sqlite3.connect(path if name == "locked" else ":memory:", isolation_level=None)) as other:
            if name == "locked":
                other.execute("BEGIN EXCLUSIVE")
            age = FOREVER if name in ("locked", "cut short", "flipped bit") else timedelta(days=7)
            answer = look_up(collect([lock]), path, when, max_age=age)
        if answer.exit_code == 0 or any(match.state is State.CLEAN for match in answer.matches):
            clean.append(name)
    theirs, why = fail_open(lock) if peer else (None, "")
    said = "; ".join(
        text for text in (f"{len(cases)} outages", f"clean in: {', '.join(clean)}" if clean else "", why) if text
    )
    return Claim("deps: clean verdicts in outages", float(len(clean)), "verdicts", 0, "lower",
                 "pip-audit, 2 outages" if theirs is not None else None, theirs, said)  # fmt: skip


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def npm(folder: Path, now: datetime) -> Path:
    """A fresh database of another ecosystem."""
    folder.mkdir()
    affected = {"package": {"ecosystem": "npm", "name": "x"}, "versions": ["1.0.0"]}
    (folder / "a.json").write_text(
        json.dumps({"id": "N-1", "modified": f"{now:%Y-%m-%dT%H:%M:%SZ}", "affected": [affected]})
    )
    return folder


def broken(folder: Path, now: datetime) -> Path:
    """A fresh database of the right ecosystem, one record of which nobody can read."""
    npm(folder, now)
    text = (folder / "a.json").read_text().replace('"npm"', '"PyPI"')
    (folder / "a.json").write_text(text)
    (folder / "b.json").write_text(text[:40])
    return folder


def fail_open(lock: Path) -> tuple[float | None, str]:
    """In how many of two outages pip-audit exits 0: its index answers "not found" for everything, or does not answer."""
    try:
        python = peer_python(*PEER)
    except Unmeasured as error:
        return None, f"peer not measured: {error}"
    outcomes = {}
    for name, answer in (("index answers 404", "response(request, 404)"), ("index does not answer", "refuse(request)")):
        outcomes[name] = _asked([str(python), "-c", _PIP_AUDIT.replace("ANSWER", answer), str(lock)])
    said = "; ".join(f"{name}: exit {code}, {text!r}" for name, (code, text) in outcomes.items())
    return float(sum(code == 0 for code, _ in outcomes.values())), f"pip-audit {PEER[1]}: {said}"


# Runs pip-audit with every HTTP answer replaced, so that the outage is the same everywhere and nothing leaves the machine.
_PIP_AUDIT = """
import io, sys, requests
def response(request, status):
    made = requests.Response()
    made.status_code, made.url, made.request, made._content = status, request.url, request, b"{}"
    made.raw = io.BytesIO(b"{}")
    return made
def refuse(request):
    raise requests.ConnectionError("refused by the benchmark")
requests.Session.send = lambda self, request, **options: ANSWER
sys.argv = ["pip-audit", "-r", sys.argv[1], "--no-deps", "--disable-pip", "--progress-spinner", "off"]
from pip_audit._cli import audit
audit()
"""


def _asked(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **QUIET})
    except subprocess.TimeoutExpired:
        return 124, "timed out"
    lines = [line for line in done.stderr.strip().splitlines() if line and not line.startswith("WARNING")]
    return done.returncode, (lines or ["it said nothing"])[-1][:100]


if __name__ == "__main__":
    main()
