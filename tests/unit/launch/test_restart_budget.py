"""How often ranks are started again, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pet.launch.budget import RestartBudget
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode

WINDOW = 100.0


@dataclass
class Restarts:
    """A budget whose clock the test moves."""

    limit: int
    now: float = 0.0
    budget: RestartBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = RestartBudget(self.limit, WINDOW, clock=lambda: self.now)

    def granted(self, verdict: Verdict | None = None, checkpoint: int | None = None, after: float = 1.0) -> bool:
        self.now += after
        return self.budget.refuse(verdict or crash(), checkpoint) is None


def crash() -> Verdict:
    return Verdict(ExitCode.CRASH, "SIGKILL", "killed by SIGKILL", rank=1)


def error(iteration: int | None = 7, line: int = 3, type_: str = "ValueError") -> Verdict:
    trace = f'Traceback:\n  File "/a.py", line 1, in main\n  File "/b.py", line {line}, in step\n{type_}: no'
    return Verdict(ExitCode.APP_ERROR, type_, "no", rank=1, iteration=iteration, traceback=trace)


def test_limit_counts_restarts_since_the_checkpoint_advanced() -> None:
    restarts = Restarts(limit=2)
    assert [restarts.granted(checkpoint=10) for _ in range(3)] == [True, True, False]
    assert restarts.granted(checkpoint=20), "progress refills it"
    assert restarts.budget.left == 1
    assert [restarts.granted(checkpoint=20) for _ in range(2)] == [True, False]


def test_what_is_left_counts_a_checkpoint_that_came_after_the_last_restart() -> None:
    restarts = Restarts(limit=2)
    assert restarts.budget.left_after(checkpoint=10) == 2
    assert restarts.granted(checkpoint=10)
    assert [restarts.budget.left_after(checkpoint) for checkpoint in (None, 10, 20)] == [1, 1, 2]


def test_older_checkpoint_and_an_unknown_one_are_no_progress() -> None:
    restarts = Restarts(limit=1)
    assert restarts.granted(checkpoint=10)
    assert not restarts.granted(checkpoint=5)
    assert not restarts.granted(checkpoint=None)


def test_restarts_older_than_the_window_do_not_count() -> None:
    restarts = Restarts(limit=1)
    assert restarts.granted()
    assert not restarts.granted(after=WINDOW / 2)
    assert restarts.granted(after=WINDOW)


def test_fast_loop_is_stopped_although_checkpoints_advance() -> None:
    restarts = Restarts(limit=2)
    granted = [restarts.granted(checkpoint=iteration) for iteration in range(21)]
    assert granted == [True] * 20 + [False]
    assert not restarts.granted(checkpoint=100)
    assert restarts.granted(checkpoint=101, after=WINDOW), "a slow loop is none"


def test_without_a_limit_nothing_is_restarted() -> None:
    restarts = Restarts(limit=0)
    assert (restarts.budget.left, restarts.granted(checkpoint=5)) == (0, False)


@pytest.mark.parametrize("code", [code for code in ExitCode if not code.restarts_in_place])
def test_classes_that_are_never_restarted_take_nothing_from_the_budget(code: ExitCode) -> None:
    restarts = Restarts(limit=1)
    refusal = restarts.budget.refuse(Verdict.plain(code, "so"), 5)
    assert refusal == f"{code.exit_class} is not restarted"
    assert restarts.budget.left == 1


@pytest.mark.parametrize("iteration", [7, None])
def test_same_error_at_the_same_place_twice_is_deterministic(iteration: int | None) -> None:
    restarts = Restarts(limit=5)
    assert restarts.granted(error(iteration))
    refusal = restarts.budget.refuse(error(iteration), None)
    where = "before the first step" if iteration is None else "at iteration 7"
    assert refusal == f"the same ValueError {where} twice: another start would end the same way"


@pytest.mark.parametrize("other", [error(iteration=8), error(line=4), error(type_="KeyError"), crash()])
def test_anything_different_about_the_error_is_another_chance(other: Verdict) -> None:
    restarts = Restarts(limit=5)
    assert [restarts.granted(error()), restarts.granted(other), restarts.granted(error())] == [True] * 3


def test_deaths_without_a_traceback_are_never_the_same() -> None:
    restarts = Restarts(limit=5)
    silent = Verdict(ExitCode.APP_ERROR, "Exit", "exited with code 3 and left no report", rank=0)
    assert [restarts.granted(silent) for _ in range(5)] == [True] * 5
