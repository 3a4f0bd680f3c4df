"""Credentials: the engine of the `code.secrets` check, over every reading of a text that keeps its case."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.errors import MalformedInput
from assay.formats.secrets.engine import secrets_in
from assay.runtime.firewall.scanner import Mark, NotRun, Subject

REFS = ("owasp-llm:LLM02:2026", "cwe:798")


def secrets(subject: Subject) -> Sequence[Mark]:
    """Every credential with its exact place; one inside an encoding has the place of the encoded piece."""
    marks = []
    try:
        for view in subject.views.exact:
            for fact in secrets_in(view.text, ""):
                marks.append(Mark(fact.rule, *view.origin(fact.offset, fact.offset + fact.length), refs=REFS))
    except MalformedInput as error:
        raise NotRun(error.what) from error
    return marks
