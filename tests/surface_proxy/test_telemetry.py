"""Metrics and spans of the proxy: what is counted, and that no text is told unless asked for."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from tests.surface_proxy.servers import chat, proxied, scripted, whole
from tests.surface_proxy.test_clients import KEY
from tests.surface_proxy.test_hostile import ASK, PATH

from assay.surfaces.proxy.metrics import Metrics
from assay.surfaces.proxy.tracing import Traces


def test_requests_verdicts_and_tokens_are_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with (
        scripted(whole(chat(f"it is {KEY}"))) as model,
        proxied(model.url, tmp_path, meters=(Metrics(registry),)) as proxy,
    ):
        httpx.post(proxy.url + PATH, json=ASK)
        httpx.post(proxy.url + PATH, json=[])
    said = generate_latest(registry).decode()
    assert 'assay_firewall_requests_total{api="chat",status="200"} 1.0' in said
    assert 'assay_firewall_refusals_total{api="chat",code="malformed_request"} 1.0' in said
    assert 'assay_firewall_verdicts_total{action="redact",place="answer"} 1.0' in said
    assert 'assay_firewall_tokens_total{api="chat",kind="input"} 10.0' in said
    assert "assay_firewall_running 0.0" in said and KEY not in said


@pytest.mark.parametrize("has_content", [False, True])
def test_a_span_follows_the_conventions_and_holds_text_only_if_asked(tmp_path: Path, has_content: bool) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with scripted(whole(chat(f"it is {KEY}"))) as model:
        traces = Traces(provider, model.url, has_content=has_content)
        with proxied(model.url, tmp_path, meters=(traces,)) as proxy:
            httpx.post(
                proxy.url + PATH,
                json={"model": "m", "messages": [{"role": "user", "content": f"take {KEY}"}], "temperature": 0.5},
            )
    traces.close()
    (span,) = spans.get_finished_spans()
    said = dict(span.attributes or {})
    assert (
        span.name == "chat m" and said["gen_ai.operation.name"] == "chat" and said["gen_ai.request.temperature"] == 0.5
    )
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (10, 5)
    assert said["assay.firewall.action"] == "redact" and KEY not in span.to_json()
    assert ("take [ASY-SEC-013]" in span.to_json()) is has_content
