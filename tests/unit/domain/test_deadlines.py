"""Deadlines, to the second: of the whole job, of its start, and of its time after the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import (
    SERVICE,
    begun,
    ended,
    later,
    leading,
    pod,
    pod_manifest,
    report,
    running,
    seen,
    stands,
    told,
)
from harness.timeless import NOON

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import JOB, POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.views import PodView, pod_view

ACTIVE = "not finished 100 s after its start (spec.deadlines.activeSeconds)"


def quiet(**deadlines: int) -> Observed:
    """A job that runs, whose launchers tell nothing new."""
    view = running(spec={"deadlines": deadlines})
    return replace(view, trainers=told([leading()]))


def scheduled(index: int, seconds: float, **status: Any) -> PodView:
    """A pod that has a node since then and does not run yet."""
    since = {"type": "PodScheduled", "status": "True", "lastTransitionTime": write_time(later(seconds))}
    return pod_view(pod_manifest(index, status={"phase": "Pending", "podIP": "", "conditions": [since], **status}))


def pulling(index: int, seconds: float, reason: str = "ErrImagePull", message: str = "no such tag") -> PodView:
    waiting = {"reason": reason, "message": message}
    return scheduled(index, seconds, containerStatuses=[{"name": "trainer", "state": {"waiting": waiting}}])


def starting(*there: PodView) -> Observed:
    view = begun(spec={"nodes": len(there), "deadlines": {"startupSeconds": 60}}, pods=there, service=SERVICE)
    return seen(view, decide(view, later(1)))


def test_a_quiet_job_is_looked_at_again_when_its_time_is_over() -> None:
    decision = decide(quiet(activeSeconds=100), later(30))
    assert (decision.actions, decision.requeue_after) == ((), 70.0)


def test_a_job_that_takes_too_long_saves_and_fails() -> None:
    view = quiet(activeSeconds=100)
    assert decide(view, later(99.9)).actions == ()
    decision = decide(view, later(100))
    assert decision.actions == (Delete(POD, "job-1-0", pod(0).uid),)
    words = f"{ACTIVE}; the ranks save a checkpoint and leave"
    assert stands(decision.status) == ("Running", "DeadlineExceeded", words)

    saved = {"iteration": 12, "file": "m.pth", "bytes": 7, "savedAt": write_time(later(101)), "verified": True}
    view = replace(seen(view, decision), pods=(ended(0, 143, report(143, checkpoint=saved)),), trainers={})
    status = decide(view, later(110)).status
    assert stands(status) == ("Failed", "DeadlineExceeded", f"{ACTIVE}; the newest checkpoint is of iteration 12")
    assert status.failure is not None
    assert (status.failure.class_, status.failure.message) == ("DeadlineExceeded", ACTIVE)
    assert (status.completion_time, status.current.reason) == (later(110), "DeadlineExceeded")


def test_a_longer_time_is_in_force_at_once() -> None:
    view = quiet(activeSeconds=100)
    longer = replace(view, job=quiet(activeSeconds=200).job, generation=2)
    decision = decide(longer, later(150))
    assert (decision.actions, decision.requeue_after) == ((), 50.0)


def test_time_goes_by_between_two_attempts() -> None:
    view = replace(quiet(activeSeconds=100), pods=(ended(0, 1, report(1)),), trainers={})
    view = seen(view, decide(view, later(90)))
    assert (view.status.phase, decide(view, later(99)).status.phase) == ("Restarting", "Restarting")
    assert stands(decide(view, later(100)).status) == (
        "Failed",
        "DeadlineExceeded",
        f"{ACTIVE}; there is no checkpoint",
    )


def test_a_job_that_failed_for_lack_of_time_and_is_restarted_has_all_of_it_again() -> None:
    view = replace(quiet(activeSeconds=100), pods=(), trainers={})
    view = seen(view, decide(view, later(100)))
    annotations = {"pet.dev/restart-requested": write_time(later(200))}
    view = replace(view, job=replace(view.job, annotations=annotations))
    decision = decide(view, later(201))
    assert (decision.status.phase, decision.requeue_after) == ("Pending", 100.0)


def test_the_time_to_start_begins_when_the_last_pod_has_a_node() -> None:
    view = starting(pulling(0, 5), scheduled(1, 20))
    assert decide(view, later(30)).requeue_after == 50.0
    status = decide(view, later(80)).status
    since = "60 s after all pods had a node (spec.deadlines.startupSeconds)"
    words = f"pod job-1-0 on node node-0: StartupDeadlineExceeded: {since}: ErrImagePull: no such tag"
    assert stands(status) == ("Failed", "StartupDeadlineExceeded", words)
    assert status.failure is not None
    assert (status.failure.pod, status.failure.node, status.restarts) == ("job-1-0", "node-0", 0)


def test_an_api_server_whose_clock_is_behind_takes_nothing_from_the_time_to_start() -> None:
    view = starting(pulling(0, -3600))
    assert (decide(view, later(1)).status.phase, decide(view, later(1)).requeue_after) == ("Starting", 59.0)
    assert decide(view, later(60)).status.reason == "StartupDeadlineExceeded"


@pytest.mark.parametrize(
    "there",
    [
        (scheduled(0, 5), pod_view(pod_manifest(1, status={"phase": "Pending"}))),
        (pod(0), pod(1)),
    ],
    ids=["one has no node yet", "all run"],
)
def test_no_deadline_of_the_start(there: tuple[PodView, ...]) -> None:
    """How long the scheduler takes is no fault of the job, and what ranks do is watched by their launchers."""
    decision = decide(starting(*there), later(9999))
    assert (decision.actions, decision.status.phase, decision.requeue_after) == ((), "Starting", None)


def test_an_image_whose_name_is_wrong_fails_at_once() -> None:
    view = starting(pod(0), pulling(1, 5, "InvalidImageName", 'couldn\'t parse image "A:b:c"'))
    decision = decide(view, later(6))
    words = 'pod job-1-1 on node node-1: InvalidImageName: couldn\'t parse image "A:b:c"'
    assert stands(decision.status) == ("Failed", "InvalidImageName", words)


@pytest.mark.parametrize("which", ["None", "Running", "All"])
def test_pods_that_never_ran_go_whatever_is_kept(which: str) -> None:
    view = begun(spec={"cleanPods": which}, pods=(pulling(0, 5, "InvalidImageName"),), service=SERVICE)
    view = seen(view, decide(view, later(6)))
    assert decide(view, later(7)).actions == (Delete(POD, "job-1-0", pod(0).uid),)


@pytest.mark.parametrize("code", [0, 80])
def test_a_finished_job_is_deleted_when_its_time_has_passed(code: int) -> None:
    view = running(spec={"ttlSecondsAfterFinished": 60})
    view = replace(view, pods=(ended(0, code, report(code)),), trainers={})
    decision = decide(view, later(10))
    assert (decision.actions, decision.requeue_after) == ((), 60.0)
    view = seen(view, decision)
    assert (decide(view, later(69)).actions, decide(view, later(69)).requeue_after) == ((), 1.0)
    assert decide(view, later(70)).actions == (Delete(JOB, "job", "uid-of-job"),)


def test_without_such_a_time_it_stays() -> None:
    view = replace(running(), pods=(ended(0, 0, report(0)),), trainers={})
    view = seen(view, decide(view, NOON))
    assert (decide(view, later(1e9)).actions, decide(view, later(1e9)).requeue_after) == ((), None)
