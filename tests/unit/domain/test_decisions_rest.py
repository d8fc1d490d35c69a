"""A decision that was carried out is followed by none: whatever state a job is in, looking again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from harness.observing import (
    SERVICE,
    answer,
    begun,
    ended,
    later,
    leading,
    observed,
    pod,
    pod_manifest,
    pods,
    report,
    running,
    seen,
    told,
)
from harness.timeless import NOON

from pet_operator.domain.codec import decode, encode
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Observed, Refusal
from pet_operator.domain.status import JobStatus
from pet_operator.domain.views import pod_view

UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}],
}
INVALID = observed(problems=("spec.cfg: no such file",))
LATE = later(60)  # by then no attempt waits for its time
OLD = replace(pod(0), job_uid="another")


def restarting() -> Observed:
    view = replace(running(), pods=(ended(0, 1, report(1)),), trainers={})
    view = seen(view, decide(view, NOON))
    return replace(view, pods=(ended(0, 1, report(1)), pod(0, "Pending", attempt=2)))


# Each state, with what the API server has by then.
STATES: dict[str, Callable[[], Observed]] = {
    "invalid": lambda: INVALID,
    "behind a deleted job": lambda: observed(predecessors=(OLD,)),
    "refused": lambda: begun(refused=Refusal("CreateRefused", "Pod job-1-0: no")),
    "unschedulable": lambda: begun(pods=(pod_view(pod_manifest(status=UNSCHEDULABLE)),), service=SERVICE),
    "starting": lambda: begun(pods=pods(2, "Pending"), service=SERVICE, spec={"nodes": 2}),
    "starting again in place": lambda: replace(running(), trainers=told([leading(restarts=1, stepped=False)])),
    "running": lambda: replace(running(nodes=2), trainers=told([leading(), answer()])),
    "running, not asked yet": lambda: running(nodes=2),
    "running, silent": lambda: replace(running(), trainers=told([leading(age=60.0)])),
    "restarting": restarting,
    "succeeded": lambda: replace(running(), pods=(ended(0, 0, report(0, iteration=200)),)),
    "succeeded without a word": lambda: replace(running(), pods=pods(1, "Succeeded")),
    "failed": lambda: replace(running(nodes=2), pods=(ended(0, 78, report(78)), ended(1, 75, report(75)))),
}


def rests(view: Observed) -> Observed:
    """Carry out what is decided until nothing is, with the answers of the API server; at most ten times."""
    for _ in range(10):
        decision = decide(view, LATE)
        made = any(isinstance(action, Create) for action in decision.actions) and not view.refused
        assert not made, "nothing is to be made any more"
        if decision.status == view.status:
            return view
        view = seen(view, decision)
    raise AssertionError(f"never rests: {view.status}")


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("seconds", [0, 1, 1000])
def test_looking_again_changes_nothing_and_does_nothing(name: str, seconds: float) -> None:
    view = rests(STATES[name]())
    decision = decide(view, LATE + timedelta(seconds=seconds))
    assert decision.status == view.status
    assert [action for action in decision.actions if not view.refused] == []


@pytest.mark.parametrize("name", STATES)
def test_an_operator_that_has_just_begun_writes_nothing(name: str) -> None:
    """It has the objects, and no answer of a launcher yet."""
    view = rests(STATES[name]())
    status = decode(JobStatus, json.loads(json.dumps(encode(view.status))))
    assert decide(replace(view, status=status, trainers={}), LATE + timedelta(seconds=5)).status == status


@pytest.mark.parametrize("name", ["succeeded", "failed"])
@pytest.mark.parametrize(
    "there", [(), pods(2), pods(2, "Failed"), pods(2, attempt=2)], ids=lambda there: str(len(there))
)
def test_what_has_finished_stays_so_whatever_becomes_of_its_pods(name: str, there: tuple[object, ...]) -> None:
    view = replace(rests(STATES[name]()), pods=there, trainers=told([leading(), leading()]))
    decision = decide(view, later(1000))
    assert decision.status == view.status
    assert not any(isinstance(action, Create) for action in decision.actions)


@pytest.mark.parametrize("name", STATES)
def test_half_a_view_decides_nothing(name: str) -> None:
    view = replace(STATES[name](), synced=False)
    decision = decide(view, NOON)
    assert decision.actions == ()
    assert decision.status.finished == view.status.finished
    assert (decision.status.attempt, decision.status.current.ended_at) == (
        view.status.attempt,
        view.status.current.ended_at,
    )


def test_an_edit_of_a_job_that_has_finished_is_acknowledged_and_no_more() -> None:
    view = rests(STATES["failed"]())
    status = decide(replace(view, generation=2), later(60)).status
    assert status.observed_generation == 2
    unmarked = tuple(replace(each, observed_generation=1) for each in status.conditions)
    assert replace(status, observed_generation=1, conditions=unmarked) == view.status
