from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.hooks import Bad
from harness.toy import Toy, short_toy, weights
from harness.training import differences
from torch import nn

LAST, EMA = ("MISC.CHANNELS_LAST", True), ("SOLVER.EMA.ENABLED", True)


class Convolving(nn.Module):
    """The toy's inputs as images of 2 × 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 2)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        outputs = self.head(torch.relu(self.conv(inputs.view(-1, 2, 2, 2))).flatten(1))
        return {"losses": {"loss": (outputs - targets).square().mean()}, "metrics": {}}


def training(folder: Path, *overrides: Any, **fields: Any) -> Toy:
    return short_toy(folder, 4, *overrides, model=Convolving, **fields)


def lies_last(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_convolutions_lie_channels_last_and_checkpoints_as_ever(tmp_path: Path) -> None:
    toy = training(tmp_path, *LAST, *EMA)
    loop = toy.run()
    weight = loop.model.get_submodule("conv").weight
    assert isinstance(weight, nn.Parameter)
    assert weight.grad is not None
    assert lies_last(weight)
    assert lies_last(weight.grad)
    assert lies_last(loop.optimizer.state[weight]["momentum_buffer"])
    state = torch.load(toy.checkpoints / "model_iter4.pth", weights_only=True)
    models = (state["model"], state["extra"]["hooks"]["EMA"]["model"])
    assert all(value.is_contiguous() for model in models for value in model.values())


def test_without_being_asked_for_nothing_lies_otherwise(tmp_path: Path) -> None:
    weight = training(tmp_path).run().model.get_submodule("conv").weight
    assert isinstance(weight, nn.Parameter)
    assert weight.is_contiguous()


@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_goes_on_exactly(tmp_path: Path, stop: int) -> None:
    expected = weights(training(tmp_path / "whole", *LAST).run())
    part = training(tmp_path / "part", *LAST, "SOLVER.SNAPSHOT_ITER", stop, hooks=[Bad(stop + 1, ValueError("oh"))])
    with pytest.raises(ValueError, match="oh"):
        part.run()
    loop = part.again(hooks=()).run()
    assert differences(expected, weights(loop)) == []
    weight = loop.model.get_submodule("conv").weight
    assert isinstance(weight, nn.Parameter)
    assert lies_last(weight)
    assert lies_last(loop.optimizer.state[weight]["momentum_buffer"])
