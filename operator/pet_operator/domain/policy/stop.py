"""An attempt that is ended although nothing failed in it: its ranks save a checkpoint and leave.

By suspension, by a deadline, or by a request to restart, in this order where several are due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.ends import RESTART, SUSPEND
from pet_operator.domain.numbers import ended
from pet_operator.domain.policy import clean, deadline, requests
from pet_operator.domain.policy.attempts import begun, closed, last_words
from pet_operator.domain.status import FAILED, RESTARTING, SUSPENDED, Failure, JobStatus, Nodes

SUSPEND_WORDS = "spec.suspend is true"


@dataclass(frozen=True)
class Stop:
    """Why, and the phase that follows. `cause`: what is said of a job that fails by it."""

    reason: str
    message: str
    phase: str
    cause: Failure | None = None


def stop(observed: Observed, now: datetime) -> Stop | None:
    """Why the attempt is to end now; None if it may go on."""
    if observed.job.spec.suspend:
        return Stop(SUSPEND, SUSPEND_WORDS, SUSPENDED)
    if exceeded := deadline.exceeded(observed, now):
        return Stop(exceeded.class_, exceeded.message, FAILED, exceeded)
    if requests.restart(observed) is not None:
        return Stop(RESTART, "a restart was requested", RESTARTING)
    return None


def stopping(observed: Observed, why: Stop, now: datetime) -> tuple[JobStatus, tuple[Delete, ...]]:
    """While pods are left: they are told to go, and what those tell that have gone is kept."""
    alive = [pod for pod in observed.pods if not pod.over]
    leaving = "the ranks save a checkpoint and leave" if any(pod.running for pod in alive) else "its pods are removed"
    reason = "Suspending" if why.phase == SUSPENDED else why.reason
    held = [pod for pod in alive if clean.held(observed, pod)]
    message = clean.awaiting(observed, f"{why.message}; {leaving}", held)
    status = replace(last_words(observed, now), reason=reason, message=message)
    return status, clean.removal(observed, alive)


def stopped(observed: Observed, why: Stop, now: datetime) -> JobStatus:
    """Once all pods are over."""
    status = closed(observed, last_words(observed, now), now, why.reason, None)
    status = replace(status, phase=why.phase, reason=why.reason, message=f"{why.message}; {saved_words(status)}")
    if why.phase == RESTARTING:
        return begun(observed, replace(status, restarts=status.restarts + 1), now)
    status = replace(ended(status), rank0_pod="", nodes=Nodes(observed.job.spec.nodes, 0))
    if why.phase == SUSPENDED:
        return replace(status, start_time=None)  # a deadline counts from the resumption, as a Job's does
    return replace(status, failure=why.cause, completion_time=now)


def saved_words(status: JobStatus) -> str:
    """From where the job would go on."""
    saved = status.checkpoint
    return f"the newest checkpoint is of iteration {saved.iteration}" if saved else "there is no checkpoint"
