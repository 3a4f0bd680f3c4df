"""What an asset depends on, matched against the advisories that were imported on this machine.

The database is what `assay advisories import` brought; without one, everything is unknown. `docs/reference/dependencies.md` lists the files
that are read and what each state means.
Source: Open Source Vulnerability format 1.7 (which versions an advisory is about).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from assay.checks.dependency.listing import listings
from assay.checks.dependency.matching import Match, Matcher, State
from assay.core.assets import Asset, Kind
from assay.core.checks import Context, Family, check
from assay.core.errors import StorageError
from assay.core.outcomes import FileVerdict, Finding, Outcome, Progress, Severity, Skipped, Verdict
from assay.core.times import instant
from assay.formats.dependencies.database import Database

ID = "dependency.advisories"
FILE = "advisories.sqlite"
_VERDICTS = {State.CLEAN: Verdict.CLEAN, State.VULNERABLE: Verdict.UNKNOWN, State.UNKNOWN: Verdict.INCONCLUSIVE}
_SEVERITIES = {"none": Severity.LOW, "unknown": Severity.CRITICAL} | {str(severity): severity for severity in Severity}
_MAX_FINDINGS = 800
_MISSING = "no advisory database was handed to the check; import one with `assay advisories import PATH`"


@check(ID, kinds={Kind.CODE, Kind.INFRASTRUCTURE}, version=1, family=Family.SCAN,
       maps_to=("cwe:1395", "mitre-atlas:AML.T0010.001", "owasp-ml:ML06:2023"), defaults={"max_age_days": 7, "now": ""})  # fmt: skip
def advisories(asset: Asset, context: Context) -> Iterator[Outcome]:
    """Whether any package that an asset depends on has a known vulnerability.

    One verdict for each file that lists dependencies: clean only if every package in it is. One finding for each advisory and package, and
    one for each package that could not be judged. A database that is more than `max_age_days` days old clears nothing; `now` (RFC 3339) is
    the time to which its age is measured, and without it the time of the import, so that the same bytes give the same outcome.

    Limits: knows what was imported, and matches versions; whether the flawed code is reached is not asked.
    """
    database, problem = _database(context)
    matcher = _matcher(database, problem, context)
    told, seen = 0, False
    try:
        for path, found in listings(asset, context):
            seen = True
            yield Progress(0, 0, path)
            matches = [matcher.match(dependency, asset.digest) for one in found for dependency in one.dependencies]
            for finding in (finding for match in matches for finding in findings_of(match) if database is not None):
                told += 1
                if told <= _MAX_FINDINGS:
                    yield finding
            entry, format = asset.manifest.by_path()[path], found[0].format
            yield FileVerdict(path, entry.sha256, format, _VERDICTS[worst(matches)])
    finally:
        if database is not None:
            database.close()
    if seen and database is None:
        yield Skipped(str(asset), problem)
    if not seen:
        yield Skipped(str(asset), "none of its files is a lock file or bill of materials that is known")
    if told > _MAX_FINDINGS:
        yield Skipped(
            f"{told - _MAX_FINDINGS} findings", f"only the first {_MAX_FINDINGS} are listed; every verdict counts"
        )


def worst(matches: Sequence[Match]) -> State:
    """Vulnerable before unknown before clean; nothing at all is unknown."""
    states = {match.state for match in matches}
    return next((state for state in (State.VULNERABLE, State.UNKNOWN, State.CLEAN) if state in states), State.UNKNOWN)


def findings_of(match: Match) -> Iterator[Finding]:
    """What is wrong with one dependency."""
    dependency = match.dependency
    label = f"{dependency.name} {dependency.version or ''}".strip()
    for one in match.advisories:
        names = ", ".join((one.id, *one.aliases)[:4])
        remedy = (
            f"upgrade to {one.fixed[0]} or later" if one.fixed else "no fixed version is known; replace the package"
        )
        summary = f"{label} is affected by {names}: {one.summary}"[:400]
        yield Finding(
            "dependency.advisory", _SEVERITIES[one.severity], dependency.where, summary, remedy, ("cwe:1395",)
        )
    if match.state is State.UNKNOWN:
        remedy = "pin an exact version" if dependency.rule == "unpinned" else ""
        summary = f"{label} could not be judged: {'; '.join(match.reasons)}"[:400]
        yield Finding("dependency.unknown", Severity.MEDIUM, dependency.where, summary, remedy)


def _database(context: Context) -> tuple[Database | None, str]:
    held = context.related("advisories")
    if not held:
        return None, _MISSING
    try:
        return Database(Path(context.folder(held[0])) / FILE), ""
    except StorageError as error:
        return None, f"{error.what}: {error.why}"


def _matcher(database: Database | None, problem: str, context: Context) -> Matcher:
    said, days = context.options.get("now"), context.options.get("max_age_days", 7)
    now = instant(str(said) or (database.facts.imported if database else "1970-01-01T00:00:00Z"))
    return Matcher(database, now, max_age=timedelta(days=int(days)), problem=problem)
