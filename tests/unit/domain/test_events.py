"""What is told of a job as events: each change that a person would ask about."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import observed, running
from harness.timeless import NOON

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Validation
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.status import Failure, JobStatus

PENDING = JobStatus(attempt=1, phase="Pending", reason="CreatingPods", message="making 2 pods")
STARTING = replace(PENDING, phase="Starting", reason="AwaitingFirstStep", message="waiting", world_size=2)
RUNNING = replace(STARTING, phase="Running", reason="Training", message="iteration 1 of 2")
LOST = Failure("Disrupted", "PodDeleted", "the pod is gone", pod="job-1-0")
QUOTA = "Pod job-1-0: exceeded quota"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (JobStatus(), PENDING, [Event("Started", "attempt 1: making 2 pods")]),
        (PENDING, STARTING, []),
        (STARTING, RUNNING, [Event("Running", "all 2 ranks step")]),
        (RUNNING, replace(RUNNING, message="iteration 2 of 2"), []),
        (RUNNING, replace(RUNNING, reason="Saving"), []),
        (RUNNING, STARTING, []),
        (STARTING, replace(STARTING, message="other words"), []),
        (
            STARTING,
            replace(STARTING, reason="Unschedulable", message="job-1-0: no GPU"),
            [Event("Unschedulable", "job-1-0: no GPU", warning=True)],
        ),
        (
            PENDING,
            replace(PENDING, reason="CreateRefused", message=QUOTA),
            [Event("CreateRefused", QUOTA, warning=True)],
        ),
        (
            RUNNING,
            replace(RUNNING, attempt=2, phase="Restarting", reason="Disrupted", failure=LOST),
            [
                Event(
                    "Restarting",
                    "attempt 2 follows, since pod job-1-0: Disrupted: PodDeleted: the pod is gone",
                    warning=True,
                )
            ],
        ),
        (
            RUNNING,
            replace(RUNNING, phase="Succeeded", reason="AllRanksFinished", message="all ranks finished"),
            [Event("Succeeded", "all ranks finished")],
        ),
        (
            RUNNING,
            replace(RUNNING, phase="Failed", reason="RestartsExhausted", message="no restart is left"),
            [Event("RestartsExhausted", "no restart is left", warning=True)],
        ),
    ],
)
def test_a_change_is_told(old: JobStatus, new: JobStatus, told: list[Event]) -> None:
    assert list(transitions(old, new, Validation())) == told


def test_what_does_not_change_is_not_told() -> None:
    for status in (JobStatus(), PENDING, RUNNING):
        assert transitions(status, status, Validation()) == ()


def test_an_invalid_job_is_told_with_all_its_problems() -> None:
    view = observed(problems=("spec.cfg: no such file",))
    assert transitions(view.status, decide(view, NOON).status, Validation()) == (
        Event("InvalidConfig", "spec.cfg: no such file", warning=True),
    )


def test_a_job_of_one_rank_is_told_in_the_singular() -> None:
    status = running().status
    assert transitions(replace(status, phase="Starting"), status, Validation()) == (Event("Running", "the rank steps"),)


def test_what_the_checks_found_is_told_once_with_the_first_attempt() -> None:
    found = Validation(warnings=(("NotPersistent", "spec.checkpoint.volume: is absent"), ("NoEffect", "STEPS: none")))
    began = transitions(JobStatus(), PENDING, found)
    assert began[1:] == (
        Event("NotPersistent", "spec.checkpoint.volume: is absent", warning=True),
        Event("NoEffect", "STEPS: none", warning=True),
    )
    later = replace(RUNNING, attempt=2, phase="Restarting", reason="Disrupted", failure=LOST)
    assert len(transitions(RUNNING, later, found)) == 1
