"""What follows the end of an attempt: another one, or the end of the job.

`maxRestarts` counts restarts, in place and by attempts together, since the newest checkpoint last advanced, within
`windowSeconds`. Disruptions are free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from pet.config.job import Restart
from pet.runfiles.exits import ExitCode
from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decision import Observed
from pet_operator.domain.policy import deadline
from pet_operator.domain.policy.failure import describe, is_disruption
from pet_operator.domain.status import AttemptRecord, Failure, JobStatus

# Another start would end the same way, or must not be.
_NEVER = {
    ExitCode.CONFIG_ERROR.exit_class: "InvalidConfig",
    ExitCode.CHECKPOINT_UNUSABLE.exit_class: "CheckpointUnusable",
    ExitCode.NO_RESTART.exit_class: "NoRestart",
    **{reason: reason for reason in (deadline.STARTUP, *deadline.HOPELESS)},
}
# What is left to the user, where the launcher cannot know it: a job that had pods is not begun again by an edit alone.
_REMEDIES = {ExitCode.CONFIG_ERROR.exit_class: f"apply the mended file, and annotate the job with {RESTART_REQUESTED}"}
EXHAUSTED = "RestartsExhausted"
_LONGEST_DELAY = 60.0


@dataclass(frozen=True)
class Outcome:
    """`restart`: whether there is another attempt. `recent` are the counted restarts since progress, this one too."""

    restart: bool
    reason: str
    message: str
    recent: tuple[datetime, ...]


def outcome(status: JobStatus, cause: Failure, in_place: int | None, limits: Restart, now: datetime) -> Outcome:
    """Judge the end of the attempt that `status` is in.

    Args:
        in_place: restarts in place since the newest checkpoint of this attempt; None: not told.
    """
    recent = _still_counted(status, limits, now)
    used = _restarts_in_place(status, in_place)
    text = describe(cause)
    if cause.class_ in _NEVER:
        remedy = f"; {_REMEDIES[cause.class_]}" if cause.class_ in _REMEDIES else ""
        return Outcome(False, _NEVER[cause.class_], text + remedy, recent)
    if is_disruption(cause):
        return Outcome(True, cause.class_, text, (*recent, *[now] * used))
    if len(recent) + used >= limits.max_restarts:
        budget = f"no restart is left ({limits.max_restarts} without a new checkpoint)"
        return Outcome(False, EXHAUSTED, f"{budget}; {text}", recent)
    return Outcome(True, cause.class_, text, (*recent, *[now] * (used + 1)))


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


def not_before(status: JobStatus) -> datetime | None:
    """When the pods of the newest attempt may be made: at once the first time, then later by 1, 2, 4 … 60 s for each
    attempt in a row that left nothing to go on from but what it had begun with."""
    current = status.current
    fruitless = 0
    for record, following in reversed(list(pairwise(status.attempts))):
        if _advanced(record, following.from_iteration):
            break
        fruitless += 1
    if current.started_at is None or fruitless == 0:
        return None
    return current.started_at + timedelta(seconds=min(_LONGEST_DELAY, 2.0 ** (fruitless - 1)))


def _still_counted(status: JobStatus, limits: Restart, now: datetime) -> tuple[datetime, ...]:
    saved = status.checkpoint.iteration if status.checkpoint else None
    return () if _advanced(status.current, saved) else _within(status.recent_restarts, limits, now)


def _restarts_in_place(status: JobStatus, told: int | None) -> int:
    """Where the launchers tell nothing, all restarts of the attempt count unless a checkpoint came after some."""
    if told is not None:
        return told
    saved = status.checkpoint.iteration if status.checkpoint else None
    return 0 if _advanced(status.current, saved) else status.current.restarts


def _advanced(record: AttemptRecord, saved: int | None) -> bool:
    return saved is not None and saved > (record.from_iteration or 0)


def _within(times: tuple[datetime, ...], limits: Restart, now: datetime) -> tuple[datetime, ...]:
    return tuple(time for time in times if now - time < timedelta(seconds=limits.window_seconds))
