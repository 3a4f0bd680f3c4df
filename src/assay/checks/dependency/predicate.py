"""The statement of a dependency match: in-toto `vulns/v0.2` with what was looked at and what stays unknown.

`assay_coverage.dependencies` names every dependency, so that the next import can match them again without the files.
Advisories that VEX settles stay in the result with their VEX state: the policy applies signed VEX statements itself.
Source: in-toto attestation framework, predicate vulns version 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from assay.checks.dependency.matching import Advisory, Match, State
from assay.core.canonical import Json
from assay.core.digests import shown
from assay.core.times import stamp
from assay.formats.dependencies.database import Facts
from assay.formats.dependencies.purl import read_purl
from assay.formats.dependencies.values import Dependency

SCANNER = "urn:assay:deps"
_MOST = 100_000


def vulns_predicate(
    matches: Sequence[Match], facts: Facts | None, *, version: str, started: datetime, finished: datetime
) -> Json:
    """The predicate about one asset; `version` is the release of Assay that matched."""
    scanner: dict[str, Json] = {"uri": SCANNER, "version": version, "result": _results(matches)[:_MOST]}
    if facts is not None:
        scanner["db"] = {"uri": "urn:assay:advisories", "version": shown(facts.digest), "lastUpdate": facts.newest,
                         "newestRecord": facts.newest, "records": facts.records}  # fmt: skip
    unknown = [
        {"purl": m.dependency.purl[:4096], "reason": "; ".join(m.reasons)[:4096]}
        for m in matches
        if m.state is State.UNKNOWN
    ]
    return {
        "scanner": scanner,
        "metadata": {"scanStartedOn": stamp(started), "scanFinishedOn": stamp(finished)},
        "assay_coverage": {
            "looked": sum(m.state is not State.UNKNOWN for m in matches),
            "unknown": unknown[:_MOST],
            "dependencies": [_said(m.dependency) for m in matches][:_MOST],
        },
    }


def dependencies_of(predicate: Json) -> tuple[Dependency, ...]:
    """The dependencies that an earlier statement names."""
    coverage = predicate.get("assay_coverage") if isinstance(predicate, dict) else None
    listed = coverage.get("dependencies") if isinstance(coverage, dict) else None
    found = []
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and all(isinstance(item.get(key), str) for key in ("ecosystem", "name", "where")):
            version = item.get("version")
            text = [said if isinstance(said := item.get(key), str) else "" for key in ("problem", "rule")]
            pinned = version if isinstance(version, str) else None
            found.append(Dependency(item["ecosystem"], item["name"], pinned, item["where"], *text))
    return tuple(found)


def known_names(predicate: Json) -> frozenset[str]:
    """Ids and aliases of the advisories that an earlier statement names, each with the packages that it hit."""
    scanner = predicate.get("scanner") if isinstance(predicate, dict) else None
    listed = scanner.get("result") if isinstance(scanner, dict) else None
    found: set[str] = set()
    for item in listed if isinstance(listed, list) else []:
        notes = item.get("annotations") if isinstance(item, dict) else None
        if not isinstance(notes, dict) or not isinstance(item.get("id"), str):
            continue
        names = [item["id"], *(text for text in _texts(notes.get("aliases")))]
        found |= {f"{name} {_package(purl)}" for name in names for purl in _texts(notes.get("packages"))}
    return frozenset(found)


def hit_names(advisory: Advisory, dependency: Dependency) -> frozenset[str]:
    """How `known_names` would name a hit."""
    return frozenset(f"{name} {_package(dependency.purl)}" for name in advisory.names)


def _results(matches: Sequence[Match]) -> list[Json]:
    """One result an advisory, with every package that it hits."""
    found: dict[str, dict[str, Json]] = {}
    for match in matches:
        purl = match.dependency.purl
        for advisory in match.advisories:
            found.setdefault(advisory.id, _result(advisory))["annotations"]["packages"].append(purl)
        for one in match.settled:
            notes = found.setdefault(one.advisory.id, _result(one.advisory))["annotations"]
            notes["packages"].append(purl)
            said = {"package": purl, "status": one.status, "statement": shown(one.statement)}
            notes.setdefault("vex", []).append(said)
    return [found[name] for name in sorted(found)]


def _result(advisory: Advisory) -> dict[str, Json]:
    notes: dict[str, Json] = {"aliases": list(advisory.aliases), "packages": [], "summary": advisory.summary}
    notes |= {"fixed": list(advisory.fixed)} if advisory.fixed else {}
    notes |= {"published": advisory.published, "knownSince": advisory.published} if advisory.published else {}
    notes |= {"vectors": [list(pair) for pair in advisory.vectors]} if advisory.vectors else {}
    severity = [{"method": "CVSS", "score": f"{advisory.cvss:.1f}"}] if advisory.cvss is not None else []
    if not severity:  # a vector of version 4, or a word: readers that want a number must not find one
        severity = [{"method": kind, "score": score} for kind, score in advisory.vectors]
    return {"id": advisory.id, "severity": severity, "annotations": notes}


def _said(dependency: Dependency) -> Json:
    said = {"ecosystem": dependency.ecosystem, "name": dependency.name, "where": dependency.where}
    more = {"version": dependency.version, "problem": dependency.problem, "rule": dependency.rule}
    return said | {key: value for key, value in more.items() if value}


def _package(purl: str) -> str:
    """A package URL without its version: an upgrade within an advisory's range is no new hit."""
    found = read_purl(purl)
    return f"{found.type}/{found.name}" if found else purl


def _texts(value: Json) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
