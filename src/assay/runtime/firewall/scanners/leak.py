"""What must never come out: canaries, and the words of the system prompt.

A canary is looked for in every reading, forwards, backwards, and with whatever stands between its letters left out. The
system prompt is compared by runs of eight words: three distinct runs, or 15 % of them, are a leak.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from assay.formats.text.fold import folded
from assay.formats.text.views import View
from assay.runtime.firewall.scanner import Mark, Subject

REFS = ("owasp-llm:LLM08:2026", "mitre-atlas:AML.T0056")
WIDTH, MIN_RUNS, MIN_SHARE, MIN_CANARY = 8, 3, 0.15, 6
_WORD = re.compile(r"\w+")
_NO_WORD = re.compile(r"[\W_]+")


def leak(subject: Subject) -> Sequence[Mark]:
    """Canaries and system prompts of the context that stand in the text."""
    found: list[Mark] = []
    for view in subject.views:
        for canary in subject.context.canaries:
            found += _canary(folded(canary), view)
        for prompt in subject.context.system_prompts:
            found += _prompt(prompt, view)
    return found


def _canary(canary: str, view: View) -> list[Mark]:
    if len(canary) < MIN_CANARY:
        return []
    marks = []
    for wanted in (canary, canary[::-1]):
        at = view.text.find(wanted)
        if at >= 0:
            marks.append(Mark("leak.canary", *view.origin(at, at + len(wanted)), refs=REFS))
    if not marks:
        tight, wanted = _NO_WORD.sub("", view.text), _NO_WORD.sub("", canary)
        if len(wanted) >= MIN_CANARY and (wanted in tight or wanted[::-1] in tight):
            marks.append(Mark("leak.canary", *view.origin(0, len(view.text)), refs=REFS))
    return marks


def _prompt(prompt: str, view: View) -> list[Mark]:
    known = _runs(prompt)
    words = list(_WORD.finditer(view.text))
    if not known or len(words) < WIDTH:
        return []
    said = [word.group() for word in words]
    hits = [i for i in range(len(said) - WIDTH + 1) if " ".join(said[i : i + WIDTH]) in known]
    distinct = len({" ".join(said[i : i + WIDTH]) for i in hits})
    if not hits or (distinct < MIN_RUNS and distinct < MIN_SHARE * len(known)):
        return []
    place = view.origin(words[hits[0]].start(), words[hits[-1] + WIDTH - 1].end())
    return [Mark("leak.system-prompt", *place, refs=REFS)]


@lru_cache(maxsize=64)
def _runs(prompt: str) -> frozenset[str]:
    """Every run of eight words of a system prompt."""
    words = _WORD.findall(folded(prompt))
    return frozenset(" ".join(words[i : i + WIDTH]) for i in range(len(words) - WIDTH + 1))
