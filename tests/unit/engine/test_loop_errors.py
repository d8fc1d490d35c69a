from __future__ import annotations

import errno
import gc
import math
import os
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad, Everywhere, mute
from harness.toy import ToyModel, short_toy

from pet.engine.errors import NonFiniteLoss, PeerLost
from pet.engine.events import EventStorage
from pet.engine.report import report
from pet.engine.session import current_session
from pet.runfiles.failure import Failure, read_failure
from pet.runfiles.metrics import JobMetrics, read_metrics_file


def published() -> JobMetrics:
    metrics = read_metrics_file(current_session().run_dir.metrics(0))
    assert metrics is not None
    return metrics


def test_rows_5_and_6_an_error_keeps_the_weights_apart_and_every_hook_is_told(tmp_path: Path) -> None:
    class Last:
        def after_train(self, storage: EventStorage) -> None:
            told.append("after_train")
            raise KeyError("second")

        def on_exception(self, exc: BaseException) -> None:
            told.append(exc)
            raise LookupError("third")

    told: list[Any] = []
    hook, error = Everywhere(), ValueError("oh")
    training = short_toy(tmp_path, 9, "SOLVER.SNAPSHOT_ITER", 2, hooks=[Bad(3, error), Last(), hook])
    with pytest.raises(ValueError, match="oh") as caught:
        training.run()
    assert caught.value is error
    assert told == [error, "after_train"]
    assert hook.calls[-2:] == ["on_exception", "after_train"]
    assert training.files == ["model_error3.pth", "model_iter2.pth"]
    assert caught.value.__notes__ == [
        "raised by hook Bad in after_step",
        "then a hook failed as well: LookupError('third')",
        "then a hook failed as well: KeyError('second')",
    ]
    assert "raise self.error" in "".join(traceback.format_exception(caught.value))  # the user's own line
    assert published().hook_errors == {"Bad": 1, "Last": 2}


def test_an_error_is_reported_before_hooks_are_told_of_it_and_withdrawn_if_it_was_no_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow:
        def on_exception(self, exc: BaseException) -> None:
            seen.append(read_failure(current_session().run_dir.failure(0)))

    seen: list[Failure | None] = []
    training = short_toy(tmp_path, 4, hooks=[Bad(3, ValueError("oh")), Slow()])
    with pytest.raises(ValueError, match="oh") as caught:
        training.run()
    (failure,) = seen
    assert failure is not None
    assert (failure.type, failure.message.splitlines()[0], failure.iteration) == ("ValueError", "oh", 3)
    report(current_session(), caught.value)  # as the rank does at its end
    assert capsys.readouterr().out.count("rank 0 ends: AppError: ValueError: oh") == 1
    again = training.again(hooks=[], session=current_session()).build()
    again.run()
    assert read_failure(current_session().run_dir.failure(0)) is None


def test_an_error_that_a_script_has_caught_holds_nothing_of_the_training(tmp_path: Path) -> None:
    loop = short_toy(tmp_path, 4, hooks=[Bad(3, ValueError("oh"))]).build()
    seen = weakref.ref(loop)
    with pytest.raises(ValueError, match="oh"):
        loop.run()
    del loop
    gc.collect()
    assert seen() is None


def test_a_loss_that_is_bad_from_the_first_step_on_is_named_where_an_average_is_kept(tmp_path: Path) -> None:
    class Mad(ToyModel):
        def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
            outputs = super().forward(inputs, targets)
            outputs["losses"]["loss_cls"] = outputs["losses"]["loss_cls"] * math.nan
            return outputs

    with pytest.raises(NonFiniteLoss, match="loss 'loss_cls' is nan at iteration 1"):
        short_toy(tmp_path, 9, "SOLVER.EMA.ENABLED", True, model=Mad).run()


def test_an_error_after_the_last_step_does_not_pass_for_success(tmp_path: Path) -> None:
    class Last:
        def after_train(self, storage: EventStorage) -> None:
            raise KeyError("at the end")

    hook = Everywhere()
    with pytest.raises(KeyError, match="at the end"):
        short_toy(tmp_path, 1, hooks=[Last(), hook]).run()
    assert hook.calls[-1] == "after_train"


def test_a_hook_that_exits_the_process_is_let_go_after_the_others_were_told(tmp_path: Path) -> None:
    hook = Everywhere()
    with pytest.raises(SystemExit):
        short_toy(tmp_path, 3, hooks=[Bad(1, SystemExit(3)), hook]).run()
    assert hook.calls[-2:] == ["on_exception", "after_train"]


def test_a_lost_peer_is_told_from_a_mistake_and_leaves_nothing_behind(tmp_path: Path) -> None:
    error = RuntimeError("[/torch/gloo/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:7\nat line 5")
    training = short_toy(tmp_path, 3, hooks=[Bad(2, error)])
    with pytest.raises(PeerLost, match=r"\] Connection closed by peer \[127.0.0.1\]:7$") as caught:
        training.run()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert training.files == []
    assert published().hook_errors == {}


