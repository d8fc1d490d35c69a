"""The clock of all loops that are compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any


class Stamps:
    """Batches that note the process's CPU time at which each is fetched, so that what comes before and after steps is
    out for every loop alike."""

    dataset = None  # MMEngine asks a source for it

    def __init__(self, batches: Sequence[Any]) -> None:
        self.batches = batches
        self.times: list[float] = []  # seconds

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            self.times.append(time.process_time())
            yield batch

    def microseconds_per_step(self) -> float:
        """Without the first step, which allocates."""
        return 1e6 * (self.times[-1] - self.times[1]) / (len(self.times) - 2)

    def blocks(self, warm_up: int, block: int) -> list[float]:
        """Microseconds per step of each `block` steps in a row after the first `warm_up`."""
        return [1e6 * (after - before) / block for before, after in pairwise(self.times[warm_up::block])]

    def fastest_block(self, warm_up: int, block: int) -> float:
        """The least of these."""
        return min(self.blocks(warm_up, block))
