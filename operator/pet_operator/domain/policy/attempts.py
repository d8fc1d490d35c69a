"""One attempt after the other: how the next one begins, on paper, and what is written of one that ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import describe
from pet_operator.domain.numbers import newest_checkpoint, staled
from pet_operator.domain.policy import requests
from pet_operator.domain.policy.progress import reached
from pet_operator.domain.policy.restart import began_at, restarted_in_place
from pet_operator.domain.status import KEPT_ATTEMPTS, AttemptRecord, Failure, JobStatus, Nodes


def begun(observed: Observed, status: JobStatus, now: datetime) -> JobStatus:
    """The next attempt: its pods are made once this is written. A request to restart is met by it."""
    spec = observed.job.spec
    record = AttemptRecord(
        attempt=status.attempt + 1,
        started_at=now,
        from_iteration=status.checkpoint.iteration if status.checkpoint else None,
    )
    return replace(
        staled(status),
        attempt=record.attempt,
        spec_hash=spec.hash,
        restart_requested=requests.restart(observed) or status.restart_requested,
        rank0_pod="",
        hang=None,
        nodes=Nodes(spec.nodes, 0),
        attempts=(*status.attempts, record)[-KEPT_ATTEMPTS:],
    )


def last_words(observed: Observed, now: datetime) -> JobStatus:
    """The status with what the launchers of this attempt told at their ends: restarts in place, where they began, and
    the newest checkpoint."""
    reports = [pod.report for pod in observed.current if pod.report is not None]
    status = restarted_in_place(observed.status, max((report.restart for report in reports), default=0))
    began = (report.progress.began for report in reports if report.progress.began is not None)
    status = began_at(status, next(began, None))
    saved = [report.checkpoint for report in reports if report.checkpoint is not None]
    newest = max(saved, key=lambda checkpoint: checkpoint.iteration or 0, default=None)
    return replace(status, checkpoint=newest_checkpoint(status.checkpoint, newest, now))


def closed(observed: Observed, status: JobStatus, now: datetime, reason: str, cause: Failure | None) -> JobStatus:
    """With the end of the attempt in its record. `cause`: what it failed by."""
    record = replace(
        status.current,
        ended_at=now,
        to_iteration=reached(observed, status),
        reason=reason,
        rank=cause.rank if cause else None,
        node=cause.node if cause else "",
        exit_code=cause.exit_code if cause else None,
        message=describe(cause) if cause else "",
    )
    return replace(status, attempts=(*status.attempts[:-1], record))
