"""How often ranks are started again, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pet.launch.budget import Refusal, RestartBudget
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
    assert refusal == Refusal(f"{code.exit_class} is not restarted")
    assert restarts.budget.left == 1


@pytest.mark.parametrize("iteration", [7, None])
def test_same_error_at_the_same_place_twice_is_deterministic(iteration: int | None) -> None:
    restarts = Restarts(limit=5)
    assert restarts.granted(error(iteration))
    refusal = restarts.budget.refuse(error(iteration), None)
    where = "before the first step" if iteration is None else "at iteration 7"
    assert refusal == Refusal(
        f"the same ValueError {where} twice: another start would end the same way", "Deterministic"
    )


@pytest.mark.parametrize("other", [error(iteration=8), error(line=4), error(type_="KeyError"), crash()])
def test_anything_different_about_the_error_is_another_chance(other: Verdict) -> None:
    restarts = Restarts(limit=5)
    assert [restarts.granted(error()), restarts.granted(other), restarts.granted(error())] == [True] * 3


def test_deaths_without_a_traceback_are_never_the_same() -> None:
    restarts = Restarts(limit=5)
    silent = Verdict(ExitCode.APP_ERROR, "Exit", "exited with code 3 and left no report", rank=0, iteration=7)
    assert [restarts.granted(silent) for _ in range(5)] == [True] * 5


def ended(code: ExitCode, iteration: int | None = None, rank: int | None = 1) -> Verdict:
    return Verdict(code, "X", "so", rank=rank, iteration=iteration)


@pytest.mark.parametrize(("code", "granted"), [(ExitCode.OOM, 1), (ExitCode.NUMERIC_GUARD, 2)])
def test_own_budgets_count_against_nothing_else(code: ExitCode, granted: int) -> None:
    restarts = Restarts(limit=3)
    assert [restarts.granted(ended(code, number)) for number in range(granted)] == [True] * granted
    name = code.exit_class
    assert restarts.budget.refuse(ended(code, granted), None) == Refusal(f"{name} {granted + 1} times", name)
    assert restarts.budget.left == 3
    assert [restarts.granted() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("code", [ExitCode.OOM, ExitCode.NUMERIC_GUARD])
def test_where_nothing_is_granted_own_budgets_are_none_and_others_may_try(code: ExitCode) -> None:
    refusal = Restarts(limit=0).budget.refuse(ended(code), None)
    assert refusal == Refusal(f"no restart is left for {code.exit_class}")


@pytest.mark.parametrize(
    ("after", "checkpoint", "granted"),
    [(1.0, 20, False), (WINDOW + 1, 10, False), (WINDOW + 1, None, False), (WINDOW + 1, 20, True)],
)
def test_what_is_long_ago_and_has_been_got_over_is_forgiven(
    after: float, checkpoint: int | None, granted: bool
) -> None:
    restarts = Restarts(limit=3)
    assert restarts.granted(ended(ExitCode.OOM), checkpoint=10)
    assert restarts.granted(ended(ExitCode.OOM), checkpoint=checkpoint, after=after) == granted


def test_before_the_first_step_an_error_has_one_more_chance() -> None:
    restarts = Restarts(limit=5)
    assert restarts.granted(error(iteration=None))
    assert restarts.budget.left == 4, "it counts as any other"
    refusal = Refusal("AppError before the first step 2 times", "AppError")
    assert restarts.budget.refuse(error(None, type_="KeyError"), None) == refusal
    assert restarts.granted(error())
    assert restarts.granted(ended(ExitCode.CRASH)), "a crash there is a crash"


def test_of_another_node_s_rank_it_is_not_known_whether_it_stepped() -> None:
    restarts = Restarts(limit=5)
    assert [restarts.granted(ended(ExitCode.APP_ERROR, rank=None)) for _ in range(3)] == [True] * 3


def test_numbers_that_are_not_finite_at_the_same_iteration_twice_would_be_again() -> None:
    restarts = Restarts(limit=5)
    assert restarts.granted(ended(ExitCode.NUMERIC_GUARD, 7))
    assert "at iteration 7 twice" in str(restarts.budget.refuse(ended(ExitCode.NUMERIC_GUARD, 7), None))
