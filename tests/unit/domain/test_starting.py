"""What is awaited while not all ranks have made a step: which pod, which launcher, which rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import SERVICE, answer, begun, later, leading, pod, pods, seen, stands, told
from harness.timeless import NOON

from pet_operator.domain.codec import decode
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.views import TrainerView

WAITING = "waiting for the first step of 4 ranks"
UNHEARD = TrainerView(status=None, age=1.0)
SILENT = TrainerView(status=None, age=16.0)


def starting(**what: Any) -> Observed:
    """Two pods of two ranks each that run, with that written at noon."""
    view = begun(spec={"nodes": 2, "gpusPerNode": 2, **what.pop("spec", {})}, pods=pods(2), service=SERVICE)
    return replace(seen(view, decide(view, NOON)), **what)


def awaited(*views: TrainerView, seconds: float = 20) -> str:
    """The detail of the message, once it is due."""
    status = decide(starting(trainers=told(views)), later(seconds)).status
    assert stands(status)[:2] == ("Starting", "AwaitingFirstStep")
    return status.message.removeprefix(WAITING).removeprefix("; ")


def ranks(*each: tuple[int, str, float | None], state: str = "loading") -> TrainerView:
    """What a launcher tells of its ranks: number, section, seconds since the last step."""
    content = [{"rank": rank, "section": section, "lastStepAgeSeconds": age} for rank, section, age in each]
    return TrainerView(status=decode(LauncherStatus, {"state": state, "ranks": content}), age=0.0)


def test_before_anything_is_known_only_the_ranks_are_counted() -> None:
    assert stands(starting().status) == ("Starting", "AwaitingFirstStep", WAITING)


def test_a_pod_without_a_running_container_is_named() -> None:
    view = starting(pods=(pod(0), pod(1, "Pending")))
    words = f"{WAITING}; the container of job-1-1 does not run yet"
    assert decide(view, later(20)).status.message == words


def test_a_volume_that_another_node_still_has_is_waited_for_in_words() -> None:
    words = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node'
    pending = pod(1, "Pending", awaited=("FailedAttachVolume", words))
    status = decide(starting(pods=(pod(0), pending)), later(20)).status
    told = f"job-1-1: waiting for volume detach: {words}; from a lost node it is taken by force after about six minutes"
    assert stands(status) == ("Starting", "WaitingForVolumeDetach", told)


STEPPED = ranks((0, "step", 0.1), (1, "step", 0.1))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (STEPPED, ranks(state="rendezvous"), "a rank in job-1-1 waits for the other launchers"),
        (STEPPED, ranks(state="restarting"), "a rank in job-1-1 is started again"),
        (STEPPED, ranks(state="loading"), "a rank in job-1-1 is being loaded"),
        (STEPPED, ranks(state="training"), "a rank in job-1-1 is being loaded"),
        (STEPPED, ranks((2, "step", 0.1), (3, "init", None)), "rank 3 in job-1-1 is being loaded"),
        (STEPPED, ranks((2, "data", None), (3, "step", None)), "rank 2 in job-1-1 waits for its first batch"),
        (STEPPED, ranks((2, "step", None), (3, "step", None)), "rank 2 in job-1-1 is in its first step"),
        (ranks((0, "init", None), (1, "init", None)), STEPPED, "rank 0 in job-1-0 is being loaded"),
        (ranks((0, "data", None)), ranks((2, "init", None), (3, "data", None)), "a rank in job-1-0 is being loaded"),
        (STEPPED, ranks((2, "something new", None), (3, "step", 0.1)), "rank 2 in job-1-1 is being loaded"),
    ],
)
def test_the_rank_that_is_behind_is_named_with_what_it_is_at(
    first: TrainerView, second: TrainerView, words: str
) -> None:
    assert awaited(first, second) == words


def test_a_launcher_that_does_not_answer_is_named_with_its_address_and_what_may_be_in_the_way() -> None:
    view = starting(spec={"metrics": {"port": 9401}}, trainers=told([STEPPED, SILENT]))
    status = decide(view, later(16)).status
    words = (
        "the launcher in job-1-1 does not answer at 10.0.0.2:9401; "
        "a NetworkPolicy may keep the operator from it, or its image has no Pet launcher"
    )
    assert stands(status) == ("Starting", "LauncherUnreachable", words)
    assert transitions(view.status, status, view.validation) == (Event("LauncherUnreachable", words, warning=True),)


def test_an_address_of_ipv6_is_written_as_in_a_url() -> None:
    view = starting(pods=(pod(0, ip="fd00::1"), pod(1)), trainers=told([SILENT, STEPPED]))
    assert "at [fd00::1]:9400" in decide(view, later(16)).status.message


def test_a_launcher_that_answered_once_and_no_more_is_unreachable_as_well() -> None:
    loading = ranks(state="loading")
    assert decide(starting(trainers=told([loading, replace(loading, age=31.0)])), later(60)).status.reason == (
        "LauncherUnreachable"
    )


@pytest.mark.parametrize("views", [{}, told([UNHEARD, UNHEARD]), told([ranks(state="loading"), UNHEARD])])
def test_what_was_said_stays_until_all_have_been_asked(views: dict[str, TrainerView]) -> None:
    """By an operator that has just begun, say."""
    view = starting(trainers=told([STEPPED, ranks((2, "data", None), (3, "data", None))]))
    view = seen(view, decide(view, later(20)))
    assert view.status.message.endswith("rank 2 in job-1-1 waits for its first batch")
    assert decide(replace(view, trainers=views), later(60)).status == view.status


def test_what_ranks_are_at_costs_a_write_in_ten_seconds() -> None:
    view = starting(trainers=told([STEPPED, ranks((2, "init", None), (3, "init", None))]))
    decision = decide(view, later(4))
    assert (decision.status, decision.requeue_after) == (view.status, 6.0)
    assert decide(view, later(10)).status.message.endswith("rank 2 in job-1-1 is being loaded")


def test_the_first_step_of_all_is_told_at_once() -> None:
    view = starting(trainers=told([leading(1, ranks=2), answer(ranks=2)]))
    assert decide(view, later(1)).status.phase == "Running"


def test_of_a_container_that_runs_it_is_not_said_that_it_does_not() -> None:
    view = begun(pods=pods(1, "Pending"), service=SERVICE)
    waiting = seen(view, decide(view, later(15)))
    assert waiting.status.message.endswith("the container of job-1-0 does not run yet")
    status = decide(replace(waiting, pods=pods(1)), later(60)).status
    assert status.message == "waiting for the first step of 1 rank"
