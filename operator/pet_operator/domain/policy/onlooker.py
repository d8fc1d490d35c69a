"""What is said of a job for which nothing may be done now: its view has a gap, or it is being deleted.

Nothing is concluded from its pods; its launchers are asked all the same, and numbers that nobody feeds say so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pet_operator.domain.decision import Observed
from pet_operator.domain.numbers import staled
from pet_operator.domain.policy.progress import advance
from pet_operator.domain.status import MAKING, JobStatus

DELETING = "Deleting"
LOOK_AGAIN_SECONDS = 2.0  # until the view may be whole again


def onlooked(observed: Observed, now: datetime) -> JobStatus:
    """The status with what the launchers of an attempt tell that has its pods."""
    if observed.status.finished or not observed.under_way:
        return observed.status
    status = observed.status if observed.status.phase in MAKING else advance(observed, now)
    if not observed.deleting:
        return status
    status = status if any(pod.running for pod in observed.current) else staled(status)
    return replace(status, reason=DELETING, message="the job is being deleted: nothing more is done for it")
