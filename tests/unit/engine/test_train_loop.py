from __future__ import annotations

import errno
import gc
import json
import math
import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from harness.hooks import Bad, Everywhere
from harness.ranks import run_ranks
from harness.stores import overwrite
from harness.toy import Toy, ToyData, ToyModel, short_toy, toy_config, weights

from pet.config import Config
from pet.engine import update as update_module
from pet.engine.distributed import get_rank
from pet.engine.errors import StopRequested
from pet.engine.evaluation import until_stopped
from pet.engine.events import EventStorage
from pet.engine.hooks.base import POINTS
from pet.engine.hooks.checkpoint import PeriodicCheckpoint
from pet.engine.hooks.evaluation import Evaluation
from pet.engine.hooks.reporting import MetricReducer, PeriodicWriter
from pet.engine.hooks.schedule import LRScheduler
from pet.engine.hooks.timing import IterationTimer
from pet.engine.loader import TrainLoader
from pet.engine.loop import TrainLoop
from pet.engine.session import Session, current_session
from pet.engine.stop import StopAgreement


def evaluation(cfg: Config) -> Callable[[Session, TrainLoader], list[Evaluation]]:
    """An evaluation with a constant result, as Toy takes its last hooks."""
    return lambda session, loader: [Evaluation(session, lambda model: {"top1": 0.5}, cfg, loader, key_metric="top1")]


class Moved(torch.Tensor):
    """A tensor of a batch that notes its way to the device."""

    calls: list[str]

    def to(self, *args: Any, **kwargs: Any) -> Any:
        assert kwargs == {"non_blocking": True}
        self.calls.append("to device")
        return self.as_subclass(torch.Tensor)


def test_a_step_has_pet_s_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def note(owner: Any, name: str, text: str) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(text)
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    note(torch.optim.SGD, "zero_grad", "zero_grad")
    note(ToyModel, "forward", "forward")
    note(torch.autograd, "backward", "backward")
    note(update_module, "clip_gradients", "clip")
    note(IterationTimer, "after_step", "timer")
    note(LRScheduler, "after_step", "learning rate")
    note(MetricReducer, "after_step", "reduce")
    note(PeriodicWriter, "after_step", "write")
    note(PeriodicCheckpoint, "after_step", "save")
    note(Evaluation, "after_step", "evaluate")
    note(EventStorage, "step", "storage.step")
    note(StopAgreement, "reached", "stop?")

    class User:
        def before_step(self, storage: EventStorage) -> None:
            calls.append("before_step")

        def after_backward(self, storage: EventStorage) -> None:
            calls.append("after_backward")

        def after_step(self, storage: EventStorage) -> None:
            calls.append("user's after_step")

    def collate(samples: list[Any]) -> Any:
        calls.append("fetch")
        inputs, targets, indices = torch.utils.data.default_collate(samples)
        moved = [tensor.as_subclass(Moved) for tensor in (inputs, targets)]
        for tensor in moved:
            tensor.calls = calls
        return *moved, indices

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 3, "SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED", True)
    loop = Toy(tmp_path, cfg, hooks=[User()], collate=collate, last_hooks=evaluation(cfg)).build()
    note(loop.optimizer, "step", "optimizer.step")
    loop.run()
    begin = calls.index("before_step", calls.index("before_step") + 1)
    assert calls[begin : calls.index("before_step", begin + 1)] == [
        "before_step", "fetch", "to device", "to device", "zero_grad", "forward", "backward", "after_backward", "clip",
        "optimizer.step", "timer", "learning rate", "user's after_step", "reduce", "write", "save", "evaluate",
        "storage.step", "stop?",
    ]  # fmt: skip


