"""The document at `/status`: what the operator polls and people read. Its schema is `crds/status.schema.json`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pet.launch.plan import Plan
from pet.launch.record import Phase, RankFailure, Snapshot
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.heartbeat import Heartbeat, Section
from pet.runfiles.metrics import JobMetrics, finite_or_none

SCHEMA = 1

_STATES = {
    Section.INIT: "loading",
    Section.DATA: "training",
    Section.STEP: "training",
    Section.SAVE: "saving",
    Section.EVAL: "evaluating",
    Section.DONE: "stopping",
}


@dataclass(frozen=True)
class Clock:
    """One moment on both clocks, in seconds: heartbeats are on this machine's monotonic one."""

    epoch: float
    monotonic: float

    @classmethod
    def now(cls) -> Clock:
        """This moment."""
        return cls(time.time(), time.monotonic())

    def to_epoch(self, monotonic: float) -> float:
        """The time of day at which the monotonic clock showed this."""
        return self.epoch - (self.monotonic - monotonic)


def status_document(plan: Plan, snapshot: Snapshot, clock: Clock) -> dict[str, Any]:
    """The whole document. The job's own numbers are None where rank 0 is not on this node."""
    environment = plan.environment
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "uid": environment.uid,
        "name": environment.name,
        "nodeIndex": environment.node_index,
        "attempt": environment.attempt,
        "restarts": max(0, snapshot.starts - 1),
        "state": state(snapshot),
        "script": plan.script.path,
        "worldSize": plan.world_size,
        **progress(snapshot),
        "metrics": _metrics(snapshot),
        "checkpoint": _checkpoint(snapshot, clock),
        "checkpointFailure": _of_metrics(snapshot, "checkpoint_failure"),
        "accounting": _of_metrics(snapshot, "accounting"),
        "ranks": [_rank(heartbeat, clock) for _, heartbeat in sorted(snapshot.observation.heartbeats.items())],
        "failures": [_failure(failure) for failure in snapshot.failures],
    }
    return cast("dict[str, Any]", finite_or_none(document))


def state(snapshot: Snapshot) -> str:
    """What the job is doing: the launcher's own phase, or what the lowest rank here is busy with."""
    if snapshot.phase is not Phase.RUNNING:
        return str(snapshot.phase.value)
    heartbeats = snapshot.observation.heartbeats
    if not heartbeats:
        return "loading"
    section = heartbeats[min(heartbeats)].section
    return "finished" if section is Section.DONE and _complete(snapshot) else _STATES[section]


def restart(snapshot: Snapshot) -> int:
    """The newest restart number that a rank told of; before any did, the number of starts tells it."""
    told = [heartbeat.restart for heartbeat in snapshot.observation.heartbeats.values()]
    return max(told, default=max(0, snapshot.starts - 1))


def progress(snapshot: Snapshot) -> dict[str, Any]:
    """How far the job is, how fast, and where this start of the ranks went on from; all None without rank 0."""
    metrics = snapshot.observation.metrics if snapshot.has_rank_zero else None
    return {
        "iteration": iteration(snapshot),
        "maxIterations": metrics.max_iterations if metrics else None,
        "epoch": metrics.epoch if metrics else None,
        "losses": metrics.losses if metrics else None,
        "learningRate": metrics.learning_rate if metrics else None,
        "samplesPerSecond": metrics.samples_per_second if metrics else None,
        "etaSeconds": metrics.eta_seconds if metrics else None,
        "stepSeconds": metrics.step_seconds if metrics else None,
        "resumedFrom": metrics.resumed_from if metrics else None,
    }


def iteration(snapshot: Snapshot) -> int | None:
    """The last finished one; None without rank 0, and before it knows where it goes on from."""
    if not snapshot.has_rank_zero:
        return None
    heartbeat = snapshot.observation.heartbeats.get(0)
    if heartbeat is not None and heartbeat.section is Section.INIT:
        heartbeat = None
    metrics = snapshot.observation.metrics
    return max((source.iteration for source in (heartbeat, metrics) if source is not None), default=None)


def _complete(snapshot: Snapshot) -> bool:
    """Whether the last iteration is done; not known without rank 0."""
    maximum = _of_metrics(snapshot, "max_iterations")
    done = iteration(snapshot)
    return maximum is not None and done is not None and done >= maximum


def checkpoint_document(checkpoint: CheckpointInfo) -> dict[str, Any]:
    """A checkpoint with the time at which it was saved."""
    saved = datetime.fromtimestamp(checkpoint.saved_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**_file(checkpoint), "savedAt": saved, "verified": checkpoint.verified}


def _checkpoint(snapshot: Snapshot, clock: Clock) -> dict[str, Any] | None:
    checkpoint: CheckpointInfo | None = _of_metrics(snapshot, "checkpoint")
    if checkpoint is None:
        return None
    age = max(0.0, clock.epoch - checkpoint.saved_at)
    return {**_file(checkpoint), "ageSeconds": age, "verified": checkpoint.verified}


def _file(checkpoint: CheckpointInfo) -> dict[str, Any]:
    return {"iteration": checkpoint.iteration, "file": checkpoint.file, "bytes": checkpoint.bytes}


def _metrics(snapshot: Snapshot) -> dict[str, float] | None:
    metrics: dict[str, float] | None = _of_metrics(snapshot, "metrics")
    return metrics


def _of_metrics(snapshot: Snapshot, name: str) -> Any:
    metrics: JobMetrics | None = snapshot.observation.metrics
    return getattr(metrics, name) if metrics is not None and snapshot.has_rank_zero else None


def _rank(heartbeat: Heartbeat, clock: Clock) -> dict[str, Any]:
    stepped = heartbeat.steps > 0
    return {
        "rank": heartbeat.rank,
        "localRank": heartbeat.local_rank,
        "iteration": heartbeat.iteration,
        "section": heartbeat.section.name.lower(),
        "collective": heartbeat.collective,
        "silentSeconds": max(0.0, clock.monotonic - heartbeat.monotonic_seconds),
        "lastStepAgeSeconds": max(0.0, clock.monotonic - heartbeat.last_step_seconds) if stepped else None,
        "dataSeconds": heartbeat.data_seconds / heartbeat.steps if stepped else None,
    }


def _failure(failure: RankFailure) -> dict[str, Any]:
    return {
        "restart": failure.restart,
        "rank": failure.rank,
        "class": failure.exit_class,
        "exitCode": failure.exit_code,
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "iteration": failure.iteration,
    }
