"""What follows the end of an attempt: another one, or the end of the job.

`maxRestarts` counts restarts, in place and by attempts together, since the newest checkpoint last advanced, within
`windowSeconds`. Disruptions and a full disk are free; what has a budget of its own counts against that alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pet.config.job import Restart
from pet_operator.domain.bounds import MOST_STARTS
from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import (
    CHECKPOINT_UNUSABLE,
    CONFIG_ERROR,
    NO_RESTART,
    OUT_OF_MEMORY,
    STORAGE_FULL,
    describe,
    is_disruption,
    reason_of,
)
from pet_operator.domain.launcher import Spent
from pet_operator.domain.policy import budget, deadline
from pet_operator.domain.policy.backoff import STORAGE_RETRY_SECONDS, advanced
from pet_operator.domain.status import Failure, JobStatus, RestartWindow

# Another start would end the same way, or must not be.
_NEVER = {
    CONFIG_ERROR: "InvalidConfig",
    CHECKPOINT_UNUSABLE: "CheckpointUnusable",
    NO_RESTART: "NoRestart",
    **{reason: reason for reason in (deadline.STARTUP, *deadline.HOPELESS)},
}
# What is left to the user, where the launcher cannot know it: a job that had pods is not begun again by an edit alone.
_AGAIN = f"and annotate the job with {RESTART_REQUESTED}"
MEND = f"apply the mended file, {_AGAIN}"
_REMEDIES = {
    CONFIG_ERROR: MEND,
    OUT_OF_MEMORY: f"raise the trainer's memory limit in spec.template, or have it use less, {_AGAIN}",
}
EXHAUSTED = "RestartsExhausted"


@dataclass(frozen=True)
class Outcome:
    """`restart`: whether there is another attempt. `recent` are the counted restarts since progress, this one too;
    `window` counts those that made progress as well."""

    restart: bool
    reason: str
    message: str
    recent: tuple[datetime, ...]
    window: RestartWindow | None


def outcome(
    status: JobStatus, cause: Failure, in_place: int | None, told: Spent | None, limits: Restart, now: datetime
) -> Outcome:
    """Judge the end of the attempt that `status` is in.

    Args:
        told: what the launcher says against another start.
        in_place: restarts in place since the newest checkpoint of this attempt; None: not told.
    """
    recent = _still_counted(status, limits, now)
    used = _restarts_in_place(status, in_place)
    counted = not is_disruption(cause) and cause.class_ != STORAGE_FULL and cause.class_ not in budget.OWN
    window = budget.opened(status.restart_window, status.current.restarts + counted, limits, now)
    text, remedy = describe(cause), f"; {_REMEDIES[cause.class_]}" if cause.class_ in _REMEDIES else ""
    if cause.class_ in _NEVER:
        return Outcome(False, _NEVER[cause.class_], text + remedy, recent, window)
    if spent := told or budget.spent(status, cause, limits, now):
        return Outcome(False, spent.reason, f"{spent.message}; {text}{remedy}", recent, window)
    if cause.class_ == STORAGE_FULL:
        text += f"; tried again each {STORAGE_RETRY_SECONDS:.0f} s"
    if not counted:
        return Outcome(True, reason_of(cause), text, _newest((*recent, *[now] * used), limits), window)
    if len(recent) + used >= limits.max_restarts:
        words = f"no restart is left ({limits.max_restarts} without a new checkpoint)"
        return Outcome(False, EXHAUSTED, f"{words}; {text}", recent, window)
    if looping := budget.loop(window, limits):
        return Outcome(False, looping.reason, f"{looping.message}; {text}", recent, window)
    return Outcome(True, reason_of(cause), text, _newest((*recent, *[now] * (used + 1)), limits), window)


def in_place(observed: Observed, limits: Restart) -> int | None:
    """Restarts in place of this attempt since its newest checkpoint, by what its launchers have left of what they were
    granted; None if none tells."""
    reports = [pod.report for pod in observed.current if pod.report is not None]
    left = [report.restarts_left for report in reports if report.restarts_left is not None]
    return max(0, restarts_left(observed.status, limits) - min(left)) if left else None


def began_at(status: JobStatus, iteration: int | None) -> JobStatus:
    """The attempt began where its ranks say, if they do, which may be after the checkpoint that was told of last. Ranks
    that were started again in place say where they went on."""
    if iteration is None or status.current.restarts:
        return status
    expected = status.current.from_iteration
    lost = expected is not None and iteration < expected  # the checkpoint that was told of is not there any more
    record = replace(status.current, from_iteration=iteration)
    return replace(status, checkpoint=None if lost else status.checkpoint, attempts=(*status.attempts[:-1], record))


def restarted_in_place(status: JobStatus, times: int) -> JobStatus:
    """With the restarts in place that were not counted yet; a launcher tells how many there were in its attempt."""
    new = times - status.current.restarts
    if new <= 0:
        return status
    record = replace(status.current, restarts=times)
    return replace(status, restarts=status.restarts + new, attempts=(*status.attempts[:-1], record))


def restarts_left(status: JobStatus, limits: Restart) -> int:
    """What the launchers of this attempt may use up in place, as it was when the attempt began."""
    began = status.current.started_at
    recent = status.recent_restarts if began is None else _within(status.recent_restarts, limits, began)
    return max(0, limits.max_restarts - len(recent))


def _still_counted(status: JobStatus, limits: Restart, now: datetime) -> tuple[datetime, ...]:
    saved = status.checkpoint.iteration if status.checkpoint else None
    return () if advanced(status.current, saved) else _within(status.recent_restarts, limits, now)


def _newest(times: tuple[datetime, ...], limits: Restart) -> tuple[datetime, ...]:
    """What a status keeps of them: more than are allowed tell nothing more."""
    return times[-max(MOST_STARTS, limits.max_restarts) :]


def _restarts_in_place(status: JobStatus, told: int | None) -> int:
    """Where the launchers tell nothing, all restarts of the attempt count unless a checkpoint came after some.
    Otherwise no more than there were: `maxRestarts` may not be any more what they were granted by."""
    if told is not None:
        return min(told, status.current.restarts)
    saved = status.checkpoint.iteration if status.checkpoint else None
    return 0 if advanced(status.current, saved) else status.current.restarts


def _within(times: tuple[datetime, ...], limits: Restart, now: datetime) -> tuple[datetime, ...]:
    return tuple(time for time in times if now - time < timedelta(seconds=limits.window_seconds))
