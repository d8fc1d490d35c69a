"""How long a job may take: from its start to its end, and from its nodes to its first ranks."""

from __future__ import annotations

from datetime import datetime, timedelta

from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import failure_of
from pet_operator.domain.status import Failure, JobStatus
from pet_operator.domain.views import PodView

ACTIVE, STARTUP = "DeadlineExceeded", "StartupDeadlineExceeded"
# What the kubelet says of an image that no waiting will bring.
HOPELESS = ("InvalidImageName",)


def exceeded(observed: Observed, now: datetime) -> Failure | None:
    """The failure of a job whose time is over."""
    seconds = observed.job.spec.deadlines.active_seconds
    due = active_due(observed.status, seconds)
    if due is None or now < due:
        return None
    words = f"not finished {seconds} s after its start (spec.deadlines.activeSeconds)"
    return Failure(class_=ACTIVE, type=ACTIVE, message=words)


def cannot_start(observed: Observed, now: datetime) -> Failure | None:
    """The failure of an attempt that waits in vain for its containers: by the kubelet's word, or by the deadline."""
    waiting = _waiting(observed)
    for pod in waiting:
        reason, words = pod.awaited or ("", "")
        if reason in HOPELESS:
            return failure_of(pod, reason, reason, words or "its image has no valid name")
    due = startup_due(observed)
    if due is None or now < due:
        return None
    awaited = ": ".join(filter(None, waiting[0].awaited or ("its container does not run",)))
    since = f"{observed.job.spec.deadlines.startup_seconds} s after all pods had a node"
    return failure_of(waiting[0], STARTUP, STARTUP, f"{since} (spec.deadlines.startupSeconds): {awaited}")


def active_due(status: JobStatus, seconds: int | None) -> datetime | None:
    """When the job has to be finished."""
    return None if seconds is None or status.start_time is None else status.start_time + timedelta(seconds=seconds)


def startup_due(observed: Observed) -> datetime | None:
    """When all launchers have to run, once all pods have a node: how long the scheduler or a queue takes is no fault of
    the job, and what the ranks do is watched by their launchers. By the API server's clock, which may be behind ours:
    never sooner than that long after the attempt's begin."""
    pods, began = observed.current, observed.status.current.started_at
    scheduled = [pod.scheduled_at for pod in pods if pod.scheduled_at is not None]
    if len(scheduled) < observed.job.spec.nodes or not _waiting(observed):
        return None
    since = max(scheduled) if began is None else max(began, *scheduled)
    return since + timedelta(seconds=observed.job.spec.deadlines.startup_seconds)


def _waiting(observed: Observed) -> list[PodView]:
    """Pods whose containers do not run yet, those that say why before the others."""
    pods = [pod for pod in observed.current if pod.phase == "Pending" and not pod.terminating]
    return sorted(pods, key=lambda pod: pod.awaited is None)
