from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.counting import StepCounter, StepMarks, fetch_in_advance
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import Toy, ToyData, ToyModel, short_toy, weights
from torch.nn.parallel import DistributedDataParallel

from pet.engine.ddp import sum_losses
from pet.engine.distributed import get_rank, get_world_size
from pet.engine.errors import NonFiniteLoss
from pet.engine.events import EventStorage
from pet.engine.loop import TrainLoop
from pet.runfiles.metrics import read_metrics_file

SIZE, STEPS = 44, 8
Gradient = dict[str, list[float]]


def accumulating(folder: Path, batches: int, *overrides: Any, **fields: Any) -> Toy:
    """Three steps or fewer in an epoch of 44 samples; batches of 8, the last of an epoch one of 4."""
    keys = ("SOLVER.ACCUMULATE_STEPS", batches, "DATA.DROP_LAST", False, "MISC.DISPLAY_ITER", 1)
    return short_toy(folder, STEPS, *keys, *overrides, **{"data": ToyData(SIZE), **fields})


class Gradients:
    """Keeps the gradients of every step, as the optimizer will get them."""

    loop: TrainLoop

    def __init__(self) -> None:
        self.kept: list[Gradient] = []

    def after_backward(self, storage: EventStorage) -> None:
        self.kept.append(gradient(self.loop.model))


def gradient(model: torch.nn.Module) -> Gradient:
    return {name.removeprefix("module."): parameter.grad.flatten().tolist()
            for name, parameter in model.named_parameters() if parameter.grad is not None}  # fmt: skip


def samples_by_step(loop: TrainLoop) -> list[list[int]]:
    """What one process trains on in each step."""
    batches, steps = iter(loop.loader.batches), range(1, loop.max_iter + 1)
    return [[index for _ in loop.loader.sizes(step) for _, index in next(batches)] for step in steps]


def expected_gradients(folder: Path, batches: int) -> tuple[list[Gradient], list[float]]:
    """Of the model that never moves: gradient and loss of each step's samples in one batch."""
    loop, data = accumulating(folder, batches).build(), ToyData(SIZE)
    gradients, losses = [], []
    for indices in samples_by_step(loop):
        loop.model.zero_grad()
        loss = sum_losses(loop.model(data.inputs[indices], data.targets[indices]))
        loss.backward()
        gradients.append(gradient(loop.model))
        losses.append(loss.item())
    return gradients, losses


def train_without_moving(folder: str, batches: int, *overrides: Any) -> dict[str, Any]:
    hook = Gradients()
    loop = accumulating(Path(folder), batches, "SOLVER.OPTIMIZER.BASE_LR", 0.0, *overrides, hooks=[hook]).build()
    hook.loop = loop
    exchanges: list[int] = []
    if isinstance(loop.model, DistributedDataParallel):
        loop.model.register_comm_hook(None, lambda state, bucket: _averaging(exchanges, bucket))
    loop.run()
    return {
        "gradients": hook.kept, "losses": list(loop._storage.history("total_loss")._ring), "exchanges": len(exchanges),
        "samples": loop._storage.samples, "published": read_metrics_file(loop.session.run_dir.metrics(0)),
    }  # fmt: skip


def _averaging(exchanges: list[int], bucket: Any) -> Any:
    exchanges.append(1)
    reduced = torch.distributed.all_reduce(bucket.buffer() / get_world_size(), async_op=True)
    assert reduced is not None
    return reduced.get_future().then(lambda done: done.value()[0])


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5, 9])
def test_18_the_gradient_is_that_of_all_samples_of_the_step_at_once_whatever_is_left_for_the_last(
    tmp_path: Path, batches: int
) -> None:
    found = train_without_moving(str(tmp_path / "run"), batches)
    gradients, losses = expected_gradients(tmp_path / "expected", batches)
    check(found, gradients, losses)
    assert found["samples"] == found["published"].samples_total == sum(map(len, samples_of(tmp_path, batches)))


def samples_of(folder: Path, batches: int) -> list[list[int]]:
    return samples_by_step(accumulating(folder / "samples", batches).build())


def check(found: dict[str, Any], gradients: list[Gradient], losses: list[float]) -> None:
    assert len(found["gradients"]) == STEPS
    for got, expected in zip(found["gradients"], gradients, strict=True):
        assert got.keys() == expected.keys()
        for name, values in expected.items():
            assert got[name] == pytest.approx(values, rel=1e-4, abs=1e-6)
    assert found["losses"] == pytest.approx(losses, rel=1e-5)


def _three_batches_of_a_rank(folder: str) -> list[dict[str, Any]]:
    return [train_without_moving(f"{folder}/{get_rank()}-{static}", 3, "SOLVER.DDP.STATIC_GRAPH", static)
            for static in (False, True)]  # fmt: skip


def test_14_ranks_exchange_gradients_once_a_step_and_agree_with_one_process(tmp_path: Path) -> None:
    gradients, losses = expected_gradients(tmp_path / "expected", 3)
    for found in chain(*run_ranks(_three_batches_of_a_rank, 2, str(tmp_path))):
        check(found, gradients, losses)
        assert found["exchanges"] == STEPS  # of one bucket
        assert found["samples"] == sum(map(len, samples_of(tmp_path, 3)))


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_a_training_goes_on_exactly_after_any_step(tmp_path: Path, stop: int) -> None:
    whole = accumulating(tmp_path / "whole", 2)
    expected = weights(whole.run())
    part = accumulating(tmp_path / "part", 2, "SOLVER.SNAPSHOT_ITER", stop, hooks=[Bad(stop + 1, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        part.run()
    rest = part.again(hooks=(), data=ToyData(SIZE))
    found = weights(rest.run())
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    trained = sum(map(len, samples_of(tmp_path, 2)[:stop]))
    assert rest.data.fetched == whole.data.fetched[trained:]  # type: ignore[union-attr]


def test_a_resume_with_another_number_of_batches_says_that_the_order_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accumulating(tmp_path, 2).run()
    accumulating(tmp_path, 3).run()
    assert "not bit-exact: the order of samples changed, accumulate: 2 -> 3" in capsys.readouterr().out


def test_a_step_of_several_batches_reads_nothing(tmp_path: Path) -> None:
    counter = StepCounter()
    loop = accumulating(tmp_path, 3, "MISC.DISPLAY_ITER", 100, hooks=[StepMarks(counter.mark)]).build()
    fetch_in_advance(loop)
    with counter.watching():
        loop.run()
    assert counter.reads[:-1] == [[]] * (STEPS - 1)


class BadBatch(ToyModel):
    """Gives a loss that is not finite for one batch of many."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.seen = number, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        outputs = super().forward(inputs, targets)
        self.seen += 1
        if self.seen == self.number:
            outputs["losses"]["loss_box"] = outputs["losses"]["loss_box"] * float("inf")
        return outputs


@pytest.mark.parametrize(("batch", "step"), [(1, 1), (4, 2), (6, 2), (7, 3)])
def test_a_loss_of_any_batch_that_is_not_finite_names_the_step(tmp_path: Path, batch: int, step: int) -> None:
    with pytest.raises(NonFiniteLoss, match=f"loss 'loss_box' is inf at iteration {step}:"):
        accumulating(tmp_path, 3, model=lambda: BadBatch(batch)).run()
