"""The document that expressions read: one mapping an alias, and `asset`; and the schema that rules are checked against.

Every alias offers the derived counts, `findings`, `formats` and `metrics["NAME"]`; provenance offers `revision`,
`licence`, `builder`, `build_type` and `materials`; where an alias stands for one statement, `predicate` is what that says.
Only the parts that some rule reads are made, so a scan of a million files costs nothing unless a rule asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from assay.core.canonical import MAX_INTEGER, Json
from assay.core.digests import Digest, is_digest
from assay.core.outcomes import Severity
from assay.evidence.predicates import Predicate, schema_of
from assay.policy.case import Case
from assay.policy.offered import counts, findings_by_severity, findings_of
from assay.policy.selection import Selection

Schema = Mapping[str, Any]  # a JSON Schema, as schema_of gives it

_TEXT, _WHOLE, _NUMBER, _FLAG = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
_SEVERITY: Final[Schema] = {"type": "string", "enum": [str(severity) for severity in Severity]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_FINDING = _object(rule=_TEXT, severity=_SEVERITY, location=_TEXT, summary=_TEXT, remedy=_TEXT, refs=_array(_TEXT))
_VULNERABILITY = _object(id=_TEXT, severity=_SEVERITY, cvss=_NUMBER, days_known=_WHOLE)
_METRIC = _object(
    value=_NUMBER, low=_NUMBER, high=_NUMBER, level=_NUMBER, n=_WHOLE, unit=_TEXT, better=_TEXT, valid=_FLAG
)
_MATERIAL = _object(role=_TEXT, name=_TEXT, uri=_TEXT, digest=_TEXT, registered=_FLAG)
_RELATED = _array(_object(digest=_TEXT, registered=_FLAG))
_COUNTS = _object(**{str(severity): _WHOLE for severity in Severity})
_ORIGIN = {"revision": _TEXT, "licence": _TEXT, "builder": _TEXT, "build_type": _TEXT, "materials": _array(_MATERIAL)}

ASSET_SCHEMA: Final[Schema] = _object(
    name=_TEXT, version=_WHOLE, digest=_TEXT, kind=_TEXT, stage=_TEXT, state=_TEXT, origin=_TEXT,
    labels={"type": "object", "additionalProperties": _TEXT}, declared={"type": "object"},
    trained_on=_RELATED, tested_on=_RELATED, built_by=_RELATED, served_by=_RELATED, base=_RELATED,
    source=_object(uri=_TEXT, revision=_TEXT, licence=_TEXT, retrievedOn=_TEXT),
)  # fmt: skip


@cache
def schema_of_alias(of_type: str) -> Schema:
    """What an alias of a statement type offers to expressions."""
    found: dict[str, Schema] = {
        "files_examined": _WHOLE,
        "files_not_clean": _WHOLE,
        "skipped": _WHOLE,
        "counts": _COUNTS,
        "formats": _array(_TEXT),
        "findings": _array(_VULNERABILITY if of_type == Predicate.VULNERABILITIES else _FINDING),
        "metrics": {"type": "object", "additionalProperties": _METRIC},
        "predicate": schema_of(of_type) or {"type": "object"},
    }
    found |= {"windows": _WHOLE} if of_type == Predicate.OBSERVATION else {}
    return _object(**(found | (_ORIGIN if of_type == Predicate.PROVENANCE else {})))


def document_of(case: Case, selection: Selection, wanted: frozenset[str]) -> dict[str, Json]:
    """The `wanted` parts of an alias; a part that the evidence does not have is left out."""
    made: dict[str, Json] = {}
    if wanted & {"files_examined", "files_not_clean", "skipped", "windows"}:
        made |= counts(case, selection)
    if "counts" in wanted:
        made["counts"] = dict(findings_by_severity(case, selection))
    if "findings" in wanted:
        made["findings"] = [finding for chosen in selection.chosen for finding in findings_of(case, chosen)]
    if "formats" in wanted:
        made["formats"] = _formats(selection)
    if "metrics" in wanted:
        made["metrics"] = _metrics(selection)
    if wanted & set(_ORIGIN):
        made |= _origin(case, selection)
    if "predicate" in wanted and len(selection.chosen) == 1:
        made["predicate"] = selection.chosen[0].predicate
    known = schema_of_alias(selection.spec.type)["properties"]
    return {name: _with_points(value, known.get(name, {})) for name, value in made.items() if name in wanted}


def _with_points(value: Json, schema: Schema) -> Json:
    """Numbers that the schema does not call whole get a point: canonical JSON writes 1.0 as 1, and CEL tells them apart."""
    if isinstance(value, Mapping):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {key: _with_points(item, known.get(key, other)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = schema.get("items", {})
        return [_with_points(item, items) for item in value]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and schema.get("type") == "number" and abs(value) <= MAX_INTEGER else value


def asset_document(case: Case) -> dict[str, Json]:
    """What `asset` holds."""
    subject = case.view.subject
    found: dict[str, Json] = {
        "name": subject.name, "version": subject.version, "digest": subject.digest, "kind": str(subject.kind),
        "stage": case.view.stage, "state": subject.state, "origin": subject.origin, "labels": dict(subject.labels),
        "declared": dict(subject.declared), "source": _source(subject.source),
    }  # fmt: skip
    for relation in ("trained_on", "tested_on", "built_by", "served_by", "base"):
        digests = sorted(set(subject.related.get(relation, ())))
        found[relation] = [{"digest": digest, "registered": _is_registered(case, digest)} for digest in digests]
    return found


def _source(said: Mapping[str, str]) -> dict[str, Json]:
    """Licences are compared in lower case, as in provenance."""
    return {key: text.lower() if key == "licence" else text for key, text in said.items()}


def _formats(selection: Selection) -> list[str]:
    files = (f for chosen in selection.chosen for f in chosen.predicate.get("files", ()) if isinstance(f, dict))
    return sorted({str(file.get("format")) for file in files})


def _metrics(selection: Selection) -> dict[str, Json]:
    """Measurements over all rows by name; a name that stands twice is left out, so reading it is undecided."""
    items = [m for chosen in selection.chosen for m in chosen.predicate.get("measurements", ()) if isinstance(m, dict)]
    whole = [m for m in items if m.get("group") is None and m.get("slice") is None]
    names = [str(m.get("metric")) for m in whole]
    kept = set(_METRIC["properties"])
    return {
        name: {"valid": True} | {key: value for key, value in m.items() if key in kept}
        for name, m in zip(names, whole, strict=True)
        if names.count(name) == 1
    }


def _origin(case: Case, selection: Selection) -> dict[str, Json]:
    """What one provenance statement says of where the asset comes from; licences in lower case."""
    if len(selection.chosen) != 1:
        return {}
    predicate = selection.chosen[0].predicate
    definition = _mapping(predicate, "buildDefinition")
    outside = _mapping(definition, "externalParameters")
    materials = [_material(case, item) for item in definition.get("resolvedDependencies", ()) if isinstance(item, dict)]
    commits = {item.get("revision") for item in materials if item.get("revision")}
    licences = {item.get("licence") for item in materials if item.get("licence")}
    found: dict[str, Json] = {
        "revision": outside.get("revision") or (commits.pop() if len(commits) == 1 else None),
        "licence": outside.get("licence") or outside.get("license") or (licences.pop() if len(licences) == 1 else None),
        "builder": _mapping(_mapping(predicate, "runDetails"), "builder").get("id"),
        "build_type": definition.get("buildType"),
        "materials": [{key: item[key] for key in _MATERIAL["properties"]} for item in materials],
    }
    if isinstance(found["licence"], str):
        found["licence"] = found["licence"].lower()
    return {name: value for name, value in found.items() if value is not None}


def _material(case: Case, item: Mapping[str, Json]) -> dict[str, Json]:
    """One input of a build; it is registered if a trusted registration is about exactly its bytes."""
    digests, notes = _mapping(item, "digest"), _mapping(item, "annotations")
    digest = digests.get("sha256")
    return {
        "role": str(notes.get("role", "")),
        "name": str(item.get("name", "")),
        "uri": str(item.get("uri", "")),
        "digest": str(digest or digests.get("gitCommit") or ""),
        "registered": is_digest(digest) and _is_registered(case, str(digest)),
        "revision": notes.get("revision") or digests.get("gitCommit"),
        "licence": notes.get("licence") or notes.get("license"),
    }


def _is_registered(case: Case, digest: Digest) -> bool:
    about = case.by_subject.get(digest, ())
    return any(e.type == Predicate.REGISTRATION and case.is_trusted(e) and case.has_good_times(e) for e in about)


def _mapping(value: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
