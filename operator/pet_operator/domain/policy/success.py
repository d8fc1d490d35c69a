"""A job has succeeded when every rank has ended with 0."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain.decision import Observed
from pet_operator.domain.numbers import final_display, newest_checkpoint, update
from pet_operator.domain.status import SUCCEEDED, JobStatus, Nodes, Progress
from pet_operator.domain.views import PodView

COMPLETE_BEFORE = "AlreadyComplete"


def succeeded(observed: Observed) -> bool:
    """Whether all pods of the attempt have."""
    pods = observed.current
    return len(pods) == observed.job.spec.nodes and all(pod.phase == "Succeeded" for pod in pods)


def success(observed: Observed, now: datetime) -> JobStatus:
    """The last status, with the numbers of the launcher that held rank 0."""
    status = _with_numbers(observed, now)
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


def _with_numbers(observed: Observed, now: datetime) -> JobStatus:
    status = observed.status
    pod = next((pod for pod in observed.current if _iteration(pod) is not None), None)
    report = pod.exit.report if pod is not None and pod.exit is not None else None
    if pod is None or report is None:
        return replace(status, reason="AllRanksFinished", message="all ranks finished")
    told = {**(report.get("progress") or {}), "iteration": report["iteration"], "metrics": report.get("metrics")}
    progress = update(replace(status.progress or Progress(), stale=False), told, now)
    before = told.get("resumedFrom") is not None and told["resumedFrom"] == progress.max_iterations
    message = f"all ranks finished at iteration {progress.iteration}"
    if before:
        message = f"the newest checkpoint was already at the last iteration, {progress.iteration}: nothing was trained"
    return replace(
        status,
        reason=COMPLETE_BEFORE if before else "AllRanksFinished",
        message=message,
        rank0_pod=pod.name,
        progress=replace(progress, eta_seconds=None),
        display=final_display(progress),
        checkpoint=newest_checkpoint(status.checkpoint, report.get("checkpoint"), now),
    )


def _iteration(pod: PodView) -> int | None:
    report = pod.exit.report if pod.exit is not None else None
    return report.get("iteration") if report is not None else None