class Stop:
    """Sends the process a stop signal in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_step(self, storage: EventStorage) -> None:
        if storage.iter == self.step:
            signal.raise_signal(signal.SIGTERM)


def test_a_stop_is_looked_for_at_the_distance_of_steps_with_their_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, paces = [0.0], []
    monkeypatch.setattr("pet.engine.hooks.timing.time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(StopAgreement, "pace", lambda agreement, seconds: paces.append(seconds))

    class Slow:
        def after_step(self, storage: EventStorage) -> None:
            now[0] += 7.0

    short_toy(tmp_path, 4, "MISC.DISPLAY_ITER", 2, hooks=[Slow()]).run()
    assert paces[-1] == 7.0


@pytest.mark.usefixtures("stop_signals")
def test_every_point_is_called_in_its_place(tmp_path: Path) -> None:
    # ultralytics declares three that never are.
    step = ["before_step", "after_backward", "after_step"]
    hook = Everywhere()
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 2)
    Toy(tmp_path / "whole", cfg, hooks=[hook], last_hooks=evaluation(cfg)).run()
    assert hook.calls == ["before_train", *step * 2, "on_checkpoint", "after_eval", "after_train"]

    failing = Everywhere()
    with pytest.raises(ValueError, match="oh"):
        short_toy(tmp_path / "failing", 3, hooks=[failing, Bad(1, ValueError("oh"))]).run()
    assert failing.calls == ["before_train", *step, "on_exception", "after_train"]

    stopped = Everywhere()
    with pytest.raises(StopRequested):
        short_toy(tmp_path / "stopped", 3, hooks=[stopped, Stop(1)]).run()
    assert stopped.calls == ["before_train", *step, "on_checkpoint", "on_stop", "after_train"]
    assert {*hook.calls, *failing.calls, *stopped.calls} == set(POINTS)


@pytest.mark.usefixtures("stop_signals")
def test_every_point_is_called_in_one_run(tmp_path: Path) -> None:
    class Refusing:
        def on_stop(self, reason: str) -> None:
            raise ValueError("oh")

    hook, cfg = Everywhere(), toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 9, "TEST.FREQUENCY_ITERS", 2)
    with pytest.raises(ValueError, match="oh"):
        Toy(tmp_path, cfg, hooks=[hook, Stop(3), Refusing()], last_hooks=evaluation(cfg)).run()
    assert set(hook.calls) == set(POINTS)
    assert hook.calls[-4:] == ["on_checkpoint", "on_stop", "on_exception", "after_train"]


@pytest.mark.usefixtures("stop_signals")
@pytest.mark.parametrize(("step", "saves"), [(4, [2, 4]), (5, [2, 4, 5])])
def test_what_is_on_the_disk_already_is_not_saved_again_at_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, saves: list[int]
) -> None:
    saved, real = [], TrainLoop.save
    monkeypatch.setattr(TrainLoop, "save", lambda loop, **how: (saved.append(loop.iteration), real(loop, **how))[1])
    with pytest.raises(StopRequested, match=f"saved at iteration {step}"):
        short_toy(tmp_path, 9, "SOLVER.SNAPSHOT_ITER", 2, hooks=[Stop(step)]).run()
    assert saved == saves


@pytest.mark.usefixtures("stop_signals")
def test_row_7_a_stop_signal_lets_the_step_finish_and_saves_it(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 9, hooks=[Stop(4)])
    with pytest.raises(StopRequested, match="stop requested, saved at iteration 4"):
        training.run()
    assert training.files == ["model_iter4.pth"]


@pytest.mark.usefixtures("stop_signals")
def test_a_stop_signal_in_the_last_step_ends_a_finished_training(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 3, hooks=[Stop(3)])
    training.run()
    assert training.files == ["model_iter3.pth"]


@pytest.mark.parametrize(("each", "expected"), [(0, [8, 10, 11]), (2, [4, 8, 10, 11]), (9, [8, 10, 11])])
@pytest.mark.parametrize("background", [False, True])
def test_of_older_checkpoints_each_so_many_th_periodic_one_stays(
    tmp_path: Path, each: int, expected: list[int], background: bool
) -> None:
    training = short_toy(tmp_path, 11, "SOLVER.SNAPSHOT_ITER", 2, "SOLVER.SNAPSHOT_KEEP_EACH", each,
                         "SOLVER.SNAPSHOT_BACKGROUND", background)  # fmt: skip
    training.run()
    assert training.files == sorted(f"model_iter{iteration}.pth" for iteration in expected)


@pytest.mark.parametrize(("period", "expected"), [(2, [2, 4, 5]), (5, [5]), (10_000, [5]), (0, [5]), (-1, [5])])
def test_row_4_the_last_step_is_always_saved(tmp_path: Path, period: int, expected: list[int]) -> None:
    training = short_toy(tmp_path, 5, "SOLVER.SNAPSHOT_ITER", period, "SOLVER.SNAPSHOT_KEEP", 0)
    training.run()
    assert training.files == [f"model_iter{step}.pth" for step in expected]


def test_rows_11_and_12_epochs_count_from_one_and_name_the_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Epochs:
        def after_step(self, storage: EventStorage, epoch: int, max_epoch: int) -> None:
            seen.append((epoch, max_epoch))

    epochs = ("SOLVER.SCHEDULER.TOTAL_EPOCHS", 3, "SOLVER.SCHEDULER.STEPS", (1, 2), "SOLVER.SNAPSHOT_ITER", 1)
    training = short_toy(tmp_path, 1, *epochs, "TRAIN.BATCH_SIZE", 64, hooks=[Epochs()])
    training.run()
    assert seen == [(1, 3), (2, 3), (3, 3)]  # an epoch of one step each: the original skips the first
    assert training.files == ["model_epoch1.pth", "model_epoch2.pth", "model_epoch3.pth"]


def test_row_15_the_total_is_what_backward_got_and_the_model_s_dicts_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = torch.autograd.backward
    sums: list[float] = []
    monkeypatch.setattr(torch.autograd, "backward", lambda loss: (sums.append(loss.item()), backward(loss)))
    returned: list[dict[str, Any]] = []

    class Keeping(ToyModel):
        def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
            outputs = super().forward(inputs, targets)
            outputs["metrics"]["auxiliary_loss_share"] = inputs.new_tensor(100.0)
            returned.append(outputs)
            return outputs

    loop = short_toy(tmp_path, 3, model=Keeping).run()
    total = loop._storage.history("total_loss")
    assert total.avg(3) == pytest.approx(sum(sums) / 3)
    assert total.latest == sums[-1]
    assert {frozenset(outputs["losses"]) for outputs in returned} == {
        frozenset({"loss_cls", "loss_box", "loss_mask", "loss_rpn"})
    }
    assert [list(outputs["metrics"]) for outputs in returned] == [["auxiliary_loss_share"]] * 3


def test_row_34_a_batch_is_sent_to_the_device_once_and_without_waiting(tmp_path: Path) -> None:
    moves: list[str] = []

    def collate(samples: list[Any]) -> Any:
        inputs, targets, indices = torch.utils.data.default_collate(samples)
        moved = [tensor.as_subclass(Moved) for tensor in (inputs, targets)]
        for tensor in moved:
            tensor.calls = moves  # which also checks how it is moved
        return *moved, indices

    short_toy(tmp_path, 5, collate=collate, save=False).run()
    assert len(moves) == 5 * 2  # images and targets


def test_the_norm_before_clipping_is_a_number_of_the_step(tmp_path: Path) -> None:
    clip = "SOLVER.OPTIMIZER.CLIP_GRADIENTS"
    overrides = (f"{clip}.ENABLED", True, f"{clip}.CLIP_TYPE", "full_model", f"{clip}.CLIP_VALUE", 1e-3)
    norms: list[float] = []

    class Norms:
        def after_backward(self, storage: EventStorage) -> None:
            squares = [float(p.grad.square().sum()) for p in loop.model.parameters() if p.grad is not None]
            norms.append(math.sqrt(sum(squares)))

    loop = short_toy(tmp_path, 2, *overrides, hooks=[Norms()]).build()
    loop.run()
    assert loop._storage.history("grad_norm").latest == pytest.approx(norms[-1], rel=1e-5)
    assert norms[-1] > 1e-3


class _Drawing:
    """Draws before the first step, as every iterator of a loader does, and in each."""

    def __init__(self) -> None:
        self.drawn: dict[int, float] = {}

    def before_train(self) -> None:
        torch.rand(7)

    def before_step(self, storage: EventStorage) -> None:
        self.drawn[storage.iter] = float(torch.rand(()))


def test_what_a_hook_draws_before_the_first_step_changes_nothing_that_is_resumed(tmp_path: Path) -> None:
    whole, cut, rest = _Drawing(), _Drawing(), _Drawing()
    short_toy(tmp_path / "whole", 6, hooks=[whole]).run()
    training = short_toy(tmp_path / "cut", 6, "SOLVER.SNAPSHOT_ITER", 2, hooks=[cut, Bad(5, KeyError("oh"))])
    with pytest.raises(KeyError):
        training.run()
    training.again(hooks=[rest]).run()
    assert rest.drawn == {step: whole.drawn[step] for step in (5, 6)}


def test_what_was_loaded_is_let_go_of_before_the_first_step(tmp_path: Path) -> None:
    class Mapped:
        def before_step(self, storage: EventStorage) -> None:
            self.files = Path("/proc/self/maps").read_text()

    training = short_toy(tmp_path, 4, hooks=[Bad(3, KeyError("oh"))]).again(cfg=toy_config(
        "SOLVER.SCHEDULER.TOTAL_ITERS", 4, "SOLVER.SNAPSHOT_ITER", 2))  # fmt: skip
    with pytest.raises(KeyError):
        training.run()
    loop = training.again(hooks=[mapped := Mapped()]).build()
    assert str(training.checkpoints) in Path("/proc/self/maps").read_text()
    loop.run()
    assert str(training.checkpoints) not in mapped.files


class _Numbers(NamedTuple):
    given: Any
    told: float


@pytest.mark.parametrize("numbers", [_Numbers(np.float32(0.5), 0.5), _Numbers(torch.tensor(0.25), 0.25)])
def test_an_evaluation_may_give_numbers_of_any_kind(tmp_path: Path, numbers: _Numbers) -> None:
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 1)
    loop = Toy(
        tmp_path, cfg,
        last_hooks=lambda session, loader: [
            Evaluation(session, lambda model: {"top1": numbers.given}, cfg, loader, key_metric="top1")
        ],
    ).run()  # fmt: skip
    assert loop.session.metrics.metrics == {"top1": numbers.told}
    assert json.loads(loop.session.run_dir.metrics(0).read_text())["metrics"] == {"top1": numbers.told}


def test_an_evaluation_that_is_owed_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    drawn: list[float] = []

    class Cut(Exception): ...

    def evaluate(model: Any) -> dict[str, float]:
        drawn.append(float(torch.rand(())))
        if len(drawn) == 1:
            raise Cut
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    training = Toy(
        tmp_path, cfg, hooks=[_Drawing()],
        last_hooks=lambda session, loader: [Evaluation(session, evaluate, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    with pytest.raises(Cut):
        training.run()
    training.run()
    assert drawn[0] == drawn[1] != drawn[2]


class _Uploading:
    """Rank 0 takes its time after the last step; the others have nothing to do there."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def after_train(self, storage: EventStorage) -> None:
        (self.folder / f"section{get_rank()}").write_text(current_session().heartbeat.section.name)
        if get_rank() == 0:
            time.sleep(0.5)
            (self.folder / "uploaded").touch()


