"""Hooks that watch the clock and the memory of the process."""

from __future__ import annotations

import logging
import time

import torch

from pet.engine.events import WINDOW, EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.logger import clock
from pet.engine.metrics import write_host_metrics

logger = logging.getLogger(__name__)


class IterationTimer(TrainHook):
    """Puts `time`, the seconds of a step without what other hooks do after it, and `hook_time`, what they did between
    the step before and this one, zero before the first; reports the speed at the end.

    The first `warmup_iter` steps are left out of the reported count and time alike, unless `ignore_warmup_time` is
    False: then both keep them. `max_iter` is Pet's argument; the storage knows which step is the last.
    """

    priority = Priority.TIMER

    def __init__(self, max_iter: int, start_iter: int, warmup_iter: int = 0, ignore_warmup_time: bool = False) -> None:
        self.first_counted = start_iter + warmup_iter if ignore_warmup_time else start_iter
        self.counted = 0
        self.step_seconds = 0.0
        self.begun = self.step_begun = time.perf_counter()
        self.step_ended: float | None = None
        self.asynchronous = False

    def before_train(self) -> None:
        """Start the clock of the run."""
        self.asynchronous = self.trainer.device.type == "cuda"
        self.begun = time.perf_counter()

    def before_step(self, storage: EventStorage) -> None:
        """Start the clock of the step."""
        self.step_begun = time.perf_counter()

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Stop it. A device that works asynchronously is awaited where the window is read anyway."""
        if self.asynchronous and storage.closes_window:
            torch.cuda.synchronize()
        hooks = 0.0 if self.step_ended is None else self.step_begun - self.step_ended
        self.step_ended = time.perf_counter()
        seconds = self.step_ended - self.step_begun
        write_host_metrics({"time": seconds, "hook_time": hooks}, storage)
        if storage.iter >= self.first_counted:
            self.counted += 1
            self.step_seconds += seconds

    def after_train(self, storage: EventStorage) -> None:
        """Log the two lines that Pet ends with."""
        if not self.counted:
            return
        total = time.perf_counter() - self.begun
        logger.info(
            "Overall training speed: %d iterations in %s (%.6f s / it)",
            self.counted,
            clock(self.step_seconds),
            self.step_seconds / self.counted,
        )
        logger.info("Total training time: %s (%s on hooks)", clock(total), clock(max(0.0, total - self.step_seconds)))


def pace_seconds(storage: EventStorage) -> float:
    """What passes from one step to the next, in seconds: a step as it is now, and what hooks took for each so far.

    Saves and evaluations fall on few steps, so their part is spread over all that this process has made.
    """
    return storage.history("time").median(WINDOW) + storage.history("hook_time").global_avg
