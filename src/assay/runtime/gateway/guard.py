"""One exchange with a model under the firewall: what came in, what may go out, and a note of every verdict.

    guard = Guard(firewall, "default", note)
    guard.request(body, context)       scans a request; redacts it in place, or raises Blocked
    guard.answer(body)                 the same for a whole answer
    guard.channel()                    a held-back channel for streamed text
    guard.tool_call(name, arguments)   a complete call of a tool, before the client sees it
    guard.free_call(name, text)        the same for a tool that takes plain text

The policy that an exchange began with judges it to its end, whatever is reloaded meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from assay.core.canonical import Json, compact, parse
from assay.core.errors import AssayError
from assay.runtime.firewall.policy import FirewallPolicy
from assay.runtime.firewall.redaction import mark_of, redacted
from assay.runtime.firewall.stream import HoldBack, Span
from assay.runtime.firewall.values import Action, Context, Hit, Role, Segment, Source, ToolCall, Verdict
from assay.runtime.gateway.shapes import Body, Part, Shape, body_of

MAX_REMEMBERED = 256
_BETWEEN = "\n"  # stands between loose texts that are judged together


class Blocked(AssayError):
    """The firewall's policy blocks what was sent or answered; `verdict` says by which rules."""

    code, exit_code = "A-BLOCKED", 1

    def __init__(self, verdict: Verdict, place: str) -> None:
        rules = sorted({hit.rule for hit in verdict.hits if hit.action is Action.BLOCK})
        why = verdict.reason or f"rules {', '.join(rules[:5])}"
        super().__init__(f"the firewall blocked this {place}", why, "see the firewall's record of this request")
        self.verdict, self.place = verdict, place

    @property
    def is_undecided(self) -> bool:
        """Whether something that had to be looked at was not."""
        return bool(self.verdict.reason)


class Check(Protocol):
    """What a firewall can be asked."""

    policy: FirewallPolicy

    def check(self, segments: Segment | Sequence[Segment], route: str = ..., context: Context = ...) -> Verdict:
        """One verdict over all segments."""

    def check_call(self, call: ToolCall, route: str = ..., context: Context = ...) -> Verdict:
        """One verdict over the call of a tool; the first of its texts are the arguments."""


@dataclass(frozen=True)
class Noted:
    """One verdict and the place that it was about: request, answer, stream, tool call or error."""

    place: str
    verdict: Verdict
    unscanned: tuple[str, ...] = ()


Note = Callable[[Noted], None]


