"""What the operator makes of each class of exit: the table of classes, and the budgets of those that have their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import ended, job, later, pod, report, running, seen, stands

from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Decision, Observed
from pet_operator.domain.status import RestartWindow

TRACE = 'Traceback:\n  File "/a.py", line 1, in main\n  File "/b.py", line {}, in step\nValueError: bad label'

# how a pod ends: exit code, the kubelet's reason, terminating before it → phase, reason, counted
TABLE: list[tuple[int, str, bool, str, str, int]] = [
    (78, "Error", False, "Failed", "InvalidConfig", 0),
    (93, "Error", False, "Failed", "NoRestart", 0),
    (75, "Error", False, "Restarting", "PeerLost", 1),
    (76, "Error", False, "Restarting", "Hang", 1),
    (77, "Error", False, "Restarting", "NumericGuard", 0),
    (79, "Error", False, "Restarting", "StorageFull", 0),
    (80, "Error", False, "Failed", "CheckpointUnusable", 0),
    (143, "Error", False, "Restarting", "Crash", 1),
    (137, "Error", True, "Restarting", "Disrupted", 0),
    (143, "Error", True, "Restarting", "Disrupted", 0),
    (137, "OOMKilled", False, "Restarting", "OOM", 0),
    (7, "OOMKilled", False, "Restarting", "OOM", 0),
    (1, "Error", False, "Restarting", "AppError", 1),
    (134, "Error", False, "Restarting", "Crash", 1),
    (137, "Error", False, "Restarting", "Crash", 1),
    (139, "Error", False, "Restarting", "Crash", 1),
]


@pytest.mark.parametrize(("code", "why", "terminating", "phase", "reason", "counted"), TABLE)
def test_each_class(code: int, why: str, terminating: bool, phase: str, reason: str, counted: int) -> None:
    end = ended(0, code, reason=why, terminating=terminating)
    status = decide(replace(running(), pods=(end,)), later(1)).status
    assert (status.phase, status.reason, len(status.recent_restarts)) == (phase, reason, counted)
    assert status.attempts[0].reason == (reason if phase == "Restarting" else status.failure and status.failure.class_)


class Life:
    """A job of one rank whose attempts end, one after the other."""

    def __init__(self, **restart: int) -> None:
        self.view: Observed = running(spec={"restart": {"maxRestarts": 3} | restart})
        self._seconds = 0.0

    def end(self, code: int, *, after: float = 100, why: str = "Error", told: bool = True, **fields: Any) -> Decision:
        self._seconds += after
        whole = report(code, rank=0) | fields
        pods = (ended(0, code, whole if told else None, reason=why, attempt=self.view.status.attempt),)
        decision = decide(replace(self.view, pods=pods, trainers={}), later(self._seconds))
        self.view = seen(self.view, decision)
        return decision

    def ends(self, *codes: int, **fields: Any) -> list[str]:
        """The phases after each of them; the iterations differ unless given."""
        return [self.end(code, **{"iteration": number + 10} | fields).status.phase for number, code in enumerate(codes)]

    @property
    def message(self) -> str:
        return self.view.status.message


def saved(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "file": f"{iteration}.pth", "bytes": 1, "verified": True}


@pytest.mark.parametrize(("edit", "phase"), [({}, "Failed"), ({"config": "A: 1"}, "Restarting")])
def test_a_job_that_was_edited_while_suspended_does_not_fail_twice(edit: dict[str, Any], phase: str) -> None:
    """The same error at the same iteration is that of another configuration."""
    life, error = Life(), {"type": "ValueError", "traceback": TRACE.format(2), "iteration": 7}
    life.end(1, **error)
    for spec in ({"suspend": True}, edit):
        life.view = replace(life.view, job=job(**spec), pods=(), trainers={})
        life.view = seen(life.view, decide(life.view, later(200)))
    assert (life.view.status.attempt, life.view.status.failure is None) == (3, bool(edit))
    assert life.end(1, after=300, **error).status.phase == phase


def test_memory_that_ran_out_is_tried_once_more() -> None:
    """It may have been a neighbour."""
    life = Life()
    assert life.ends(137, 137, why="OOMKilled", told=False) == ["Restarting", "Failed"]
    assert stands(life.view.status) == (
        "Failed",
        "OOM",
        "OOM 2 times; pod job-2-0 on node node-0: OOM: OOMKilled: the container ran out of "
        "memory (it has no limit of its own: the node had no more); raise the trainer's memory limit in "
        "spec.template, or have it use less, and "
        "annotate the job with pet.dev/restart-requested",
    )


def test_a_rank_that_the_kernel_killed_is_out_of_memory_where_the_kubelet_says_so() -> None:
    """The launcher knows only of a signal."""
    life = Life()
    status = life.end(139, why="OOMKilled", iteration=7).status
    assert status.failure is not None
    assert (status.failure.class_, status.failure.rank, status.failure.iteration) == ("OOM", 0, 7)
    error = life.end(1, why="OOMKilled", iteration=9).status.failure
    assert error is not None
    assert error.class_ == "AppError", "what a rank says itself is not the memory's fault"


def test_numbers_that_are_not_finite_are_tried_twice_more() -> None:
    assert Life().ends(77, 77, 77) == ["Restarting", "Restarting", "Failed"]


def test_own_budgets_count_against_nothing_else() -> None:
    life = Life(maxRestarts=1)
    assert life.ends(77, 137) == ["Restarting", "Restarting"]
    assert len(life.view.status.recent_restarts) == 1


@pytest.mark.parametrize("code", [1, 77, 137])
def test_no_restarts_are_none_of_any_kind(code: int) -> None:
    why = "OOMKilled" if code == 137 else "Error"
    assert Life(maxRestarts=0).ends(code, why=why, told=code != 137) == ["Failed"]


@pytest.mark.parametrize(
    ("age", "saves", "phase"),
    [(3601, True, "Restarting"), (3600, True, "Failed"), (100, True, "Failed"), (9999, False, "Failed")],
)
def test_an_end_is_forgiven_with_a_new_checkpoint_and_with_time(age: float, saves: bool, phase: str) -> None:
    life = Life()
    for number, after in enumerate((100, age)):
        checkpoint = saved(100 * number + 100) if saves else None
        status = life.end(137, why="OOMKilled", told=saves, after=after, checkpoint=checkpoint, **KILLED).status
    assert (status.phase, status.reason) == (phase, "OOM")


KILLED = {"class": "Crash", "type": "SIGKILL", "iteration": 7}


def test_a_request_begins_an_own_budget_anew() -> None:
    life = Life()
    life.ends(137, 137, why="OOMKilled", told=False)
    status = replace(life.view.status, phase="Running", start_time=later(1000), attempt=3)
    life.view = replace(life.view, status=replace(status, attempts=(*status.attempts, replace_start(status, 1000))))
    assert life.end(137, why="OOMKilled", told=False, after=1000).status.phase == "Restarting"


def replace_start(status: Any, seconds: float) -> Any:
    return replace(status.attempts[-1], attempt=3, started_at=later(seconds), ended_at=None, reason="")


@pytest.mark.parametrize(
    ("second", "phase"),
    [
        ({}, "Failed"),
        ({"iteration": 8}, "Restarting"),
        ({"type": "KeyError"}, "Restarting"),
        ({"traceback": TRACE.format(4)}, "Restarting"),
        ({"traceback": ""}, "Restarting"),
        ({"message": "another bad label"}, "Failed"),
    ],
)
def test_the_same_error_at_the_same_iteration_twice_would_be_the_same_again(second: dict[str, Any], phase: str) -> None:
    life = Life()
    error = {"iteration": 7, "type": "ValueError", "traceback": TRACE.format(3)}
    assert life.end(1, **error).status.phase == "Restarting"
    status = life.end(1, **error | second).status
    assert status.phase == phase
    if phase == "Failed":
        words = "the same ValueError at iteration 7 twice: another start would end the same way; rank 0 on node "
        assert status.reason == "Deterministic"
        assert status.message.startswith(words)


def test_numbers_that_are_not_finite_at_the_same_iteration_twice_would_be_again() -> None:
    assert Life().ends(77, 77, iteration=7) == ["Restarting", "Failed"]


def test_before_the_first_step_an_error_is_tried_once_more() -> None:
    life = Life()
    life.view = replace(life.view, status=replace(life.view.status, progress=None, rank0_pod=""))
    assert life.end(1, type="OSError").status.phase == "Restarting"
    status = life.end(1, type="KeyError").status
    assert (status.phase, status.reason) == ("Failed", "AppError")
    assert status.message.startswith("AppError before the first step 2 times; rank 0")


def test_what_ended_unheard_is_not_known_to_have_made_no_step() -> None:
    assert Life().ends(1, 1, 1, 1, told=False) == ["Restarting"] * 3 + ["Failed"]


def test_a_full_disk_waits_for_as_long_as_it_takes() -> None:
    life = Life(maxRestarts=0)
    for _ in range(12):
        status = life.end(79, message="no room for the checkpoint").status
        assert (status.phase, status.reason) == ("Restarting", "StorageFull")
    assert status.message.endswith("no room for the checkpoint; tried again each 60 s")
    decision = decide(replace(life.view, pods=()), later(1200))
    assert (decision.actions, decision.requeue_after) == ((), 60.0)


def test_a_fast_loop_ends_although_each_attempt_saves() -> None:
    life = Life(maxRestarts=1, windowSeconds=3600)
    phases = [life.end(139, checkpoint=saved(number), iteration=number).status.phase for number in range(1, 12)]
    assert phases == ["Restarting"] * 10 + ["Failed"]
    assert life.view.status.reason == "RestartLoop"
    assert life.message.startswith("11 failures within 3600 s, although checkpoints advance; rank 0")


def test_a_slow_loop_that_saves_goes_on() -> None:
    life = Life(maxRestarts=1, windowSeconds=1000)
    for number in range(1, 30):
        status = life.end(139, checkpoint=saved(number), iteration=number).status
        assert status.phase == "Restarting"
    assert status.restart_window == RestartWindow(later(2100), 9)


def test_restarts_in_place_and_no_disruptions_fill_the_window() -> None:
    life = Life(maxRestarts=3)
    life.end(139, restart=2, restartsLeft=2, iteration=1)
    life.end(143)
    window = life.view.status.restart_window
    assert window == RestartWindow(later(100), 3)


def test_a_fenced_out_pod_of_an_older_attempt_says_nothing_of_this_one() -> None:
    life = Life()
    life.end(139, iteration=1)
    there = (ended(0, 93, report(93), attempt=1), pod(0, attempt=2))
    status = decide(replace(life.view, pods=there), later(200)).status
    assert (status.phase, status.attempt) == ("Starting", 2)


@pytest.mark.parametrize(
    ("code", "spent", "phase", "reason"),
    [
        (
            1,
            {"reason": "Deterministic", "message": "the same ValueError at iteration 7 twice"},
            "Failed",
            "Deterministic",
        ),
        (137, {"reason": "OOM", "message": "OOM 2 times"}, "Failed", "OOM"),
        (1, {"reason": "AppError", "message": "AppError before the first step 2 times"}, "Failed", "AppError"),
        (1, {"reason": "Accepted", "message": "anything may run in a pod"}, "Restarting", "AppError"),
        (1, None, "Restarting", "AppError"),
    ],
)
def test_what_a_launcher_has_tried_in_vain_is_not_tried_by_another(
    code: int, spent: dict[str, str] | None, phase: str, reason: str
) -> None:
    status = Life().end(code, **{"class": "OOM" if code == 137 else "AppError", "spent": spent, "iteration": 7}).status
    assert (status.phase, status.reason) == (phase, reason)
    if spent is not None and phase == "Failed":
        assert status.message.startswith(f"{spent['message']}; rank 0 on node node-0: ")
