"""Which samples a step trains on: a pure function of seed and iteration, so that a run can go on anywhere.

The order of an epoch is one permutation of the data set, cut into global batches; a rank takes its contiguous share of
each. A step takes one batch, or `accumulate` of them; the last step of an epoch takes those that are left. So the
samples of a step depend on these two numbers, never on that of ranks, workers or restarts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from pet.engine.rng import mix

Key = tuple[int, int]  # (epoch, index in the data set); epochs count from 0


@dataclass(frozen=True)
class TrainBatches:
    """The batches of one rank, from `start_iter` to `max_iter` inclusive.

    The samples in one order are at places, counted from 1; each step takes those of the next place that is not
    `left_out`. Iterating gives lists of keys, one list per batch. `batch_size` is global and must divide by
    `world_size`. A short last batch of an epoch is dropped, or filled up to a multiple of the world size from the
    epoch's beginning.
    """

    size: int
    batch_size: int
    max_iter: int
    start_iter: int
    seed: int
    rank: int
    world_size: int
    drop_last: bool
    accumulate: int = 1
    left_out: tuple[int, ...] = ()  # ascending

    @cached_property
    def iter_per_epoch(self) -> int:
        """Steps in one epoch."""
        return epoch_length(self.size, self.batch_size, self.drop_last, self.accumulate)

    def __len__(self) -> int:
        first, last = self.place(self.start_iter), self.place(self.max_iter)
        left_out = sum(len(self._batches_at(place)) for place in self.left_out if first < place < last)
        return max(0, self._batches_until(last) - self._batches_until(first - 1) - left_out)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, torch.empty(0)
        for place in map(self.place, range(self.start_iter, self.max_iter + 1)):
            if (place - 1) // self.iter_per_epoch != epoch:
                epoch = (place - 1) // self.iter_per_epoch
                order = self._order(epoch)
            for batch in self._batches_at(place):
                yield [(epoch, index) for index in self._share(order, batch * self.batch_size)]

    def sizes(self, step: int) -> tuple[int, ...]:
        """How many samples this rank takes in each batch of a step, as many as every other rank."""
        last, others = self._sizes
        return last if self.place(step) % self.iter_per_epoch == 0 else others

    def place(self, step: int) -> int:
        """Where the samples of a step are: the step itself, later by what is left out before."""
        for left_out in self.left_out:
            step += left_out <= step
        return step

    def _batches_at(self, place: int) -> range:
        """The batches at a place, counted from 0 in its epoch."""
        first = (place - 1) % self.iter_per_epoch * self.accumulate
        return range(first, min(first + self.accumulate, self._batches_per_epoch))

    def _batches_until(self, place: int) -> int:
        """Batches at all places up to this one."""
        epochs, steps = divmod(place, self.iter_per_epoch)
        return epochs * self._batches_per_epoch + steps * self.accumulate

    @cached_property
    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Those of the last step of an epoch, which may have fewer batches and a short one, and of every other step."""
        others = (self.batch_size // self.world_size,) * self.accumulate
        batches = self._batches_at(self.iter_per_epoch)
        samples = min(self.batch_size, self.size - batches[-1] * self.batch_size)  # of the last of them
        return (*others[: len(batches) - 1], math.ceil(samples / self.world_size)), others

    @cached_property
    def _batches_per_epoch(self) -> int:
        return epoch_length(self.size, self.batch_size, self.drop_last)

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


def epoch_length(size: int, batch_size: int, drop_last: bool, accumulate: int = 1) -> int:
    """Steps that one epoch of `size` samples takes, of `accumulate` batches each but perhaps the last."""
    batches = size // batch_size if drop_last else math.ceil(size / batch_size)
    return math.ceil(batches / accumulate)
