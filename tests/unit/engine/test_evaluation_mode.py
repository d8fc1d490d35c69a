from __future__ import annotations

import pytest
import torch
from torch import nn

from pet.engine.evaluation import evaluating


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9), nn.BatchNorm1d(2))


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_everything_is_in_evaluation_mode_and_without_gradients() -> None:
    trained = model().train()
    inputs, statistics = torch.randn(4, 2), trained[2].running_mean.clone()  # type: ignore[union-attr, operator]
    with evaluating(trained):
        assert not any(modes(trained))
        first, second = trained(inputs), trained(inputs)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert torch.equal(trained[2].running_mean, statistics)  # type: ignore[arg-type]
    assert all(modes(trained))
    assert trained(inputs).requires_grad


def test_parts_that_were_frozen_stay_so() -> None:
    trained = model().train()
    trained[2].eval()
    before = modes(trained)
    with evaluating(trained):
        pass
    assert modes(trained) == before == [True, True, True, False]


def test_a_model_in_evaluation_mode_stays_there() -> None:
    evaluated = model().eval()
    with evaluating(evaluated):
        pass
    assert not any(modes(evaluated))


def test_an_error_on_the_way_leaves_the_model_as_it_was() -> None:
    trained = model().train()
    with pytest.raises(KeyError), evaluating(trained):
        raise KeyError
    assert all(modes(trained))
    assert torch.is_grad_enabled()
