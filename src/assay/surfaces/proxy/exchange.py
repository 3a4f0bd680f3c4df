"""One request of a client, from its bytes to the last byte of its answer.

 1. read      strict JSON along the shape of its API        4. send     to the model's server, with the client's going away
 2. judge     every text, with its provenance                           as the only thing that cancels it
 3. reserve   the most that it can cost                     5. judge    the answer, whole or while it streams
                                                            6. settle   what it did cost
Whatever goes wrong on the way becomes one refusal; nothing goes out that was not judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from assay.core.canonical import Json, compact
from assay.core.errors import AssayError, MalformedInput
from assay.formats.sse import SseEvent, SseReader, sse_frame
from assay.runtime.budget.account import Reservation
from assay.runtime.budget.limits import Amount, PriceUnknown, is_in_money, most_of
from assay.runtime.gateway.apis import Api, context_of, is_streamed, read_answer, read_request
from assay.runtime.gateway.canaries import canary_of, planted
from assay.runtime.gateway.guard import Blocked, Guard, scanned
from assay.runtime.gateway.provenance import FROM_MODEL
from assay.runtime.gateway.rewriting import Counted, Rewriter, Usage
from assay.runtime.gateway.shapes import UnknownPart, body_of
from assay.surfaces.proxy.caller import Caller
from assay.surfaces.proxy.gateway import Gateway
from assay.surfaces.proxy.refusals import Refusal, Reply, error_body, error_event, refusal_of, reply_to
from assay.surfaces.proxy.upstream import Answer, Headers, Upstream
from assay.surfaces.proxy.watch import Watch
from assay.surfaces.proxy.wire import Outlet, returned

T = TypeVar("T")
CHARS_PER_TOKEN = 16  # more than any tokenizer puts into one token on average
MAX_ERROR_BYTES = 64 << 10
_STREAM = "text/event-stream"
_UNFINISHED = ("queued", "in_progress")
_USUAL = {
    "service_tier": ("auto", "default", "flex", "standard_only"),
    "speed": ("standard",),
    "inference_geo": ("global",),
}


@dataclass
class Order:
    """A judged request, and the bounds on its answer."""

    body: bytes
    model: str
    size: int
    is_streamed: bool
    max_chars: int
    has_logprobs: bool
    adds_usage: bool
    amount: Amount


class Exchange:
    """One exchange. `out` is the way back; `watch` is told of everything."""

    def __init__(
        self, gateway: Gateway, api: Api, caller: Caller, upstream: Upstream, out: Outlet, watch: Watch
    ) -> None:
        self._gateway, self._api, self._caller, self._out, self._watch = gateway, api, caller, out, watch
        self._upstream = upstream
        self._settings = gateway.settings
        self._reservation: Reservation | None = None

    async def run(self, data: bytes, query: str, headers: Headers) -> None:
        """Answers the client; raises only `ClientGone` and what cancels the task."""
        is_answer = False
        try:
            order, guard = await self._ordered(data)
            self._reservation = self._gateway.reserve(self._caller, order.amount)
            is_answer = True
            await self._sent(order, guard, query, headers)
        except AssayError as error:
            await self._refuse(refusal_of(error, is_answer=is_answer))

    async def _sent(self, order: Order, guard: Guard, query: str, headers: Headers) -> None:
        """Step 4."""
        try:
            answer = await self._upstream.open(self._api.path, query, headers, order.body)
        except Refusal as refusal:
            if refusal.reason == "upstream_unreachable":
                self._settle(order, Usage(0, 0))
            raise
        try:
            await self._answered(answer, order, guard)
        finally:
            await answer.close()

    async def _ordered(self, data: bytes) -> tuple[Order, Guard]:
        """Steps 1 and 2."""
        value = read_request(data, self._settings.max_body_bytes)
        body = body_of(value, self._api.request, self._settings.unscanned)
        wants_stream = is_streamed(value)
        if wants_stream and self._api.stream is None:
            raise MalformedInput("this API has no streams")
        firewall, context = self._gateway.firewall(), context_of(body)
        if firewall.policy.plants_canaries:
            mark = canary_of(self._gateway.canary_key, self._caller.name, context.system_prompts)
            context = replace(context, canaries=(mark,))
        guard = Guard(firewall, self._settings.route, self._watch.noted, context)
        self._watch.asked(value)
        await self._off_loop(len(data), lambda: guard.request(body))
        return self._bounded(value, len(data), wants_stream, context.canaries), guard

    def _bounded(self, value: dict[str, Json], size: int, wants_stream: bool, canaries: Sequence[str]) -> Order:
        """Caps the length of the answer, and says what the exchange can cost."""
        tokens = self._capped(value) if self._api.limits else 0
        choices = _whole(value, "n", 1) if self._api.name == "chat" else 1
        if choices > self._settings.max_choices:
            raise Refusal(400, "too_many_choices", f"at most {self._settings.max_choices} choices may be asked for")
        limits = self._caller.limits
        if is_in_money(limits) and (dear := _dearer(value)):
            raise PriceUnknown(
                f"the price of `{dear}` is not known", "and this client has a limit in money", "leave it out"
            )
        adds_usage = bool(limits) and wants_stream and self._api.name == "chat" and not value.get("stream_options")
        if adds_usage:
            value["stream_options"] = {"include_usage": True}
        model = value["model"] if isinstance(value.get("model"), str) else ""
        amount = most_of(model, size, tokens * choices, self._settings.prices, limits)
        sent = planted(self._api.name, value, canaries[0]) if canaries else value
        encoded = compact(sent).encode()
        return Order(encoded, model, size, wants_stream, CHARS_PER_TOKEN * tokens * choices + 4096,
                     bool(value.get("logprobs") or value.get("top_logprobs")), adds_usage, amount)  # fmt: skip

    def _capped(self, value: dict[str, Json]) -> int:
        most = self._caller.max_output_tokens or self._settings.max_output_tokens
        given = [name for name in self._api.limits if value.get(name) is not None]
        for name in given or self._api.limits[:1]:
            value[name] = min(_whole(value, name, most), most)
        return max(int(value[name]) for name in given or self._api.limits[:1])

    async def _answered(self, answer: Answer, order: Order, guard: Guard) -> None:
        """Steps 4 and 5."""
        if answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise Refusal(502, "upstream_malformed", "the model's server packed its answer", "and was asked not to")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._watch.answered(answer.status)
        if answer.status != 200:
            self._settle(order, Usage(0, 0))
            await self._failed(answer, kind, guard)
        elif kind == _STREAM and order.is_streamed:
            await self._streamed(answer, order, guard)
        elif kind == "application/json":
            await self._whole_answer(answer, order, guard)
        else:
            raise Refusal(502, "upstream_malformed", "the model's server answered in a form that was not asked for")

    async def _whole_answer(self, answer: Answer, order: Order, guard: Guard) -> None:
        bound = self._settings.max_answer_bytes
        if self._api.limits and not order.has_logprobs:
            bound = min(bound, 6 * order.max_chars + len(order.body) * 2 + 65536)
        data = await _read(answer, bound)
        value = read_answer(data, bound)
        if value.get("status") not in _UNFINISHED:  # else what it costs is never seen here, and stays spent in full
            self._settle(order, _billed(Usage.of(value.get("usage")), len(data) if self._api.limits else 0))
        await self._off_loop(len(data), lambda: self._api.judge(value, guard))
        body = compact(value).encode()
        self._watch.said(value)
        await self._out.whole(Reply(200, body, tuple(returned(answer.headers, b"application/json"))))

    async def _streamed(self, answer: Answer, order: Order, guard: Guard) -> None:
        counted = Counted(order.max_chars)
        assert self._api.stream is not None
        rewriter = self._api.stream(guard, counted)
        rewriter.drops_usage = order.adds_usage
        reader = SseReader()
        await self._out.begin(
            200, [*returned(answer.headers, b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        )
        self._watch.began()
        said = b""
        try:
            async for piece in answer.pieces():
                said = _rewritten(reader.feed(piece), rewriter)
                if rewriter.is_ended:
                    break
                await self._say(said)
            else:
                said = _rewritten(reader.end(), rewriter)
        finally:
            self._watch.used(rewriter.usage)
        if not rewriter.is_ended:
            await self._say(said + b"".join(_framed(event) for event in rewriter.end()))
            raise Refusal(502, "upstream_cut", "the model's server broke off in the middle of its answer")
        self._settle(order, _billed(rewriter.usage, counted.bytes))
        await self._say(said)
        await self._out.finish()

    async def _say(self, data: bytes) -> None:
        if data:
            await self._out.piece(data)

    async def _failed(self, answer: Answer, kind: str, guard: Guard) -> None:
        """An error of the model's server goes on with its status, once it was judged like any answer."""
        status = answer.status if 400 <= answer.status < 600 else 502
        data = await _read(answer, MAX_ERROR_BYTES)
        refusal = Refusal(status, "upstream_error", f"the model's server answered with status {answer.status}")
        headers = returned(answer.headers, b"application/json")
        try:
            value = read_answer(data, MAX_ERROR_BYTES) if kind == "application/json" else None
            if value is not None:
                scanned(value, FROM_MODEL, guard)
        except (MalformedInput, UnknownPart, Blocked):
            value = None
        body = error_body(refusal, is_anthropic=self._api.is_anthropic) if value is None else value
        await self._out.whole(Reply(status, compact(body).encode(), tuple(headers)))

    async def _refuse(self, refusal: Refusal) -> None:
        self._watch.refused(refusal)
        if not self._out.is_begun:
            await self._out.whole(reply_to(refusal, is_anthropic=self._api.is_anthropic))
            return
        await self._out.piece(_framed(error_event(refusal, self._api.name)))
        await self._out.finish()

    async def _off_loop(self, size: int, work: Callable[[], T]) -> T:
        """Small work at once; large work in a thread, so that other exchanges go on."""
        if size <= self._settings.inline_bytes:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._gateway.threads, work)

    def _settle(self, order: Order, bill: Usage) -> None:
        """Step 6, before the last byte goes out; an exchange whose end is never seen keeps all that was reserved spent."""
        self._watch.used(bill)
        given = order.size if bill.input_tokens is None else bill.input_tokens
        said = bill.output_tokens or 0
        price = self._settings.prices.get(order.model)
        self._gateway.settle(self._reservation, Amount(given + said, price.cost(given, said) if price else 0))


