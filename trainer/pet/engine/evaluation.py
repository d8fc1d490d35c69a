"""The state that a model is evaluated in, for the training loop and for scripts that only evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
