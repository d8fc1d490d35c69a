"""The numbers of a job: from a launcher's `/status` or termination message to what its own status shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pet_operator.domain.launcher import Numbers, SavedCheckpoint
from pet_operator.domain.status import CheckpointStatus, Display, JobStatus, Progress

_METRICS = 16


def update(progress: Progress, told: Numbers, metrics: Mapping[str, float], now: datetime) -> Progress:
    """The progress with what a launcher tells; what it does not tell stays. `observed_at` changes only where something
    else does, so that it is also the time of the newest write of numbers."""
    iteration = told.iteration if told.iteration is not None else progress.iteration
    total = told.max_iterations if told.max_iterations is not None else progress.max_iterations
    new = Progress(
        iteration=iteration,
        max_iterations=total,
        percent=100 * iteration // total if iteration is not None and total else progress.percent,
        epoch=told.epoch,
        loss=told.losses.get("total", progress.loss),
        learning_rate=told.learning_rate if told.learning_rate is not None else progress.learning_rate,
        samples_per_second=told.samples_per_second,
        eta_seconds=round(told.eta_seconds) if told.eta_seconds is not None else None,
        observed_at=progress.observed_at,
        metrics={name: f"{value:.6g}" for name, value in list(metrics.items())[:_METRICS]} or progress.metrics,
    )
    return new if new == replace(progress, stale=False) else replace(new, observed_at=now)


def staled(status: JobStatus) -> JobStatus:
    """Its numbers are not fed any more, and say so."""
    if status.progress is None:
        return status
    progress = replace(status.progress, stale=True)
    return replace(status, progress=progress, display=display(progress))


def newest_checkpoint(
    known: CheckpointStatus | None, told: SavedCheckpoint | None, now: datetime
) -> CheckpointStatus | None:
    """The newest checkpoint. Its time is computed once, from its age: it would flicker otherwise."""
    if told is None:
        return known
    if known is not None and (known.iteration, known.file) == (told.iteration, told.file):
        saved_at = known.saved_at
    elif told.age_seconds is not None:
        saved_at = now - timedelta(seconds=told.age_seconds)
    else:
        saved_at = told.saved_at
    return CheckpointStatus(told.iteration, told.file, told.bytes, saved_at, told.verified)


def step(progress: Progress, of: str) -> str:
    """`10/200` for `/`; only `10` where the length is not told."""
    return (
        str(progress.iteration)
        if progress.max_iterations is None
        else f"{progress.iteration}{of}{progress.max_iterations}"
    )


def display(progress: Progress) -> Display:
    """The texts of the table. What is no longer fed begins with ~."""
    mark = "~" if progress.stale else ""
    return Display(
        step=mark + step(progress, "/") if progress.iteration is not None else "",
        eta=mark + duration(progress.eta_seconds) if progress.eta_seconds is not None else "",
        loss=f"{mark}{progress.loss:.4g}" if progress.loss is not None else "",
    )


def ended(status: JobStatus) -> JobStatus:
    """Its numbers are the last ones: how far the job came, and nothing that is still expected or hangs."""
    status = replace(status, hang=None)
    if status.progress is None:
        return status
    progress = replace(status.progress, stale=False, eta_seconds=None)
    return replace(status, progress=progress, display=display(progress))


def duration(seconds: int) -> str:
    """`42s`, `12m`, `14h12m`, `3d2h`."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m" if minutes else f"{seconds}s"
