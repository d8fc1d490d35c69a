"""The operator's one decision: what to do for a job now, from what is seen of it.

Level-triggered: the same view gives the same answer however it came about, so a decision that was cut off in the middle
is simply made again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain import manifests
from pet_operator.domain.conditions import conditions
from pet_operator.domain.decision import Action, Decision, Observed
from pet_operator.domain.numbers import ended, newest_checkpoint, staled
from pet_operator.domain.policy import clean, predecessor, restart
from pet_operator.domain.policy.accept import INVALID_CONFIG, accept
from pet_operator.domain.policy.failure import ROOT_WAIT, AttemptEnd, attempt_end, describe
from pet_operator.domain.policy.progress import BINDING_VOLUMES, advance, binding, reached, throttled
from pet_operator.domain.policy.success import succeeded, success
from pet_operator.domain.status import (
    FAILED,
    KEPT_ATTEMPTS,
    PENDING,
    RESTARTING,
    STARTING,
    AttemptRecord,
    JobStatus,
    Nodes,
)

# In these phases pods of the attempt may still have to be made; after them one that is absent is lost.
_MAKING = ("", PENDING, RESTARTING)


def decide(observed: Observed, now: datetime) -> Decision:
    """What to do, and the whole status to write."""
    # 1. Nothing is concluded from half a view, and nothing done for a job that goes or is another controller's.
    if not observed.synced or observed.deleting or observed.job.spec.managed_by not in ("", manifests.CONTROLLER):
        return Decision(observed.status)
    # 2. What is over stays over.
    if observed.over:
        return _decision(observed, observed.status, now, clean.finished(observed))
    # 3. No attempt without a valid job, and none beside its deleted predecessor.
    if observed.status.attempt == 0:
        return _first(observed, now)
    # 4. One attempt at a time: the pods of former ones go first.
    if any(pod.attempt < observed.status.attempt and not pod.over for pod in observed.pods):
        return _decision(observed, observed.status, now, clean.outdated(observed))
    # 5. All ranks finished.
    if succeeded(observed):
        return _decision(observed, success(observed, now), now)
    # 6. An attempt that cannot go on ends, through its first failure.
    if end := attempt_end(observed, complete=observed.status.phase not in _MAKING):
        return _end(observed, end, now)
    # 7. Its objects are made.
    if observed.status.phase in _MAKING:
        return _make(observed, now)
    # 8. It goes on.
    status, wait = throttled(observed.status, advance(observed, now), now)
    if status.reason == BINDING_VOLUMES:
        wait = binding(status, now)
    return _decision(observed, status, now, clean.outdated(observed) + _service(observed), wait)


def _first(observed: Observed, now: datetime) -> Decision:
    job, acceptance = observed.job, accept(observed)
    status = replace(observed.status, script=observed.validation.script, world_size=job.spec.world_size)
    if acceptance.reason == INVALID_CONFIG:
        status = replace(status, phase=FAILED, reason=INVALID_CONFIG, message=acceptance.message, completion_time=now)
        return _decision(observed, status, now)
    status = replace(status, phase=PENDING, reason=acceptance.reason, message=acceptance.message, completion_time=None)
    if acceptance.status != "True":
        return _decision(observed, status, now)
    if waits := predecessor.predecessor(observed):
        status = replace(status, phase=STARTING, reason=predecessor.REASON, message=waits)
        return _decision(observed, status, now)
    status = replace(status, start_time=now, failure=None)
    return _decision(observed, _begun(observed, status, now), now)


def _begun(observed: Observed, status: JobStatus, now: datetime) -> JobStatus:
    """The next attempt, on paper: its pods are made once this is written."""
    spec = observed.job.spec
    record = AttemptRecord(
        attempt=status.attempt + 1,
        started_at=now,
        from_iteration=status.checkpoint.iteration if status.checkpoint else None,
    )
    first = status.attempt == 0
    return replace(
        status,
        attempt=record.attempt,
        phase=PENDING if first else RESTARTING,
        reason="CreatingPods" if first else status.reason,
        message=f"making {spec.nodes} pod{'s' if spec.nodes > 1 else ''}" if first else status.message,
        spec_hash=spec.hash,
        nodes=Nodes(spec.nodes, 0),
        attempts=(*status.attempts, record)[-KEPT_ATTEMPTS:],
    )


def _end(observed: Observed, end: AttemptEnd, now: datetime) -> Decision:
    status, spec = observed.status, observed.job.spec
    if not end.settled and end.since is not None and abs(now - end.since) < ROOT_WAIT:  # more is another clock
        return _decision(observed, status, now, wait=(end.since + ROOT_WAIT - now).total_seconds())
    reports = [pod.report for pod in observed.current if pod.report is not None]
    status = restart.restarted_in_place(status, max((report.restart for report in reports), default=0))
    began = (report.progress.began for report in reports if report.progress.began is not None)
    status = restart.began_at(status, next(began, None))
    saved = [report.checkpoint for report in reports if report.checkpoint is not None]
    newest = max(saved, key=lambda checkpoint: checkpoint.iteration or 0, default=None)
    status = replace(status, checkpoint=newest_checkpoint(status.checkpoint, newest, now))
    left_in_place = [report.restarts_left for report in reports if report.restarts_left is not None]
    granted = restart.restarts_left(status, spec.restart)
    in_place = max(0, granted - min(left_in_place)) if left_in_place else None
    result = restart.outcome(status, end.cause, in_place, spec.restart, now)
    record = replace(
        status.current,
        ended_at=now,
        to_iteration=reached(observed, status),
        reason=end.cause.class_,
        rank=end.cause.rank,
        node=end.cause.node,
        exit_code=end.cause.exit_code,
        message=describe(end.cause),
    )
    status = replace(
        status,
        failure=end.cause,
        reason=result.reason,
        message=result.message,
        recent_restarts=result.recent,
        attempts=(*status.attempts[:-1], record),
    )
    if not result.restart:
        status = replace(ended(status), phase=FAILED, completion_time=now, nodes=Nodes(spec.nodes, 0))
        return _decision(observed, status, now)
    status = replace(staled(status), restarts=status.restarts + 1, rank0_pod="")
    return _decision(observed, _begun(observed, status, now), now)


def _make(observed: Observed, now: datetime) -> Decision:
    """Make what is missing; all pods are there once the cache shows them."""
    status, job = observed.status, observed.job
    since = restart.not_before(status)
    if since is not None and since > now:
        return _decision(observed, status, now, wait=(since - now).total_seconds())
    present = {pod.node_index for pod in observed.current}
    missing = [index for index in range(job.spec.nodes) if index not in present]
    if not missing:
        return _decision(observed, advance(observed, now), now, _service(observed))
    if observed.refused is not None:
        status = replace(status, reason=observed.refused.reason, message=observed.refused.message)
    left = restart.restarts_left(status, job.spec.restart)
    script = observed.validation.script
    pods = (manifests.pod(job, observed.site, script, status.attempt, index, left) for index in missing)
    return _decision(observed, status, now, (*_service(observed), *manifests.shared(job, script), *pods))


def _service(observed: Observed) -> tuple[Action, ...]:
    if observed.service is not None:
        return ()
    return (manifests.service(observed.job, observed.validation.script),)


def _decision(
    observed: Observed,
    status: JobStatus,
    now: datetime,
    actions: tuple[Action, ...] = (),
    wait: float | None = None,
) -> Decision:
    """With everything in the status that follows from the rest of it."""
    stated = conditions(status, accept(observed), observed.generation, now)
    status = replace(status, observed_generation=observed.generation, conditions=stated)
    return Decision(status, actions, wait)
