"""Whether the numbers of a job are still fed: a dead operator marks nothing as stale, so whoever shows them does."""

from __future__ import annotations

from datetime import datetime

from pet_operator.domain.codec import decode
from pet_operator.domain.numbers import staled
from pet_operator.domain.status import JobStatus, Progress
from pet_operator.domain.views import STALE_SECONDS
from pet_operator.runtime.ports import Manifest

# A step may take longer than others, and what it brings is told a poll and a held back write later.
_STEPS = 3


def status_of(job: Manifest, now: datetime) -> JobStatus:
    """The job's status as it may be shown `now`: numbers that are too old to be live are stale, as if its operator had
    said so. Whatever the operator has said itself stays."""
    status = decode(JobStatus, job.get("status"))
    return status if status.finished or not _outdated(status.progress, now) else staled(status)


def _outdated(progress: Progress | None, now: datetime) -> bool:
    """Whether there should long have been newer numbers.

    Numbers are written when they change, which is with every step, and at most once in ten seconds. So a job whose
    steps take a minute is silent for a minute while all is well: the limit is the operator's own, but at least a few
    steps at the pace that the time left speaks of. An evaluation or a save that takes longer than that is marked too:
    the status does not tell it from an operator that died meanwhile. That is why their age is told, which is true of
    both, and not that nobody was heard.
    """
    if progress is None or progress.observed_at is None:
        return False
    return (now - progress.observed_at).total_seconds() > max(STALE_SECONDS, _STEPS * _step_seconds(progress))


def _step_seconds(progress: Progress) -> float:
    """How long a step takes, its share of saves and evaluations included; 0 where that is not known."""
    if progress.eta_seconds is None or progress.iteration is None or progress.max_iterations is None:
        return 0.0
    left = progress.max_iterations - progress.iteration
    return progress.eta_seconds / left if left > 0 else 0.0
