"""From the batches of a step to new weights: forward and backward for each, then one step of the optimizer.

Nothing in here reads the device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pet.config import Config
from pet.engine.ddp import sum_losses
from pet.engine.optimizer import clip_gradients
from pet.engine.precision import Precision
from pet.engine.signs import begin_collective


class Update:
    """How SOLVER says that gradients are made, added up and applied.

    Each batch counts by its share of the step's samples, so the gradient of a step is that of all its samples at once,
    whatever batches they come in. Ranks exchange gradients once, with the last batch.
    """

    def __init__(self, cfg: Config, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.model = model
        self.optimizer = optimizer
        self.precision = Precision(cfg.SOLVER.AMP, device)
        self._ddp = model if isinstance(model, DistributedDataParallel) else None
        self._clip = cfg.SOLVER.OPTIMIZER.CLIP_GRADIENTS if cfg.SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED else None

    def backward(
        self, inputs: Any, targets: Any, share: float = 1.0, *, last: bool = True
    ) -> tuple[dict[str, Any], torch.Tensor]:
        """Add the gradient of one batch; returns what the model gave and the sum of its losses, on the device.

        `share` is the batch's part of the step's samples, from 0 to 1; `last`: no batch of the step comes after it.
        """
        if not last and self._ddp is not None:
            with self._ddp.no_sync():
                return self._add(inputs, targets, share)
        outputs, loss = self._add(inputs, targets, share, exchange=self._ddp is not None)
        if last:
            self.precision.unscale(self.optimizer)
        return outputs, loss

    def apply(self) -> dict[str, torch.Tensor]:
        """Clip and step. Returns what there is to tell of the gradients, scalars on the device."""
        norm = clip_gradients(self.optimizer, self._clip) if self._clip else None
        told = self.precision.step(self.optimizer)
        return told if norm is None else {"grad_norm": norm, **told}

    def _add(
        self, inputs: Any, targets: Any, share: float, *, exchange: bool = False
    ) -> tuple[dict[str, Any], torch.Tensor]:
        with self.precision.autocast():
            outputs = self.model(inputs, targets)
            loss = sum_losses(outputs)
        if exchange:
            begin_collective()
        torch.autograd.backward(self.precision.scale(loss if share == 1.0 else loss * share))
        return outputs, loss
