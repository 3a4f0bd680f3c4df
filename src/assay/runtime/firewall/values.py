"""What the firewall is asked and what it answers: segments in, one verdict out.

verdict = firewall.check(Segment("Ignore all previous instructions", Role.USER, Source.USER))
verdict.action      what to do; in a dry run always `allow`
verdict.proposed    what the policy says
verdict.undecided   the scanners that had to run and did not
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from assay.core.canonical import Json
from assay.core.digests import Digest, digest_of, sha256


class Role(StrEnum):
    """Who speaks in the conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Source(StrEnum):
    """Where the text came from; only the operator is trusted."""

    OPERATOR = "operator"
    USER = "user"
    DOCUMENT = "document"
    TOOL = "tool"
    OUTPUT = "output"


class Action(StrEnum):
    """What is done about a text, mildest first."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"

    @property
    def rank(self) -> int:
        """0 for allow up to 3 for block."""
        return _RANKS[self]


_RANKS = {action: rank for rank, action in enumerate(Action)}


class State(StrEnum):
    """How a scanner ended; only the first two say that it looked at the whole text."""

    PASSED = "passed"
    HIT = "hit"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"

    @property
    def has_run(self) -> bool:
        """Whether the whole text was looked at."""
        return self is State.PASSED or self is State.HIT


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of text with its provenance."""

    text: str
    role: Role = Role.USER
    source: Source = Source.USER


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model wants made; `arguments` is the JSON text as it came."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing found. `start` and `end` are characters of the text of segment `segment`; `score` lies in 0..1.

    `refs` name the rule in public catalogues, such as `owasp-llm:LLM01:2026`. The matched text is never held.
    """

    scanner: str
    rule: str
    start: int
    end: int
    score: float
    action: Action
    refs: tuple[str, ...] = ()
    segment: int = 0

    def json(self) -> Json:
        """The hit as canonical JSON can say it; the score in millionths."""
        return {
            "action": str(self.action), "end": self.end, "refs": list(self.refs), "rule": self.rule, "scanner": self.scanner,
            "score_ppm": round(self.score * 1e6), "segment": self.segment, "start": self.start,
        }  # fmt: skip


class ScannerRecord(NamedTuple):
    """How one scanner ended on one segment; `why` is told where it did not run. `took_us` is wall time."""

    name: str
    state: State
    segment: int = 0
    why: str = ""
    took_us: int = 0
    fails_open: bool = False


@dataclass(frozen=True)
class Context:
    """What the scanners may compare with; none of it is ever logged.

    Args:
        canaries: Marks that were put into prompts and must never come out.
        system_prompts: Texts whose words must not come out.
        untrusted: Texts of documents and tool results in this conversation, whence an argument of a tool call is tainted.
        tools: JSON Schema of the parameters of each tool that the request declares.
        trusted: Texts of operator and user in it; what stands there too is not tainted.
        declared: What the request says about each tool, whole.
    """

    canaries: tuple[str, ...] = ()
    system_prompts: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    tools: Mapping[str, Json] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    declared: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the firewall says about the segments of one call.

    `texts` has one text a segment, redacted where the action is `redact` and it is taken, as it came otherwise.
    `score` is that of the strongest hit or near-hit of the injection scanners, 0..1, with 0.5 where the threshold was
    calibrated; where a classifier was asked its score takes the place of the linear model's. `reason` says in words why an undecided call was blocked.
    """

    action: Action
    proposed: Action
    score: float
    hits: tuple[Hit, ...]
    scanners: tuple[ScannerRecord, ...]
    texts: tuple[str, ...]
    policy_digest: Digest
    route: str
    reason: str = ""

    @property
    def text(self) -> str:
        """The text of the only segment.

        Raises:
            ValueError: there are several; use `texts`.
        """
        (text,) = self.texts
        return text

    @property
    def undecided(self) -> tuple[ScannerRecord, ...]:
        """The scanners that the policy asked for and that did not look at everything."""
        return tuple(record for record in self.scanners if not record.state.has_run)

    @cached_property
    def digest(self) -> Digest:
        """The digest of `json()`."""
        return digest_of(self.json())

    def json(self) -> Json:
        """The verdict without any text, for records; it depends on nothing but segments, policy and what ran."""
        return {
            "action": str(self.action), "hits": [hit.json() for hit in self.hits], "policy": self.policy_digest,
            "proposed": str(self.proposed), "route": self.route, "score_ppm": round(self.score * 1e6),
            "scanners": [{"name": r.name, "segment": r.segment, "state": str(r.state), "why": r.why} for r in self.scanners],
            "texts": [sha256(text.encode("utf-8", "surrogatepass")) for text in self.texts],
        }  # fmt: skip
