"""A checkpoint folder is taken over from a job that is gone, by the annotation `pet.dev/take-over: <its uid>`.

Uids are never used again, so what is gone stays gone. What cannot be seen to be gone is not.
"""

from __future__ import annotations

from datetime import timedelta

from pet.config.job import PetTrainingJob
from pet_operator.domain.conditions import Statement
from pet_operator.domain.constants import TAKE_OVER
from pet_operator.domain.decision import Observed

REFUSED = "TakeOverRefused"
# The end of a deleted job's pod is no news to another job.
LOOK_AGAIN = timedelta(seconds=5)
_BY_HAND = "local-"  # how the uids of trainings begin that no cluster knows


def asked(job: PetTrainingJob) -> str:
    """The uid of the job whose folder is to be taken over, empty if none is."""
    uid = job.annotations.get(TAKE_OVER, "")
    return "" if uid == job.uid else uid


def granted(observed: Observed) -> str:
    """The uid to hand on to the launchers, empty if none is."""
    return "" if refused(observed) else asked(observed.job)


def refused(observed: Observed) -> Statement | None:
    """Why the folder may not be taken over; None if it may, or nobody has asked."""
    uid = asked(observed.job)
    if uid.startswith(_BY_HAND):
        words = "was started by hand, so nobody sees here whether it has ended; remove the annotation, and begin with"
        return Statement("False", REFUSED, f"{TAKE_OVER}: {uid} {words} its model by spec.checkpoint.resume")
    if observed.holder:
        words = f"{uid} is not gone: {observed.holder} is there; delete the job and wait for its pods"
        return Statement("False", REFUSED, f"{TAKE_OVER}: {words}, or remove the annotation")
    return None
