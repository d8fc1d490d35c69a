from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch
from harness.toy import toy_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pet.config import Config
from pet.engine.optimizer import Optimizer
from pet.engine.scheduler import LearningRateScheduler, warmup_iterations

PER_EPOCH = 7


def solver(**keys: Any) -> Config:
    cfg = toy_config()
    for name, value in keys.items():
        cfg.SOLVER.SCHEDULER[name] = value
    return cfg.SOLVER


def scheduler(section: Config, *, lr: float = 1.0, iter_per_epoch: int = -1) -> LearningRateScheduler:
    return LearningRateScheduler(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr), section, iter_per_epoch)


def rates(schedule: LearningRateScheduler, steps: int) -> list[float]:
    """The rate of each step from where the schedule stands."""
    seen = []
    for _ in range(steps):
        seen.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.step()
    return seen


def policy(name: str, it: int, total: int, steps: list[int], gamma: float, power: float) -> float:
    """The four policies, written down a second time."""
    passed = sum(1 for step in steps if step <= it)
    cosine = (1 + math.cos(math.pi * it / total)) / 2
    return {
        "STEP": gamma**passed,
        "POLY": (1 - it / total) ** power,
        "COSINE": cosine,
        "STEP_COSINE": gamma**passed if passed < len(steps) else cosine,
    }[name]


def warm_up(method: str, it: int, length: int, first: float) -> float:
    if it >= length:
        return 1.0
    return first if method == "CONSTANT" else first + (1 - first) * it / length


@pytest.mark.parametrize("name", ["STEP", "COSINE", "POLY", "STEP_COSINE"])
@settings(max_examples=40)
@given(data=st.data())
def test_step_k_runs_with_warm_up_times_policy_of_k_minus_one(name: str, data: st.DataObject) -> None:
    method, total = data.draw(st.sampled_from(["LINEAR", "CONSTANT"])), data.draw(st.integers(2, 40))
    steps = sorted(data.draw(st.sets(st.integers(1, total - 1), min_size=1, max_size=3)))
    length, first = data.draw(st.integers(0, total)), data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    gamma, power = data.draw(st.sampled_from([0.1, 0.5])), data.draw(st.sampled_from([0.9, 2.0]))
    schedule = scheduler(solver(POLICY=name, WARM_UP_METHOD=method, TOTAL_ITERS=total, STEPS=tuple(steps), GAMMA=gamma,
                                LR_POW=power, WARM_UP_ITERS=length, WARM_UP_FACTOR=first), lr=0.3)  # fmt: skip
    expected = [0.3 * warm_up(method, it, length, first) * policy(name, it, total, steps, gamma, power)
                for it in range(total)]  # fmt: skip
    assert rates(schedule, total) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["STEP", "COSINE", "POLY", "STEP_COSINE"])
def test_epochs_are_iterations_times_their_length(name: str) -> None:
    in_epochs = solver(POLICY=name, TOTAL_EPOCHS=5, STEPS=(2, 4), WARM_UP_EPOCHS=1.5)
    in_iterations = solver(POLICY=name, TOTAL_ITERS=35, STEPS=(14, 28), WARM_UP_ITERS=10)
    assert rates(scheduler(in_epochs, iter_per_epoch=PER_EPOCH), 35) == rates(scheduler(in_iterations), 35)


@pytest.mark.parametrize("epochs", [None, 0, -1])
def test_without_positive_epochs_iterations_count(epochs: int | None) -> None:
    section = solver(TOTAL_EPOCHS=epochs, TOTAL_ITERS=20, STEPS=(10,), WARM_UP_ITERS=0)
    assert rates(scheduler(section, iter_per_epoch=PER_EPOCH), 20) == [1.0] * 10 + [0.1] * 10


def test_a_warm_up_in_epochs_wins_over_one_in_iterations() -> None:
    section = solver(TOTAL_EPOCHS=3, WARM_UP_EPOCHS=0.5, WARM_UP_ITERS=500)
    assert warmup_iterations(section.SCHEDULER, 10) == 5
    section.SCHEDULER.WARM_UP_EPOCHS = None
    assert warmup_iterations(section.SCHEDULER, 10) == 500


def test_the_horizon_is_not_shortened_by_the_warm_up() -> None:
    schedule = scheduler(solver(POLICY="COSINE", TOTAL_ITERS=100, WARM_UP_ITERS=50))
    assert schedule.factor(75) == pytest.approx((1 + math.cos(0.75 * math.pi)) / 2)


def test_a_fresh_schedule_stands_at_one_and_after_step_k_at_k_plus_one() -> None:
    schedule = scheduler(solver())
    assert schedule.iteration == 1
    rates(schedule, 3)
    assert schedule.state_dict()["iteration"] == 4


def test_every_group_keeps_its_base_rate() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 0.2)])
    schedule = LearningRateScheduler(optimizer, solver(STEPS=(1,), GAMMA=0.5, WARM_UP_ITERS=0))
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]


