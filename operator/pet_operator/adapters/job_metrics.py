"""The jobs themselves for Prometheus, `pettrainingjob_…`: read from the objects at each scrape, so that nothing is lost
or counted twice when an operator restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pet_operator.domain.codec import read_time
from pet_operator.domain.status import FINISHED, PENDING, RESTARTING, RUNNING, STARTING, SUSPENDED, StateSeconds
from pet_operator.domain.views import PodView
from pet_operator.runtime.ports import Key, Manifest

Sample = tuple[str, tuple[str, ...], float]  # family, values of its further labels, value

_JOB = ("namespace", "pettrainingjob")
_PHASES = (PENDING, "Queued", STARTING, RUNNING, RESTARTING, SUSPENDED, *FINISHED)
_TRUTHS = ("True", "False", "Unknown")
# Of each family what it tells, and its further labels.
_FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "info": ("What the job is.", ("uid", "cfg", "type", "script", "image")),
    "created_timestamp_seconds": ("When it was made.", ()),
    "start_timestamp_seconds": ("When its first pods were asked for, since it was made or resumed.", ()),
    "completion_timestamp_seconds": ("When it was over.", ()),
    "spec_nodes": ("Pods that it asks for.", ()),
    "spec_world_size": ("Its ranks, in all pods.", ()),
    "spec_suspend": ("Whether it is to be suspended.", ()),
    "status_phase": ("1 for the phase that it is in.", ("phase",)),
    "status_condition": ("1 for the status that each condition has.", ("condition", "status")),
    "status_nodes_ready": ("Pods that are ready.", ()),
    "status_attempt": ("Number of the attempt that counts now.", ()),
    "status_restarts_total": ("Starts of the ranks in place of failed ones, in place or with new pods.", ()),
    "status_iteration": ("The last finished iteration that was told.", ()),
    "status_progress_ratio": ("The part of its iterations that is done.", ()),
    "status_checkpoint_last_success_timestamp_seconds": ("When the newest checkpoint was saved.", ()),
    "status_failure_info": ("The root cause of the last end.", ("class", "exit_code", "rank", "node")),
    "gpu_seconds_total": ("The job's time, by what became of it, for each of its GPUs.", ("state",)),
    "pod_info": ("Its pods.", ("pod", "node", "node_index", "attempt")),
}


class JobCollector(Collector):
    """Series of jobs; they come and go with them."""

    def __init__(
        self, jobs: Callable[[], Iterable[Manifest]], pods: Callable[[], Iterable[tuple[Key, PodView]]]
    ) -> None:
        """`pods` gives each with the job that it belongs to."""
        self._jobs = jobs
        self._pods = pods

    def describe(self) -> Iterator[Metric]:
        """Nothing of it has to be known before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families, of all that is there now."""
        families = {name: _family(name, *about) for name, about in _FAMILIES.items()}
        for job in self._jobs():
            who = (job["metadata"]["namespace"], job["metadata"]["name"])
            for name, labels, value in _samples(job):
                families[name].add_metric((*who, *labels), value)
        for key, pod in self._pods():
            labels = (pod.name, pod.node, str(pod.node_index), str(pod.attempt))
            families["pod_info"].add_metric((key.namespace, key.name, *labels), 1)
        yield from families.values()


def _family(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    return kind(f"pettrainingjob_{name}", text, labels=(*_JOB, *labels))


def _samples(job: Manifest) -> Iterator[Sample]:
    """Those of one job. What is not known yet is left out."""
    metadata, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    progress, checkpoint = status.get("progress") or {}, status.get("checkpoint") or {}
    about = (spec.get("cfg"), spec.get("type"), status.get("script"), spec.get("image"))
    yield "info", (metadata["uid"], *(text or "" for text in about)), 1
    iteration, total = progress.get("iteration"), progress.get("maxIterations")
    numbers: dict[str, Any] = {
        "created_timestamp_seconds": _seconds(metadata.get("creationTimestamp")),
        "start_timestamp_seconds": _seconds(status.get("startTime")),
        "completion_timestamp_seconds": _seconds(status.get("completionTime")),
        "spec_nodes": spec.get("nodes"),
        "spec_world_size": status.get("worldSize"),
        "spec_suspend": spec.get("suspend", False),
        "status_nodes_ready": (status.get("nodes") or {}).get("ready"),
        "status_attempt": status.get("attempt"),
        "status_restarts_total": status.get("restarts", 0),
        "status_iteration": iteration,
        "status_progress_ratio": iteration / total if iteration is not None and total else None,
        "status_checkpoint_last_success_timestamp_seconds": _seconds(checkpoint.get("savedAt")),
    }
    yield from ((name, (), float(value)) for name, value in numbers.items() if value is not None)
    yield from (("status_phase", (phase,), phase == status.get("phase")) for phase in _PHASES)
    for condition in status.get("conditions") or ():
        kind, truth = condition["type"], condition["status"]
        yield from (("status_condition", (kind, each), each == truth) for each in _TRUTHS)
    if failure := status.get("failure"):
        labels = (str(failure.get(name, "")) for name in ("class", "exitCode", "rank", "node"))
        yield "status_failure_info", tuple(labels), 1
    spent = (status.get("accounting") or {}).get("gpuSecondsByState") or {}
    yield from (("gpu_seconds_total", (state.name,), spent.get(state.name, 0)) for state in fields(StateSeconds))


def _seconds(text: str | None) -> float | None:
    moment = read_time(text) if text else None
    return moment.timestamp() if moment is not None else None
