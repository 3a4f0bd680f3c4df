"""Text that people do not see and models read: tag characters, variation selectors, zero-width and bidirectional marks.

What scripts and emoji need is left alone: joiners in Indic and Persian words, flags, balanced isolates in right-to-left text.
Sources: Unicode 16, UTS 51 (flags), UAX 9; Boucher and Anderson, Trojan Source, 2021 (CVE-2021-42574).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.runtime.firewall.scanner import Mark, Subject

REFS = ("owasp-llm:LLM01:2026", "mitre-atlas:AML.T0068")
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
_ANY = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202d\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0001-\U000e01ef]")
# NOTE: Python's own `re` is linear here: every pattern is one character class, repeated.
_RULES = (
    ("hidden.tag-characters", 1.0, re.compile("[\U000e0001-\U000e007f]+")),
    ("hidden.variation-selectors", 1.0, re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")),
    ("hidden.bidi-override", 1.0, re.compile("[\u202d\u202e]+")),
    (
        "hidden.zero-width",
        0.8,
        re.compile("(?<=[A-Za-z0-9])[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\u180e\u034f]+(?=[A-Za-z0-9])"),
    ),
)


def hidden(subject: Subject) -> Sequence[Mark]:
    """Runs of characters that are not shown."""
    text = subject.segment.text
    if text.isascii() or not _ANY.search(text):
        return ()
    flags = [found.span() for found in _FLAG.finditer(text)]
    return [
        Mark(rule, *found.span(), score, REFS)
        for rule, score, pattern in _RULES
        for found in pattern.finditer(text)
        if not any(start <= found.start() < end for start, end in flags)
    ]