def _dearer(request: dict[str, Json]) -> str:
    """The member of a request that asks for more than the listed price buys; "" where none does."""
    asked = (name for name, usual in _USUAL.items() if request.get(name) is not None and request[name] not in usual)
    return next(asked, "")


def _billed(usage: Usage, output_bytes: int) -> Usage:
    """What the server counted; where it did not, no text has more tokens than bytes."""
    return Usage(usage.input_tokens, output_bytes if usage.output_tokens is None else usage.output_tokens)


def _rewritten(events: Iterable[SseEvent], rewriter: Rewriter) -> bytes:
    """What goes out for some events; comments keep their place, since they keep connections open, and lose their text."""
    out = []
    for event in events:
        if event.is_comment:
            out.append(b":\n\n")
            continue
        out += [_framed(rewritten) for rewritten in rewriter.event(event)]
        if rewriter.is_ended:
            break
    return b"".join(out)


def _framed(event: SseEvent) -> bytes:
    return sse_frame(event.data, event.name)


async def _read(answer: Answer, max_bytes: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer.pieces():
        size += len(piece)
        if size > max_bytes:
            raise Refusal(
                502, "answer_too_long", "the answer is longer than was asked for", f"more than {max_bytes} bytes"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _whole(value: dict[str, Json], member: str, default: int) -> int:
    found = value.get(member)
    if found is None:
        return default
    if type(found) is not int or found < 1:
        raise MalformedInput(f"`{member}` is no whole number from 1")
    return found