def _train_and_upload(folder: str) -> bool:
    short_toy(Path(folder, str(get_rank())), 2, hooks=[_Uploading(folder)]).run()
    return Path(folder, "uploaded").exists()


def test_no_rank_is_done_before_the_hooks_of_all_are(tmp_path: Path) -> None:
    assert run_ranks(_train_and_upload, 2, str(tmp_path)) == [True, True]
    assert [(tmp_path / f"section{rank}").read_text() for rank in (0, 1)] == ["SAVE", "SAVE"]


def test_a_training_that_is_complete_takes_no_step(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 3)
    done = weights(training.run())
    again = training.again(hooks=[hook := Everywhere()]).run()
    assert hook.calls == ["before_train", "after_train"]
    assert all(torch.equal(value, done[name]) for name, value in weights(again).items())


def test_a_training_that_is_complete_and_lost_a_bit_is_completed_from_the_checkpoint_before(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 8, "SOLVER.SNAPSHOT_ITER", 5)
    done = weights(training.run())
    newest = training.checkpoints / "model_iter8.pth"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(newest, bytes(data))
    again = training.again(hooks=[hook := Everywhere()]).run()
    assert hook.calls.count("before_step") == 3
    assert all(torch.equal(value, done[name]) for name, value in weights(again).items())
    assert training.files == ["model_iter5.pth", "model_iter8.pth"]


