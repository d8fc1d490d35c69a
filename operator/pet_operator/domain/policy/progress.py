"""How far a job is, from what its launchers tell; and how often that is worth a write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter

from pet_operator.domain.decision import Observed
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.numbers import display, newest_checkpoint, staled, step, update
from pet_operator.domain.policy import reports, starting
from pet_operator.domain.policy.hang import hang, words
from pet_operator.domain.policy.restart import began_at, restarted_in_place
from pet_operator.domain.status import RUNNING, STARTING, JobStatus, Nodes, Progress
from pet_operator.domain.views import STALE_SECONDS, PodView

WRITE_INTERVAL = timedelta(seconds=10)
# Numbers of a rank 0 that answers are as old as its last step: in so many usual steps there should be another.
_STEPS = 3

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
    if status.restarts > observed.status.restarts and (hung := reports.hung_in_place(observed)) is not None:
        status = replace(status, failure=hung)
    ready = sum(pod.ready for pod in observed.current)
    status = replace(status, nodes=Nodes(observed.job.spec.nodes, ready))
    if reading.leader is not None:
        status = _told(status, *reading.leader, now)
    if _silent(observed, status.rank0_pod) or _old(reading):
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


def _old(reading: Reading) -> bool:
    """Whether rank 0 has made no step for long although its launcher answers; while it saves or evaluates, none is
    due."""
    ranks = reading.leader[1].ranks if reading.leader is not None else ()
    ages = [rank.last_step_age_seconds for rank in ranks if rank.rank == 0 and rank.section in ("data", "step")]
    limit = max(STALE_SECONDS, _STEPS * (_step_seconds(reading) or 0.0))
    return any(age is not None and age > limit for age in ages)


def throttled(old: JobStatus, new: JobStatus, now: datetime) -> tuple[JobStatus, float | None]:
    """The status to write now, and after how many seconds what is held back may be written.

    What a person waits for is written at once, numbers and what each rank is at before its first step at most once in
    ten seconds.
    """
    if new == old or _urgent(old) != _urgent(new):
        return new, None
    if new.phase != RUNNING and replace(new, nodes=old.nodes) == old:
        return old, None  # pods that become ready one by one are no news
    last = old.accounting.counted_until if old.accounting else None  # the last write
    wait = last + WRITE_INTERVAL - now if last is not None else timedelta()
    due = not timedelta() < wait <= WRITE_INTERVAL  # more is a clock that was set back
    return (new, None) if due else (old, wait.total_seconds())


def _urgent(status: JobStatus) -> tuple[object, ...]:
    words: tuple[str, ...] = (status.reason, status.message)
    if status.phase == RUNNING:
        words = ()
    elif status.reason == starting.FIRST_STEP:
        words = (status.reason,)
    stale = status.progress is not None and status.progress.stale
    return (status.phase, *words, status.restarts, status.hang, stale)


def _in_phase(observed: Observed, reading: Reading, status: JobStatus, now: datetime) -> JobStatus:
    """Running is when all ranks have made a step; while launchers cannot be asked, it stays as it is."""
    waits = any(pod.awaited is not None for pod in observed.current)
    stepping = reading.stepped >= observed.job.spec.world_size if reading.known else status.phase == RUNNING
    if waits or not stepping:
        reason, message = starting.awaited(observed, status, now)
        return replace(status, phase=STARTING, reason=reason, message=message, hang=None)
    if reading.known:
        status = replace(status, hang=hang(observed, _step_seconds(reading), now))
    if status.hang is not None:
        return replace(status, phase=RUNNING, reason="Hung", message=words(status.hang))
    if reading.leader is None or status.progress is None:
        return status
    activity = _ACTIVITIES.get(reading.leader[1].state, "Training")
    return replace(status, phase=RUNNING, reason=activity, message=f"iteration {step(status.progress, ' of ')}")


def _step_seconds(reading: Reading) -> float | None:
    return reading.leader[1].step_seconds if reading.leader is not None else None


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
