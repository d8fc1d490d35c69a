"""A job has succeeded when every rank has ended with 0."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherReport
from pet_operator.domain.numbers import ended, newest_checkpoint, update
from pet_operator.domain.policy.restart import began_at, restarted_in_place
from pet_operator.domain.status import SUCCEEDED, JobStatus, Nodes, Progress
from pet_operator.domain.views import PodView

COMPLETE_BEFORE = "AlreadyComplete"


def succeeded(observed: Observed) -> bool:
    """Whether all pods of the attempt have."""
    pods = observed.current
    return len(pods) == observed.job.spec.nodes and all(pod.succeeded for pod in pods)


def success(observed: Observed, now: datetime) -> JobStatus:
    """The last status, with the numbers of the launcher that held rank 0."""
    reports = [(pod, pod.report) for pod in observed.current if pod.report is not None]
    status = restarted_in_place(observed.status, max((report.restart for _, report in reports), default=0))
    leaders = [(pod, report) for pod, report in reports if report.iteration is not None]
    status = ended(_with_numbers(status, *leaders[0], now) if leaders else _finished(status, "all ranks finished"))
    reached = status.progress.iteration if status.progress else None
    record = replace(status.current, ended_at=now, to_iteration=reached, reason=SUCCEEDED, exit_code=0)
    return replace(
        status,
        phase=SUCCEEDED,
        completion_time=now,
        failure=None,
        nodes=Nodes(observed.job.spec.nodes, 0),
        attempts=(*status.attempts[:-1], record),
    )


def _with_numbers(status: JobStatus, pod: PodView, report: LauncherReport, now: datetime) -> JobStatus:
    told = replace(report.progress, iteration=report.iteration)
    status = began_at(status, told.began)
    progress = update(status.progress or Progress(), told, report.metrics, now)
    status = replace(
        status,
        rank0_pod=pod.name,
        progress=progress,
        checkpoint=newest_checkpoint(status.checkpoint, report.checkpoint, now),
    )
    total, resumed_from = progress.max_iterations, told.resumed_from
    # Where this job itself has trained and then began again, the last start may find nothing to do either.
    if status.restarts == 0 and total is not None and resumed_from is not None and resumed_from >= total:
        words = f"the newest checkpoint was already at the last iteration, {resumed_from}: nothing was trained"
        return _finished(status, words, COMPLETE_BEFORE)
    return _finished(status, f"all ranks finished at iteration {progress.iteration}")


def _finished(status: JobStatus, message: str, reason: str = "AllRanksFinished") -> JobStatus:
    return replace(status, reason=reason, message=message)
