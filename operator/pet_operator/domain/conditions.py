"""The conditions of a job: what each says, and when it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pet_operator.domain.policy.hang import words
from pet_operator.domain.status import (
    FAILED,
    FINISHED,
    RUNNING,
    SUCCEEDED,
    SUSPENDED,
    Condition,
    JobStatus,
)

ACCEPTED, RUNNING_NOW, HUNG = "Accepted", "Running", "Hung"
RECONCILING, STALLED = "Reconciling", "Stalled"
IS_SUSPENDED, HAS_SUCCEEDED, HAS_FAILED, HAS_FINISHED = "Suspended", "Succeeded", "Failed", "Finished"


@dataclass(frozen=True)
class Acceptance:
    """Whether the job may have pods: True, False, or Unknown before it was checked."""

    status: str
    reason: str
    message: str = ""


def conditions(status: JobStatus, acceptance: Acceptance, generation: int, now: datetime) -> tuple[Condition, ...]:
    """All conditions of a job whose other fields are those of `status`; the ones that it carries tell since when."""
    previous = {condition.type: condition for condition in status.conditions}
    return tuple(
        _condition(kind, statement, previous.get(kind), generation, now)
        for kind, statement in _statements(status, acceptance).items()
    )


def _statements(status: JobStatus, acceptance: Acceptance) -> Mapping[str, tuple[str, str, str]]:
    """Type → status, reason, message. `Reconciling` and `Stalled` are kstatus's: it waits while the first is True and
    gives up at the second. What is not true says the phase instead, and no message that changes with every step."""
    stalled = status.phase == FAILED
    truths = {
        IS_SUSPENDED: status.phase == SUSPENDED,
        HAS_SUCCEEDED: status.phase == SUCCEEDED,
        HAS_FAILED: status.phase == FAILED,
        HAS_FINISHED: status.finished,
        RECONCILING: status.phase not in (RUNNING, SUSPENDED, *FINISHED),
        STALLED: stalled,
    }
    running = ("True", "AllRanksStep", "") if status.phase == RUNNING else ("False", status.phase or "Unknown", "")
    true, false = ("True", status.reason or "Unknown", status.message), ("False", status.phase or "Unknown", "")
    return {
        ACCEPTED: (acceptance.status, acceptance.reason, acceptance.message),
        RUNNING_NOW: running,
        HUNG: false if status.hang is None else ("True", "NoStep", words(status.hang)),
        **{kind: true if truth else false for kind, truth in truths.items()},
    }


def _condition(
    kind: str, statement: tuple[str, str, str], previous: Condition | None, generation: int, now: datetime
) -> Condition:
    value, reason, message = statement
    same = previous is not None and previous.status == value
    since = previous.last_transition_time if same and previous is not None else now
    return Condition(kind, value, reason, message, generation, since)
