"""Errors as the clients of the APIs expect them, with a status and a code that stay the same across releases.

OpenAI:     {"error": {"message", "type", "param", "code"}}
Anthropic:  {"type": "error", "error": {"type", "message", "code"}}
`x-should-retry: false` keeps the official clients from asking again what will be answered alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from assay.core.canonical import Json
from assay.core.errors import AssayError, MalformedInput, StorageError
from assay.formats.sse import SseEvent
from assay.runtime.budget.limits import BudgetSpent, PriceUnknown
from assay.runtime.gateway.guard import Blocked
from assay.runtime.gateway.rewriting import StreamTooLong
from assay.runtime.gateway.shapes import UnknownPart

_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 408: "timeout_error", 413: "request_too_large", 415: "invalid_request_error",
    429: "rate_limit_error", 500: "api_error", 502: "api_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


class Refusal(AssayError):
    """The proxy does not pass a request or an answer on; `reason` is the stable code that the client sees."""

    code, exit_code = "A-PROXY", 1

    def __init__(self, status: int, reason: str, what: str, why: str = "", *, wait_s: int | None = None) -> None:
        super().__init__(what, why, reason=reason)
        self.status, self.wait_s = status, wait_s

    @property
    def message(self) -> str:
        """One line for the client."""
        return f"{self.what}: {self.why}" if self.why else self.what


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of a whole answer."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def refusal_of(error: AssayError, *, is_answer: bool) -> Refusal:
    """The refusal that an error of the layers below means to a client; `is_answer` where the server's answer is at fault."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Blocked):
        if error.is_undecided:
            return Refusal(503, "firewall_undecided", f"the firewall could not judge this {error.place}", error.why)
        return Refusal(403, "firewall_blocked", error.what, error.why)
    if isinstance(error, BudgetSpent):
        return Refusal(429, "budget_spent", error.what, error.why, wait_s=error.wait_s)
    if isinstance(error, PriceUnknown):
        return Refusal(403, "price_unknown", error.what, error.why)
    if isinstance(error, StreamTooLong):
        return Refusal(502, "answer_too_long", error.what, error.why)
    if isinstance(error, StorageError):
        return Refusal(503, "account_unavailable", error.what)
    if is_answer:
        return Refusal(502, "upstream_malformed", error.what, error.why)
    if isinstance(error, UnknownPart):
        return Refusal(400, "unknown_part", error.what, error.why)
    if isinstance(error, MalformedInput):
        return Refusal(400, "malformed_request", error.what, error.why)
    return Refusal(500, "internal_error", "the firewall failed")


def reply_to(refusal: Refusal, *, is_anthropic: bool) -> Reply:
    """The answer that a client gets for a refusal."""
    headers = [(b"content-type", b"application/json")]
    if refusal.status not in (502, 503, 504) or refusal.reason in ("firewall_undecided", "answer_too_long"):
        headers.append((b"x-should-retry", b"false"))
    if refusal.wait_s is not None:
        headers.append((b"retry-after", str(refusal.wait_s).encode()))
    return Reply(refusal.status, json.dumps(error_body(refusal, is_anthropic=is_anthropic)).encode(), tuple(headers))


def error_body(refusal: Refusal, *, is_anthropic: bool) -> Json:
    """The body of an error in the client's style."""
    kind = _KINDS.get(refusal.status, "api_error")
    if is_anthropic:
        return {"type": "error", "error": {"type": kind, "message": refusal.message, "code": refusal.reason}}
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.reason}}


def error_event(refusal: Refusal, api: str) -> SseEvent:
    """The last event of a stream that had to be cut."""
    if api == "messages":
        return SseEvent(json.dumps(error_body(refusal, is_anthropic=True)), "error")
    if api == "responses":
        said = {
            "type": "error",
            "code": refusal.reason,
            "message": refusal.message,
            "param": None,
            "sequence_number": 0,
        }
        return SseEvent(json.dumps(said), "error")
    return SseEvent(json.dumps(error_body(refusal, is_anthropic=False)))
