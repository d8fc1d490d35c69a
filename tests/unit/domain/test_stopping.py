"""An attempt that is not wanted any more: suspended, out of time, or to be started again. Its ranks save first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import (
    begun,
    ended,
    job,
    later,
    observed,
    pod,
    pods,
    report,
    running,
    said,
    seen,
    stands,
)
from harness.timeless import NOON

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import POD, RESTART_REQUESTED
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import DELETE_REFUSED, Create, Delete, Observed, Refusal
from pet_operator.domain.events import Event, transitions
from pet_operator.domain.status import CheckpointStatus, Nodes

SAVED = {"iteration": 12, "file": "m.pth", "bytes": 7, "savedAt": write_time(later(31)), "verified": True}
SUSPENDED = "spec.suspend is true; the newest checkpoint is of iteration 12"
# A job that had pods is not begun again by an edit alone.
REMEDY = "; apply the mended file, and annotate the job with pet.dev/restart-requested"


def asked(view: Observed, seconds: float = 30.0, **spec: Any) -> Observed:
    """The same job after an edit of its spec, or after a request to restart if there is none."""
    if not spec:
        annotations = {RESTART_REQUESTED: write_time(later(seconds))}
        return replace(view, job=replace(view.job, annotations=annotations))
    return replace(view, job=job(nodes=view.job.spec.nodes, **spec), generation=view.generation + 1)


def left(view: Observed, code: int = 143) -> Observed:
    """Its pods have saved and gone."""
    count, attempt = view.job.spec.nodes, view.status.attempt
    told = report(code, attempt=attempt, iteration=12, checkpoint=SAVED)
    there = tuple(ended(index, code, told if index == 0 else report(code), attempt=attempt) for index in range(count))
    return replace(view, pods=there, trainers={})


def suspended() -> Observed:
    view = asked(running(nodes=2), suspend=True)
    view = left(seen(view, decide(view, later(30))))
    return replace(seen(view, decide(view, later(40))), pods=())


def test_of_a_job_that_is_to_stop_only_a_refused_deletion_is_told() -> None:
    view = asked(running(nodes=2), suspend=True)
    told, former = decide(view, later(30)).status, Refusal("CreateRefused", "no room")
    assert stands(decide(replace(view, refused=former), later(30)).status) == stands(told)
    kept = decide(replace(view, refused=Refusal(DELETE_REFUSED, "Pod job-1-0 cannot be deleted: no")), later(30)).status
    assert stands(kept) == ("Running", "DeleteRefused", "Pod job-1-0 cannot be deleted: no")


def test_ranks_that_are_suspended_are_told_to_save_and_the_job_stays_what_it_is_until_they_have() -> None:
    view = asked(running(nodes=2), suspend=True)
    decision = decide(view, later(30))
    assert decision.actions == (Delete(POD, "job-1-0", pod(0).uid), Delete(POD, "job-1-1", pod(1).uid))
    words = "spec.suspend is true; the ranks save a checkpoint and leave"
    assert stands(decision.status) == ("Running", "Suspending", words)
    assert said(decision.status, "Suspended")[0] == "False"
    assert transitions(view.status, decision.status, view.validation) == (Event("Suspending", words),)

    view = replace(seen(view, decision), pods=pods(2, terminating=True))
    again = decide(view, later(31))
    assert (again.actions, again.status) == ((), view.status)


def test_a_job_is_suspended_once_its_pods_are_over_with_the_checkpoint_that_they_saved() -> None:
    view = asked(running(nodes=2), suspend=True)
    view = left(seen(view, decide(view, later(30))))
    decision = decide(view, later(40))
    status = decision.status
    assert stands(status) == ("Suspended", "Suspended", SUSPENDED)
    assert status.checkpoint == CheckpointStatus(12, "m.pth", 7, later(31), True)
    assert (status.start_time, status.completion_time, status.nodes) == (None, None, Nodes(2, 0))
    assert (status.attempt, status.restarts, status.failure) == (1, 0, None)
    record = status.current
    assert (record.reason, record.ended_at, record.to_iteration, record.exit_code) == ("Suspended", later(40), 12, None)
    assert said(status, "Suspended") == ("True", "Suspended", SUSPENDED)
    for kind in ("Running", "Reconciling", "Stalled", "Finished"):
        assert said(status, kind) == ("False", "Suspended", "")
    assert transitions(view.status, status, view.validation) == (Event("Suspended", SUSPENDED),)


@pytest.mark.parametrize("there", [(), pods(2, "Failed")], ids=["gone", "over"])
def test_a_suspended_job_rests(there: Any) -> None:
    view = replace(suspended(), pods=there)
    decision = decide(view, later(9999))
    assert (decision.actions, decision.status, decision.requeue_after) == ((), view.status, None)


def test_a_suspended_job_goes_on_with_the_next_attempt_and_no_restart_is_counted() -> None:
    view = asked(suspended(), suspend=False)
    status = decide(view, later(100)).status
    assert stands(status) == ("Pending", "CreatingPods", "making 2 pods")
    assert (status.attempt, status.restarts, status.start_time) == (2, 0, later(100))
    assert (status.current.from_iteration, status.recent_restarts) == (12, ())
    view = seen(view, decide(view, later(100)))
    assert [action.kind for action in decide(view, later(101)).actions if isinstance(action, Create)].count(POD) == 2


def test_ranks_that_finish_instead_have_finished() -> None:
    view = asked(running(nodes=2), suspend=True)
    view = left(seen(view, decide(view, later(30))), code=0)
    assert decide(view, later(40)).status.phase == "Succeeded"


def test_ranks_that_fail_while_they_save_are_suspended_all_the_same() -> None:
    view = asked(running(nodes=2), suspend=True)
    view = left(seen(view, decide(view, later(30))), code=1)
    status = decide(view, later(40)).status
    assert (status.phase, status.failure) == ("Suspended", None)


def test_a_job_may_be_suspended_before_anything_was_made() -> None:
    view = observed(spec={"suspend": True})
    status = decide(view, NOON).status
    assert stands(status) == ("Suspended", "Suspended", "spec.suspend is true; nothing has run yet")
    assert (status.attempt, status.start_time) == (0, None)
    assert said(status, "Accepted") == ("True", "Valid", "")
    view = asked(seen(view, decide(view, NOON)), suspend=False)
    assert (decide(view, later(5)).status.attempt, decide(view, later(5)).status.start_time) == (1, later(5))


def test_pods_that_are_being_made_are_taken_back() -> None:
    view = replace(asked(begun(spec={"nodes": 2}), suspend=True), pods=(pod(0, "Pending"),))
    decision = decide(view, later(1))
    assert decision.actions == (Delete(POD, "job-1-0", pod(0).uid),)
    assert decision.status.message == "spec.suspend is true; its pods are removed"
    view = replace(seen(view, decision), pods=())
    status = decide(view, later(2)).status
    assert stands(status) == ("Suspended", "Suspended", "spec.suspend is true; there is no checkpoint")


def test_an_invalid_edit_of_a_suspended_job_is_said_and_fails_it_only_when_it_is_to_go_on() -> None:
    words = "spec.cfg: no such file"
    view = suspended()
    view = replace(view, generation=5, validation=replace(view.validation, problems=(words,)))
    status = decide(view, later(100)).status
    assert (stands(status), said(status, "Accepted")) == (stands(view.status), ("False", "InvalidConfig", words))
    view = asked(seen(view, decide(view, later(100))), suspend=False)
    assert stands(decide(view, later(101)).status) == ("Failed", "InvalidConfig", f"{words}{REMEDY}")


def test_a_restart_that_was_requested_saves_first_and_begins_the_next_attempt() -> None:
    view = asked(running(nodes=2))
    decision = decide(view, later(31))
    assert [type(action) for action in decision.actions] == [Delete, Delete]
    assert stands(decision.status)[:2] == ("Running", "RestartRequested")
    assert decision.status.restart_requested is None

    view = left(seen(view, decision))
    status = decide(view, later(40)).status
    words = "a restart was requested; the newest checkpoint is of iteration 12"
    assert stands(status) == ("Restarting", "RestartRequested", words)
    assert (status.attempt, status.restarts, status.restart_requested) == (2, 1, later(30))
    assert (status.recent_restarts, status.attempts[0].reason) == ((), "RestartRequested")
    assert transitions(view.status, status, view.validation) == (Event("Restarting", f"attempt 2 follows: {words}"),)


@pytest.mark.parametrize(
    ("value", "restarts"),
    [
        (write_time(later(30)), True),
        ("2026-01-31T12:00:30.7Z", True),
        ("2026-01-31T13:00:30+01:00", True),
        (write_time(later(-1)), False),
        ("now", False),
        ("", False),
    ],
)
def test_a_request_is_a_time_that_is_not_before_the_job(value: str, restarts: bool) -> None:
    """Noon is when the job was made."""
    view = running(created=NOON)
    view = replace(view, job=replace(view.job, annotations={RESTART_REQUESTED: value}))
    assert bool(decide(view, later(60)).actions) == restarts


NO_EFFECT = "metadata.annotations[pet.dev/restart-requested] has no effect: "
GIVE = "; give the time of the request, as date -u +%FT%TZ prints it"
LAST = "2026-01-31T12:00:10Z, the last request that was followed"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("true", "'true' is no time"),
        ("now", "'now' is no time"),
        (write_time(later(-1)), "2026-01-31T11:59:59Z is before the job was made"),
        (write_time(later(9)), f"2026-01-31T12:00:09Z is not after {LAST}"),
    ],
)
def test_a_request_that_has_no_effect_is_said_once_with_what_to_do(value: str, why: str) -> None:
    view = running(created=NOON)
    view = replace(view, status=replace(view.status, restart_requested=later(10)))
    before, words = view.status, f"{NO_EFFECT}{why}{GIVE}"
    view = replace(view, job=replace(view.job, annotations={RESTART_REQUESTED: value}))
    decision = decide(view, later(60))
    assert decision.actions == ()
    assert said(decision.status, "Accepted") == ("True", "RestartIgnored", words)
    assert transitions(before, decision.status, view.validation) == (Event("RestartIgnored", words, warning=True),)
    view = seen(view, decision)
    again = decide(view, later(61)).status
    assert (again, transitions(view.status, again, view.validation)) == (view.status, ())

    view = replace(view, job=replace(view.job, annotations={}))
    assert said(decide(view, later(62)).status, "Accepted") == ("True", "Valid", "")


def test_a_request_that_was_followed_is_not_ignored() -> None:
    view = asked(running())
    view = replace(view, status=replace(view.status, restart_requested=later(30)))
    assert said(decide(view, later(60)).status, "Accepted") == ("True", "Valid", "")


def test_what_the_checks_warned_of_is_said_again_once_no_request_is_ignored() -> None:
    view = running(warnings=(("NoEffect", "STEPS: none"),))
    lost = replace(view, job=replace(view.job, annotations={RESTART_REQUESTED: "true"}))
    lost = seen(lost, decide(lost, later(60)))
    assert said(lost.status, "Accepted")[1] == "RestartIgnored"
    again = decide(replace(lost, job=view.job), later(61)).status
    assert said(again, "Accepted") == ("True", "NoEffect", "STEPS: none")


def test_a_request_is_met_once() -> None:
    view = replace(asked(running()), status=replace(running().status, restart_requested=later(30)))
    assert decide(view, later(60)).actions == ()
    assert len(decide(asked(view, 31.0), later(60)).actions) == 1


def test_every_attempt_meets_a_request() -> None:
    """One that comes while a failed attempt is followed by the next needs no further one."""
    view = asked(running())
    view = replace(view, pods=(ended(0, 1, report(1)),), trainers={})
    status = decide(view, later(31)).status
    assert (status.attempt, status.restart_requested) == (2, later(30))


def test_a_failed_job_begins_again_on_request_with_all_its_restarts() -> None:
    view = running(spec={"restart": {"maxRestarts": 0}})
    view = replace(view, pods=(ended(0, 1, report(1)),), trainers={})
    view = seen(view, decide(view, later(10)))
    assert view.status.phase == "Failed"
    assert decide(view, later(20)).status == view.status

    status = decide(asked(view), later(40)).status
    assert stands(status) == ("Pending", "CreatingPods", "making 1 pod")
    assert (status.attempt, status.start_time, status.completion_time) == (2, later(40), None)
    assert (status.failure, status.recent_restarts, status.restart_requested) == (None, (), later(30))
    assert said(status, "Failed")[0] == "False"


def test_a_failed_job_that_is_invalid_by_now_fails_anew_and_the_request_is_done_with() -> None:
    view = running()
    view = replace(view, pods=(ended(0, 80, report(80)),), trainers={})
    view = asked(seen(view, decide(view, later(10))))
    view = replace(view, validation=replace(view.validation, problems=("spec.cfg: no such file",)))
    decision = decide(view, later(40))
    assert stands(decision.status) == ("Failed", "InvalidConfig", f"spec.cfg: no such file{REMEDY}")
    assert decision.status.restart_requested == later(30)
    view = seen(view, decision)
    assert decide(view, later(50)).status == view.status


def test_a_job_that_succeeded_does_not_begin_again() -> None:
    view = replace(running(), pods=(ended(0, 0, report(0)),))
    view = seen(view, decide(view, later(10)))
    decision = decide(asked(view), later(40))
    assert (decision.actions, decision.status.phase, decision.status.attempt) == ((), "Succeeded", 1)
    words = f"{NO_EFFECT}the job has succeeded; to train anew, apply it under another name"
    assert said(decision.status, "Accepted") == ("True", "RestartIgnored", words)


def test_another_spec_than_the_attempt_s_is_said_and_nothing_else() -> None:
    view = running()
    changed = asked(view, template={"spec": {"nodeSelector": {"zone": "b"}}})
    decision = decide(changed, later(30))
    assert decision.actions == ()
    words = "the spec is not the one that this attempt was made from; undo the change, or the next attempt uses it"
    assert said(decision.status, "Accepted") == ("True", "SpecDrift", words)
    undone = replace(seen(changed, decision), job=view.job, generation=3)
    assert said(decide(undone, later(60)).status, "Accepted") == ("True", "Valid", "")


def test_an_edit_of_how_the_job_is_looked_after_is_no_drift() -> None:
    view = asked(running(), restart={"maxRestarts": 7}, checkpoint={"keep": 9}, ttlSecondsAfterFinished=5)
    assert said(decide(view, later(30)).status, "Accepted") == ("True", "Valid", "")


def test_a_job_that_goes_on_and_has_to_wait_makes_nothing_until_it_need_not() -> None:
    old = replace(pod(0), job_uid="another")
    view = replace(asked(suspended(), suspend=False), predecessors=(old,))
    decision = decide(view, later(100))
    assert stands(decision.status)[:2] == ("Starting", "WaitingForPredecessor")
    view = seen(view, decision)
    again = decide(view, later(101))
    assert (again.actions, again.status) == ((), view.status)
    assert decide(replace(view, predecessors=()), later(102)).status.attempt == 2

    back = asked(view, suspend=True)
    assert stands(decide(back, later(103)).status) == ("Suspended", "Suspended", SUSPENDED)
