"""The core: runs the scanners that the policy names over segments and draws one verdict from what they say.

    firewall = Firewall(policy)
    verdict = firewall.check(Segment("..."), route="chat")

Safe for many threads: a firewall holds nothing that changes but its memory, if it is given one. It prints, logs and opens nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.core.digests import sha256
from assay.runtime.firewall.memory import Memory, Said, key_of
from assay.runtime.firewall.policy import Block, FirewallPolicy, Setting
from assay.runtime.firewall.redaction import redacted
from assay.runtime.firewall.scanner import Mark, NotRun, Scan, Subject, TimedOut
from assay.runtime.firewall.scanners.classifier import classifier, warm
from assay.runtime.firewall.scanners.exfiltration import exfiltration
from assay.runtime.firewall.scanners.hidden import hidden
from assay.runtime.firewall.scanners.injection import MODEL_RULE, injection
from assay.runtime.firewall.scanners.leak import leak
from assay.runtime.firewall.scanners.personal import personal
from assay.runtime.firewall.scanners.secrets import secrets
from assay.runtime.firewall.scanners.tool_call import strings_in, tool_call
from assay.runtime.firewall.scanners.tool_definition import tool_definition
from assay.runtime.firewall.values import (
    Action,
    Context,
    Hit,
    Role,
    ScannerRecord,
    Segment,
    Source,
    State,
    ToolCall,
    Verdict,
)

SCANNERS: Mapping[str, Scan] = {
    "secrets": secrets, "personal": personal, "hidden": hidden, "injection": injection, "exfiltration": exfiltration,
    "leak": leak, "tool-call": tool_call, "tool-definition": tool_definition, "classifier": classifier,
}  # fmt: skip
# Their strongest mark, hit or not, makes the score of the verdict.
SCORED = frozenset(["injection", "classifier"])
# They look at the text alone, so what they said of it can be remembered.
LASTING = frozenset(["secrets", "personal", "hidden", "injection", "exfiltration", "classifier"])
EMPTY, NOTHING = Context(), Said(State.PASSED)


class Firewall:
    """One policy, ready to check; where it names a classifier, making one waits until that is loaded."""

    def __init__(
        self, policy: FirewallPolicy, scanners: Mapping[str, Scan] = SCANNERS, memory: Memory | None = None
    ) -> None:
        """Makes it; with a memory what came before is not scanned again, for scanners that look at the text alone."""
        self.policy = policy
        self._scanners, self._memory = scanners, memory
        if policy.classifier is not None and policy.uses("classifier"):
            warm(policy.classifier)

    def check(self, segments: Segment | Sequence[Segment], route: str = "default", context: Context = EMPTY) -> Verdict:
        """Scans every segment; never raises because of what a text holds.

        Args:
            route: Names the part of the policy; a route that it does not know is undecided and blocked.
            context: What some scanners compare with.
        """
        given = (segments,) if isinstance(segments, Segment) else tuple(segments)
        call = _Call(self.policy, self._scanners, context, route, self._memory)
        if refusal := self._refusal(given, route):
            return call.verdict(given, refusal)
        for number, segment in enumerate(given):
            call.scan(number, segment)
        return call.verdict(given, "")

    def check_call(self, call: ToolCall, route: str = "default", context: Context = EMPTY) -> Verdict:
        """Scans the call of a tool that a model asks for: what stands in it as text, and the call itself.

        The policy's block for role assistant and source output applies. What JSON escapes hide is scanned as a second
        segment; it cannot be redacted in place, so what asks for that is blocked.
        """
        said = "\n".join(strings_in(call.arguments)) if "\\" in call.arguments else ""
        texts = [text for text in (call.arguments, said) if text or text is call.arguments]
        segments = [Segment(text, Role.ASSISTANT, Source.OUTPUT) for text in texts]
        running = _Call(self.policy, self._scanners, context, route)
        if refusal := self._refusal(segments, route):
            return running.verdict(segments, refusal)
        running.scan(0, segments[0], call)
        for segment in segments[1:]:
            running.scan(1, segment)
            running.hits = [replace(hit, action=Action.BLOCK) if _is_out_of_reach(hit) else hit for hit in running.hits]
        return running.verdict(segments, "")

    def _refusal(self, segments: Sequence[Segment], route: str) -> str:
        limits = self.policy.limits
        if route not in self.policy.routes:
            return "the policy has no such route"
        if len(segments) > limits.max_segments:
            return f"more than {limits.max_segments} segments"
        if sum(len(segment.text) for segment in segments) > limits.max_chars:
            return f"more than {limits.max_chars} characters"
        return ""


class _Call:
    """One call while it runs."""

    def __init__(
        self,
        policy: FirewallPolicy,
        scanners: Mapping[str, Scan],
        context: Context,
        route: str,
        memory: Memory | None = None,
    ) -> None:
        self.policy, self.scanners, self.context, self.route = policy, scanners, context, route
        self.memory = memory
        self.hits: list[Hit] = []
        self.records: list[ScannerRecord] = []
        self.score = 0.0

    def scan(self, number: int, segment: Segment, call: ToolCall | None = None) -> None:
        block = self.policy.routes[self.route].block(segment.role, segment.source)
        if block is None:
            why = f"no block of the route is for role {segment.role} and source {segment.source}"
            self.records.append(ScannerRecord("policy", State.SKIPPED, number, why))
        elif not self._is_allowed(segment.text):
            self._scan_block(number, segment, block, call)

    def _is_allowed(self, text: str) -> bool:
        allowed = self.policy.allowed_texts
        return bool(allowed) and sha256(text.encode("utf-8", "surrogatepass")) in allowed

    def _scan_block(self, number: int, segment: Segment, block: Block, call: ToolCall | None) -> None:
        subject = Subject(segment, self.policy, self.context, call)
        # What streams out comes in ever new pieces, which would push out what does come again.
        memory = self.memory if segment.source is not Source.OUTPUT else None
        key = key_of(self.policy.digest, self.route, segment) if memory else b""
        known = memory.recall(key) if memory else {}
        told: dict[str, Said] = {}
        for setting in block.scanners:
            if setting.scanner == "tool-call" and call is None:
                continue  # it asks about calls only
            begun = time.monotonic()
            subject.deadline_s = begun + setting.deadline_ms / 1000
            said = known.get(setting.scanner) or self._run(subject, setting)
            self._take(number, setting, said, int((time.monotonic() - begun) * 1e6))
            told[setting.scanner] = said
        self.score = max(self.score, score_of(told))
        lasting = {name: said for name, said in told.items() if name in LASTING and said.state.has_run}
        if "views" in vars(subject) and (refused := subject.views.refused):
            self.records.append(ScannerRecord("views", State.FAILED, number, refused))
        elif memory and len(lasting) > len(known):
            memory.keep(key, lasting)

    def _take(self, number: int, setting: Setting, said: Said, took_us: int) -> None:
        self.hits += [replace(hit, segment=number) for hit in said.hits] if number else said.hits
        self.records.append(ScannerRecord(setting.scanner, said.state, number, said.why, took_us, setting.fails_open))

    def _run(self, subject: Subject, setting: Setting) -> Said:
        """Asks one scanner; its hits are those of segment 0."""
        if setting.deadline_ms <= 0:
            return Said(State.TIMED_OUT, why="its deadline is 0 ms")
        try:
            marks = self.scanners[setting.scanner](subject)
        except TimedOut as late:
            return Said(State.TIMED_OUT, why=str(late))
        except NotRun as refused:
            return Said(State.FAILED, why=str(refused))
        except KeyError:
            return Said(State.SKIPPED, why="there is no such scanner here")
        except Exception as error:  # noqa: BLE001 - a fault in a scanner must neither end the request nor pass it
            return Said(State.FAILED, why=f"{type(error).__name__} in the scanner")
        if not marks:
            return NOTHING
        score = max([mark.score for mark in marks]) if setting.scanner in SCORED else 0.0
        hits = tuple([hit for mark in marks if (hit := self._hit(mark, setting)) is not None])
        return Said(State.HIT if hits else State.PASSED, hits, score)

    def _hit(self, mark: Mark, setting: Setting) -> Hit | None:
        if mark.score >= setting.threshold:
            action = setting.action_for(mark.rule)
        elif setting.flag_at is not None and mark.score >= setting.flag_at:
            action = Action.FLAG
        else:
            return None
        return Hit(setting.scanner, mark.rule, mark.start, mark.end, mark.score, action, mark.refs)

    def verdict(self, segments: Sequence[Segment], refusal: str) -> Verdict:
        """The strongest action that any hit asks for; a scanner that did not run and may not fail open blocks."""
        reason = refusal
        if refusal:
            self.records.append(ScannerRecord("policy", State.SKIPPED, 0, refusal))
        for record in self.records:
            if not record.state.has_run and not record.fails_open:
                reason = reason or f"{record.name} did not run: {record.why}"
        worst = Action.ALLOW
        hits: tuple[Hit, ...] = ()
        if self.hits:
            worst = max((hit.action for hit in self.hits), key=lambda action: action.rank)
            hits = tuple(sorted(self.hits, key=lambda hit: (hit.segment, hit.start, hit.end, hit.rule)))
        proposed = Action.BLOCK if reason else worst
        action = Action.ALLOW if self.policy.is_dry_run else proposed
        texts = tuple(segment.text for segment in segments)
        if action is Action.REDACT:
            texts = tuple(redacted(text, [h for h in hits if h.segment == i]) for i, text in enumerate(texts))
        return Verdict(
            action, proposed, self.score, hits, tuple(self.records), texts, self.policy.digest, self.route, reason
        )


def score_of(told: Mapping[str, Said]) -> float:
    """The injection score of one segment. What a classifier was asked about it has settled, but for what rules found."""
    found, settled = told.get("injection", NOTHING), told.get("classifier", NOTHING)
    if settled.score:
        return max([settled.score, *(hit.score for hit in found.hits if hit.rule != MODEL_RULE)])
    return found.score


def _is_out_of_reach(hit: Hit) -> bool:
    """Whether it asks for a redaction of text that only escapes hold."""
    return hit.segment > 0 and hit.action is Action.REDACT
