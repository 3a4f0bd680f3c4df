"""OpenTelemetry spans of the exchanges, in the GenAI conventions; only to the endpoint that the settings name.

Texts are left out unless the settings ask for them, and then they are as they went out, redacted.
Source: OpenTelemetry semantic conventions for generative AI, "Spans", 1.38.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assay.core.errors import MissingExtra
from assay.runtime.gateway.guard import Noted
from assay.surfaces.proxy.settings import Tracing
from assay.surfaces.proxy.watch import Watch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Traces:
    """A meter that writes one span for each exchange."""

    def __init__(self, provider: TracerProvider, upstream: str, *, has_content: bool = False) -> None:
        self._tracer = provider.get_tracer("assay.firewall")
        self._provider = provider
        parts = urlsplit(upstream)
        self._server: dict[str, Any] = {"server.address": parts.hostname or ""}
        if parts.port:
            self._server["server.port"] = parts.port
        self._has_content = has_content

    def begun(self, seen: Watch) -> None:
        """Nothing; the span is written whole at the end."""

    def judged(self, seen: Watch, noted: Noted) -> None:
        """Nothing; the strongest action is known at the end."""

    def ended(self, seen: Watch) -> None:
        """Writes the span."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        now = time.time_ns()
        begun = now - int((time.perf_counter() - seen.began_s) * 1e9)
        span = self._tracer.start_span(
            f"{seen.operation} {seen.model}".strip(), kind=SpanKind.CLIENT, start_time=begun, attributes=self._attributes(seen)
        )  # fmt: skip
        if seen.code:
            span.set_status(Status(StatusCode.ERROR, seen.code))
        span.end(now)

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()

    def _attributes(self, seen: Watch) -> dict[str, Any]:
        said: dict[str, Any] = {
            "gen_ai.operation.name": seen.operation,
            "gen_ai.provider.name": "anthropic" if seen.api == "messages" else "openai",
            "gen_ai.request.model": seen.model,
            "http.response.status_code": seen.status,
            "assay.firewall.action": str(seen.action),
            **self._server,
        }
        request = seen.request if isinstance(seen.request, dict) else {}
        for name, member in (("temperature", "temperature"), ("top_p", "top_p"), ("choice.count", "n")):
            if isinstance(request.get(member), (int, float)) and not isinstance(request[member], bool):
                said[f"gen_ai.request.{name}"] = request[member]
        for name, count in (("input", seen.usage.input_tokens), ("output", seen.usage.output_tokens)):
            if count is not None:
                said[f"gen_ai.usage.{name}_tokens"] = count
        if seen.code:
            said["error.type"] = seen.code
        if self._has_content and not seen.code:
            said["gen_ai.input.messages"] = json.dumps(
                request.get("messages") or request.get("input"), ensure_ascii=False
            )
            if seen.answer is not None:
                said["gen_ai.output.messages"] = json.dumps(
                    seen.answer.get("choices") or seen.answer.get("output") or seen.answer.get("content"),
                    ensure_ascii=False,
                )
        return said


def traces_to(tracing: Tracing, upstream: str) -> Traces:
    """Spans over OTLP to the endpoint of the settings.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra(
            "OpenTelemetry is not installed", str(error), "pip install 'assay[otel]', or leave `tracing` out"
        ) from error
    provider = TracerProvider(resource=Resource({"service.name": "assay-firewall"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=tracing.endpoint)))
    return Traces(provider, upstream, has_content=tracing.content)
