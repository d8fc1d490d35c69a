"""An attempt that goes on: what is awaited, when it runs, and the numbers that are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import (
    SERVICE,
    answer,
    begun,
    later,
    leading,
    pod,
    pod_manifest,
    pods,
    running,
    said,
    seen,
    stands,
    told,
)
from harness.timeless import NOON

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Decision, Observed
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.status import CheckpointStatus, Display, Nodes, Progress
from pet_operator.domain.views import PodView, pod_view

UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }
    ],
}


NO_CONTAINER = "waiting for the first step of 2 ranks; the container of job-1-1 does not run yet"


def waiting(kind: str = "containerStatuses", **state: str) -> dict[str, Any]:
    return {"phase": "Pending", kind: [{"name": "trainer", "state": {"waiting": state}}]}


def starting(*there: PodView, **what: Any) -> Observed:
    view = begun(spec={"nodes": len(there)}, pods=there, service=SERVICE)
    return replace(view, **what)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (UNSCHEDULABLE, "Unschedulable", "job-1-1: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
        (waiting(reason="ErrImagePull", message="no such tag"), "ErrImagePull", "job-1-1: no such tag"),
        (waiting("initContainerStatuses", reason="CrashLoopBackOff"), "CrashLoopBackOff", "job-1-1 cannot start yet"),
        (waiting(reason="ContainerCreating"), "AwaitingFirstStep", NO_CONTAINER),
        (waiting(reason="PodInitializing"), "AwaitingFirstStep", NO_CONTAINER),
        ({"phase": "Pending"}, "AwaitingFirstStep", NO_CONTAINER),
    ],
)
def test_a_pod_that_does_not_start_is_named_with_the_reason_of_whoever_is_at_it(
    status: dict[str, Any], reason: str, words: str
) -> None:
    decision = decide(starting(pod(0), pod_view(pod_manifest(1, status=status))), NOON)
    assert stands(decision.status) == ("Starting", reason, words)
    assert said(decision.status, "Reconciling") == ("True", reason, words)
    assert said(decision.status, "Running") == ("False", "Starting", "")


def test_a_claim_that_is_new_may_be_without_a_volume_for_a_while_and_only_then_is_warned_of() -> None:
    words = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    unbound = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    view = starting(pod_view(pod_manifest(status={"phase": "Pending", "conditions": [unbound]})))

    made = decide(view, later(1))
    assert stands(made.status) == ("Starting", "BindingVolumes", f"job-1-0: {words}")
    assert transitions(view.status, made.status, view.validation) == ()
    view = seen(view, made)
    assert decide(view, later(10)) == Decision(view.status, (), 20.0)

    late = decide(view, later(30))
    assert stands(late.status) == ("Starting", "Unschedulable", f"job-1-0: {words}")
    set_back = decide(view, later(-3600)).status
    assert stands(set_back) == stands(late.status), "as well where the clock was set back"
    assert transitions(view.status, late.status, view.validation) == (
        Event("Unschedulable", f"job-1-0: {words}", warning=True),
    )


def test_a_sidecar_that_has_trouble_beside_running_ranks_is_not_what_is_awaited() -> None:
    sidecar = {"initContainerStatuses": [{"name": "logs", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}
    view = replace(running(), pods=(pod_view(pod_manifest(status={"phase": "Running", **sidecar})),))
    assert decide(replace(view, trainers=told([leading()])), NOON).status.phase == "Running"


def test_the_job_runs_when_every_rank_has_made_a_step() -> None:
    view = starting(pod(0), pod(1), trainers=told([leading(3), answer(stepped=False)]))
    assert stands(decide(view, NOON).status)[:2] == ("Starting", "AwaitingFirstStep")
    view = replace(view, trainers=told([leading(3), answer()]))
    status = decide(view, NOON).status
    assert stands(status) == ("Running", "Training", "iteration 3 of 200")
    assert said(status, "Running") == ("True", "AllRanksStep", "")
    assert said(status, "Reconciling") == ("False", "Running", "")
    assert (status.rank0_pod, status.nodes) == ("job-1-0", Nodes(2, 2))


def test_a_launcher_that_has_not_answered_may_still_be_starting() -> None:
    view = starting(pod(0), pod(1), trainers=told([leading(3, ranks=2)]))
    assert decide(view, NOON).status.phase == "Starting"


def test_rank_0_may_be_in_any_pod() -> None:
    status = decide(starting(pod(0), pod(1), trainers=told([answer(), leading(3)])), NOON).status
    assert (status.rank0_pod, status.message) == ("job-1-1", "iteration 3 of 200")


def test_what_rank_0_told_before_it_moved_does_not_count() -> None:
    view = running(nodes=2)
    moved = replace(view, trainers=told([leading(10, age=40.0), leading(50)]))
    status = decide(moved, later(40)).status
    assert (status.rank0_pod, status.message) == ("job-1-1", "iteration 50 of 200")
    assert status.progress is not None
    assert not status.progress.stale


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("training", "Training"),
        ("saving", "Saving"),
        ("evaluating", "Evaluating"),
        ("stopping", "Stopping"),
        ("finished", "Finishing"),
        ("something new", "Training"),
    ],
)
def test_what_the_ranks_are_at_is_the_reason(state: str, reason: str) -> None:
    view = starting(pod(0), trainers=told([leading(state=state)]))
    assert stands(decide(view, NOON).status) == ("Running", reason, "iteration 10 of 200")


def test_the_numbers_of_rank_0_are_shown() -> None:
    checkpoint = {"iteration": 5, "file": "a.pth", "bytes": 7, "ageSeconds": 42.0, "verified": True}
    numbers = leading(epoch=1, metrics={"top1": 0.8912345678, "loss": None}, checkpoint=checkpoint)
    status = decide(starting(pod(0), trainers=told([numbers])), NOON).status
    assert status.progress == Progress(
        iteration=10,
        max_iterations=200,
        percent=5,
        epoch=1,
        loss=0.834567,
        learning_rate=0.02,
        samples_per_second=151.0,
        eta_seconds=3725,
        observed_at=NOON,
        metrics={"top1": "0.891235"},
    )
    assert status.display == Display(step="10/200", eta="1h2m", loss="0.8346")
    assert status.checkpoint == CheckpointStatus(5, "a.pth", 7, later(-42), True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h0m"), (51120, "14h12m"), (266400, "3d2h")],
)
def test_the_time_that_is_left_is_written_shortly(seconds: int, text: str) -> None:
    status = decide(starting(pod(0), trainers=told([leading(etaSeconds=seconds)])), NOON).status
    assert status.display is not None
    assert status.display.eta == text


def test_a_length_that_is_not_known_yet_is_left_out() -> None:
    status = decide(starting(pod(0), trainers=told([leading(3, maxIterations=None)])), NOON).status
    assert status.message == "iteration 3"
    assert status.display is not None
    assert status.display.step == "3"


def test_at_most_sixteen_metrics_are_kept() -> None:
    many = {f"m{index}": 1.0 for index in range(20)}
    status = decide(starting(pod(0), trainers=told([leading(metrics=many)])), NOON).status
    assert status.progress is not None
    assert len(status.progress.metrics) == 16


def test_a_checkpoint_keeps_its_time_whatever_its_age_is_told_to_be() -> None:
    checkpoint = {"iteration": 5, "file": "a.pth", "bytes": 7, "ageSeconds": 42.0, "verified": False}
    first = decide(starting(pod(0), trainers=told([leading(checkpoint=checkpoint)])), NOON).status
    view = starting(pod(0), status=first)
    again = leading(20, checkpoint=checkpoint | {"ageSeconds": 55.5, "verified": True})
    status = decide(replace(view, trainers=told([again])), later(12)).status
    assert status.checkpoint == CheckpointStatus(5, "a.pth", 7, later(-42), True)


def test_where_the_attempt_went_on_from_is_recorded() -> None:
    view = starting(pod(0), trainers=told([leading(120, resumedFrom=100)]))
    assert decide(view, NOON).status.current.from_iteration == 100


def test_numbers_that_are_no_longer_fed_say_so_at_once() -> None:
    view = running()
    fresh = replace(view, trainers=told([leading(age=30.0)]))
    assert decide(fresh, later(30)).status == view.status
    old = decide(replace(view, trainers=told([leading(age=31.0)])), later(31)).status
    assert old.progress is not None
    assert old.progress.stale
    assert old.display == Display(step="~10/200", eta="~1h2m", loss="~0.8346")
    assert stands(old) == ("Running", "Training", "iteration 10 of 200")


@pytest.mark.parametrize(
    ("idle", "section", "usual", "stale"),
    [
        (29.0, "step", 0.2, False),
        (31.0, "step", 0.2, True),
        (31.0, "data", None, True),
        (31.0, "step", 20.0, False),
        (61.0, "step", 20.0, True),
        (300.0, "save", 0.2, False),
        (300.0, "eval", 0.2, False),
    ],
)
def test_numbers_of_a_rank_0_that_makes_no_step_are_stale_although_its_launcher_answers(
    idle: float, section: str, usual: float | None, stale: bool
) -> None:
    """In a save or an evaluation no step is due."""
    still = told([leading(idle=idle, section=section, stepSeconds=usual)])
    status = decide(replace(running(), trainers=still), later(40)).status
    assert status.progress is not None
    assert status.progress.stale == stale


def test_numbers_that_are_fed_again_lose_the_mark() -> None:
    view = running()
    old = seen(view, decide(replace(view, trainers=told([leading(age=31.0)])), later(31)))
    status = decide(replace(old, trainers=told([leading()])), later(32)).status
    assert status.progress == view.status.progress
    assert status.display == view.status.display


def test_numbers_from_before_the_operator_s_own_restart_become_stale_too() -> None:
    """It has not heard of the launcher since it began to ask."""
    view = running()
    silent = replace(answer(age=31.0), status=None)
    status = decide(replace(view, trainers=told([silent])), later(31)).status
    assert status.progress is not None
    assert status.progress.stale


def test_a_launcher_that_cannot_be_asked_does_not_stop_a_job_from_running() -> None:
    for trainers in ({}, told([leading(age=100.0)]), told([leading()])):
        view = replace(running(nodes=2), trainers=trainers)
        assert decide(view, later(5)).status.phase == "Running"


def test_a_pod_that_has_finished_before_the_others_does_not_stop_a_job_from_running() -> None:
    view = running(nodes=2)
    view = replace(view, pods=(pod(0, "Succeeded"), pod(1)), trainers={pod(1).uid: answer()})
    assert decide(view, later(5)).status.phase == "Running"


def test_ranks_that_were_started_again_in_place_are_counted_once() -> None:
    view = running()
    trainers = told([leading(restarts=2, stepped=False)])
    for seconds in (1, 2):
        decision = decide(replace(view, trainers=trainers), later(seconds))
        words = "waiting for the first step of 1 rank, started again in place 2 times in this attempt"
        assert stands(decision.status) == (
            "Starting",
            "AwaitingFirstStep",
            f"{words}; rank 0 in job-1-0 is in its first step",
        )
        assert (decision.status.restarts, decision.status.current.restarts) == (2, 2)
        view = seen(view, decision)
    status = decide(replace(view, trainers=told([leading(11, restarts=3)])), later(9)).status
    assert (status.phase, status.restarts, status.current.restarts) == ("Running", 3, 3)


def test_one_restart_in_place_is_once() -> None:
    view = replace(running(), trainers=told([leading(restarts=1, stepped=False)]))
    words = "waiting for the first step of 1 rank, started again in place once in this attempt; "
    assert decide(view, later(1)).status.message.startswith(words)


def test_the_launchers_of_all_pods_count_one_restart_together() -> None:
    view = running(nodes=2)
    view = replace(view, trainers=told([leading(restarts=1), answer(restarts=1)]))
    assert decide(view, later(1)).status.restarts == 1


@pytest.mark.parametrize("phase", ["Starting", "Running"])
def test_an_operator_that_has_just_begun_and_asked_nobody_changes_nothing(phase: str) -> None:
    view = running(nodes=2)
    if phase == "Starting":
        again = replace(view, trainers=told([leading(restarts=2, stepped=False), answer(restarts=2)]))
        view = seen(view, decide(again, later(1)))
    assert view.status.phase == phase
    decision = decide(replace(view, trainers={}), later(60))
    assert (decision.status, decision.actions) == (view.status, ())


def test_the_pods_of_the_attempt_before_the_last_are_of_no_more_use() -> None:
    view = running()
    status = replace(view.status, attempt=3, attempts=(*view.status.attempts, *view.status.attempts))
    old = (*pods(1, "Failed", attempt=1), *pods(1, "Failed", attempt=2), *pods(1, attempt=3))
    decision = decide(replace(view, status=status, pods=old), later(1))
    assert [action.name for action in decision.actions] == ["job-1-0"]
