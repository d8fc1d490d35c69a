"""Which samples a step trains on: a pure function of seed and iteration, so that a run can go on anywhere.

The order of an epoch is one permutation of the data set, cut into global batches; a rank takes its contiguous share of
each. So the samples of a step depend on the global batch size, never on the number of ranks, workers or restarts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from pet.engine.rng import mix

Key = tuple[int, int]  # (epoch, index in the data set); epochs count from 0


@dataclass(frozen=True)
class TrainBatches:
    """The batches of one rank, from `start_iter` to `max_iter` inclusive.

    Iterating gives lists of keys, one list per step. `batch_size` is global and must divide by `world_size`. A short
    last batch of an epoch is dropped, or filled up to a multiple of the world size from the epoch's beginning.
    """

    size: int
    batch_size: int
    max_iter: int
    start_iter: int
    seed: int
    rank: int
    world_size: int
    drop_last: bool

    @property
    def iter_per_epoch(self) -> int:
        """Steps in one epoch."""
        return epoch_length(self.size, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return max(0, self.max_iter - self.start_iter + 1)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, torch.empty(0)
        for step in range(self.start_iter - 1, self.max_iter):
            if step // self.iter_per_epoch != epoch:
                epoch = step // self.iter_per_epoch
                order = self._order(epoch)
            begin = step % self.iter_per_epoch * self.batch_size
            yield [(epoch, index) for index in self._share(order, begin)]

    def _order(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator()
        generator.manual_seed(mix(self.seed, epoch))
        return torch.randperm(self.size, generator=generator)

    def _share(self, order: torch.Tensor, begin: int) -> list[int]:
        batch = order[begin : begin + self.batch_size]
        missing = -len(batch) % self.world_size
        if missing:
            batch = torch.cat([batch, order.repeat(math.ceil(missing / self.size))[:missing]])
        share = len(batch) // self.world_size
        indices: list[int] = batch[self.rank * share : (self.rank + 1) * share].tolist()
        return indices


@dataclass(frozen=True)
class EvaluationBatches:
    """Every sample once over all ranks, whatever their number: rank r takes r, r + world_size, …"""

    size: int
    batch_size: int  # of one rank
    rank: int
    world_size: int

    def __len__(self) -> int:
        return math.ceil(len(range(self.rank, self.size, self.world_size)) / self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        mine = range(self.rank, self.size, self.world_size)
        for begin in range(0, len(mine), self.batch_size):
            yield [(0, index) for index in mine[begin : begin + self.batch_size]]


def epoch_length(size: int, batch_size: int, drop_last: bool) -> int:
    """Steps that one epoch of `size` samples takes."""
    return size // batch_size if drop_last else math.ceil(size / batch_size)
