"""Whether a job's checkpoints are safe: what its condition CheckpointHealthy says."""

from __future__ import annotations

from pet.runfiles.exits import ExitCode
from pet_operator.domain.conditions import Statement
from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import STORAGE_FULL
from pet_operator.domain.launcher import SaveFailure
from pet_operator.domain.policy.backoff import advanced
from pet_operator.domain.policy.progress import read
from pet_operator.domain.status import JobStatus

NOT_PERSISTENT = "NotPersistent"
_UNUSABLE = ExitCode.CHECKPOINT_UNUSABLE.exit_class


def health(observed: Observed, status: JobStatus) -> Statement:
    """By what the checks warned of, by how the job failed, by what its ranks tell of their newest save, and by the
    newest checkpoint; the worst counts."""
    for reason, message in observed.validation.warnings:
        if reason == NOT_PERSISTENT:
            return Statement("False", NOT_PERSISTENT, message)
    if status.failure is not None and status.failure.class_ == _UNUSABLE:
        return Statement("False", _UNUSABLE, status.failure.message)
    saved = status.checkpoint.iteration if status.checkpoint else None
    if status.failure is not None and status.failure.class_ == STORAGE_FULL and not advanced(status.current, saved):
        return Statement("False", STORAGE_FULL, status.failure.message)
    if (refused := _refused(observed)) is not None:
        return Statement("False", STORAGE_FULL, f"at iteration {refused.iteration}: {refused.message}")
    if status.checkpoint is None:
        return Statement("Unknown", "NoCheckpoint", "no checkpoint has been saved yet")
    if not status.checkpoint.verified:
        return Statement("Unknown", "Unverified", "the newest checkpoint has no manifest to verify it by")
    return Statement("True", "Verified")


def _refused(observed: Observed) -> SaveFailure | None:
    """The newest save of the ranks that run, if the disk refused it: training goes on, and they try again."""
    leader = read(observed).leader
    return leader[1].checkpoint_failure if leader is not None else None
