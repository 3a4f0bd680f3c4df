"""Statements: in-toto Statement v1 values, before anything is signed.

Source: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from assay.core.canonical import Json, canonical, parse
from assay.core.digests import Digest, is_digest, sha256
from assay.core.errors import MalformedInput

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_SUBJECTS = 1000


@dataclass(frozen=True)
class Subject:
    """What a statement is about: a name for people and the digest that counts."""

    name: str
    sha256: Digest


@dataclass(frozen=True)
class Statement:
    """A claim of `type` about `subjects`; `subjects[0]` is the asset, further ones are aliases of it."""

    subjects: tuple[Subject, ...]
    type: str
    predicate: Mapping[str, Json]

    @property
    def subject(self) -> Digest:
        """The digest of the asset that this is about."""
        return self.subjects[0].sha256

    @cached_property
    def payload(self) -> bytes:
        """The canonical bytes that are signed."""
        subjects = [{"digest": {"sha256": s.sha256}, "name": s.name} for s in self.subjects]
        return canonical(
            {"_type": STATEMENT_TYPE, "predicate": self.predicate, "predicateType": self.type, "subject": subjects}
        )

    @cached_property
    def digest(self) -> Digest:
        """The name of the statement: sha256 of its payload, so another signature over it is no other statement."""
        return sha256(self.payload)

    @classmethod
    def parse(cls, payload: bytes) -> Statement:
        """Reads a payload whose signature was verified.

        Raises:
            MalformedInput: not a Statement v1 with 1 to 1,000 subjects that each have a sha256.
        """
        value = parse(payload, what="statement")
        if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE:
            raise MalformedInput("statement has another type", f"expected _type {STATEMENT_TYPE}")
        kind, predicate, subjects = value.get("predicateType"), value.get("predicate", {}), value.get("subject")
        if not isinstance(kind, str) or not isinstance(predicate, dict) or not isinstance(subjects, list):
            raise MalformedInput("statement is malformed", "predicateType, predicate or subject is missing")
        if not 1 <= len(subjects) <= MAX_SUBJECTS:
            raise MalformedInput("statement is malformed", f"{len(subjects)} subjects; 1 to {MAX_SUBJECTS} are read")
        made = cls(tuple(_subject(item) for item in subjects), kind, predicate)
        made.__dict__["payload"] = payload  # the bytes as signed stand, canonical or not
        return made


def _subject(item: Json) -> Subject:
    digests = item.get("digest") if isinstance(item, dict) else None
    found = digests.get("sha256") if isinstance(digests, dict) else None
    if not isinstance(found, str) or not is_digest(found):
        raise MalformedInput("statement is malformed", "a subject has no sha256 digest")
    name = item.get("name", "")
    return Subject(name if isinstance(name, str) else "", found)
