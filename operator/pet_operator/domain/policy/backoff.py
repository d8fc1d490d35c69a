"""When the pods of the next attempt may be made."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from itertools import pairwise

from pet_operator.domain.ends import DISRUPTIONS, RESTART, STORAGE_FULL, SUSPEND
from pet_operator.domain.status import PENDING, AttemptRecord, JobStatus

STORAGE_RETRY_SECONDS = 60.0
DISRUPTIONS_AT_EASE, DISRUPTION_WINDOW = 5, timedelta(minutes=10)
_LONGEST_DELAY = 60.0
_JITTER = 0.25


def seconds_left(status: JobStatus, uid: str, now: datetime) -> float | None:
    """Until they may, None once that is so. An attempt that has still to begin by the clock is one of a clock that was
    set back, or of another operator's: how long ago that was is not known, and nobody waits for it to come."""
    began, due = status.current.started_at, not_before(status, uid)
    return (due - now).total_seconds() if began is not None and due is not None and began <= now < due else None


def not_before(status: JobStatus, uid: str) -> datetime | None:
    """At once where somebody asked for it, and where the attempt before has saved something to go on from; else later
    by 1, 2, 4 … 60 s for each attempt in a row that has not, and for each disruption too many. A full disk is tried
    each minute.

    Jobs that fail together do not all come back together: up to a quarter is added, by the job's `uid` and attempt.
    """
    began = status.current.started_at
    if began is None or status.phase == PENDING:  # a job that begins, or goes on as somebody wished
        return None
    if len(status.attempts) > 1 and status.attempts[-2].reason == STORAGE_FULL:
        return began + timedelta(seconds=STORAGE_RETRY_SECONDS)
    times = max(_fruitless(status), often_disrupted(status))
    if times == 0:
        return None
    jitter = _JITTER * zlib.crc32(f"{uid}/{status.attempt}".encode()) / 2**32
    return began + timedelta(seconds=min(_LONGEST_DELAY, 2.0 ** (times - 1)) * (1 + jitter))


def often_disrupted(status: JobStatus) -> int:
    """By how many the newest disruptions are more than five in ten minutes, 0 where that is not how the attempt before
    this one ended."""
    began, ended = status.current.started_at, status.attempts[:-1]
    if began is None or not ended or ended[-1].reason not in DISRUPTIONS:
        return 0
    times = [record.ended_at for record in ended if record.reason in DISRUPTIONS and record.ended_at is not None]
    return max(0, sum(began - time < DISRUPTION_WINDOW for time in times) - DISRUPTIONS_AT_EASE)


def advanced(record: AttemptRecord, saved: int | None) -> bool:
    """Whether the newest checkpoint is one that this attempt has made, by how far it had begun."""
    return saved is not None and saved > (record.from_iteration or 0)


def _fruitless(status: JobStatus) -> int:
    """Ended attempts in a row that left nothing to go on from but what they had begun with."""
    count = 0
    for record, following in reversed(list(pairwise(status.attempts))):
        if record.reason in (SUSPEND, RESTART) or advanced(record, following.from_iteration):
            break
        count += 1
    return count
