"""The core: runs the scanners that the policy names over segments and draws one verdict from what they say.

    firewall = Firewall(policy)
    verdict = firewall.check(Segment("..."), route="chat")

Safe for many threads: a firewall holds nothing that changes. It prints, logs and opens nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from assay.core.digests import sha256
from assay.runtime.firewall.policy import Block, FirewallPolicy, Setting
from assay.runtime.firewall.redaction import redacted
from assay.runtime.firewall.scanner import Mark, NotRun, Scan, Subject, TimedOut
from assay.runtime.firewall.scanners.secrets import secrets
from assay.runtime.firewall.values import Action, Context, Hit, ScannerRecord, Segment, State, Verdict

SCANNERS: Mapping[str, Scan] = {"secrets": secrets}
EMPTY = Context()


class Firewall:
    """One policy, ready to check."""

    def __init__(self, policy: FirewallPolicy, scanners: Mapping[str, Scan] = SCANNERS) -> None:
        self.policy = policy
        self._scanners = scanners

    def check(self, segments: Segment | Sequence[Segment], route: str = "default", context: Context = EMPTY) -> Verdict:
        """Scans every segment; never raises because of what a text holds.

        Args:
            route: Names the part of the policy; a route that it does not know is undecided and blocked.
            context: What some scanners compare with.
        """
        given = (segments,) if isinstance(segments, Segment) else tuple(segments)
        call = _Call(self.policy, self._scanners, context, route)
        if refusal := self._refusal(given, route):
            return call.verdict(given, refusal)
        for number, segment in enumerate(given):
            call.scan(number, segment)
        return call.verdict(given, "")

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

    def __init__(self, policy: FirewallPolicy, scanners: Mapping[str, Scan], context: Context, route: str) -> None:
        self.policy, self.scanners, self.context, self.route = policy, scanners, context, route
        self.began = time.monotonic()
        self.hits: list[Hit] = []
        self.records: list[ScannerRecord] = []
        self.score = 0.0

    def scan(self, number: int, segment: Segment) -> None:
        block = self.policy.routes[self.route].block(segment.role, segment.source)
        if block is None:
            why = f"no block of the route is for role {segment.role} and source {segment.source}"
            self.records.append(ScannerRecord("policy", State.SKIPPED, number, why))
        elif not self._is_allowed(segment.text):
            self._scan_block(number, segment, block)

    def _is_allowed(self, text: str) -> bool:
        allowed = self.policy.allowed_texts
        return bool(allowed) and sha256(text.encode("utf-8", "surrogatepass")) in allowed

    def _scan_block(self, number: int, segment: Segment, block: Block) -> None:
        subject = Subject(segment, self.policy, self.context)
        for setting in block.scanners:
            begun = time.monotonic()
            subject.deadline_s = self.began + setting.deadline_ms / 1000
            state, why = self._run(number, subject, setting, begun)
            took_us = int((time.monotonic() - begun) * 1e6)
            self.records.append(ScannerRecord(setting.scanner, state, number, why, took_us, setting.fails_open))

    def _run(self, number: int, subject: Subject, setting: Setting, now: float) -> tuple[State, str]:
        if now >= subject.deadline_s:
            return State.TIMED_OUT, f"not begun within {setting.deadline_ms:g} ms"
        try:
            marks = self.scanners[setting.scanner](subject)
        except TimedOut as late:
            return State.TIMED_OUT, str(late)
        except NotRun as refused:
            return State.FAILED, str(refused)
        except KeyError:
            return State.SKIPPED, "there is no such scanner here"
        except Exception as error:  # noqa: BLE001 - a fault in a scanner must neither end the request nor pass it
            return State.FAILED, f"{type(error).__name__} in the scanner"
        found = [hit for mark in marks if (hit := self._hit(number, mark, setting)) is not None]
        self.hits += found
        return (State.HIT if found else State.PASSED), ""

    def _hit(self, number: int, mark: Mark, setting: Setting) -> Hit | None:
        self.score = max(self.score, mark.score)
        if mark.score >= setting.threshold:
            action = setting.action_for(mark.rule)
        elif setting.flag_at is not None and mark.score >= setting.flag_at:
            action = Action.FLAG
        else:
            return None
        return Hit(setting.scanner, mark.rule, mark.start, mark.end, mark.score, action, mark.refs, number)

    def verdict(self, segments: Sequence[Segment], refusal: str) -> Verdict:
        """The strongest action that any hit asks for; a scanner that did not run and may not fail open blocks."""
        reason = refusal
        if refusal:
            self.records.append(ScannerRecord("policy", State.SKIPPED, 0, refusal))
        for record in self.records:
            if not record.state.has_run and not record.fails_open:
                reason = reason or f"{record.name} did not run: {record.why}"
        worst = max((hit.action for hit in self.hits), key=lambda action: action.rank, default=Action.ALLOW)
        proposed = Action.BLOCK if reason else worst
        action = Action.ALLOW if self.policy.is_dry_run else proposed
        hits = tuple(sorted(self.hits, key=lambda hit: (hit.segment, hit.start, hit.end, hit.rule)))
        texts = tuple(segment.text for segment in segments)
        if action is Action.REDACT:
            texts = tuple(redacted(text, [h for h in hits if h.segment == i]) for i, text in enumerate(texts))
        return Verdict(
            action, proposed, self.score, hits, tuple(self.records), texts, self.policy.digest, self.route, reason
        )
