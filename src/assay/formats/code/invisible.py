"""Characters that people do not see but programs and models read.

Bidirectional controls make code read in another order than it runs (CVE-2021-42574); tag characters and long runs of variation
selectors carry whole hidden sentences to a model; zero-width characters split or join names. What scripts need to be written
(joiners in Persian or Hindi, marks in Hebrew or Arabic, emoji sequences) is left alone.
Sources: Boucher and Anderson, Trojan Source, 2021; Unicode 15.1, UAX 9 and UTR 36.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from assay.core.outcomes import Severity
from assay.formats.code import rules
from assay.formats.code.facts import Problem, Rule, problem

_ANY = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200b\u2060-\u2064\ufeff\U000e0001\U000e0020-\U000e007f\u115f\u1160\u3164\uffa0]|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4}"
)
_OPENS, _CLOSES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068", "\u202c\u2069"
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_TAGS = re.compile("[\U000e0020-\U000e007f]")
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
_MIXED = re.compile("[A-Za-z]_?[\u0400-\u052f\u0531-\u058f]|[\u0400-\u052f\u0531-\u058f]_?[A-Za-z]")
MAX_PROBLEMS = 50


def hidden_characters(text: str, *, is_code: bool) -> Iterator[Problem]:
    """At most `MAX_PROBLEMS` of each severity, one for each line; code is held to more than prose, which may need joiners and marks."""
    told: Counter[Severity] = Counter()
    if _ANY.search(text):
        for number, line in enumerate(text.split("\n"), 1):
            if line.isascii():
                continue
            said = _said(line[1:] if number == 1 and line.startswith("\ufeff") else line, is_code)
            if said is not None and told[said[2]] < MAX_PROBLEMS:
                told[said[2]] += 1
                yield problem(said[0], said[1], number, said[2])


def _said(line: str, is_code: bool) -> tuple[Rule, str, Severity] | None:
    if _BIDI.search(line):
        depth = sum(line.count(mark) for mark in _OPENS) - sum(line.count(mark) for mark in _CLOSES)
        is_prose = not is_code and depth == 0 and _RTL.search(line)
        if not is_prose:
            return (
                rules.HIDDEN_TEXT,
                "bidirectional controls change the order in which the line is shown",
                Severity.HIGH,
            )
    if len(_TAGS.findall(_FLAG.sub("", line))) >= 1:
        return rules.HIDDEN_TEXT, "tag characters hold a text that is not shown", Severity.HIGH
    if re.search("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4}", line):
        return rules.HIDDEN_TEXT, "a run of variation selectors holds data that are not shown", Severity.HIGH
    if is_code and re.search("[\u115f\u1160\u3164\uffa0]", line):
        return rules.HIDDEN_TEXT, "a letter that is shown as nothing can be a name", Severity.HIGH
    if is_code and re.search("[\u200b\u2060-\u2064\ufeff]", line):
        return rules.HIDDEN_TEXT, "zero-width characters stand in the line", Severity.MEDIUM
    return None


def is_mixed_name(name: str) -> bool:
    """Whether Latin letters stand beside Cyrillic or Armenian ones that look like them (CVE-2021-42694)."""
    return not name.isascii() and _MIXED.search(name) is not None
