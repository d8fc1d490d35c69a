"""The condition CheckpointHealthy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import leading, observed, running, said, seen, told
from harness.timeless import NOON

from pet_operator.domain.decide import decide
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.policy.health import health
from pet_operator.domain.status import AttemptRecord, CheckpointStatus, Failure, JobStatus

WARNING = ("NotPersistent", "spec.checkpoint.volume: is absent")
SAVED = CheckpointStatus(iteration=5, verified=True)
UNUSABLE = Failure(class_="CheckpointUnusable", message="none verifies")
FULL = Failure(class_="StorageFull", message="no room")
BEGUN = AttemptRecord(from_iteration=5)
NONE_YET = ("Unknown", "NoCheckpoint", "no checkpoint has been saved yet")


@pytest.mark.parametrize(
    ("warnings", "status", "stated"),
    [
        ((), JobStatus(), NONE_YET),
        ((), JobStatus(checkpoint=SAVED), ("True", "Verified", "")),
        ((), JobStatus(checkpoint=replace(SAVED, verified=False)),
         ("Unknown", "Unverified", "the newest checkpoint has no manifest to verify it by")),
        ((), JobStatus(failure=Failure(class_="Crash"), checkpoint=SAVED), ("True", "Verified", "")),
        ((), JobStatus(failure=UNUSABLE, checkpoint=SAVED), ("False", "CheckpointUnusable", "none verifies")),
        ((), JobStatus(failure=FULL, checkpoint=SAVED, attempts=(BEGUN,)), ("False", "StorageFull", "no room")),
        ((), JobStatus(failure=FULL, attempts=(BEGUN,)), ("False", "StorageFull", "no room")),
        ((), JobStatus(failure=FULL, checkpoint=replace(SAVED, iteration=6), attempts=(BEGUN,)),
         ("True", "Verified", "")),
        ((("ResumeOff", "x"), WARNING), JobStatus(checkpoint=SAVED), ("False", *WARNING)),
    ],
)  # fmt: skip
def test_the_worst_is_said(
    warnings: tuple[tuple[str, str], ...], status: JobStatus, stated: tuple[str, str, str]
) -> None:
    found = health(observed(warnings=warnings), status)
    assert (found.status, found.reason, found.message) == stated


def test_it_is_said_from_the_beginning_and_changes_with_the_first_checkpoint() -> None:
    view = running()
    assert said(view.status, "CheckpointHealthy") == NONE_YET
    saved = replace(view, status=replace(view.status, checkpoint=SAVED))
    assert said(seen(saved, decide(saved, NOON)).status, "CheckpointHealthy") == ("True", "Verified", "")


def test_a_save_that_the_disk_refuses_is_said_while_training_goes_on_and_told_once() -> None:
    view = running()
    refused = {"iteration": 20, "reason": "ENOSPC", "message": "no space left"}
    view = replace(view, trainers=told([leading(21, checkpointFailure=refused)]))
    decision = decide(view, NOON)
    assert decision.status.phase == "Running"
    words = "at iteration 20: no space left"
    assert said(decision.status, "CheckpointHealthy") == ("False", "StorageFull", words)
    event = Event("StorageFull", f"no checkpoint can be written: {words}", warning=True)
    assert transitions(view.status, decision.status, view.validation) == (event,)
    view = seen(view, decision)
    assert transitions(view.status, decide(view, NOON).status, view.validation) == ()
    view = replace(view, trainers=told([leading(31, checkpointFailure=None)]))
    assert said(decide(view, NOON).status, "CheckpointHealthy") == NONE_YET
