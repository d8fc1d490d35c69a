"""A finished job is deleted when it has been looked at for long enough."""

from __future__ import annotations

from datetime import datetime, timedelta

from pet_operator.domain.constants import JOB
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.status import JobStatus


def due(status: JobStatus, seconds: int | None) -> datetime | None:
    """When, by `spec.ttlSecondsAfterFinished`; None: never."""
    if seconds is None or status.completion_time is None:
        return None
    return status.completion_time + timedelta(seconds=seconds)


def expired(observed: Observed, now: datetime) -> tuple[Delete, ...]:
    """The job itself; garbage collection takes the rest."""
    time = due(observed.status, observed.job.spec.ttl_seconds_after_finished)
    return (Delete(JOB, observed.job.name, observed.job.uid),) if time is not None and now >= time else ()
