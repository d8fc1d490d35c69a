"""Where Pet's documentation has hooks, `build_train_hooks` and `write_metrics`."""

from pet.engine.hooks.build import build_train_hooks
from pet.engine.metrics import write_metrics
from pet.lib.utils.hooks import IterationTimer, LRScheduler, PeriodicWriter, TrainHook

__all__ = ["IterationTimer", "LRScheduler", "PeriodicWriter", "TrainHook", "build_train_hooks", "write_metrics"]
