"""What an alias offers to rules beside its measurements: counts for `threshold`, a document for `expr`.

Counts: `files_examined`, `files_not_clean`, `skipped`, `findings.SEVERITY`, and `windows` for observations. Of a
vulnerability match, what a trusted VEX statement calls `not_affected` or `fixed` is left out of findings, so triage and
gate cannot disagree. Source of the VEX states: OpenVEX specification 0.2.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from assay.core.canonical import Json
from assay.core.digests import Digest
from assay.core.errors import MalformedInput
from assay.core.outcomes import Severity
from assay.core.times import instant
from assay.evidence.predicates import Predicate
from assay.formats.dependencies.purl import read_purl
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.vex import VEX_TYPE, Claim, claims_in, settled
from assay.policy.case import Case
from assay.policy.selection import Chosen, Selection

COUNTS = ("files_examined", "files_not_clean", "skipped", *(f"findings.{severity}" for severity in Severity))
_GRADES = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))  # CVSS v3.1, table 14


def is_count(path: str, of_type: str) -> bool:
    """Whether `path` is a derived count of an alias of that type."""
    return path in COUNTS or (path == "windows" and of_type == Predicate.OBSERVATION)


def counts(case: Case, selection: Selection) -> Mapping[str, int]:
    """The derived counts of an alias. Of several assets the one with the fewest files examined speaks for all."""
    files = {target: files_of(selection, target) for target in selection.targets}
    found = {
        "files_examined": min((len(seen) for seen in files.values()), default=0),
        "files_not_clean": sum(verdict != "clean" for seen in files.values() for verdict in seen.values()),
        "skipped": sum(len(_list(c.predicate, "skipped")) + _unknown(c) for c in selection.chosen),
        "windows": sum("window" in chosen.predicate for chosen in selection.chosen),
    }
    graded = findings_by_severity(case, selection)
    return found | {f"findings.{severity}": graded[severity] for severity in map(str, Severity)}


def has_looked(selection: Selection) -> bool:
    """Whether a scan saw a file, or a match of vulnerabilities a dependency, of every asset; other types need not."""
    if selection.spec.type == Predicate.SCAN_RESULT:
        return all(files_of(selection, target) for target in selection.targets)
    if selection.spec.type == Predicate.VULNERABILITIES:
        return all(_looked_at(chosen) for chosen in selection.chosen)
    return True


def files_of(selection: Selection, target: Digest) -> Mapping[str, str]:
    """The worst verdict of each file of one asset, over all checks; any verdict but `clean` is worse than it."""
    found: dict[str, str] = {}
    for chosen in selection.chosen:
        if chosen.evidence.subjects[0] == target:
            for file in _list(chosen.predicate, "files"):
                path, verdict = str(file.get("path")), str(file.get("verdict"))
                if found.get(path, "clean") == "clean":
                    found[path] = verdict
    return found


def findings_by_severity(case: Case, selection: Selection) -> Mapping[str, int]:
    """How many findings of each severity; a check's own count where it lists fewer than it counted."""
    found = dict.fromkeys(map(str, Severity), 0)
    for chosen in selection.chosen:
        listed = [str(f.get("severity")) for f in findings_of(case, chosen)]
        counted = chosen.predicate.get("counts")
        for severity in found:
            said = counted.get(severity, 0) if isinstance(counted, dict) else 0
            found[severity] += max(listed.count(severity), said)
    return found


def findings_of(case: Case, chosen: Chosen) -> list[dict[str, Json]]:
    """The findings of one statement, in one shape for all types."""
    if chosen.evidence.type == Predicate.VULNERABILITIES:
        return list(_vulnerabilities(case, chosen))
    return _list(chosen.predicate, "findings")


def _vulnerabilities(case: Case, chosen: Chosen) -> Iterable[dict[str, Json]]:
    subject = chosen.evidence.subjects[0]
    claims = _trusted_claims(case, subject)
    for result in _list(chosen.predicate.get("scanner"), "result"):
        if not _is_settled(result, claims, subject):
            yield {"id": str(result.get("id"))} | _score(result) | _days_known(case.now, result.get("annotations"))


def _score(result: Mapping[str, Json]) -> dict[str, Json]:
    """`cvss` is the highest numeric score; without any it is left out and the severity is taken as critical."""
    scores = [score for item in _list(result, "severity") if (score := _number(item.get("score"))) is not None]
    if not scores:
        return {"severity": "critical"}
    return {"cvss": max(scores), "severity": next(name for least, name in _GRADES if max(scores) >= least)}


def _number(text: Json) -> float | None:
    try:
        found = float(text)
    except (TypeError, ValueError):
        return None
    return found if 0 <= found <= 10 else None


def _days_known(now: datetime, annotations: Json) -> dict[str, Json]:
    """Whole days since the first date that the record has been `published` or known."""
    for name in ("knownSince", "published"):
        if isinstance(annotations, dict) and isinstance(annotations.get(name), str):
            try:
                return {"days_known": max(0, (now - instant(annotations[name])).days)}
            except MalformedInput:
                return {}
    return {}


def _trusted_claims(case: Case, subject: Digest) -> list[Claim]:
    """What VEX statements about an asset claim, oldest first."""
    found: list[Claim] = []
    for evidence in case.by_subject.get(subject, ()):
        meant = evidence.type == VEX_TYPE or evidence.type.startswith(f"{VEX_TYPE}/")
        if meant and case.is_trusted(evidence) and case.has_good_times(evidence):
            found += claims_in(evidence.predicate, subject, evidence.digest)
    return found


def _is_settled(result: Mapping[str, Json], claims: Sequence[Claim], subject: Digest) -> bool:
    """Whether the newest claim about it says for each package that it hits that it does not matter here."""
    notes = result.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    names = frozenset((str(result.get("id")), *map(str, notes.get("aliases", ()))))
    packages = [purl for text in notes.get("packages", ()) if (purl := read_purl(text)) is not None]
    hit = [Dependency(purl.ecosystem, purl.name, purl.version, "") for purl in packages] or [
        Dependency("", "", None, "")
    ]
    return bool(claims) and all(settled(claims, one, names, subject) is not None for one in hit)


def _looked_at(chosen: Chosen) -> bool:
    coverage = chosen.predicate.get("assay_coverage")
    said = coverage.get("looked") if isinstance(coverage, dict) else None
    return said > 0 if isinstance(said, int) else bool(_list(chosen.predicate.get("scanner"), "result"))


def _unknown(chosen: Chosen) -> int:
    return len(_list(chosen.predicate.get("assay_coverage"), "unknown"))


def _list(value: Json, name: str) -> list[dict[str, Json]]:
    """The mappings of a list field; [] where there is none."""
    items = value.get(name) if isinstance(value, Mapping) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, (list, tuple)) else []
