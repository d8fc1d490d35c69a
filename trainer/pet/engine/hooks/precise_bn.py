"""Batch-norm statistics measured over many batches, in the place of running averages (TEST.PRECISE_BN).

The idea is that of Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (2021), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pet.engine.ddp import nothing_happened
from pet.engine.distributed import get_world_size, peer_errors
from pet.engine.events import EventStorage
from pet.engine.hooks.base import LoopHook, Priority
from pet.engine.hooks.garbage import collecting
from pet.engine.signs import beat
from pet.runfiles.heartbeat import Section

if TYPE_CHECKING:
    from collections.abc import Iterable


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers that train with statistics of the batch and keep running ones."""
    return [layer for layer in model.modules()
            if isinstance(layer, _BatchNorm) and layer.training and layer.track_running_stats]  # fmt: skip


class PreciseBN(LoopHook):
    """Measures every `period` steps (never between, if it is 0) and after the last one, before that step is saved.

    The statistics of a layer are those of its inputs in `num_iter` batches of all ranks, always the same ones, while
    the layers before it compute as in training. Nothing else changes: neither weights, nor other buffers, nor random
    numbers, nor what the training loader gives next.
    """

    priority = Priority.PRECISE_BN

    def __init__(self, precise_bn_args: Sequence[Any], period: int, num_iter: int, max_iter: int) -> None:
        """`precise_bn_args`: a training loader of its own, the model that DDP wraps, its device."""
        self.loader: Iterable[Any]
        self.model: nn.Module
        self.device: torch.device
        self.loader, self.model, self.device = precise_bn_args
        self.period = period
        self.num_iter = num_iter
        self.max_iter = max_iter

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Measure where it is due."""
        if storage.iter == self.max_iter or (self.period > 0 and storage.iter % self.period == 0):
            with self.trainer.session.within(Section.EVAL), collecting():
                self._measure()

    @torch.no_grad()
    def _measure(self) -> None:
        layers = batch_norms(self.model)
        with nothing_happened(self.model), _watched(layers) as sums:
            for inputs, targets, _ in islice(self.loader, self.num_iter):
                beat()  # as in an evaluation: there are no steps, and it may last
                with self.trainer.autocast():
                    # Not the call: where the model is compiled, that would pass the layers by.
                    self.model.forward(
                        inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)
                    )
        if get_world_size() > 1:
            with peer_errors():
                for of_layer in sums:
                    dist.all_reduce(of_layer)
        for layer, (count, total, squares) in zip(layers, sums, strict=True):
            mean = total / count
            # Running variances are unbiased estimates.
            variance = (squares / count - mean.square()) * count / (count - 1)
            for kept, measured in ((layer.running_mean, mean), (layer.running_var, variance)):
                assert kept is not None
                kept.copy_(torch.where(count > 1, measured, kept))  # one that had no input keeps what it has


@contextmanager
def _watched(layers: Sequence[_BatchNorm]) -> Iterator[list[torch.Tensor]]:
    """For each layer the sums over its inputs inside the block, [3, channels] in float64: of ones, of the inputs and of
    their squares."""
    sums = [torch.zeros(3, layer.num_features, dtype=torch.float64, device=layer.running_mean.device)
            for layer in layers if layer.running_mean is not None]  # fmt: skip
    handles = [layer.register_forward_pre_hook(_adding_to(of_layer), with_kwargs=True)
               for layer, of_layer in zip(layers, sums, strict=True)]  # fmt: skip
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _adding_to(sums: torch.Tensor) -> Any:
    def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        (batch,) = [*inputs, *named.values()]
        places = [dimension for dimension in range(batch.dim()) if dimension != 1]
        variance, mean = (value.double() for value in torch.var_mean(batch.float(), places, correction=0))
        count = torch.full_like(mean, batch.numel() // batch.shape[1])
        sums.add_(torch.stack([count, count * mean, count * (variance + mean.square())]))

    return add
