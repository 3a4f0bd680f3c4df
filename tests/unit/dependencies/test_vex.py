"""VEX documents: what is signed is OpenVEX, whatever the form it came in, and what cannot be used is refused whole."""

from __future__ import annotations

from typing import Any

import pytest

from assay.core.errors import MalformedInput
from assay.formats.dependencies.values import Dependency
from assay.formats.dependencies.vex import claims_in, openvex_of, settled

SUBJECT, STATEMENT = "ab" * 32, "cd" * 32


def cyclonedx(state: str = "not_affected", **other: Any) -> dict[str, Any]:
    component = {"bom-ref": "a", "purl": "pkg:pypi/acme@1.0"}
    return {
        "bomFormat": "CycloneDX", "components": [component],
        "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": state}, "affects": [{"ref": "a"}]} | other],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "is_settled"),
    [("not_affected", True), ("false_positive", True), ("resolved", True), ("resolved_with_pedigree", True),
     ("exploitable", False), ("in_triage", False)],
)  # fmt: skip
def test_every_state_of_cyclonedx_has_its_status(state: str, is_settled: bool) -> None:
    claims = list(claims_in(openvex_of(cyclonedx(state), "x"), SUBJECT, STATEMENT))
    hit = Dependency("PyPI", "Acme", "1.0", "r:1")
    other = Dependency("PyPI", "acme", "1.1", "r:1")
    assert (settled(claims, hit, frozenset({"CVE-1"}), SUBJECT) is not None) is is_settled
    assert settled(claims, other, frozenset({"CVE-1"}), SUBJECT) is None


def test_openvex_stays_as_it_is() -> None:
    document = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "ada",
                "statements": [{"vulnerability": {"name": "CVE-1"}, "status": "fixed"}]}  # fmt: skip
    assert openvex_of(document, "x") == document


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"statements": []}, {"@context": "https://openvex.dev/ns/v0.2.0"},
        {"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"vulnerability": {"name": "C"}, "status": "maybe"}]},
        {"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"status": "fixed"}]},
        {"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"vulnerability": "C", "status": "fixed"}, 7]},
        {"bomFormat": "CycloneDX"}, cyclonedx("fine"), cyclonedx(analysis={}), cyclonedx(id=None),
        cyclonedx(affects=[{"ref": "nobody"}]),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_used_whole_is_refused(document: Any) -> None:
    with pytest.raises(MalformedInput):
        openvex_of(document, "x")
