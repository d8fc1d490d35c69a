"""The operator's own numbers for Prometheus, `pet_operator_…`. No job is named in them: jobs come and go."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from importlib.metadata import version
from types import SimpleNamespace

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from yarl import URL

from pet import __version__
from pet_operator.domain.status import JobStatus, LostSeconds

_PREFIX = "pet_operator_"
_DAY = 86400.0
_LIVES = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, _DAY, 3 * _DAY, 7 * _DAY)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RESULTS = ("success", "retry", "error")


class Metrics:
    """All families, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        versions = (__version__, platform.python_version(), version("kopf"))
        self._gauge("build_info", "What runs.", "version", "python", "kopf").labels(*versions).set(1)
        self.reconciles = self._counter("reconcile_total", "Looks at a job, by how they ended.", "result")
        for result in _RESULTS:
            self.reconciles.labels(result)
        self.reconcile_seconds = self._histogram("reconcile_duration_seconds", "Duration of one look at a job.")
        self.queue_depth = self._gauge("queue_depth", "Jobs that wait to be looked at.")
        self.queue_delay = self._histogram("queue_delay_seconds", "From the news of a job to the look at it.")
        self.requests = self._counter(
            "kubernetes_requests_total", "Requests to the API server.", "verb", "resource", "code"
        )
        self.request_seconds = self._histogram(
            "kubernetes_request_duration_seconds", "Duration of requests, without watches.", "verb", "resource"
        )
        self.watch_restarts = self._counter(
            "watch_restarts_total", "Watches that were begun again: closed, expired or failed.", "resource", "reason"
        )
        self.poll_seconds = self._histogram("poll_duration_seconds", "Duration of one question to a launcher.")
        self.poll_errors = self._counter("poll_errors_total", "Questions that no launcher answered.", "reason")
        self.loop_lag = self._gauge("event_loop_lag_seconds", "How late a timer of the event loop came.")
        self.leader = self._gauge("leader", "Whether this operator holds the lease.")
        self.dropped_events = self._gauge("dropped_events", "Kubernetes Events that were not recorded.")
        self.jobs_created = self._counter("jobs_created_total", "Jobs that were seen first.", "namespace")
        self.jobs_finished = self._counter("jobs_finished_total", "Jobs that ended.", "namespace", "result")
        self.restarts = self._counter(
            "restarts_total", "Attempts that followed on another, by how that ended.", "namespace", "reason"
        )
        durations = {"queue_wait": "without nodes", "startup": "before all ranks had made a step", "run": "in all"}
        self.job_seconds = {
            name: self._histogram(f"job_{name}_seconds", f"Time of a finished job, {text}.", "result", buckets=_LIVES)
            for name, text in durations.items()
        }

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", text, labels, buckets=buckets, registry=self.registry)

    def observe_reconcile(self, result: str, seconds: float) -> None:
        """One look at a job has ended: in success, retry (what may pass by itself) or error."""
        self.reconciles.labels(result).inc()
        self.reconcile_seconds.observe(seconds)

    def observe_watch(self, resource: str, reason: str) -> None:
        """A watch is begun again."""
        self.watch_restarts.labels(resource, reason).inc()

    def observe_status(self, namespace: str, old: JobStatus, new: JobStatus) -> None:
        """A job's status was written."""
        if not old.phase:
            self.jobs_created.labels(namespace).inc()
        if new.attempt > old.attempt > 0 and not old.finished:
            self.restarts.labels(namespace, new.attempts[-2].reason).inc()
        if not new.finished or old.finished:
            return
        self.jobs_finished.labels(namespace, new.phase).inc()
        lost = new.accounting.lost_seconds if new.accounting is not None else LostSeconds()
        whole = sum((*astuple(lost), new.accounting.productive_seconds if new.accounting is not None else 0))
        for name, seconds in (("queue_wait", lost.queue), ("startup", lost.startup), ("run", whole)):
            self.job_seconds[name].labels(new.phase).observe(seconds)

    def trace(self) -> aiohttp.TraceConfig:
        """Counts the requests to the API server of an aiohttp session."""
        return _trace(self._asked)

    def poll_trace(self) -> aiohttp.TraceConfig:
        """Counts the questions to launchers of an aiohttp session."""
        return _trace(self._polled)

    def _asked(self, method: str, url: URL, seconds: float, result: int | BaseException) -> None:
        verb = "WATCH" if "watch=true" in url.raw_query_string else method
        resource = _resource(url.raw_path)
        self.requests.labels(verb, resource, str(result) if isinstance(result, int) else "none").inc()
        if verb != "WATCH" and isinstance(result, int):
            self.request_seconds.labels(verb, resource).observe(seconds)

    def _polled(self, _method: str, _url: URL, seconds: float, result: int | BaseException) -> None:
        self.poll_seconds.observe(seconds)
        if result != 200:
            timeout = isinstance(result, TimeoutError | asyncio.CancelledError)
            reason = "status" if isinstance(result, int) else "timeout" if timeout else "connection"
            self.poll_errors.labels(reason).inc()


def _trace(observe: Callable[[str, URL, float, int | BaseException], None]) -> aiohttp.TraceConfig:
    """`observe` is told of each request: method, address, seconds, and its HTTP status or what went wrong."""

    async def started(_: object, context: SimpleNamespace, __: object) -> None:
        context.began = time.monotonic()

    async def ended(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        observe(params.method, params.url, time.monotonic() - context.began, params.response.status)

    async def failed(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        observe(params.method, params.url, time.monotonic() - context.began, params.exception)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace


def _resource(path: str) -> str:
    """`/apis/pet.dev/v1/namespaces/a/pettrainingjobs/b/status` → `pettrainingjobs/status`."""
    words = path.strip("/").split("/")
    words = words[2:] if words[0] == "api" else words[3:]
    if words[0] == "namespaces" and len(words) > 2:
        words = words[2:]
    return "/".join((words[0], *words[2:]))
