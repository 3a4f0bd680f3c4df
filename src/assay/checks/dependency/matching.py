"""Dependencies against imported advisories: clean, vulnerable or unknown, and why.

Clean needs everything: a sound, fresh database that knows the ecosystem, a version that is pinned and understood, and
no record that could not be read. One record that hits makes it vulnerable, whatever else is in doubt. Records that name
each other as aliases (PYSEC, GHSA, CVE) are one advisory; a withdrawn record says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from assay.checks.dependency.ranges import Reach, reach
from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.core.times import instant
from assay.formats.dependencies.cvss import base_score, grade
from assay.formats.dependencies.database import Database, Facts, Row
from assay.formats.dependencies.ecosystems import CONDA, PYPI, normalised
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.versions import is_understood
from assay.formats.dependencies.vex import Claim, settled

DEFAULT_MAX_AGE = timedelta(days=7)
_ORDER = ("PYSEC", "GHSA", "MAL", "CVE")


class State(StrEnum):
    """What is known of a dependency."""

    CLEAN = "clean"
    VULNERABLE = "vulnerable"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Advisory:
    """All records about one vulnerability in one package. `cvss` is the highest base score that could be computed."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: str
    cvss: float | None
    vectors: tuple[tuple[str, str], ...]
    published: str
    fixed: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Its id and aliases."""
        return frozenset((self.id, *self.aliases))


@dataclass(frozen=True)
class Settled:
    """An advisory that a trusted VEX statement calls `not_affected` or `fixed` here."""

    advisory: Advisory
    status: str
    statement: Digest


@dataclass(frozen=True)
class Match:
    """What was concluded of one dependency."""

    dependency: Dependency
    state: State
    advisories: tuple[Advisory, ...] = ()
    settled: tuple[Settled, ...] = ()
    reasons: tuple[str, ...] = ()


class Matcher:
    """Matches against one database at one time; without a database everything is unknown for `problem`."""

    def __init__(self, database: Database | None, now: datetime, *, max_age: timedelta = DEFAULT_MAX_AGE,
                 problem: str = "there is no advisory database", claims: Sequence[Claim] = ()) -> None:  # fmt: skip
        self._database = database
        self._claims = claims
        self._problem = "" if database else problem
        self._facts = database.facts if database else None
        self._stale = _ages(self._facts, now, max_age) if self._facts else {}

    def match(self, dependency: Dependency, subject: Digest | None = None) -> Match:
        """One dependency; `subject` is the asset that has it, for VEX statements about that asset.

        Raises:
            StorageError: the database turned out to be unreadable.
        """
        found, doubts = self._looked_up(dependency)
        advisories = merged(found)
        claims = {one.id: settled(self._claims, dependency, one.names, subject) for one in advisories}
        quiet = tuple(Settled(one, c.status, c.statement) for one in advisories if (c := claims[one.id]) is not None)
        loud = tuple(one for one in advisories if claims[one.id] is None)
        reasons = tuple(dict.fromkeys((*self._doubts(dependency), *doubts)))
        state = State.VULNERABLE if loud else State.UNKNOWN if reasons else State.CLEAN
        return Match(dependency, state, loud, quiet, reasons)

    def _looked_up(self, dependency: Dependency) -> tuple[list[tuple[Row, Reach]], list[str]]:
        """Records that hit, and why others could not be told."""
        if self._database is None or dependency.version is None or not dependency.ecosystem:
            return [], []
        ecosystem = PYPI if dependency.ecosystem == CONDA else dependency.ecosystem
        hits, doubts = [], []
        for row in self._database.rows(ecosystem, normalised(ecosystem, dependency.name)):
            if row.record.withdrawn:
                continue
            found = reach(row.affected, dependency.version)
            if found.hits:
                hits.append((row, found))
            elif found.hits is None:
                doubts.append(f"{row.record.id or 'advisory'}: {found.reason}")
        return hits, doubts

    def _doubts(self, dependency: Dependency) -> Iterable[str]:
        """Why this dependency cannot be clean, whatever the records say."""
        if self._facts is None:
            yield self._problem
        if dependency.problem:
            yield dependency.problem
        if self._facts is not None and dependency.ecosystem:
            yield from self._doubts_about(self._facts, dependency)
        if self._facts is not None and self._facts.unreadable:
            yield f"{self._facts.unreadable} records of the database could not be read; one may be about this package"

    def _doubts_about(self, facts: Facts, dependency: Dependency) -> Iterable[str]:
        ecosystem = dependency.ecosystem
        if ecosystem == CONDA:
            yield "there are no advisories for conda packages; those of the PyPI package of this name were tried"
            ecosystem = PYPI
        if ecosystem not in facts.ecosystems:
            yield f"the database has no records of the ecosystem {ecosystem}"
        elif stale := self._stale.get(ecosystem):
            yield stale
        if dependency.version is not None and not is_understood(ecosystem, dependency.version):
            yield f"{dependency.version[:60]!r} is not understood as a version of {ecosystem}"


def merged(found: Sequence[tuple[Row, Reach]]) -> tuple[Advisory, ...]:
    """Records that share an id or alias become one advisory; in order of id."""
    groups: list[tuple[set[str], list[tuple[Row, Reach]]]] = []
    for row, how in found:
        names, members = {row.record.id, *row.record.aliases}, [(row, how)]
        for group in [group for group in groups if group[0] & names]:
            groups.remove(group)
            names |= group[0]
            members = group[1] + members
        groups.append((names, members))
    return tuple(sorted((_advisory(names, members) for names, members in groups), key=lambda one: one.id))


def staleness(facts: Facts, ecosystem: str, now: datetime, max_age: timedelta) -> str:
    """Why the records of an ecosystem are too old to clear anything; "" if they are fresh."""
    newest = facts.ecosystems[ecosystem].newest
    try:
        age = now - instant(newest)
    except MalformedInput:
        return f"the records of {ecosystem} carry no usable date"
    if age <= max_age:
        return ""
    return f"the newest record of {ecosystem} is {age.days} days old, at most {max_age.days} are accepted"


def _ages(facts: Facts, now: datetime, max_age: timedelta) -> dict[str, str]:
    found = {name: staleness(facts, name, now, max_age) for name in facts.ecosystems}
    return {name: problem for name, problem in found.items() if problem}


def _advisory(names: set[str], members: Sequence[tuple[Row, Reach]]) -> Advisory:
    own = min({row.record.id for row, _ in members}, key=_rank)
    vectors = tuple(
        dict.fromkeys(pair for row, _ in members for pair in (row.affected.severity or row.record.severity))
    )
    scores = [score for _, vector in vectors if (score := base_score(vector)) is not None]
    words = [row.record.grade for row, _ in members if row.record.grade]
    dates = sorted(row.record.published for row, _ in members if row.record.published)
    return Advisory(
        id=own,
        aliases=tuple(sorted(names - {own}, key=_rank)),
        summary=next((row.record.summary for row, _ in members if row.record.summary), ""),
        severity=grade(max(scores)) if scores else max(words, key=_WORDS.index) if words else "unknown",
        cvss=max(scores) if scores else None,
        vectors=vectors,
        published=dates[0] if dates else "",
        fixed=tuple(dict.fromkeys(text for _, how in members for text in how.fixed)),
    )


_WORDS = ("low", "medium", "high", "critical")


def _rank(name: str) -> tuple[int, str]:
    prefix = name.partition("-")[0]
    return (_ORDER.index(prefix) if prefix in _ORDER else len(_ORDER), name)
