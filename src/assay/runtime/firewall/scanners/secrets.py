"""Credentials: the engine of the `code.secrets` check, over every reading of a text that keeps its case."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.core.errors import MalformedInput
from assay.formats.secrets.engine import secrets_in
from assay.formats.secrets.glance import anchor_patterns
from assay.formats.text.patterns import PatternSet, utf8
from assay.runtime.firewall.scanner import Mark, NotRun, Subject

REFS = ("owasp-llm:LLM02:2026", "cwe:798")
_ANCHORS = PatternSet(anchor_patterns())


def secrets(subject: Subject) -> Sequence[Mark]:
    """Every credential with its exact place; one inside an encoding has the place of the encoded piece."""
    marks = []
    try:
        for view in subject.views.exact:
            present = _ANCHORS.found_in(utf8(view.text))
            for fact in secrets_in(view.text, "", occur=partial(_said, present)) if present else ():
                marks.append(Mark(fact.rule, *view.origin(fact.offset, fact.offset + fact.length), refs=REFS))
    except MalformedInput as error:
        raise NotRun(error.what) from error
    return marks


def _said(present: frozenset[str], text: str) -> frozenset[str]:
    return present