class Guard:
    """The verdicts of one exchange."""

    def __init__(self, firewall: Check, route: str, note: Note, context: Context | None = None) -> None:
        self._firewall, self._route, self._note = firewall, route, note
        self._context = context or Context()
        self._texts: dict[str, str] = {}
        self._calls: dict[tuple[str, str], str] = {}
        self._told: set[tuple[str, str]] = set()

    def request(self, body: Body) -> None:
        """Judges a request and redacts it in place.

        Raises:
            Blocked: nothing of it may go on.
        """
        self._judge(body.parts, body, "request")

    def answer(self, body: Body, place: str = "answer") -> None:
        """Judges an answer and redacts it in place.

        Raises:
            Blocked: nothing of it may go out.
        """
        self._judge(body.parts, body, place)

    def channel(self) -> HoldBack:
        """A channel whose text is held back until it is known what it is."""
        return HoldBack(self._spans, self._whole)

    def output(self, text: str) -> str:
        """A whole text of the model as its stream would have come out.

        Raises:
            Blocked: it may not go out.
        """
        if text not in self._texts:
            channel = self.channel()
            said = channel.feed(text) + channel.end()
            if len(self._texts) >= MAX_REMEMBERED:
                self._texts.clear()
            self._texts[text] = said
        return self._texts[text]

    def tool_call(self, name: str, arguments: str) -> str:
        """The arguments of a complete call as they may go out.

        Raises:
            Blocked: the call may not go out.
        """
        if (name, arguments) not in self._calls:
            verdict = self._firewall.check_call(ToolCall(name, arguments), self._route, self._context)
            self._take(verdict, "tool call")
            self._calls[name, arguments] = verdict.texts[0]
        return self._calls[name, arguments]

    def free_call(self, name: str, text: str) -> str:
        """The text of a complete call of a tool without a schema, judged as an argument called `input`.

        Raises:
            Blocked: the call may not go out.
        """
        given = compact({"input": text})
        said = self.tool_call(name, given)
        return text if said == given else str(parse(said.encode("utf-8"), what="the input of a redacted call")["input"])

    def _judge(self, parts: Sequence[Part], body: Body, place: str) -> None:
        if not parts:
            return
        groups = list(_grouped(parts))
        verdict = self._firewall.check([group.segment for group in groups], self._route, self._context)
        self._take(verdict, place, tuple(sorted(body.unscanned)))
        if verdict.action is not Action.REDACT:
            return
        for number, group in enumerate(groups):
            hits = [hit for hit in verdict.hits if hit.segment == number and hit.action is Action.REDACT]
            for part, own in group.shares(hits) if hits else ():
                body.replace(part, redacted(part.text, own))

    def _spans(self, text: str) -> Sequence[Span]:
        verdict = self._firewall.check(Segment(text, Role.ASSISTANT, Source.OUTPUT), self._route, self._context)
        if verdict.action is Action.BLOCK or self._is_news(verdict, text):
            self._take(verdict, "stream")
        if verdict.action is not Action.REDACT:
            return ()
        return [Span(hit.start, hit.end, mark_of(hit)) for hit in verdict.hits if hit.action is Action.REDACT]

    def _is_news(self, verdict: Verdict, text: str) -> bool:
        """Whether a window of a stream shows something that the windows before it did not."""
        seen = {(hit.rule, text[hit.start : hit.end]) for hit in verdict.hits}
        if verdict.proposed is Action.ALLOW or (seen and seen <= self._told):
            return False
        if len(self._told) < MAX_REMEMBERED:
            self._told |= seen
        return True

    def _whole(self, text: str) -> None:
        verdict = self._firewall.check(Segment(text, Role.ASSISTANT, Source.OUTPUT), self._route, self._context)
        self._note(Noted("stream", verdict))
        if verdict.action in (Action.BLOCK, Action.REDACT):
            raise Blocked(verdict, "answer")

    def _take(self, verdict: Verdict, place: str, unscanned: tuple[str, ...] = ()) -> None:
        self._note(Noted(place, verdict, unscanned))
        if verdict.action is Action.BLOCK:
            raise Blocked(verdict, place)


@dataclass(frozen=True)
class _Group:
    """Parts that are judged as one segment."""

    parts: tuple[Part, ...]

    @property
    def segment(self) -> Segment:
        first = self.parts[0]
        return Segment(_BETWEEN.join(part.text for part in self.parts), first.role, first.source)

    def shares(self, hits: Sequence[Hit]) -> Iterable[tuple[Part, list[Hit]]]:
        """Each part that hits touch, with the hits moved and cut to it."""
        at = 0
        for part in self.parts:
            size = len(part.text)
            own = [
                replace(hit, start=max(0, hit.start - at), end=min(size, hit.end - at))
                for hit in hits
                if hit.start < at + size and hit.end > at
            ]
            if own:
                yield part, own
            at += size + len(_BETWEEN)


def _grouped(parts: Sequence[Part]) -> Iterable[_Group]:
    """Loose parts of one provenance that follow each other stand together; each other part stands alone."""
    waiting: list[Part] = []
    for part in parts:
        if waiting and not (part.is_loose and (part.role, part.source) == (waiting[0].role, waiting[0].source)):
            yield _Group(tuple(waiting))
            waiting = []
        if part.is_loose:
            waiting.append(part)
        else:
            yield _Group((part,))
    if waiting:
        yield _Group(tuple(waiting))


def scanned(value: Json, shape: Shape, guard: Guard) -> None:
    """Judges what stands in a part of an answer along `shape`, and redacts it in place.

    Raises:
        UnknownPart: it does not fit.
        Blocked: it may not go out.
    """
    guard.answer(body_of(value, shape))
