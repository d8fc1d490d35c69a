from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad
from harness.ranks import run_ranks
from harness.toy import ToyData, ToyModel, short_toy, toy_config, weights
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.engine import ddp
from pet.engine.distributed import broadcast_object, get_rank
from pet.engine.errors import PeerLost
from pet.engine.rng import get_rng_state

Gradients = dict[str, list[float]]


class Layers(ToyModel):
    """Batch norm and dropout on top: buffers that move, and random numbers drawn in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        return super().forward(self.dropout(self.norm(inputs)), targets)


class Spare(ToyModel):
    """Parameters that only some forwards use."""

    def __init__(self, used_on: tuple[int, ...] = (), until: int = 0) -> None:
        super().__init__()
        self.spare = nn.Linear(8, 8)
        self.used_on, self.until, self.calls = used_on, until, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        self.calls += 1
        used = get_rank() in self.used_on or self.calls <= self.until
        return super().forward(self.spare(inputs) if used else inputs, targets)


def batch(rank: int, world_size: int) -> ddp.Batch:
    """This rank's share of the first 8 samples."""
    data, share = ToyData(), 8 // world_size
    here = slice(rank * share, (rank + 1) * share)
    return data.inputs[here], data.targets[here], torch.arange(8)[here]


def distributed(model: nn.Module, *overrides: Any, world_size: int = 2) -> nn.Module:
    return ddp.distribute(model, toy_config(*overrides), partial(batch, get_rank(), world_size))


def gradients(model: nn.Module, world_size: int) -> Gradients:
    inputs, targets, _ = batch(get_rank() if world_size > 1 else 0, world_size)
    model.zero_grad()
    ddp.sum_losses(model(inputs, targets)).backward()
    return {name.removeprefix("module."): parameter.grad.flatten().tolist()
            for name, parameter in model.named_parameters() if parameter.grad is not None}  # fmt: skip


def _gradients_of_a_rank() -> Gradients:
    torch.manual_seed(0)
    return gradients(distributed(ToyModel()), 2)


def test_the_gradient_of_ranks_is_that_of_one_process_on_the_joined_batch() -> None:
    torch.manual_seed(0)
    alone = gradients(ToyModel(), 1)
    assert len(alone) == 4
    for of_rank in run_ranks(_gradients_of_a_rank, 2):
        assert of_rank.keys() == alone.keys()
        for name, values in alone.items():
            assert of_rank[name] == pytest.approx(values, rel=1e-5, abs=1e-7), name


def _what_the_first_pass_leaves() -> dict[str, bool]:
    torch.manual_seed(get_rank())  # ranks begin with different weights and random numbers
    model, rng = Layers(), get_rng_state()["torch"]
    mine = {name: value.clone() for name, value in model.state_dict().items()}
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    wrapped = distributed(model, "SOLVER.DDP.FIND_UNUSED", False)
    of_rank_0 = broadcast_object(mine)
    return {
        "is distributed": isinstance(wrapped, DistributedDataParallel) and ddp.unwrap(wrapped) is model,
        "made one pass": len(calls) == 1,
        "has rank 0's weights and buffers": all(torch.equal(v, of_rank_0[k]) for k, v in model.state_dict().items()),
        "has no gradients": all(parameter.grad is None for parameter in model.parameters()),
        "has its own random state": torch.equal(get_rng_state()["torch"], rng),
        "trains": model.training,
    }


def test_the_pass_before_the_first_step_leaves_everything_as_it_was() -> None:
    for left in run_ranks(_what_the_first_pass_leaves, 2):
        assert all(left.values()), left


