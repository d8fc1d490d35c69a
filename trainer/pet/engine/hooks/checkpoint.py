"""When a checkpoint is written: periodically, after the last step, at a stop, and the bare weights after an error."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pet.engine.errors import NonFiniteLoss, PeerLost
from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.session import Session
from pet.runfiles.heartbeat import Section
from pet.runfiles.histogram import SAVE_SECONDS, Histogram

if TYPE_CHECKING:
    from pet.engine.loop import TrainLoop

logger = logging.getLogger(__name__)


@contextmanager
def may_fail(session: Session, iteration: int) -> Iterator[None]:
    """Around a save that training can do without: what the disk refuses is counted and logged."""
    try:
        yield
    except OSError as error:
        failures = session.metrics.checkpoint_failures
        failures[type(error).__name__] = failures.get(type(error).__name__, 0) + 1
        logger.error("checkpoint at iteration %d was not written: %s; training goes on", iteration, error)


class PeriodicCheckpoint(TrainHook):
    """Saves every `period` steps (never, if it is not positive) and always after the last one.

    A periodic save that the disk refuses is reported and tried again at the next period; the last one and the one at a
    stop have to succeed.
    """

    priority = Priority.CHECKPOINT
    trainer: TrainLoop

    def __init__(self, session: Session, period: int, max_iter: int) -> None:
        self.session = session
        self.period = period
        self.max_iter = max_iter

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Save where it is due."""
        if storage.iter == self.max_iter:
            self._save()
        elif self.period > 0 and storage.iter % self.period == 0:
            with may_fail(self.session, storage.iter):
                self._save()

    def on_stop(self, reason: str) -> None:
        """The state of the step at which all ranks stop."""
        self._save()

    def on_exception(self, exc: BaseException) -> None:
        """Rank 0 keeps the weights of an unfinished step for a look, never to resume from."""
        if isinstance(exc, (PeerLost, NonFiniteLoss)) or self.session.rank != 0:
            return
        path = self.trainer.checkpointer.save_error(self.trainer.model, self.trainer.iteration)
        if path:
            logger.info("the weights at the time of the error are in %s", path)

    def _save(self) -> None:
        began, saved = time.monotonic(), None
        self.session.enter(Section.SAVE)
        try:
            saved = self.trainer.save()
        finally:
            self._account(time.monotonic() - began, "success" if saved else "error")
        if saved:
            self.session.metrics.checkpoint = saved
            self.session.publish()

    def _account(self, seconds: float, result: str) -> None:
        metrics = self.session.metrics
        metrics.accounting["stallSeconds"] = metrics.accounting.get("stallSeconds", 0.0) + seconds
        if self.trainer.checkpointer.directory:
            metrics.checkpoint_saves.setdefault(result, Histogram(SAVE_SECONDS)).observe(seconds)
