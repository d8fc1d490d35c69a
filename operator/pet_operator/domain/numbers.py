"""The numbers of a job: from a launcher's `/status` or termination message to what its own status shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pet_operator.domain.codec import read_time
from pet_operator.domain.status import CheckpointStatus, Display, JobStatus, Progress

_METRICS = 16


def update(progress: Progress, told: Mapping[str, Any], at: datetime) -> Progress:
    """The progress with the numbers of an answer or of a termination message, as seen at this moment; what it does
    not tell stays. The moment changes only where a number does."""
    iteration, total = told.get("iteration"), told.get("maxIterations")
    losses, metrics = told.get("losses") or {}, told.get("metrics") or {}
    eta = told.get("etaSeconds")
    new = Progress(
        iteration=iteration if iteration is not None else progress.iteration,
        max_iterations=total if total is not None else progress.max_iterations,
        percent=100 * iteration // total if iteration is not None and total else progress.percent,
        epoch=told.get("epoch"),
        loss=losses.get("total", progress.loss),
        learning_rate=told.get("learningRate", progress.learning_rate),
        samples_per_second=told.get("samplesPerSecond"),
        eta_seconds=round(eta) if eta is not None else None,
        observed_at=progress.observed_at,
        metrics={name: f"{value:.6g}" for name, value in list(metrics.items())[:_METRICS] if value is not None}
        or progress.metrics,
    )
    return new if new == replace(progress, stale=False) else replace(new, observed_at=at)


def staled(status: JobStatus) -> JobStatus:
    """Its numbers are not fed any more, and say so."""
    if status.progress is None:
        return status
    progress = replace(status.progress, stale=True)
    return replace(status, progress=progress, display=display(progress))


def newest_checkpoint(
    known: CheckpointStatus | None, told: Mapping[str, Any] | None, now: datetime
) -> CheckpointStatus | None:
    """The newest checkpoint. Its time is computed once, from its age: it would flicker otherwise."""
    if not told:
        return known
    same = known is not None and (known.iteration, known.file) == (told.get("iteration"), told.get("file"))
    saved_at = known.saved_at if same and known is not None else None
    if saved_at is None:
        age = told.get("ageSeconds")
        saved_at = now - timedelta(seconds=age) if age is not None else read_time(told.get("savedAt"))
    return CheckpointStatus(
        told.get("iteration"), told.get("file") or "", told.get("bytes"), saved_at, told.get("verified")
    )


def display(progress: Progress) -> Display:
    """The texts of the table. What is no longer fed begins with ~."""
    mark = "~" if progress.stale else ""
    step = f"{progress.iteration}/{progress.max_iterations}" if progress.iteration is not None else ""
    return Display(
        step=mark + step if step else "",
        eta=mark + duration(progress.eta_seconds) if progress.eta_seconds is not None else "",
        loss=f"{mark}{progress.loss:.4g}" if progress.loss is not None else "",
    )


def final_display(progress: Progress) -> Display:
    """The table of a job that is over: how far it came, nothing that is still expected."""
    return replace(display(replace(progress, stale=False)), eta="")


def duration(seconds: int) -> str:
    """`42s`, `12m`, `14h12m`, `3d2h`."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m" if minutes else f"{seconds}s"
