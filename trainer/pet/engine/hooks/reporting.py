"""Hooks at the end of a log window: bring its numbers together, then hand them to the writers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.metrics import flush_metrics
from pet.engine.writers import EventWriter

logger = logging.getLogger(__name__)

FAILURES_UNTIL_OFF = 3


class MetricReducer(TrainHook):
    """Reads the window's numbers once, on all ranks, and stops training if a loss is not finite."""

    priority = Priority.REDUCER

    def __init__(self, guard: bool) -> None:
        self.guard = guard

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Only where the window ends: other steps read nothing."""
        if storage.closes_window:
            flush_metrics(storage, guard=self.guard)


class PeriodicWriter(TrainHook):
    """Lets writers write at the end of each window, and closes them. A writer that fails never stops training: its
    errors are counted in `errors`, by its name. One that fails again and again is switched off, unless it is its disk
    that refuses: that may be full for a minute only."""

    priority = Priority.WRITER

    def __init__(self, writers: Sequence[EventWriter], max_iter: int, display_iter: int = 20,
                 errors: dict[str, int] | None = None) -> None:  # fmt: skip
        self.writers = list(writers)
        self.max_iter = max_iter
        self.display_iter = display_iter
        self.errors = {} if errors is None else errors

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Write at every `display_iter` steps and at the last one."""
        if storage.iter % self.display_iter == 0 or storage.iter == self.max_iter:
            for writer in list(self.writers):
                self._attempt(writer, writer.write)

    def after_train(self, storage: EventStorage) -> None:
        """Close them all."""
        for writer in list(self.writers):
            self._attempt(writer, writer.close)

    def _attempt(self, writer: EventWriter, call: Callable[[], None]) -> None:
        name = type(writer).__name__
        try:
            call()
        except Exception as error:
            self.errors[name] = self.errors.get(name, 0) + 1
            if self.errors[name] == 1:
                logger.warning("%s failed: %r; training goes on", name, error, exc_info=error)
            if self.errors[name] >= FAILURES_UNTIL_OFF and not isinstance(error, OSError):
                logger.warning("%s failed %d times and is switched off", name, self.errors[name])
                self.writers.remove(writer)
