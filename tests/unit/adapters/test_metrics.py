"""What Prometheus is told of the operator and of its jobs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from harness.observing import ended, job, later, leading, pod, pods, report, running, seen, told
from harness.timeless import NOON
from prometheus_client import CollectorRegistry

from pet_operator.adapters.job_metrics import JobCollector
from pet_operator.adapters.metrics import Metrics
from pet_operator.domain.codec import encode
from pet_operator.domain.decide import decide
from pet_operator.domain.status import Failure, JobStatus
from pet_operator.runtime.ports import Key

# observability.md: every family, by its place, with its labels.
OPERATOR = {
    "build_info": "version python kopf",
    "reconcile_total": "result",
    "reconcile_duration_seconds": "",
    "queue_delay_seconds": "",
    "queue_depth": "",
    "kubernetes_requests_total": "verb resource code",
    "kubernetes_request_duration_seconds": "verb resource",
    "watch_restarts_total": "resource reason",
    "event_loop_lag_seconds": "",
    "poll_duration_seconds": "",
    "poll_errors_total": "reason",
    "leader": "",
    "dropped_events": "",
    "jobs_created_total": "namespace",
    "jobs_finished_total": "namespace result",
    "restarts_total": "namespace reason",
    "job_queue_wait_seconds": "result",
    "job_startup_seconds": "result",
    "job_run_seconds": "result",
}
STATES = {"productive", "queue", "startup", "redo", "stall", "restart"}


def samples(registry: CollectorRegistry, prefix: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, without those of buckets."""
    return {
        (sample.name.removeprefix(prefix), *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith(prefix) and "le" not in sample.labels
    }


def test_the_operator_has_every_family_with_its_labels() -> None:
    metrics = Metrics()
    found = {}
    for collector, names in metrics.registry._collector_to_names.items():
        name = max(names, key=lambda each: (each.endswith("_total"), -len(each)))
        found[name.removeprefix("pet_operator_")] = " ".join(collector._labelnames)  # type: ignore[attr-defined]
    assert found == OPERATOR


def test_jobs_are_counted_by_the_transitions_of_their_statuses() -> None:
    metrics = Metrics()
    view = running(nodes=1)
    metrics.observe_status("a", JobStatus(), view.status)
    failed = replace(view, pods=(ended(0, 1, report(1)),))
    restarted = decide(failed, later(100)).status
    metrics.observe_status("a", view.status, restarted)
    metrics.observe_status("a", restarted, restarted)
    over = decide(replace(view, pods=(ended(0, 0, at=later(100)),)), later(100)).status
    metrics.observe_status("b", view.status, over)
    metrics.observe_status("b", over, over)
    found = samples(metrics.registry, "pet_operator_")
    counted = {key: value for key, value in found.items() if key[0].startswith(("jobs_", "restarts_"))}
    counted = {key: value for key, value in counted.items() if key[0].endswith("_total")}
    assert counted == {
        ("jobs_created_total", "a"): 1,
        ("restarts_total", "a", "AppError"): 1,
        ("jobs_finished_total", "b", "Succeeded"): 1,
    }
    assert found["job_run_seconds_count", "Succeeded"] == 1
    assert found["job_run_seconds_sum", "Succeeded"] == 100


async def asked(trace: aiohttp.TraceConfig, *paths: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if "absent" in request.path else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        for path in paths:
            async with session.get(f"{url}{path}"):
                pass
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}{paths[0]}")


def test_requests_are_counted_by_what_they_ask_for() -> None:
    metrics = Metrics()
    pods = "/api/v1/namespaces/a/pods"
    asyncio.run(
        asked(
            metrics.trace(),
            "/api/v1/namespaces/kube-system",
            "/api/v1/pods?watch=true",
            f"{pods}/absent",
            "/apis/pet.dev/v1/namespaces/a/pettrainingjobs/b/status",
        )
    )
    found = samples(metrics.registry, "pet_operator_kubernetes_")
    assert {key[1:] for key in found if key[0] == "requests_total"} == {
        ("GET", "namespaces", "200"),
        ("WATCH", "pods", "200"),
        ("GET", "pods", "404"),
        ("GET", "pettrainingjobs/status", "200"),
        ("GET", "namespaces", "none"),
    }


def test_polls_are_counted_with_why_they_failed() -> None:
    metrics = Metrics()
    asyncio.run(asked(metrics.poll_trace(), "/status", "/absent"))
    found = samples(metrics.registry, "pet_operator_poll_")
    assert found["duration_seconds_count",] == 3
    assert (found["errors_total", "status"], found["errors_total", "connection"]) == (1, 1)


def exported(status: JobStatus, **spec: Any) -> dict[tuple[str, ...], float]:
    """The samples of one job with one pod, whose own labels are checked and left out."""
    metadata = {"namespace": "a", "name": "job", "uid": "u", "creationTimestamp": "2026-01-31T12:00:00Z"}
    manifest = {"metadata": metadata, "spec": {"cfg": "c.yaml", "nodes": 2, **spec}, "status": encode(status)}
    registry = CollectorRegistry()
    registry.register(JobCollector(lambda: [manifest], lambda: [(Key("a", "job"), pod(0))]))
    found = samples(registry, "pettrainingjob_")
    assert {key[1:3] for key in found} == {("a", "job")}
    return {(key[0], *key[3:]): value for key, value in found.items()}


def test_a_job_is_told_of_with_its_pods() -> None:
    view = running(nodes=2)
    view = seen(view, decide(replace(view, trainers=told([leading(50), leading(50)])), later(60)))
    failure = Failure(class_="AppError", exit_code=1, rank=3, node="gpu-7")
    found = exported(replace(view.status, failure=failure, restarts=4), gpusPerNode=8, image="i")
    assert found["info", "u", "c.yaml", "", view.status.script, "i"] == 1
    assert found["pod_info", "job-1-0", "node-0", "0", "1"] == 1
    assert found["created_timestamp_seconds",] == NOON.timestamp()
    assert (found["spec_nodes",], found["status_attempt",], found["status_restarts_total",]) == (2, 1, 4)
    assert (found["status_iteration",], found["status_progress_ratio",]) == (50, 0.25)
    phases = {key[1] for key, value in found.items() if key[0] == "status_phase" and value}
    assert phases == {"Running"}
    assert (found["status_condition", "Running", "True"], found["status_condition", "Running", "False"]) == (1, 0)
    assert found["status_failure_info", "AppError", "1", "3", "gpu-7"] == 1
    assert ("completion_timestamp_seconds",) not in found


def test_what_became_of_a_job_s_gpus_adds_up() -> None:
    view = running(nodes=2, spec={"gpusPerNode": 8})
    status = decide(replace(view, trainers=told([leading(50), leading(50)])), later(60)).status
    found = exported(status)
    seconds = {key[1]: value for key, value in found.items() if key[0] == "gpu_seconds_total"}
    assert seconds.keys() == STATES
    assert sum(seconds.values()) == 60 * 16


def test_an_edit_of_a_job_does_not_let_its_gpu_seconds_fall() -> None:
    """What it has used up stays used up, however few GPUs it asks for later."""
    view, spec = running(nodes=4), {"nodes": 4, "gpusPerNode": 1}
    counted = []
    for seconds, nodes in ((60, 4), (120, 1), (180, 2)):
        view = replace(view, job=job(**(spec | {"nodes": nodes})), trainers=told([leading(seconds)] * nodes))
        view = replace(view, pods=pods(nodes))
        view = seen(view, decide(view, later(seconds)))
        found = exported(view.status, **(spec | {"nodes": nodes}))
        counted.append(sum(value for key, value in found.items() if key[0] == "gpu_seconds_total"))
    assert counted == [60 * 4, 60 * 4 + 60, 60 * 4 + 60 + 60 * 2]


def test_a_job_that_nobody_has_looked_at_yet_is_told_of_as_it_is() -> None:
    found = exported(JobStatus())
    assert found["status_phase", "Pending"] == 0
