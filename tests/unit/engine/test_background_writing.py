"""Checkpoints that a thread writes beside training: what training waits for, and what is told when."""

from __future__ import annotations

import errno
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from harness.failing import failing
from harness.stores import attempt, opened, temporary
from harness.toy import Toy, short_toy, weights
from harness.training import differences

from pet.engine.checkpoint.host_copy import HostCopy, available_memory
from pet.engine.errors import Fenced, StopRequested, StorageFull
from pet.engine.events import EventStorage
from pet.engine.loop import TrainLoop
from pet.runfiles.heartbeat import Section, read_heartbeat
from pet.runfiles.metrics import read_metrics_file
from pet.store.owner import Identity

STEPS = 12
LIMIT = 60  # seconds; a bound against hanging


class Gate:
    """A disk whose writes in threads wait until somebody opens it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.main = threading.main_thread()
        write = os.write

        def gated(descriptor: int, data: Any) -> int:
            if threading.current_thread() is not self.main:
                self.reached.set()
                assert self.open.wait(LIMIT)
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", gated)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


class At:
    """Calls a function at the end of a step, after all other hooks."""

    priority = 99

    def __init__(self, step: int, call: Any) -> None:
        self.step, self.call = step, call
        self.name = f"at {step}"

    def after_step(self, storage: EventStorage) -> None:
        if storage.iter == self.step:
            self.call()


def toy(folder: Path, *hooks: Any, keys: tuple[Any, ...] = (), background: Any = True, period: int = 3) -> Toy:
    settings = ("SOLVER.SNAPSHOT_ITER", period, "SOLVER.SNAPSHOT_BACKGROUND", background, "SOLVER.SNAPSHOT_KEEP", 0)
    return short_toy(folder, STEPS, *settings, *keys, hooks=[*hooks])


def told(folder: Path) -> int | None:
    """The iteration of the checkpoint that the metric file tells of."""
    metrics = read_metrics_file(folder / "run" / "metrics-0.json")
    assert metrics is not None
    return metrics.checkpoint.iteration if metrics.checkpoint else None


def test_what_is_written_is_the_state_of_its_step_and_training_is_as_without(tmp_path: Path) -> None:
    beside, alone = toy(tmp_path / "beside"), toy(tmp_path / "alone", background=False)
    one, other = weights(beside.run()), weights(alone.run())
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert beside.files == alone.files
    for file in beside.files:
        first, second = (torch.load(run.checkpoints / file, weights_only=True) for run in (beside, alone))
        for part in ("model", "optimizer", "scheduler", "ranks"):
            assert differences(second[part], first[part]) == [], (file, part)


def test_a_cpu_writes_in_the_caller_unless_asked(tmp_path: Path) -> None:
    threads: set[str] = set()
    write = os.write

    class Watch:
        def before_train(self) -> None:
            def watched(descriptor: int, data: Any) -> int:
                threads.add(threading.current_thread().name)
                return write(descriptor, data)

            os.write = watched

        def after_train(self, storage: EventStorage) -> None:
            os.write = write

    toy(tmp_path / "auto", Watch(), background="auto").run()
    assert threads == {"MainThread"}
    toy(tmp_path / "on", Watch()).run()
    assert threads == {"MainThread", "checkpoint_0"}  # the last save is the caller's


def test_the_launcher_is_told_of_a_write_from_its_beginning_to_its_end(tmp_path: Path, gate: Gate) -> None:
    """It gives the ranks that a failure of another has left only a moment, unless a checkpoint is written."""
    seen: list[bool] = []

    def look() -> None:
        beat = read_heartbeat(tmp_path / "run" / "heartbeat-0")
        assert beat is not None
        assert beat.section is Section.STEP
        seen.append(beat.writing)

    def commit() -> None:
        assert loop.checkpointer._writer is not None
        gate.open.set()
        loop.checkpointer._writer.join()

    loop = toy(tmp_path, At(2, look), At(3, look), At(4, commit), At(5, look)).build()
    loop.run()
    assert seen == [False, True, False]


def test_training_goes_on_while_the_disk_is_slow_and_nothing_is_told_before_it_is_committed(
    tmp_path: Path, gate: Gate
) -> None:
    seen: list[Any] = []
    training = toy(
        tmp_path,
        At(5, lambda: (gate.reached.wait(LIMIT), seen.append((told(tmp_path), training.files)), gate.open.set())),
        At(6, lambda: seen.append((told(tmp_path), training.files))),
    )  # fmt: skip
    training.run()
    assert seen[0] == (None, [])  # two steps after the save of step 3 was begun
    assert seen[1][0] == 3  # the next save has waited for it
    assert training.files == ["model_iter12.pth", *(f"model_iter{step}.pth" for step in (3, 6, 9))]
    assert told(tmp_path) == 12


def test_an_error_of_the_thread_is_told_at_a_later_step_and_training_goes_on(tmp_path: Path) -> None:
    disk = failing(errno.EIO, 1)

    def mend() -> None:
        assert loop.checkpointer._writer is not None
        loop.checkpointer._writer.join()
        disk.__exit__(None, None, None)

    training = toy(tmp_path, At(2, disk.__enter__), At(5, mend))
    loop = training.build()
    loop.run()
    assert loop.session.metrics.checkpoint_failures == {"EIO": 1}
    assert training.files == ["model_iter12.pth", "model_iter6.pth", "model_iter9.pth"]
    assert not temporary(training.checkpoints)


def test_errors_in_a_row_end_training_all_the_same(tmp_path: Path) -> None:
    disk = failing(errno.EIO, 1)
    training = toy(tmp_path, At(2, disk.__enter__), keys=("SOLVER.SNAPSHOT_FAILURES", 2))
    try:
        with pytest.raises(StorageFull, match="iteration 6 was not written, the 2th in a row"):
            training.run()
    finally:
        disk.__exit__(None, None, None)
    assert training.files == []


def test_a_run_that_was_replaced_is_stopped_by_its_thread(tmp_path: Path) -> None:
    def replaced() -> None:
        owner = loop.checkpointer
        opened(training.checkpoints, attempt(2, Identity(name="local", uid=owner.uid)))

    training = toy(tmp_path, At(2, replaced))
    loop: TrainLoop = training.build()
    with pytest.raises(Fenced):
        loop.run()
    assert loop.iteration < STEPS
    assert training.files == []


def test_a_write_under_way_is_finished_when_training_ends_by_an_error(tmp_path: Path, gate: Gate) -> None:
    def fail() -> None:
        assert gate.reached.wait(LIMIT)
        threading.Timer(0.05, gate.open.set).start()
        raise ValueError("oh")

    training = toy(tmp_path, At(4, fail))
    with pytest.raises(ValueError, match="oh"):
        training.run()
    assert training.files == ["model_error4.pth", "model_iter3.pth"]
    assert told(tmp_path) == 3


@pytest.mark.usefixtures("stop_signals")
def test_a_stop_waits_for_the_thread_and_then_for_the_disk(tmp_path: Path) -> None:
    training = toy(tmp_path, At(4, lambda: signal.raise_signal(signal.SIGTERM)))
    with pytest.raises(StopRequested, match="stop requested, saved at iteration 4"):
        training.run()
    assert training.files == ["model_iter3.pth", "model_iter4.pth"]


@pytest.mark.usefixtures("stop_signals")
@pytest.mark.parametrize("background", [False, True])
def test_a_stop_does_not_begin_what_it_cannot_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    # By this clock every write takes half an hour or more.
    now = iter(range(0, 10**9, 2000))
    monkeypatch.setattr("pet.engine.checkpoint.writing.time", SimpleNamespace(monotonic=lambda: next(now)))
    training = toy(tmp_path, At(4, lambda: signal.raise_signal(signal.SIGTERM)), background=background)
    with pytest.raises(StopRequested, match="at iteration 4, the newest checkpoint is of iteration 3"):
        training.run()
    assert training.files == ["model_iter3.pth"]
    assert not temporary(training.checkpoints)


@pytest.mark.usefixtures("stop_signals")
def test_a_stop_leaves_a_write_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate) -> None:
    monkeypatch.setattr("pet.engine.hooks.checkpoint.stop_seconds", lambda grace: 0.0)

    def stop() -> None:
        assert gate.reached.wait(LIMIT)
        signal.raise_signal(signal.SIGTERM)

    training = toy(tmp_path, At(4, stop))
    with pytest.raises(StopRequested, match="at iteration 4, no checkpoint"):
        training.run()
    assert training.files == []


def test_without_memory_for_a_copy_the_caller_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pet.engine.checkpoint.host_copy.available_memory", lambda: 1000)
    seen: list[int | None] = []
    toy(tmp_path, At(3, lambda: seen.append(told(tmp_path)))).run()
    assert seen == [3]


def test_a_copy_holds_nothing_of_what_it_was_taken_of() -> None:
    copy, state = HostCopy(), {
        "model": {"weight": torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)},
        "extra": {"list": [1, {"a": (torch.ones(2), "text", None)}]},
    }  # fmt: skip
    taken = copy.take(state)
    assert differences(state, taken) == []
    assert taken["model"]["weight"].is_contiguous()
    first = taken["model"]["weight"].data_ptr()
    state["model"]["weight"].zero_()
    state["extra"]["list"][1]["a"][0].zero_()  # type: ignore[index]
    state["extra"]["list"].append(2)  # type: ignore[attr-defined]
    assert taken["model"]["weight"].sum() == sum(range(24))
    assert taken["extra"]["list"][1]["a"][0].sum() == 2
    assert len(taken["extra"]["list"]) == 2
    assert copy.take(state)["model"]["weight"].data_ptr() == first  # the memory is used again


def test_memory_that_may_be_taken_is_known() -> None:
    assert 0 < available_memory() < 2**50


def test_every_tensor_of_a_state_has_a_buffer_of_its_own() -> None:
    one, other = torch.zeros(3), torch.ones(3)
    state = {"a": {"b": one}, "a.b": other, "list": [one, {0: other}], "list.1": {"0": one}}
    assert differences(state, HostCopy().take(state)) == []


def test_weights_become_contiguous_in_the_copy() -> None:
    weights = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert HostCopy().take({"model": {"w": weights}})["model"]["w"].is_contiguous()


def test_what_a_state_has_no_more_takes_no_memory() -> None:
    def state(step: int) -> dict[str, Any]:
        return {"extra": {"hooks": {"user": {f"step {step}": torch.ones(1000)}}}}

    copy = HostCopy()
    former = weakref.ref(copy.take(state(1))["extra"]["hooks"]["user"]["step 1"])
    copy.take(state(2))
    assert former() is None


def test_memory_is_asked_for_what_a_state_has_grown_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pet.engine.checkpoint.host_copy.available_memory", lambda: 1000)
    copy = HostCopy()
    copy.take({"extra": torch.zeros(250)})
    assert copy.fits(1000)
    assert copy.fits(1500)
    assert not copy.fits(2000)
