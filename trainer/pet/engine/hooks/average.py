"""The exponential moving average of the weights (SOLVER.EMA): what is evaluated, beside what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pet.engine.checkpoint.snapshot import require_finite
from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook


class EMA(TrainHook):
    """After each step `average = decay * average + (1 - decay) * weight`, for all parameters in one operation.

    Averages have their weights' own precision, which mixed precision leaves at float32. Running statistics are not
    averaged: beside the averages the model's own belong. In a checkpoint the state is a whole model, under the names
    of the model that trains.
    """

    name = "EMA"
    priority = Priority.AVERAGE

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begins with the weights of `model`, which is on its device and not wrapped."""
        self.decay = decay
        self._model = model
        named = dict(model.named_parameters(remove_duplicate=False))  # a state has shared ones under all their names
        self._names = list(named)
        self._weights = [parameter.detach() for parameter in named.values()]
        self._averages = [weight.clone() for weight in self._weights]

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Move the averages."""
        torch._foreach_lerp_(self._averages, self._weights, 1.0 - self.decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model has the averages for its weights."""
        own = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._averages)
        try:
            yield
        finally:
            torch._foreach_copy_(self._weights, own)

    def state_dict(self) -> dict[str, Any]:
        """The averaged model, not copied: who writes it in the background copies all of a state.

        Raises NonFiniteWeights: what was not finite for one step stays in an average. Reads the device.
        """
        averages = dict(zip(self._names, self._averages, strict=True))
        require_finite({self.name: averages}, self.trainer.iteration)
        model = {name: averages.get(name, value) for name, value in self._model.state_dict().items()}
        return {"model": {name: value.detach().contiguous() for name, value in model.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there. The names are those of a model that has been resumed."""
        torch._foreach_copy_(self._averages, [state["model"][name] for name in self._names])
