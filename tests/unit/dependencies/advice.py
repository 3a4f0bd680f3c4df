"""Small advisories for tests: a record is one call, a database is one call, and time stands still."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assay.app.advisories import Imported, import_advisories
from assay.checks.dependency.matching import DEFAULT_MAX_AGE, Match, Matcher
from assay.formats.dependencies.database import Database
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.vex import Claim

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FRESH = "2026-11-22T00:00:00Z"
ARCHIVE = Path(__file__).resolve().parents[4] / "shared" / "data" / "advisories" / "pypa-advisory-database.tar.gz"


def record(name: str = "PYSEC-1", package: str = "acme", *, ecosystem: str = "PyPI", versions: Sequence[str] = (),
           events: Sequence[Mapping[str, str]] = (), type: str = "ECOSYSTEM", **more: Any) -> dict[str, Any]:  # fmt: skip
    """An OSV record about one package."""
    affected: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": package}}
    if versions:
        affected["versions"] = list(versions)
    if events:
        affected["ranges"] = [{"type": type, "events": list(events)}]
    return {"id": name, "modified": FRESH, "published": FRESH, "affected": [affected], **more}


OTHER = record("PYSEC-9", "unrelated", versions=["1"])


def write(folder: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """A folder of JSON records."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, one in enumerate(records):
        (folder / f"{n}.json").write_text(json.dumps(one), "utf-8")
    return folder


def imported(folder: Path, records: Iterable[Mapping[str, Any]], **options: Any) -> Imported:
    """Imports records into `folder/adv.sqlite`."""
    return import_advisories([write(folder / "records", records)], folder / "adv.sqlite", NOW, **options)


def matched(folder: Path, dependency: Dependency | str, *, now: datetime = NOW, claims: Sequence[Claim] = (),
            max_age: timedelta = DEFAULT_MAX_AGE, subject: str | None = None) -> Match:  # fmt: skip
    """Matches `acme==1.0` or a `Dependency` against the database in `folder`."""
    if isinstance(dependency, str):
        name, _, version = dependency.partition("==")
        dependency = Dependency("PyPI", name, version or None, "here")
    database = Database(folder / "adv.sqlite")
    try:
        return Matcher(database, now, max_age=max_age, claims=claims).match(dependency, subject)
    finally:
        database.close()
