"""How far a job is, from what its launchers tell; and how often that is worth a write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter

from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.numbers import display, newest_checkpoint, staled, step, update
from pet_operator.domain.policy.restart import began_at, restarted_in_place
from pet_operator.domain.status import RUNNING, STARTING, JobStatus, Nodes, Progress
from pet_operator.domain.views import PodView

STALE_SECONDS = 30.0
WRITE_INTERVAL = timedelta(seconds=10)
# New claims are bound within seconds where storage is made for them; until then the scheduler has no place for the pod.
BINDING_VOLUMES, BINDING_TIME = "BindingVolumes", timedelta(seconds=30)
_UNBOUND = "unbound immediate PersistentVolumeClaims"

# The launcher's states, as reasons of the phase Running.
_ACTIVITIES = {"saving": "Saving", "evaluating": "Evaluating", "stopping": "Stopping", "finished": "Finishing"}


@dataclass(frozen=True)
class Reading:
    """What the launchers of one attempt tell together. `leader` is the newest answer of one that holds rank 0, and the
    pod of that launcher."""

    leader: tuple[PodView, LauncherStatus] | None
    known: bool  # all launchers have answered, and lately
    stepped: int  # ranks that have made a step
    restarts: int  # in place, in this attempt


def read(observed: Observed) -> Reading:
    """Put the answers together."""
    views = [(pod, observed.trainers[pod.uid]) for pod in observed.current if pod.uid in observed.trainers]
    answers = [(pod, view.status, view.age) for pod, view in views if view.status is not None]
    leaders = [(age, pod, status) for pod, status, age in answers if status.iteration is not None]
    fresh = [status for _, status, age in answers if age <= STALE_SECONDS]
    return Reading(
        leader=min(leaders, key=itemgetter(0))[1:] if leaders else None,
        known=len(fresh) == observed.job.spec.nodes,
        stepped=sum(status.stepped for status in fresh),
        restarts=max((status.restarts for _, status, _ in answers), default=0),
    )


def advance(observed: Observed, now: datetime) -> JobStatus:
    """The status of a job whose attempt goes on: phase, progress, newest checkpoint, restarts in place."""
    reading = read(observed)
    status = restarted_in_place(observed.status, reading.restarts)
    ready = sum(pod.ready for pod in observed.current)
    status = replace(status, nodes=Nodes(observed.job.spec.nodes, ready))
    if reading.leader is not None:
        status = _told(status, *reading.leader, now)
    if _silent(observed, status.rank0_pod):
        status = staled(status)
    return _in_phase(observed, reading, status, now)


def reached(observed: Observed, status: JobStatus) -> int | None:
    """The last iteration that is known of the attempt that ends as `status`: by its launchers' last words, by what they
    told while it ran, by its newest checkpoint; None if it told nothing and began with none."""
    leader = read(observed).leader
    told = [pod.report.iteration for pod in observed.current if pod.report is not None]
    told.append(leader[1].iteration if leader is not None else None)
    told.append(status.progress.iteration if status.progress is not None and status.rank0_pod else None)
    told.append(status.checkpoint.iteration if status.checkpoint is not None else None)
    told.append(status.current.from_iteration)
    return max((iteration for iteration in told if iteration is not None), default=None)


def _silent(observed: Observed, rank0_pod: str) -> bool:
    """Whether the launcher that the numbers come from has told nothing for long, be it since it was asked first."""
    views = (observed.trainers.get(pod.uid) for pod in observed.current if pod.name == rank0_pod)
    return any(view is not None and view.age > STALE_SECONDS for view in views)


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


def binding_until(status: JobStatus) -> datetime | None:
    """Until when claims of this attempt may still be without a volume."""
    began = status.current.started_at
    return began + BINDING_TIME if began is not None else None


def _in_phase(observed: Observed, reading: Reading, status: JobStatus, now: datetime) -> JobStatus:
    """Running is when all ranks have made a step; while launchers cannot be asked, it stays as it is."""
    for pod in observed.current:
        if pod.awaited is not None:
            reason, words = pod.awaited
            until = binding_until(status)
            if _UNBOUND in words and until is not None and now < until:
                reason = BINDING_VOLUMES
            return _is(status, STARTING, reason, f"{pod.name}: {words}" if words else f"{pod.name} cannot start yet")
    world_size = observed.job.spec.world_size
    if not (reading.stepped >= world_size if reading.known else status.phase == RUNNING):
        ranks = f"{world_size} rank{'s' if world_size > 1 else ''}"
        again = _again(status.current.restarts)
        return _is(status, STARTING, "AwaitingFirstStep", f"waiting for the first step of {ranks}{again}")
    if reading.leader is None or status.progress is None:
        return status
    activity = _ACTIVITIES.get(reading.leader[1].state, "Training")
    return _is(status, RUNNING, activity, f"iteration {step(status.progress, ' of ')}")


def _again(restarts: int) -> str:
    times = "once" if restarts == 1 else f"{restarts} times"
    return f"; started again in place {times} in this attempt" if restarts else ""


def _is(status: JobStatus, phase: str, reason: str, message: str) -> JobStatus:
    return replace(status, phase=phase, reason=reason, message=message)


def _told(status: JobStatus, pod: PodView, told: LauncherStatus, now: datetime) -> JobStatus:
    status = began_at(status, told.began)
    progress = update(status.progress or Progress(), told, told.metrics, now)
    return replace(
        status,
        rank0_pod=pod.name,
        progress=progress,
        display=display(progress),
        checkpoint=newest_checkpoint(status.checkpoint, told.checkpoint, now),
    )
