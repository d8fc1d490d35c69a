from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pet.engine.events import EventStorage
from pet.engine.hooks.base import HookSet, Priority, TrainHook
from pet.engine.hooks.timing import IterationTimer, pace_seconds
from pet.engine.metrics import flush_metrics


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("pet.engine.hooks.timing.time", made)
    return made


class Slow(TrainHook):
    """A hook that takes its time, before and after a step."""

    priority = Priority.WRITER

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_step(self, storage: EventStorage) -> None:
        self.clock.now += 5.0

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        self.clock.now += 7.0


def timed(timer: IterationTimer, clock: Clock, steps: range, storage: EventStorage) -> None:
    """Let steps of one second go by, the first of ten, with a slow hook beside the timer."""
    hooks = HookSet([Slow(clock), timer])
    hooks.attach(SimpleNamespace(device=torch.device("cpu")))  # type: ignore[arg-type]
    hooks.before_train()
    for step in steps:
        hooks.before_step(storage=storage)
        clock.now += 10.0 if step == steps[0] else 1.0
        hooks.after_step(storage=storage)
        storage.step()
    flush_metrics(storage)
    hooks.after_train(storage=storage)


def test_the_time_of_a_step_is_without_what_hooks_do_after_it(clock: Clock) -> None:
    storage = EventStorage(1)
    timed(IterationTimer(4, 1), clock, range(1, 5), storage)
    assert list(storage.history("time")._ring) == [15.0, 6.0, 6.0, 6.0]


def test_what_hooks_do_between_two_steps_is_kept_apart_and_counts_for_the_pace(clock: Clock) -> None:
    storage = EventStorage(1)
    timed(IterationTimer(4, 1), clock, range(1, 5), storage)
    assert list(storage.history("hook_time")._ring) == [0.0, 7.0, 7.0, 7.0]
    assert pace_seconds(storage) == 6.0 + 21.0 / 4


def test_the_pace_of_a_resumed_run_is_its_own(clock: Clock) -> None:
    before, resumed = EventStorage(1), EventStorage(3)
    timed(IterationTimer(4, 1), clock, range(1, 3), before)
    clock.now += 1000.0
    resumed.load_state_dict(before.state_dict())
    timed(IterationTimer(4, 3), clock, range(3, 5), resumed)
    assert list(resumed.history("hook_time")._ring) == [0.0, 7.0]


@pytest.mark.parametrize(
    ("ignore", "line"),
    [
        (False, "Overall training speed: 4 iterations in 0:00:33 (8.250000 s / it)"),
        (True, "Overall training speed: 3 iterations in 0:00:18 (6.000000 s / it)"),
    ],
)
def test_row_9_the_warm_up_is_left_out_of_count_and_time_or_of_neither(
    clock: Clock, caplog: pytest.LogCaptureFixture, ignore: bool, line: str
) -> None:
    caplog.set_level("INFO")
    timed(IterationTimer(4, 1, warmup_iter=1, ignore_warmup_time=ignore), clock, range(1, 5), EventStorage(1))
    assert caplog.records[0].getMessage() == line


def test_the_total_says_how_much_of_it_went_to_hooks(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    timed(IterationTimer(4, 1), clock, range(1, 5), EventStorage(1))
    assert caplog.records[1].getMessage() == "Total training time: 0:01:01 (0:00:28 on hooks)"


def test_a_resumed_run_counts_its_own_steps(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    timed(IterationTimer(9, 8), clock, range(8, 10), EventStorage(8))
    assert "speed: 2 iterations in 0:00:21" in caplog.text


def test_a_run_without_a_step_reports_no_speed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    IterationTimer(9, 10).after_train(EventStorage(10))
    assert caplog.text == ""
