"""The state that a model is evaluated in, for the training loop and for scripts that only evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from pet.engine.distributed import control_group, get_world_size, peer_errors
from pet.engine.errors import EvaluationStopped
from pet.engine.signals import stop_requested

T = TypeVar("T")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients; afterwards each module is back in the mode that it was in.

    Module by module, because `model.train()` would also wake the parts that a user keeps in evaluation mode, such as
    frozen batch norms.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def until_stopped(batches: Iterable[T]) -> Iterator[T]:
    """A rank's batches of an evaluation, as long as it is not asked to stop. Collective at the end: raises
    EvaluationStopped there, on all ranks, if one of them was."""
    for batch in batches:
        if stop_requested():
            break
        yield batch
    stopped = torch.tensor(stop_requested() is not None, dtype=torch.int32)
    if get_world_size() > 1:
        with peer_errors():
            dist.all_reduce(stopped, dist.ReduceOp.MAX, group=control_group())
    if stopped:
        raise EvaluationStopped
