"""When a job has to be looked at although nothing happens to it."""

from __future__ import annotations

from datetime import datetime, timedelta

from pet_operator.domain.decision import Observed
from pet_operator.domain.policy import deadline, lost, starting, takeover, ttl
from pet_operator.domain.status import JobStatus

_UNWATCHED = timedelta(seconds=5)  # until a pod is asked for again of which no watch tells


def next_timer(observed: Observed, status: JobStatus, now: datetime) -> float | None:
    """Seconds until the first of the times that are still to come, None without one. `status`: the one decided."""
    spec = observed.job.spec
    if status.finished:
        times = [ttl.due(status, spec.ttl_seconds_after_finished)]
    else:
        binding = starting.binding_until(status) if status.reason == starting.BINDING_VOLUMES else None
        active = deadline.active_due(status, spec.deadlines.active_seconds)
        holder = now + takeover.LOOK_AGAIN if status.reason == takeover.REFUSED else None
        unwatched = any(pod.unwatched and not pod.over for pod in observed.pods)
        times = [now + _UNWATCHED if unwatched else None]
        times += [binding, active, holder, deadline.startup_due(observed)]
    waits = [(time - now).total_seconds() for time in times if time is not None and time > now]
    waits += [wait for wait in (lost.next_loss(observed),) if wait is not None]
    return min(waits, default=None)