class Wide(ToyModel):
    """Large enough for the order of a sum over ranks to show."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 8))  # type: ignore[assignment]


def _trained(folder: str, *, fail_in: int = 0) -> dict[str, list[float]]:
    """Nine steps, or the first of them; the final weights."""
    hooks = [Bad(fail_in, ValueError("oh"))]
    training = short_toy(Path(folder), 9, "TRAIN.BATCH_SIZE", 12, "SOLVER.SNAPSHOT_ITER", 3,
                         "SOLVER.DDP.FIND_UNUSED", False, model=Wide, hooks=hooks)  # fmt: skip
    loop = training.build()
    if fail_in:
        with pytest.raises(ValueError, match="oh"):
            loop.run()
    else:
        loop.run()
    return {name: value.flatten().tolist() for name, value in weights(loop).items()}


def _failed(folder: str) -> None:
    _trained(folder, fail_in=4)


def test_three_ranks_that_resume_add_up_in_the_order_of_an_uninterrupted_run(tmp_path: Path) -> None:
    # Without the pass before the first step the last bits differ; one and two ranks would not show it.
    expected = run_ranks(_trained, 3, str(tmp_path / "whole"))
    run_ranks(_failed, 3, str(tmp_path / "part"))
    assert run_ranks(_trained, 3, str(tmp_path / "part")) == expected


def _finds_unused(setting: str | bool, used_on: tuple[int, ...]) -> bool:
    wrapped = distributed(Spare(used_on), "SOLVER.DDP.FIND_UNUSED", setting)
    assert isinstance(wrapped, DistributedDataParallel)
    return wrapped.find_unused_parameters


def _settings_of_find_unused() -> list[bool]:
    return [_finds_unused("auto", (0, 1)), _finds_unused("auto", ()), _finds_unused("auto", (0,)),
            _finds_unused(True, (0, 1)), _finds_unused(False, (0, 1))]  # fmt: skip


def test_row_19_unused_parameters_are_looked_for_where_any_rank_has_some() -> None:
    assert run_ranks(_settings_of_find_unused, 2) == [[False, True, True, True, False]] * 2


def _unused_later(folder: str) -> str:
    # Used in both passes before the first step, and in the first step.
    training = short_toy(Path(folder) / str(get_rank()), 9, save=False, model=lambda: Spare(until=3))
    with pytest.raises(RuntimeError) as caught:
        training.run()
    return str(caught.value)


def test_row_19_a_step_that_leaves_parameters_out_names_them_and_the_key(tmp_path: Path) -> None:
    message = "no gradient in the last step for spare.weight, spare.bias: set SOLVER.DDP.FIND_UNUSED True, or use them"
    assert run_ranks(_unused_later, 2, str(tmp_path)) == [message] * 2


def _wrapped_without_warnings() -> list[bool]:
    found = []
    for setting in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            wrapped = distributed(ToyModel(), "SOLVER.DDP.BROADCAST_BUFFERS", setting)
        assert isinstance(wrapped, DistributedDataParallel)
        found.append(bool(wrapped._get_ddp_logging_data()["broadcast_buffers"]))
    return found


def test_options_reach_torch_under_the_names_that_it_has() -> None:
    assert run_ranks(_wrapped_without_warnings, 2) == [[False, True]] * 2


def _buffers_of_rank_0() -> float:
    model = Layers()
    model.norm.running_mean.fill_(get_rank() + 1.0)  # type: ignore[union-attr, operator]
    ddp.broadcast_buffers(model)
    return float(model.norm.running_mean.mean())  # type: ignore[union-attr, operator, arg-type]


def test_rank_0_s_buffers_are_the_model_s() -> None:
    assert run_ranks(_buffers_of_rank_0, 2) == [1.0, 1.0]


def _deserted(folder: str) -> str:
    loop = short_toy(Path(folder) / str(get_rank()), 200, save=False).build()
    if get_rank() == 1:
        return "left"
    with pytest.raises(PeerLost) as caught:
        loop.run()
    return type(caught.value).__name__


def test_a_rank_that_lost_its_peer_says_so(tmp_path: Path) -> None:
    assert run_ranks(_deserted, 2, str(tmp_path)) == ["PeerLost", "left"]


def test_one_process_trains_the_model_itself() -> None:
    calls: list[int] = []
    model = ToyModel()
    model.register_forward_hook(lambda *_: calls.append(1))
    assert ddp.distribute(model, toy_config(), pytest.fail) is model  # no batch is decoded in vain
    assert ddp.unwrap(model) is model
    assert calls == []
