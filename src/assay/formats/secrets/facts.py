"""What is said about a credential: where it is and what kind, never what it is."""

from __future__ import annotations

from dataclasses import dataclass

from assay.core.outcomes import Severity

REMEDY = "revoke it at its issuer, remove it from the file and its history, and read it from the environment or a secret store"
REFS = ("cwe:798", "mitre-atlas:AML.T0055")


@dataclass(frozen=True)
class SecretFact:
    """One credential at one place.

    `offset` and `length` are in characters of the text, `line` counts from 1. `masked` shows the vendor's public prefix
    alone. `fingerprint` is the first 16 hex digits of HMAC-SHA-256 under the caller's key: equal values have equal
    fingerprints under one key, and without the key a fingerprint tells nothing, not even by trying likely passwords.
    """

    rule: str
    name: str
    severity: Severity
    where: str
    line: int
    offset: int
    length: int
    masked: str
    fingerprint: str
    is_proved: bool
