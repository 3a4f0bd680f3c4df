"""The predicate types that Assay writes or understands, each with a shipped JSON Schema.

Unknown types may be logged but satisfy nothing. Unknown fields are ignored; an absent optional field makes no claim.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources

from assay.core.canonical import Json
from assay.core.errors import MalformedInput
from assay.core.statements import Statement
from assay.evidence.schema import compiled


class Predicate(StrEnum):
    """Predicate type URIs."""

    REGISTRATION = "urn:assay:registration:v1"
    LABEL = "urn:assay:label:v1"
    SCAN_RESULT = "urn:assay:scan-result:v1"
    EVAL_RESULT = "urn:assay:eval-result:v1"
    PROMOTION = "urn:assay:promotion:v1"
    DEPLOYMENT = "urn:assay:deployment:v1"
    LIFECYCLE = "urn:assay:lifecycle:v1"
    APPROVAL = "urn:assay:approval:v1"
    WAIVER = "urn:assay:waiver:v1"
    WAIVER_REVOCATION = "urn:assay:waiver-revocation:v1"
    QUARANTINE = "urn:assay:quarantine:v1"
    OBSERVATION = "urn:assay:observation:v1"
    INCIDENT = "urn:assay:incident:v1"
    COMPLIANCE = "urn:assay:compliance:v1"
    PROVENANCE = "https://slsa.dev/provenance/v1"
    DECISION = "https://slsa.dev/verification_summary/v1"
    VULNERABILITIES = "https://in-toto.io/attestation/vulns/v0.2"


_FILES: Mapping[str, str] = {
    Predicate.PROVENANCE: "slsa-provenance.v1",
    Predicate.DECISION: "slsa-verification-summary.v1",
    Predicate.VULNERABILITIES: "vulns.v0.2",
}


def full_type(name: str) -> str:
    """`scan-result` and other short names of policies as URIs; URIs stay as they are."""
    return name if ":" in name else f"urn:assay:{name}:v1"


def short_type(uri: str) -> str:
    """The name that people see: `scan-result`, `provenance`, `verification_summary`."""
    parts = uri.split(":") if uri.startswith("urn:assay:") else uri.rsplit("/", 2)
    return parts[-2]


@cache
def schema_of(uri: str) -> Mapping[str, Json] | None:
    """The JSON Schema of a predicate type, or None if Assay does not know the type."""
    try:
        known = Predicate(uri)
    except ValueError:
        return None
    name = _FILES.get(known) or ".".join(known.split(":")[2:])
    text = resources.files("assay.evidence").joinpath("schemas", f"{name}.json").read_text("utf-8")
    loaded: Mapping[str, Json] = json.loads(text)
    return loaded


@cache
def _validator(uri: str) -> Callable[[Json], str] | None:
    schema = schema_of(uri)
    return None if schema is None else compiled(schema)


def problem_of(statement: Statement) -> str:
    """Why the predicate does not follow its schema; "" if it does or its type is unknown."""
    validate = _validator(statement.type)
    return "" if validate is None else validate(statement.predicate)


def check_predicate(statement: Statement) -> None:
    """Refuses a statement that its type's schema does not allow.

    Raises:
        MalformedInput: names the first field that is wrong.
    """
    if problem := problem_of(statement):
        raise MalformedInput(f"{short_type(statement.type)} statement is malformed", problem)
