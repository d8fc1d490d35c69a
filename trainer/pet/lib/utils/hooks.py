"""The hook classes."""

from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.hooks.build import register
from pet.engine.hooks.precise_bn import PreciseBN
from pet.engine.hooks.reporting import PeriodicWriter
from pet.engine.hooks.schedule import LRScheduler
from pet.engine.hooks.timing import IterationTimer

__all__ = ["IterationTimer", "LRScheduler", "PeriodicWriter", "PreciseBN", "Priority", "TrainHook", "register"]
