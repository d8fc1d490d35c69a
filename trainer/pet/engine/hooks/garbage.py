"""When Python's garbage is collected."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook

COLLECT_EVERY = 50  # steps
COLLECT_ALL_EVERY = 20 * COLLECT_EVERY


class GarbageCollection(TrainHook):
    """Collects Python's garbage at the same step on all ranks, so that no rank pauses alone: the young often, what has
    outlived a collection now and then.

    What is alive after the first step lives as long as the run: it is moved out of the collector's sight.
    """

    priority = Priority.TIMER

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Freeze once, then collect now and then."""
        if gc.isenabled():
            gc.disable()
            gc.freeze()
        elif storage.iter % COLLECT_ALL_EVERY == 0:
            gc.collect()
        elif storage.iter % COLLECT_EVERY == 0:
            gc.collect(1)

    def after_train(self, storage: EventStorage) -> None:
        """Hand the collector back."""
        gc.unfreeze()
        gc.enable()


@contextmanager
def collecting() -> Iterator[None]:
    """Python's own collector for a while: within what lasts for as long as many steps, garbage is not left to them."""
    was_on = gc.isenabled()
    gc.enable()
    try:
        yield
    finally:
        if not was_on:
            gc.disable()
