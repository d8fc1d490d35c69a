"""What is told about a job as Kubernetes Events: each change that a person would ask about, once."""

from __future__ import annotations

from dataclasses import dataclass

from pet_operator.domain.conditions import ACCEPTED, CHECKPOINT_HEALTHY
from pet_operator.domain.decision import Validation
from pet_operator.domain.ends import STORAGE_FULL, describe
from pet_operator.domain.policy.avoid import words as avoiding
from pet_operator.domain.policy.backoff import DISRUPTION_WINDOW, DISRUPTIONS_AT_EASE, often_disrupted
from pet_operator.domain.policy.hang import words
from pet_operator.domain.policy.requests import IGNORED
from pet_operator.domain.policy.starting import BINDING_VOLUMES, CREATING, FIRST_STEP
from pet_operator.domain.status import FAILED, RESTARTING, RUNNING, SUCCEEDED, SUSPENDED, Condition, JobStatus


@dataclass(frozen=True, slots=True)
class Event:
    """A transition in words; told once the status that it belongs to is written."""

    reason: str
    message: str
    warning: bool = False


def transitions(old: JobStatus, new: JobStatus, validation: Validation) -> tuple[Event, ...]:
    """What has changed between two statuses. With the first attempt comes what the checks found worth knowing."""
    told = (*_checkpoint_lost(old, new), *_refused(old, new), *_ignored(old, new), *_hung(old, new))
    return (*told, *_steps(old, new, validation))


def _steps(old: JobStatus, new: JobStatus, validation: Validation) -> tuple[Event, ...]:
    if new.attempt > old.attempt:
        warnings = validation.warnings if old.attempt == 0 else ()
        return (
            _attempt(new),
            *_disruptions(new),
            *(Event(reason, message, warning=True) for reason, message in warnings),
        )
    if (new.phase, new.reason) == (old.phase, old.reason):
        return ()
    if new.phase == SUSPENDED:
        return (Event("Suspended", new.message),)
    if new.phase == SUCCEEDED:
        return (Event("Succeeded", new.message),)
    if new.phase == FAILED:
        return (Event(new.reason, new.message, warning=True),)
    if new.phase == RUNNING and old.phase != RUNNING:
        return (Event("Running", "the rank steps" if new.world_size == 1 else f"all {new.world_size} ranks step"),)
    if new.reason in _ASKED_FOR:
        return (Event(new.reason, new.message),)
    if new.phase != RUNNING and new.message and new.reason not in _ORDINARY:
        return (Event(new.reason, new.message, warning=True),)
    return ()


# What a person has asked for, while the pods end.
_ASKED_FOR = ("Suspending", "RestartRequested")
# Waiting that needs nobody.
_ORDINARY = (CREATING, BINDING_VOLUMES, FIRST_STEP, "Valid")


def _hung(old: JobStatus, new: JobStatus) -> tuple[Event, ...]:
    if new.hang is None or new.hang == old.hang:
        return ()
    return (Event("Hung", words(new.hang), warning=True),)


def _checkpoint_lost(old: JobStatus, new: JobStatus) -> tuple[Event, ...]:
    """Ranks are expected to go on from the newest checkpoint, in a new attempt or in place; they may have found an
    older one, or none."""
    expected = old.current.from_iteration
    began = next((record.from_iteration for record in new.attempts if record.attempt == old.attempt), None)
    if expected is not None and began is not None and began < expected:
        return (_lost(f"attempt {old.attempt} began", began, expected),)
    former, found = (status.checkpoint.iteration if status.checkpoint else None for status in (old, new))
    if new.attempt > old.attempt or former is None or found is None or found >= former:
        return ()
    return (_lost(f"attempt {old.attempt} went on in place", found, former),)


def _lost(what: str, iteration: int, expected: int) -> Event:
    words = f"the checkpoint of iteration {expected} that was told of is gone, does not verify or was given up"
    return Event("CheckpointLost", f"{what} at iteration {iteration}: {words}", warning=True)


def _refused(old: JobStatus, new: JobStatus) -> tuple[Event, ...]:
    """The disk has begun to refuse checkpoints while training goes on."""
    said, before = _condition(new, CHECKPOINT_HEALTHY), _condition(old, CHECKPOINT_HEALTHY)
    if said is None or said.reason != STORAGE_FULL or new.attempt > old.attempt:
        return ()
    if before is not None and before.reason == STORAGE_FULL:
        return ()
    return (Event(STORAGE_FULL, f"no checkpoint can be written: {said.message}", warning=True),)


def _ignored(old: JobStatus, new: JobStatus) -> tuple[Event, ...]:
    """A person waits for a restart in vain."""
    said, before = _condition(new, ACCEPTED), _condition(old, ACCEPTED)
    if said is None or said.reason != IGNORED or (before is not None and before.message == said.message):
        return ()
    return (Event(IGNORED, said.message, warning=True),)


def _condition(status: JobStatus, kind: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == kind), None)


def _attempt(new: JobStatus) -> Event:
    if new.phase != RESTARTING:
        return Event("Started", f"attempt {new.attempt}: {new.message}")
    if new.reason == "RestartRequested" or new.failure is None:
        return Event("Restarting", f"attempt {new.attempt} follows: {new.message}")
    why = f"{describe(new.failure)}{avoiding(new)}"
    return Event("Restarting", f"attempt {new.attempt} follows, since {why}", warning=True)


def _disruptions(new: JobStatus) -> tuple[Event, ...]:
    """That pods are taken away so often is somebody's to look into, whoever takes them."""
    more = often_disrupted(new)
    if not more:
        return ()
    minutes = DISRUPTION_WINDOW.seconds // 60
    words = f"{DISRUPTIONS_AT_EASE + more} disruptions within {minutes} minutes: the next attempts come later each time"
    return (Event("OftenDisrupted", words, warning=True),)