@pytest.mark.parametrize("stop", [1, 4, 5, 6])
def test_row_3_a_resumed_training_takes_each_step_once_with_the_same_samples_and_weights(
    tmp_path: Path, stop: int
) -> None:
    whole = short_toy(tmp_path / "whole", 9, data=ToyData(40))
    expected, order = weights(whole.run()), list(whole.data.fetched)  # type: ignore[union-attr]
    part = short_toy(tmp_path / "part", 9, "SOLVER.SNAPSHOT_ITER", stop, data=ToyData(40),
                     hooks=[Bad(stop + 1, ValueError("oh"))])  # fmt: skip
    with pytest.raises(ValueError, match="oh"):
        part.run()
    rest = part.again(hooks=[hook := Everywhere()], data=ToyData(40))
    found = weights(rest.run())
    assert hook.calls.count("before_step") == 9 - stop
    assert rest.data.fetched == order[8 * stop :]  # type: ignore[union-attr]
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_best_model_that_the_disk_refuses_is_counted_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Space:
        """The disk is full from the evaluation until its end."""

        def evaluate(self, model: Any) -> dict[str, float]:
            def full(descriptor: int, data: Any) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, "write", full)
            return {"top1": 0.5}

        def after_eval(self, metrics: dict[str, float]) -> None:
            monkeypatch.undo()

    space = Space()
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    training = Toy(
        tmp_path, cfg, hooks=[space],
        last_hooks=lambda session, loader: [Evaluation(session, space.evaluate, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    loop = training.run()
    assert loop.iteration == 4
    assert loop.session.metrics.checkpoint_failures == {"ENOSPC": 2}
    assert training.files == ["model_iter4.pth"]


@pytest.mark.parametrize(
    ("grace", "saved"),
    # An evaluation of a toy is always longer than the first leaves, and shorter than the second.
    [("0.000001", {2: [2], 4: [2, 4], 6: [2, 4, 5, 6]}), ("100000", {2: [2], 4: [2], 6: [2, 5]})],
    ids=["long", "short"],
)
def test_what_a_stop_in_a_long_evaluation_would_lose_is_saved_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grace: str, saved: dict[int, list[int]]
) -> None:
    monkeypatch.setenv("PETJOB_GRACE_SECONDS", grace)
    there: dict[int, list[int]] = {}

    def evaluate(model: Any) -> dict[str, float]:
        there[2 * len(there) + 2] = [n for n in range(1, 7) if f"model_iter{n}.pth" in training.files]
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 7, "TEST.FREQUENCY_ITERS", 2, "SOLVER.SNAPSHOT_ITER", 5,
                     "SOLVER.SNAPSHOT_KEEP", 0)  # fmt: skip
    training = Toy(
        tmp_path, cfg,
        last_hooks=lambda session, loader: [Evaluation(session, evaluate, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    training.run()
    assert {iteration: there[iteration] for iteration in saved} == saved


def test_the_collector_is_at_work_in_evaluations_and_in_no_step_but_the_first(tmp_path: Path) -> None:
    at_work: dict[str, list[bool]] = {"evaluation": [], "step": []}

    class Look:
        def before_step(self, storage: EventStorage) -> None:
            at_work["step"].append(gc.isenabled())

    def evaluate(model: Any) -> dict[str, float]:
        at_work["evaluation"].append(gc.isenabled())
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    Toy(
        tmp_path, cfg, hooks=[Look()],
        last_hooks=lambda session, loader: [Evaluation(session, evaluate, cfg, loader, key_metric="top1")],
    ).run()  # fmt: skip
    assert at_work == {"evaluation": [True, True], "step": [True, False, False, False]}


def test_an_evaluation_that_is_owed_saves_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(Exception): ...

    def cut(model: Any) -> dict[str, float]:
        raise Cut

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    training = Toy(
        tmp_path, cfg, last_hooks=lambda session, loader: [Evaluation(session, cut, cfg, loader, key_metric="top1")]
    )
    with pytest.raises(Cut):
        training.run()
    assert training.files == ["model_error2.pth", "model_iter2.pth"]
    monkeypatch.setattr(TrainLoop, "save", None)
    with pytest.raises(Cut):
        training.again().run()


@pytest.mark.parametrize("step", [2, 4], ids=["in the middle", "after the last step"])
@pytest.mark.parametrize("within", [True, False])
@pytest.mark.usefixtures("stop_signals")
def test_an_evaluation_is_left_for_a_stop_and_the_next_start_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, within: bool
) -> None:
    begun: list[int] = []
    evaluated: list[int] = []

    def evaluate(model: Any) -> dict[str, float]:
        iteration = loop.iteration
        begun.append(iteration)
        for batch in until_stopped(range(9)):
            assert batch < 2 or not stops or iteration != step
            if stops and within and (iteration, batch) == (step, 1):
                signal.raise_signal(signal.SIGTERM)
        evaluated.append(iteration)
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    training = Toy(
        tmp_path, cfg, hooks=[] if within else [Stop(step)],
        last_hooks=lambda session, loader: [Evaluation(session, evaluate, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    stops, loop = True, training.build()
    with pytest.raises(StopRequested, match=f"saved at iteration {step}"):
        loop.run()
    before = [2][: step // 2 - 1]
    assert (begun, evaluated) == ([*before, *[step] * within], before)
    monkeypatch.setattr("pet.engine.signals._requested", [])
    stops, loop = False, training.again(hooks=[]).build()
    loop.run()
    assert evaluated == [2, 4]
    assert loop.session.metrics.metrics == {"top1": 0.5}


@pytest.mark.usefixtures("stop_signals")
def test_an_evaluation_that_a_start_begins_with_is_left_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[int] = []

    def evaluate(model: Any) -> dict[str, float]:
        for batch in until_stopped(range(9)):
            if batch == 1 and asked:
                signal.raise_signal(signal.SIGTERM)
        evaluated.append(loop.iteration)
        return {"top1": 0.5}

    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 4, "TEST.FREQUENCY_ITERS", 2)
    training = Toy(
        tmp_path, cfg,
        last_hooks=lambda session, loader: [Evaluation(session, evaluate, cfg, loader, key_metric="top1")],
    )  # fmt: skip
    for asked in (True, True, False):
        loop = training.again().build()
        if asked:
            with pytest.raises(StopRequested, match="saved at iteration 2"):
                loop.run()
            monkeypatch.setattr("pet.engine.signals._requested", [])
        else:
            loop.run()
    assert evaluated == [2, 4]


@pytest.mark.usefixtures("stop_signals")
def test_an_evaluation_of_a_user_s_hook_that_is_left_ends_in_a_stop_that_saves(tmp_path: Path) -> None:
    class Evaluating:
        def after_step(self, storage: EventStorage, **epochs: int) -> None:
            for batch in until_stopped(range(5)):
                if (storage.iter, batch) == (5, 1):
                    signal.raise_signal(signal.SIGTERM)

    training = short_toy(tmp_path, 9, "SOLVER.SNAPSHOT_ITER", 4, hooks=[Evaluating()])
    with pytest.raises(StopRequested, match="saved at iteration 5"):
        training.run()
    assert training.files == ["model_iter4.pth", "model_iter5.pth"]
