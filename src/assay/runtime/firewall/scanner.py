"""What a scanner is: a name, and a function from one text to marks.

A scanner looks at the whole text or raises; what it could not look at is never a pass. It is pure: the same text,
context and policy give the same marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from assay.formats.text.views import Views, views_of
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.values import Context, Segment, ToolCall


class NotRun(Exception):
    """The scanner could not look at the whole text; the argument says why."""


class TimedOut(NotRun):
    """It was abandoned at its deadline."""


class Mark(NamedTuple):
    """Something that a scanner saw at `start` to `end` of the text, with a score in 0..1."""

    rule: str
    start: int
    end: int
    score: float = 1.0
    refs: tuple[str, ...] = ()


@dataclass
class Subject:
    """One segment as the scanners see it; what several of them need is made once, when first asked for."""

    segment: Segment
    policy: FirewallPolicy
    context: Context
    call: ToolCall | None = None
    deadline_s: float = 0.0  # when, on the monotonic clock, the running scanner must be done

    @cached_property
    def views(self) -> Views:
        """The text as it is and as it reads without disguise."""
        return views_of(self.segment.text)


Scan = Callable[[Subject], Sequence[Mark]]
