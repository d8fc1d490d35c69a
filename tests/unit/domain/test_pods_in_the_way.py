"""Pods that are there although they should not be: of former attempts, held by somebody, or heard of late."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.observing import begun, ended, job, later, pod, pods, report, running, seen, stands
from harness.timeless import NOON

from pet_operator.domain.constants import POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Delete, Observed
from pet_operator.domain.views import PodView

HELD = pod(0, terminating=True, grace_seconds=0)
LEAVING = pod(0, terminating=True, grace_seconds=600)


def restarting(former: PodView, **spec: object) -> Observed:
    """A job whose second attempt waits for a pod of its first, half a minute after that was told to go."""
    view = replace(running(spec=spec), pods=(), trainers={})
    return replace(seen(view, decide(view, later(30))), pods=(former,), leaving={former.uid: 31.0})


@pytest.mark.parametrize(
    ("former", "words"), [(LEAVING, "job-1-0"), (HELD, "job-1-0, which a finalizer holds")], ids=["leaving", "held"]
)
def test_the_pod_that_the_next_attempt_waits_for_is_named_as_long_as_it_does(former: PodView, words: str) -> None:
    view = restarting(former)
    cause = view.status.message
    waiting = seen(view, decide(view, later(40)))
    assert stands(waiting.status) == ("Restarting", "Disrupted", f"{cause}; waiting for the end of {words}")
    assert decide(waiting, later(41)).status == waiting.status
    made = decide(replace(waiting, pods=()), later(42))
    assert [action.kind for action in made.actions].count(POD) == 1


PLACELESS = pod(0, "Pending", node="", terminating=True, grace_seconds=0)


def test_a_pod_that_goes_before_it_has_a_node_never_runs_and_is_not_waited_for() -> None:
    """A finalizer holds it."""
    view = begun(pods=(PLACELESS,))
    ended = seen(view, decide(view, later(1)))
    assert (ended.status.attempt, ended.status.reason) == (2, "Disrupted")
    made = decide(ended, later(5))
    assert ([action.kind for action in made.actions].count(POD), made.status.message) == (1, ended.status.message)
    suspended = replace(view, job=job(suspend=True), generation=2)
    assert decide(suspended, later(1)).status.phase == "Suspended"


def test_while_only_time_is_waited_for_no_pod_is_named() -> None:
    view = replace(running(nodes=2), pods=(pod(0), ended(1, 139, report(139))))
    view = seen(view, decide(view, later(30)), pods=(LEAVING,))
    cause = view.status.message
    waiting = seen(view, decide(view, later(30)), pods=())
    assert waiting.status.message == f"{cause}; waiting for the end of job-1-0"
    decision = decide(waiting, later(30))
    assert (decision.status.message, decision.actions, decision.requeue_after is None) == (cause, (), False)
    assert decide(waiting, later(-3600)).actions, "a clock that was set back is not waited for"


@pytest.mark.parametrize("former", [LEAVING, HELD], ids=["leaving", "held"])
def test_a_deadline_and_a_suspension_do_not_wait_for_it_to_be_told(former: PodView) -> None:
    view = restarting(former, deadlines={"activeSeconds": 100})
    assert decide(view, later(60)).requeue_after == 40
    late = seen(view, decide(view, later(101)))
    assert late.status.reason == "DeadlineExceeded"
    assert decide(replace(late, pods=()), later(102)).status.phase == "Failed"
    suspended = replace(view, job=job(suspend=True), generation=2)
    asked = seen(suspended, decide(suspended, later(50)))
    assert asked.status.reason == "Suspending"
    assert ("job-1-0, which a finalizer holds" in asked.status.message) == (former is HELD)
    assert decide(replace(asked, pods=()), later(51)).status.phase == "Suspended"


def test_a_live_attempt_goes_on_beside_the_remains_of_a_former_one_that_cannot_go() -> None:
    view = running()
    beside = replace(view, pods=(*view.pods, pod(0, attempt=0, terminating=True)))
    assert decide(beside, later(20)).status == decide(view, later(20)).status


@pytest.mark.parametrize("suspend", [True, False], ids=["suspended", "waiting"])
def test_a_pod_that_is_heard_of_after_its_attempt_was_ended_is_ended(suspend: bool) -> None:
    """Its creation was not answered."""
    view = begun()
    stopped = seen(view, decide(replace(view, job=job(suspend=True)), NOON), job=job(suspend=True))
    assert stopped.status.phase == "Suspended"
    claim = {"checkpoint": {"volume": {"claimName": "not-there"}}}
    late = replace(stopped, pods=pods(1), job=job(suspend=suspend, **({} if suspend else claim)), generation=3)
    decision = decide(late, later(10))
    assert decision.actions == (Delete(POD, "job-1-0", pod(0).uid),)
    assert decision.status.phase == ("Suspended" if suspend else "Pending")
    assert decide(replace(late, pods=pods(1, "Failed")), later(10)).actions == ()
