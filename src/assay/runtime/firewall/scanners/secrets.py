"""Credentials: the engine of the `code.secrets` check, over every reading of a text."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.errors import MalformedInput
from assay.formats.secrets.engine import secrets_in
from assay.runtime.firewall.scanner import Mark, NotRun, Subject

REFS = ("owasp-llm:LLM02:2026", "cwe:798")


def secrets(subject: Subject) -> Sequence[Mark]:
    """Every credential with its exact place."""
    try:
        facts = list(secrets_in(subject.segment.text, ""))
    except MalformedInput as error:
        raise NotRun(error.what) from error
    return [Mark(fact.rule, fact.offset, fact.offset + fact.length, refs=REFS) for fact in facts]
