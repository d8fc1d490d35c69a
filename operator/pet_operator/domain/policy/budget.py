"""What ends a job although it has restarts left: the same end again, an end with a budget of its own, a fast loop."""

from __future__ import annotations

from datetime import datetime, timedelta

from pet.config.job import Restart
from pet.runfiles.traces import last_line
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import APP_ERROR, NUMERIC_GUARD, OUT_OF_MEMORY
from pet_operator.domain.launcher import Spent
from pet_operator.domain.policy.backoff import advanced
from pet_operator.domain.status import AttemptRecord, Failure, JobStatus, RestartWindow

DETERMINISTIC, LOOP = "Deterministic", "RestartLoop"
# Restarts that these get, whatever else the job has used up; they count against nothing else. An end by memory may be
# a neighbour's doing once; numbers that are not finite are tried from an older checkpoint. One is forgiven when both a
# newer checkpoint was saved and `windowSeconds` have passed: memory that leaks allows some steps each time.
OWN = {OUT_OF_MEMORY: 1, NUMERIC_GUARD: 2}
_BEFORE_THE_FIRST_STEP = 1
_LOOP_FACTOR = 10


# What a launcher may know of its own ranks: it has started them again in vain already.
_TOLD = (DETERMINISTIC, *OWN, APP_ERROR)


def told(observed: Observed, cause: Failure) -> Spent | None:
    """Whether the launcher of the pod that is the cause says that its ranks must not be started again."""
    reports = (pod.report for pod in observed.current if pod.name == cause.pod)
    spent = next((report.spent for report in reports if report is not None), None)
    return spent if spent is not None and spent.reason in _TOLD else None


def spent(status: JobStatus, cause: Failure, limits: Restart, now: datetime) -> Spent | None:
    """Whether this end of the attempt that `status` is in is one too many of its kind. `maxRestarts: 0` leaves no
    budget of any kind."""
    if _same(status.failure, cause):
        where = "before the first step" if cause.iteration is None else f"at iteration {cause.iteration}"
        words = f"the same {cause.type or cause.class_} {where} twice: another start would end the same way"
        return Spent(reason=DETERMINISTIC, message=words)
    before = [record for record in _unforgiven(status, limits, now) if record.reason == cause.class_]
    if cause.class_ in OWN and len(before) >= min(OWN[cause.class_], limits.max_restarts):
        return Spent(reason=cause.class_, message=f"{cause.class_} {_times(len(before) + 1)}")
    if _made_no_step(cause):
        stillborn = [record for record in before if record.to_iteration in (None, record.from_iteration)]
        if len(stillborn) >= min(_BEFORE_THE_FIRST_STEP, limits.max_restarts):
            words = f"{cause.class_} before the first step {_times(len(stillborn) + 1)}"
            return Spent(reason=cause.class_, message=words)
    return None


def loop(window: RestartWindow | None, limits: Restart) -> Spent | None:
    """Restarts that save something each time are no budget's concern; so many of them are."""
    if window is None or window.restarts <= _LOOP_FACTOR * limits.max_restarts:
        return None
    words = f"{window.restarts} failures within {limits.window_seconds} s, although checkpoints advance"
    return Spent(reason=LOOP, message=words)


def opened(window: RestartWindow | None, number: int, limits: Restart, now: datetime) -> RestartWindow | None:
    """With so many counted restarts more. A window begins with the first restart after the one before is over: a loop
    that goes on fills one of them."""
    if number == 0:
        return window
    if window is None or window.since is None or now - window.since >= timedelta(seconds=limits.window_seconds):
        return RestartWindow(now, number)
    return RestartWindow(window.since, window.restarts + number)


def _same(before: Failure | None, cause: Failure) -> bool:
    """The same exception from the same line, or numbers that are not finite, at the same iteration."""
    if before is None or (before.class_, before.type, before.iteration) != (cause.class_, cause.type, cause.iteration):
        return False
    if cause.class_ == NUMERIC_GUARD:
        return cause.iteration is not None
    line = last_line(cause.traceback)
    return cause.class_ == APP_ERROR and line is not None and line == last_line(before.traceback)


def _unforgiven(status: JobStatus, limits: Restart, now: datetime) -> list[AttemptRecord]:
    """The attempts before this one that are recent, or after which no checkpoint has come; none from before a person
    has begun the job anew, since it may be another one by then."""
    found: list[AttemptRecord] = []
    saved, in_vain = status.checkpoint.iteration if status.checkpoint else None, True
    for record in reversed(status.attempts):
        if _older(record.started_at, status.start_time):
            break
        in_vain = in_vain and not advanced(record, saved)
        saved = record.from_iteration
        if in_vain or not _older(record.ended_at, now - timedelta(seconds=limits.window_seconds)):
            found.append(record)
    return found[1:]


def _made_no_step(cause: Failure) -> bool:
    """By the rank's own account: of what ends unheard it is not known."""
    return cause.class_ == APP_ERROR and cause.rank is not None and cause.iteration is None


def _older(time: datetime | None, than: datetime | None) -> bool:
    return time is not None and than is not None and time < than


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
