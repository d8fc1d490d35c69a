"""The conditions of a job: what each says, and when it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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

ACCEPTED, RUNNING_NOW, HUNG, CHECKPOINT_HEALTHY = "Accepted", "Running", "Hung", "CheckpointHealthy"
RECONCILING, STALLED = "Reconciling", "Stalled"
IS_SUSPENDED, HAS_SUCCEEDED, HAS_FAILED, HAS_FINISHED = "Suspended", "Succeeded", "Failed", "Finished"
_OURS = frozenset({
    ACCEPTED, RUNNING_NOW, HUNG, CHECKPOINT_HEALTHY, RECONCILING, STALLED, IS_SUSPENDED, HAS_SUCCEEDED, HAS_FAILED,
    HAS_FINISHED,
})  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """What a condition says: True, False or Unknown, why in one word, and in a sentence."""

    status: str
    reason: str
    message: str = ""


def conditions(
    status: JobStatus, acceptance: Statement, health: Statement, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """All conditions of a job whose other fields are those of `status`; the ones that it carries tell since when.
    `acceptance`: whether the job may have pods, `health`: that of its checkpoints."""
    previous = {condition.type: condition for condition in status.conditions}
    return tuple(
        _condition(kind, statement, previous.get(kind), generation, now)
        for kind, statement in _statements(status, acceptance, health).items()
    )


def own(status: JobStatus) -> JobStatus:
    """Without what other controllers say of the job: that is theirs to write, and no change of ours."""
    kept = tuple(condition for condition in status.conditions if condition.type in _OURS)
    return status if len(kept) == len(status.conditions) else replace(status, conditions=kept)


def _statements(status: JobStatus, acceptance: Statement, health: Statement) -> Mapping[str, Statement]:
    """By type. `Reconciling` and `Stalled` are kstatus's: it waits while the first is True and
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
    true = Statement("True", status.reason or "Unknown", status.message)
    false = Statement("False", status.phase or "Unknown")
    return {
        ACCEPTED: acceptance,
        RUNNING_NOW: Statement("True", "AllRanksStep") if status.phase == RUNNING else false,
        HUNG: false if status.hang is None else Statement("True", "NoStep", words(status.hang)),
        CHECKPOINT_HEALTHY: health,
        **{kind: true if truth else false for kind, truth in truths.items()},
    }


def _condition(
    kind: str, statement: Statement, previous: Condition | None, generation: int, now: datetime
) -> Condition:
    same = previous is not None and previous.status == statement.status
    since = previous.last_transition_time if same and previous is not None else now
    return Condition(kind, statement.status, statement.reason, statement.message, generation, since)
