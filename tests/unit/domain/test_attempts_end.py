"""What follows the end of an attempt: the next one, or the end of the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import condition, ended, later, leading, pod, report, running, said, seen, stands, told
from harness.timeless import NOON

from pet.config.job import Restart
from pet_operator.domain.codec import write_time
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Observed
from pet_operator.domain.policy.restart import outcome, restarts_left
from pet_operator.domain.status import AttemptRecord, CheckpointStatus, Display, Failure, JobStatus, Nodes

ERROR = Failure("AppError", "ValueError", "bad label", exit_code=1, rank=0, node="node-0")
WORDS = "rank 0 on node node-0: AppError: ValueError: bad label"
LIMITS = Restart(max_restarts=3, window_seconds=3600)


def ends(code: int = 1, *, view: Observed | None = None, **fields: Any) -> Observed:
    """A job of one pod whose launcher has given up."""
    view = view or running()
    whole = report(code, rank=0, iteration=10, type="ValueError", message="bad label") | fields
    return replace(view, pods=(ended(0, code, whole, attempt=view.status.attempt),), trainers={})


def test_an_attempt_that_failed_is_followed_by_the_next() -> None:
    view = ends(iteration=20)
    decision = decide(view, later(30))
    status = decision.status
    assert decision.actions == ()
    assert stands(status) == ("Restarting", "AppError", WORDS)
    assert (status.attempt, status.restarts, status.rank0_pod) == (2, 1, "")
    assert (status.nodes, status.recent_restarts) == (Nodes(1, 0), (later(30),))
    assert status.failure is not None
    assert (status.failure.class_, status.failure.iteration, status.failure.pod) == ("AppError", 20, "job-1-0")
    assert status.display == Display(step="~10/200", eta="~1h2m", loss="~0.8346")
    first, second = status.attempts
    assert first == replace(
        view.status.current,
        ended_at=later(30),
        to_iteration=20,
        reason="AppError",
        rank=0,
        node="node-0",
        exit_code=1,
        message=WORDS,
    )
    assert second == AttemptRecord(attempt=2, started_at=later(30))
    assert said(status, "Running") == ("False", "Restarting", "")
    assert said(status, "Reconciling") == ("True", "AppError", WORDS)


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (78, "InvalidConfig", "; apply the mended file, and annotate the job with pet.dev/restart-requested"),
        (80, "CheckpointUnusable", ""),
        (93, "NoRestart", ""),
    ],
)
def test_what_would_end_the_same_way_again_is_not_tried_again(code: int, reason: str, remedy: str) -> None:
    status = decide(ends(code, message="give it a name"), later(30)).status
    account = f"rank 0 on node node-0: {report(code)['class']}: ValueError: give it a name"
    words = account + remedy
    assert stands(status) == ("Failed", reason, words)
    assert (status.attempt, status.restarts, status.completion_time) == (1, 0, later(30))
    assert said(status, "Failed") == ("True", reason, words)
    assert said(status, "Finished") == ("True", reason, words)
    assert said(status, "Stalled") == ("True", reason, words)
    assert said(status, "Accepted") == ("True", "Valid", "")
    assert (status.current.ended_at, status.current.exit_code) == (later(30), code)
    assert status.current.message == account
    assert status.failure is not None


def test_a_job_that_failed_expects_nothing_any_more() -> None:
    status = decide(ends(78), later(30)).status
    assert status.display == Display(step="10/200", eta="", loss="0.8346")
    assert status.progress is not None
    assert (status.progress.eta_seconds, status.progress.stale) == (None, False)


def test_restarts_end_with_their_number() -> None:
    view = running(spec={"restart": {"maxRestarts": 2}})
    for attempt, seconds in ((1, 30), (2, 60)):
        assert view.status.attempt == attempt
        decision = decide(ends(view=view), later(seconds))
        view = seen(view, decision)
    status = decide(ends(view=view), later(90)).status
    assert stands(status) == (
        "Failed",
        "RestartsExhausted",
        f"no restart is left (2 without a new checkpoint); {WORDS}",
    )
    assert (status.attempt, status.restarts) == (3, 2)


def test_without_restarts_the_first_failure_is_the_last() -> None:
    status = decide(ends(view=running(spec={"restart": {"maxRestarts": 0}})), NOON).status
    assert (status.phase, status.reason) == ("Failed", "RestartsExhausted")


def test_a_checkpoint_that_came_after_the_start_makes_all_restarts_available_again() -> None:
    checkpoint = {"iteration": 100, "file": "a.pth", "bytes": 7, "savedAt": write_time(later(20)), "verified": True}
    view = running(spec={"restart": {"maxRestarts": 1}})
    first = seen(view, decide(ends(view=view, checkpoint=checkpoint), later(30)))
    assert first.status.checkpoint == CheckpointStatus(100, "a.pth", 7, later(20), True)
    assert first.status.attempts[0].to_iteration == 100
    assert first.status.attempts[1].from_iteration == 100
    newer = checkpoint | {"iteration": 200, "file": "b.pth"}
    second = seen(first, decide(ends(view=first, checkpoint=newer), later(60)))
    assert (second.status.phase, second.status.recent_restarts) == ("Restarting", (later(60),))
    last = decide(ends(view=second, checkpoint=newer), later(90)).status
    assert (last.phase, last.reason) == ("Failed", "RestartsExhausted")


def test_of_the_checkpoints_that_several_launchers_tell_of_the_newest_counts() -> None:
    """Rank 0 may have moved from one to another."""
    view = running(nodes=2)
    old, new = ({"iteration": n, "file": f"{n}.pth", "bytes": 7, "verified": True} for n in (100, 200))
    for one, other in ((old, new), (new, old)):
        pods = (ended(0, 1, report(1, checkpoint=one)), ended(1, 75, report(75, checkpoint=other)))
        status = decide(replace(view, pods=pods), NOON).status
        assert status.checkpoint is not None
        assert status.checkpoint.iteration == 200


@pytest.mark.parametrize(("left", "counted"), [(4, 1), (3, 2), (1, 4)])
def test_restarts_in_place_are_counted_by_what_the_launcher_has_left(left: int, counted: int) -> None:
    view = running(spec={"restart": {"maxRestarts": 4}})
    assert len(decide(ends(view=view, restartsLeft=left, restart=3), NOON).status.recent_restarts) == counted


@pytest.mark.parametrize("limit", [4, 100, 20_000_000])
def test_more_restarts_that_are_granted_while_it_runs_are_none_that_were_used(limit: int) -> None:
    """The launcher has left what it had of the three that it was granted, and one is the end of this attempt."""
    for restarted, counted in ((0, 1), (1, 2)):
        view = running(spec={"restart": {"maxRestarts": limit}})
        status = decide(ends(view=view, restartsLeft=3 - restarted, restart=restarted), NOON).status
        assert len(status.recent_restarts) == counted


def test_of_several_launchers_the_one_with_the_least_left_counts() -> None:
    view = running(nodes=2)
    pods = (ended(0, 1, report(1, restartsLeft=3, restart=2)), ended(1, 75, report(75, restartsLeft=1, restart=2)))
    assert len(decide(replace(view, pods=pods), NOON).status.recent_restarts) == 3


def test_a_launcher_that_used_up_all_its_restarts_ends_the_job() -> None:
    status = decide(ends(restartsLeft=0, restart=3), NOON).status
    assert (status.phase, status.reason, status.restarts) == ("Failed", "RestartsExhausted", 3)


def test_what_the_launcher_was_granted_does_not_grow_with_the_window() -> None:
    """Two restarts have left the window since the attempt began; its launcher had one, and used none."""
    view = running()
    status = replace(view.status, recent_restarts=(later(-3000), later(-3000)))
    view = replace(view, status=status)
    assert restarts_left(status, LIMITS) == 1
    status = decide(ends(view=view, restartsLeft=1), later(3000)).status
    assert (status.phase, status.recent_restarts) == ("Restarting", (later(3000),))


def test_restarts_in_place_that_nobody_asked_about_in_time_are_counted() -> None:
    status = decide(ends(restart=2), NOON).status
    assert (status.restarts, status.attempts[0].restarts) == (3, 2)


def test_restarts_in_place_that_were_seen_are_counted_once() -> None:
    view = running()
    again = seen(view, decide(replace(view, trainers=told([leading(restarts=2)])), later(1)))
    assert again.status.restarts == 2
    status = decide(ends(view=again, restart=2), later(2)).status
    assert (status.restarts, status.attempts[0].restarts) == (3, 2)


@pytest.mark.parametrize(
    "pods",
    [(), (pod(0, "Failed", terminating=True),), (ended(0, 143, report(143)),)],
    ids=["deleted", "evicted", "preempted"],
)
def test_disruptions_cost_no_restart(pods: tuple[Any, ...]) -> None:
    view = running(spec={"restart": {"maxRestarts": 0}})
    for attempt in range(2, 15):
        theirs = tuple(replace(pod, attempt=view.status.attempt) for pod in pods)
        view = seen(view, decide(replace(view, pods=theirs, trainers={}), NOON))
        assert (view.status.phase, view.status.attempt) == ("Restarting", attempt)
        starting = replace(view.status, phase="Starting")
        view = replace(view, status=starting)
    assert view.status.recent_restarts == ()
    assert len(view.status.attempts) == 10


# how many were counted before, seconds since them, in place (None: not told) → goes on, how many are counted after
BUDGET: list[tuple[int, float, int | None, bool, int]] = [
    (0, 0, 0, True, 1),
    (2, 0, 0, True, 3),
    (3, 0, 0, False, 3),
    (3, 3599, 0, False, 3),
    (3, 3600, 0, True, 1),
    (1, 0, 1, True, 3),
    (1, 0, 2, False, 1),
    (0, 0, 3, False, 0),
    (0, 0, None, True, 1),
]


@pytest.mark.parametrize(("before", "age", "in_place", "goes_on", "after"), BUDGET)
def test_the_budget(before: int, age: float, in_place: int | None, goes_on: bool, after: int) -> None:
    record = AttemptRecord(attempt=1, restarts=in_place or 0)
    status = JobStatus(attempts=(record,), recent_restarts=(NOON,) * before)
    result = outcome(status, ERROR, in_place, None, LIMITS, later(age))
    assert (result.restart, len(result.recent)) == (goes_on, after)


@pytest.mark.parametrize(
    ("saved", "from_iteration", "counted"),
    [(None, None, 3), (100, None, 1), (100, 100, 3), (101, 100, 1), (0, None, 3)],
)
def test_where_launchers_tell_nothing_restarts_in_place_count_unless_a_checkpoint_came(
    saved: int | None, from_iteration: int | None, counted: int
) -> None:
    record = AttemptRecord(attempt=1, from_iteration=from_iteration, restarts=2)
    checkpoint = CheckpointStatus(iteration=saved) if saved is not None else None
    status = JobStatus(attempts=(record,), checkpoint=checkpoint)
    assert len(outcome(status, ERROR, None, None, LIMITS, NOON).recent) == counted


def test_a_disruption_keeps_count_of_the_restarts_in_place_before_it() -> None:
    status = JobStatus(attempts=(AttemptRecord(attempt=1, restarts=2),))
    disrupted = Failure("Disrupted", "PodDeleted", "the pod is gone")
    assert outcome(status, disrupted, 2, None, LIMITS, NOON).recent == (NOON, NOON)


def unheard(**changes: Any) -> Observed:
    """Its node is gone, and with it what the launcher had to say; the poller has heard of iteration 10."""
    return replace(running(), pods=(pod(0, "Failed"),), trainers={}, **changes)


def test_an_attempt_that_died_unheard_came_as_far_as_was_told_while_it_ran() -> None:
    view = unheard()
    assert decide(view, later(30)).status.attempts[0].to_iteration == 10
    held_back = replace(view, trainers=told([leading(17)]))
    assert decide(held_back, later(30)).status.attempts[0].to_iteration == 17


def test_what_the_attempt_before_had_told_is_not_how_far_this_one_came() -> None:
    view = seen(unheard(), decide(unheard(), later(30)))
    assert view.status.progress is not None
    status = decide(replace(view, pods=(pod(0, "Failed", attempt=2),)), later(60)).status
    assert status.attempts[1].to_iteration is None


@pytest.mark.parametrize(("began", "reached"), [(5, 10), (150, 150)])
def test_an_attempt_comes_no_less_far_than_it_began(began: int, reached: int) -> None:
    view = unheard()
    record = replace(view.status.current, from_iteration=began)
    view = replace(view, status=replace(view.status, attempts=(record,)))
    assert decide(view, later(30)).status.attempts[0].to_iteration == reached


def test_conditions_remember_since_when_they_hold() -> None:
    view = running()
    since = condition(view.status, "Running").last_transition_time
    status = decide(ends(view=view), later(30)).status
    assert (since, condition(status, "Running").last_transition_time) == (NOON, later(30))
    assert condition(status, "Accepted").last_transition_time == NOON
    assert condition(status, "Failed").last_transition_time == NOON
