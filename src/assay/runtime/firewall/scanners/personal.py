"""Structured personal data: payment cards, IBANs, tax and social security numbers, e-mail, telephone, IP addresses."""

from __future__ import annotations

from collections.abc import Sequence

from assay.formats.text.personal import personal_data_in
from assay.runtime.firewall.scanner import Mark, Subject

REFS = ("owasp-llm:LLM02:2026",)


def personal(subject: Subject) -> Sequence[Mark]:
    """Everything found with its exact place; rules are called `personal.card`, `personal.email` and so on."""
    return [
        Mark(f"personal.{item.kind}", *view.origin(item.start, item.end), refs=REFS)
        for view in subject.views.exact
        for item in personal_data_in(view.text)
    ]
