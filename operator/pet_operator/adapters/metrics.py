"""The operator's own numbers for Prometheus, `pet_operator_…`. No job is named in them: jobs come and go."""

from __future__ import annotations

import platform
import time
from types import SimpleNamespace

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pet import __version__

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RESULTS = ("success", "retry", "error")


class Metrics:
    """All families, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        build = Gauge("pet_operator_build_info", "What runs.", ["version", "python"], registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        self.reconciles = Counter(
            "pet_operator_reconcile", "Looks at a job, by how they ended.", ["result"], registry=self.registry
        )
        for result in _RESULTS:
            self.reconciles.labels(result)
        self.reconcile_seconds = Histogram(
            "pet_operator_reconcile_duration_seconds", "Duration of one look at a job.", buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.queue_depth = Gauge("pet_operator_queue_depth", "Jobs that wait to be looked at.", registry=self.registry)
        self.requests = Counter(
            "pet_operator_kubernetes_requests", "Requests to the API server.", ["verb", "code"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "pet_operator_kubernetes_request_duration_seconds", "Duration of requests, without watches.",
            ["verb"], buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.loop_lag = Gauge(
            "pet_operator_event_loop_lag_seconds", "How late a timer of the event loop came.", registry=self.registry
        )
        self.leader = Gauge("pet_operator_leader", "Whether this operator holds the lease.", registry=self.registry)
        self.dropped_events = Gauge(
            "pet_operator_dropped_events", "Kubernetes Events that were not recorded.", registry=self.registry
        )

    def observe_reconcile(self, result: str, seconds: float) -> None:
        """One look at a job has ended: in success, retry (what may pass by itself) or error."""
        self.reconciles.labels(result).inc()
        self.reconcile_seconds.observe(seconds)

    def trace(self) -> aiohttp.TraceConfig:
        """Counts the requests of an aiohttp session."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._ended)
        trace.on_request_exception.append(self._failed)
        return trace

    async def _started(self, _: object, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        context.began = time.monotonic()
        context.verb = "WATCH" if "watch" in params.url.query else params.method

    async def _ended(self, _: object, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        self.requests.labels(context.verb, str(params.response.status)).inc()
        if context.verb != "WATCH":
            self.request_seconds.labels(context.verb).observe(time.monotonic() - context.began)

    async def _failed(self, _: object, context: SimpleNamespace, __: aiohttp.TraceRequestExceptionParams) -> None:
        self.requests.labels(context.verb, "none").inc()
