"""How far a job is, from what its launchers tell; and how often that is worth a write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pet_operator.domain.decision import Observed
from pet_operator.domain.numbers import display, newest_checkpoint, staled, update
from pet_operator.domain.status import RUNNING, STARTING, JobStatus, Nodes, Progress
from pet_operator.domain.views import PodView, TrainerView

STALE_SECONDS = 30.0
WRITE_INTERVAL = timedelta(seconds=10)

# The launcher's states, as reasons of the phase Running.
_ACTIVITIES = {"saving": "Saving", "evaluating": "Evaluating", "stopping": "Stopping", "finished": "Finishing"}


@dataclass(frozen=True)
class Reading:
    """What the launchers of one attempt tell together. `leader` is the answer of the one that holds rank 0."""

    leader: TrainerView | None
    leader_pod: PodView | None
    known: bool  # all launchers have answered, and lately
    stepped: int  # ranks that have made a step
    restarts: int  # in place, in this attempt


def read(observed: Observed) -> Reading:
    """Put the answers together."""
    answers = [(pod, observed.trainers[pod.uid]) for pod in observed.current if pod.uid in observed.trainers]
    leader_pod, leader = next(
        ((pod, view) for pod, view in answers if view.status.get("iteration") is not None), (None, None)
    )
    fresh = [view for _, view in answers if view.status and view.age <= STALE_SECONDS]
    ranks = [rank for view in fresh for rank in view.status.get("ranks") or ()]
    return Reading(
        leader=leader,
        leader_pod=leader_pod,
        known=len(fresh) == observed.job.spec.nodes,
        stepped=sum(rank.get("lastStepAgeSeconds") is not None for rank in ranks),
        restarts=max((int(view.status.get("restarts") or 0) for _, view in answers), default=0),
    )


def advance(observed: Observed, now: datetime) -> JobStatus:
    """The status of a job whose attempt goes on: phase, progress, newest checkpoint, restarts in place."""
    status, reading = observed.status, read(observed)
    in_place = max(0, reading.restarts - status.current.restarts)
    if in_place:
        record = replace(status.current, restarts=reading.restarts)
        status = replace(status, restarts=status.restarts + in_place, attempts=(*status.attempts[:-1], record))
    ready = sum(pod.ready for pod in observed.current)
    status = replace(status, nodes=Nodes(observed.job.spec.nodes, ready))
    if reading.leader is not None and reading.leader_pod is not None:
        status = _told(status, reading.leader, reading.leader_pod, now)
    if reading.leader is not None and reading.leader.age > STALE_SECONDS:
        status = staled(status)
    return _in_phase(observed, reading, status)


def throttled(old: JobStatus, new: JobStatus, now: datetime) -> tuple[JobStatus, float | None]:
    """The status to write now, and after how many seconds what is held back may be written.

    What a person waits for is written at once, numbers at most once in ten seconds, the first ten after the start.
    """
    if new == old or _urgent(old) != _urgent(new):
        return new, None
    if new.phase != RUNNING and replace(new, nodes=old.nodes) == old:
        return old, None  # pods that become ready one by one are no news
    last = old.progress.observed_at if old.progress else old.current.started_at
    wait = (last + WRITE_INTERVAL - now).total_seconds() if last is not None else 0.0
    return (new, None) if wait <= 0 else (old, wait)


def _urgent(status: JobStatus) -> tuple[object, ...]:
    words = () if status.phase == RUNNING else (status.reason, status.message)
    return (status.phase, *words, status.restarts, status.progress is not None and status.progress.stale)


def _in_phase(observed: Observed, reading: Reading, status: JobStatus) -> JobStatus:
    """Running is when all ranks have made a step; while launchers cannot be asked, it stays as it is."""
    for pod in observed.current:
        if pod.awaited is not None:
            reason, words = pod.awaited
            return _is(status, STARTING, reason, f"{pod.name}: {words}" if words else f"{pod.name} cannot start yet")
    world_size = observed.job.spec.world_size
    if not (reading.stepped >= world_size if reading.known else status.phase == RUNNING):
        again = f"; started again in place {reading.restarts} times in this attempt" if reading.restarts else ""
        ranks = f"{world_size} rank{'s' if world_size > 1 else ''}"
        return _is(status, STARTING, "AwaitingFirstStep", f"waiting for the first step of {ranks}{again}")
    if reading.leader is None:
        return status
    progress = status.progress or Progress()
    activity = _ACTIVITIES.get(str(reading.leader.status.get("state")), "Training")
    return _is(status, RUNNING, activity, f"iteration {progress.iteration} of {progress.max_iterations}")


def _is(status: JobStatus, phase: str, reason: str, message: str) -> JobStatus:
    return replace(status, phase=phase, reason=reason, message=message)


def _told(status: JobStatus, leader: TrainerView, pod: PodView, now: datetime) -> JobStatus:
    told = leader.status
    progress = update(status.progress or Progress(), told, now - timedelta(seconds=leader.age))
    record = status.current
    if record.from_iteration is None and told.get("resumedFrom") is not None:
        record = replace(record, from_iteration=told["resumedFrom"])
    return replace(
        status,
        rank0_pod=pod.name,
        progress=progress,
        display=display(progress),
        checkpoint=newest_checkpoint(status.checkpoint, told.get("checkpoint"), now),
        attempts=(*status.attempts[:-1], record),
    )