@pytest.mark.parametrize("stop", range(1, 13))
def test_row_1_a_resumed_run_has_the_rates_of_an_uninterrupted_one(stop: int) -> None:
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 12, "SOLVER.SCHEDULER.STEPS", (8, 10),
                     "SOLVER.SCHEDULER.WARM_UP_ITERS", 4)  # fmt: skip

    def build() -> LearningRateScheduler:
        optimizer = Optimizer(nn.Sequential(nn.Linear(2, 2)), cfg.SOLVER.OPTIMIZER).build()
        return LearningRateScheduler(optimizer, cfg.SOLVER)

    def run(schedule: LearningRateScheduler, steps: int) -> list[list[float]]:
        seen = []
        for _ in range(steps):
            seen.append([group["lr"] for group in schedule.optimizer.param_groups])
            schedule.step()
        return seen

    uninterrupted = run(build(), 12)
    first = build()
    done = run(first, stop)
    saved, optimizer_state = first.state_dict(), first.optimizer.state_dict()
    # The order of the training scripts: the optimizer's state first, and the schedule is built on top of it.
    optimizer = Optimizer(nn.Sequential(nn.Linear(2, 2)), cfg.SOLVER.OPTIMIZER).build()
    optimizer.load_state_dict(optimizer_state)
    second = LearningRateScheduler(optimizer, cfg.SOLVER)
    second.load_state_dict(saved)
    assert done + run(second, 12 - stop) == uninterrupted


def test_a_resumed_schedule_takes_its_curve_from_the_configuration_and_its_scores_from_the_state() -> None:
    first = scheduler(solver(POLICY="COSINE"))
    first.step()
    first.info["best_acc"] = 0.75
    second = scheduler(solver(POLICY="POLY", LR_POW=1.0, TOTAL_ITERS=4, WARM_UP_ITERS=0))
    second.load_state_dict(first.state_dict())
    assert second.policy == "POLY"
    assert second.optimizer.param_groups[0]["lr"] == 0.75
    assert second.info == {"best_acc": 0.75, "best_epoch": 0, "cur_acc": 0.0, "cur_epoch": 0}


def test_a_state_without_scores_leaves_them_at_their_start() -> None:
    schedule = scheduler(solver())
    schedule.load_state_dict({"iteration": 3})
    assert schedule.iteration == 3
    assert schedule.info["best_acc"] == 0.0


def test_row_17_step_cosine_is_cosine_after_the_last_milestone_and_warns_of_a_jump(
    caplog: pytest.LogCaptureFixture,
) -> None:
    section = solver(POLICY="STEP_COSINE", TOTAL_ITERS=100, STEPS=(10, 50), GAMMA=0.1, WARM_UP_ITERS=0)
    schedule = scheduler(section)
    assert [schedule.factor(it) for it in (0, 9, 10, 49)] == pytest.approx([1.0, 1.0, 0.1, 0.1])
    assert schedule.factor(50) == pytest.approx(0.5)
    assert "raises the learning rate at iteration 50: factor 0.1000 -> 0.5000" in caplog.text


def test_row_17_step_cosine_that_goes_down_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scheduler(solver(POLICY="STEP_COSINE", TOTAL_ITERS=100, STEPS=(10, 90), GAMMA=0.5, WARM_UP_ITERS=0))
    assert caplog.text == ""


def test_a_change_above_the_threshold_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    schedule = scheduler(solver(STEPS=(3,), GAMMA=0.1, WARM_UP_ITERS=0), lr=0.02)
    rates(schedule, 8)
    assert [record.getMessage() for record in caplog.records] == ["Changing learning rate 0.020000 -> 0.002000"]


def test_a_constant_warm_up_s_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rates(scheduler(solver(WARM_UP_METHOD="CONSTANT", WARM_UP_ITERS=3), lr=0.02), 8)
    assert [record.getMessage() for record in caplog.records] == ["Changing learning rate 0.002000 -> 0.020000"]


def test_the_shown_rate_is_that_of_most_parameters() -> None:
    # As the original shows it, where every parameter has a group of its own: rates count, not groups.
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2, bias=False), nn.LayerNorm(2))
    cfg = toy_config("SOLVER.OPTIMIZER.BIAS_LR_FACTOR", 2.0, "SOLVER.SCHEDULER.WARM_UP_ITERS", 0)
    schedule = LearningRateScheduler(Optimizer(model, cfg.SOLVER.OPTIMIZER).build(), cfg.SOLVER)
    assert sorted(len(group["params"]) for group in schedule.optimizer.param_groups) == [2, 2, 3]
    assert schedule.lr == 0.01
    one_each = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.3, 0.1, 0.1)])
    assert LearningRateScheduler(one_each, cfg.SOLVER).lr == 0.1
