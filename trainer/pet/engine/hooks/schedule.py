"""The hook that moves the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook

if TYPE_CHECKING:
    from pet.engine.scheduler import LearningRateScheduler


class LRScheduler(TrainHook):
    """Puts the rate that the step ran with as `lr`, then steps the scheduler."""

    priority = Priority.LEARNING_RATE

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: LearningRateScheduler) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """After the step: a checkpoint of this step holds the next iteration."""
        storage.put_scalar("lr", self.scheduler.lr, smoothing_hint=False)
        self.scheduler.step()
