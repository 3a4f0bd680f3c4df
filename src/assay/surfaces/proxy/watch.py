"""What is told of exchanges: events for the record, metrics for scrapers, spans for those who asked for them.

An event holds digests, rule ids and counts; never a text, never a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from assay.core.canonical import Json
from assay.runtime.firewall.values import Action, Verdict
from assay.runtime.gateway.guard import Noted
from assay.runtime.gateway.rewriting import Usage
from assay.surfaces.proxy.refusals import Refusal

Record = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` is verdict, refused or abuse; `about` holds no text."""

    kind: str
    time_s: float
    client: str
    api: str
    about: Json
    verdict: Verdict | None = None


class Meter(Protocol):
    """Who counts exchanges; metrics and tracing are such."""

    def begun(self, seen: Watch) -> None:
        """An exchange begins."""

    def judged(self, seen: Watch, noted: Noted) -> None:
        """A verdict was drawn."""

    def ended(self, seen: Watch) -> None:
        """An exchange ended; `seen` says how."""


@dataclass
class Watch:
    """What is seen of one exchange. It tells `record` of verdicts and refusals, and the meters of everything."""

    client: str
    api: str
    operation: str
    record: Record
    meters: tuple[Meter, ...] = ()
    model: str = ""
    request: Json = None
    answer: Json = None
    status: int = 200
    code: str = ""
    usage: Usage = field(default_factory=Usage)
    action: Action = Action.ALLOW
    began_s: float = field(default_factory=time.perf_counter)
    first_s: float | None = None
    is_blocked: bool = False

    def __post_init__(self) -> None:
        for meter in self.meters:
            meter.begun(self)

    def noted(self, noted: Noted) -> None:
        """A verdict on one part of the exchange."""
        verdict = noted.verdict
        if verdict.action.rank > self.action.rank:
            self.action = verdict.action
        about = {"place": noted.place, "unscanned": list(noted.unscanned)}
        self.record(Event("verdict", time.time(), self.client, self.api, about, verdict))
        for meter in self.meters:
            meter.judged(self, noted)

    def asked(self, request: dict[str, Json]) -> None:
        """The request as it came."""
        model = request.get("model")
        self.model, self.request = (model if isinstance(model, str) else ""), request

    def answered(self, status: int) -> None:
        """The server answered."""
        self.status = status

    def began(self) -> None:
        """The first part of an answer goes out."""
        self.first_s = time.perf_counter()

    def said(self, answer: Json) -> None:
        """The whole answer as it goes out."""
        self.answer = answer

    def used(self, usage: Usage) -> None:
        """The tokens that were used."""
        self.usage = usage

    def refused(self, refusal: Refusal) -> None:
        """The exchange ended with a refusal."""
        self.status, self.code = refusal.status, refusal.reason
        self.is_blocked = refusal.reason == "firewall_blocked"
        self.record(
            Event("refused", time.time(), self.client, self.api, {"code": refusal.reason, "status": refusal.status})
        )

    def ended(self) -> None:
        """The exchange is over."""
        for meter in self.meters:
            meter.ended(self)