@pytest.mark.parametrize("text", ["no labels: Connection refused by the label server", "Timed out waiting for a file"])
def test_a_mistake_that_speaks_of_a_connection_is_no_lost_peer(tmp_path: Path, text: str) -> None:
    with pytest.raises(RuntimeError, match=f"^{text}"):
        short_toy(tmp_path, 3, hooks=[Bad(2, RuntimeError(text))]).run()
    assert published().hook_errors == {"Bad": 1}


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_an_error_that_cannot_tell_its_text_reaches_the_hooks_and_passes_through(
    tmp_path: Path, kind: type[Exception]
) -> None:
    hook = Everywhere()
    with pytest.raises(kind) as caught:
        short_toy(tmp_path, 3, hooks=[Bad(2, mute(kind)), hook]).run()
    assert type(caught.value).__name__ == "Mute"
    assert hook.calls[-2:] == ["on_exception", "after_train"]


class Greedy(ToyModel):
    """Wants more memory than any machine has, from one step on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.calls = step, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        self.calls += 1
        if self.calls >= self.step:
            torch.empty(2**55)
        return super().forward(inputs, targets)


def test_where_memory_ends_the_step_the_batch_and_the_remedy_are_told(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 5, "TRAIN.BATCH_SIZE", 4, "SOLVER.SNAPSHOT_ITER", 2, model=lambda: Greedy(4))
    told = r"out of memory in iteration 4 with a batch of \[4, 8\], after a peak of \d+ MiB: lower TRAIN.BATCH_SIZE"
    with pytest.raises(torch.OutOfMemoryError, match=told) as caught:
        training.run()
    assert "torch.empty(2**55)" in "".join(traceback.format_exception(caught.value))
    assert "model_iter2.pth" in training.files
    assert not list(training.checkpoints.glob("log/*.pickle"))  # there is no GPU to tell of


@pytest.mark.parametrize("refusing", ["torch.cuda.memory._snapshot", "pet.engine.memory.replace_bytes"])
def test_a_snapshot_of_memory_that_fails_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusing: str
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr(refusing, refuse)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory in iteration 2"):
        short_toy(tmp_path, 5, model=lambda: Greedy(2)).run()
    assert "no snapshot of the GPU's memory is kept: OSError(28, 'No space left on device')" in capsys.readouterr().out


class Poisoned(ToyModel):
    """A loss that is NaN from one step on, gradients included."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.calls = step, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        outputs = super().forward(inputs, targets)
        self.calls += 1
        if self.calls >= self.step:
            outputs["losses"]["loss_box"] = outputs["losses"]["loss_box"] * math.nan
        return outputs


@pytest.mark.parametrize(("period", "noticed"), [(10, 10), (4, 8), (7, 7)])
def test_a_loss_that_is_not_finite_ends_training_by_name_and_nothing_bad_is_saved(
    tmp_path: Path, period: int, noticed: int
) -> None:
    # detectron2's asynchronous metrics train on with NaN weights.
    hook = Everywhere()
    keys = ("MISC.DISPLAY_ITER", 10, "SOLVER.SNAPSHOT_ITER", period)
    training = short_toy(tmp_path, 30, *keys, model=lambda: Poisoned(7), hooks=[hook])
    with pytest.raises(NonFiniteLoss, match="loss 'loss_box' is nan at iteration 7") as caught:
        training.run()
    assert (caught.value.term, caught.value.iteration) == ("loss_box", 7)
    assert hook.calls.count("after_backward") == noticed  # the window's end, or the next save before it
    assert training.files == [f"model_iter{step}.pth" for step in range(period, 7, period)]


@pytest.mark.parametrize("period", [10, 100])
def test_the_guard_needs_no_log_of_the_losses(tmp_path: Path, period: int) -> None:
    hook = Everywhere()
    keys = ("TRAIN.METRICS_ON", False, "MISC.DISPLAY_ITER", 10, "SOLVER.SNAPSHOT_ITER", period)
    training = short_toy(tmp_path, 30, *keys, model=lambda: Poisoned(17), hooks=[hook])
    with pytest.raises(NonFiniteLoss, match=r"loss 'total_loss \(not logged\)' is nan at iteration 17"):
        training.run()
    assert hook.calls.count("after_backward") == 20
    assert published().losses == {}
    assert training.files == [f"model_iter{step}.pth" for step in range(period, 17, period)]


def test_without_the_guard_weights_that_are_not_finite_are_not_saved_either(tmp_path: Path) -> None:
    training = short_toy(tmp_path, 4, "SOLVER.NAN_GUARD", False, "SOLVER.SNAPSHOT_ITER", 1, model=lambda: Poisoned(3))
    with pytest.raises(ArithmeticError, match="tensors are not finite"):
        training.run()
    assert training.files == ["model_iter1.pth", "model_iter2.pth"]
