"""Prometheus metrics of the proxy. Labels come from lists that we wrote; no name, model or text of a client is a label.

| metric | type | labels |
|---|---|---|
| assay_firewall_requests_total | counter | api, status |
| assay_firewall_refusals_total | counter | api, code |
| assay_firewall_verdicts_total | counter | place, action |
| assay_firewall_scanners_not_run_total | counter | scanner, state |
| assay_firewall_tokens_total | counter | api, kind (input, output) |
| assay_firewall_request_seconds | histogram | api |
| assay_firewall_first_piece_seconds | histogram | api |
| assay_firewall_running | gauge | |
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from assay.runtime.gateway.guard import Noted
from assay.surfaces.proxy.watch import Watch

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """A meter that counts into `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._requests = Counter("assay_firewall_requests", "Requests answered", ("api", "status"), registry=registry)
        self._refusals = Counter("assay_firewall_refusals", "Requests refused", ("api", "code"), registry=registry)
        self._verdicts = Counter("assay_firewall_verdicts", "Verdicts drawn", ("place", "action"), registry=registry)
        self._not_run = Counter(
            "assay_firewall_scanners_not_run", "Scanners that did not look", ("scanner", "state"), registry=registry
        )
        self._tokens = Counter("assay_firewall_tokens", "Tokens used", ("api", "kind"), registry=registry)
        self._seconds = Histogram(
            "assay_firewall_request_seconds", "Time of a request", ("api",), registry=registry, buckets=SECONDS
        )
        self._first = Histogram("assay_firewall_first_piece_seconds", "Time to the first piece of a stream", ("api",),
                                registry=registry, buckets=SECONDS)  # fmt: skip
        self._running = Gauge(
            "assay_firewall_running", "Requests on their way", registry=registry, multiprocess_mode="livesum"
        )

    def begun(self, seen: Watch) -> None:
        """An exchange begins."""
        self._running.inc()

    def judged(self, seen: Watch, noted: Noted) -> None:
        """A verdict was drawn."""
        self._verdicts.labels(noted.place, str(noted.verdict.action)).inc()
        for record in noted.verdict.undecided:
            self._not_run.labels(record.name, str(record.state)).inc()

    def ended(self, seen: Watch) -> None:
        """An exchange ended."""
        self._running.dec()
        self._requests.labels(seen.api, str(seen.status)).inc()
        if seen.code:
            self._refusals.labels(seen.api, seen.code).inc()
        for kind, count in (("input", seen.usage.input_tokens), ("output", seen.usage.output_tokens)):
            if count:
                self._tokens.labels(seen.api, kind).inc(count)
        self._seconds.labels(seen.api).observe(time.perf_counter() - seen.began_s)
        if seen.first_s is not None:
            self._first.labels(seen.api).observe(seen.first_s - seen.began_s)
