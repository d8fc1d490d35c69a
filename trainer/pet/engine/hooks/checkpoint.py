"""When a checkpoint is written: periodically, after the last step, at a stop, and the bare weights after an error."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pet.engine.errors import NonFinite, PeerLost, StorageFull
from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.session import Session
from pet.runfiles.checkpoint_info import SaveFailure
from pet.runfiles.heartbeat import Section
from pet.runfiles.histogram import SAVE_SECONDS, Histogram

if TYPE_CHECKING:
    from pet.engine.loop import TrainLoop

logger = logging.getLogger(__name__)


def note_failure(session: Session, iteration: int, error: OSError) -> None:
    """Count, log and publish that the disk refused a save."""
    reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
    failures = session.metrics.checkpoint_failures
    failures[reason] = failures.get(reason, 0) + 1
    session.metrics.checkpoint_failure = SaveFailure(iteration, reason, str(error))
    session.publish()
    logger.error("checkpoint at iteration %d was not written: %s", iteration, error)


@contextmanager
def may_fail(session: Session, iteration: int) -> Iterator[None]:
    """Around a save that training can do without."""
    try:
        yield
    except OSError as error:
        note_failure(session, iteration, error)


class PeriodicCheckpoint(TrainHook):
    """Saves every `period` steps (never, if it is not positive) and always after the last one.

    A periodic save that the disk refuses is reported and tried again at the next period, so that training outlives a
    disk that is full for a while. Each failure puts one more period of work at risk: after `failures` of them in a row
    (0: any number) training ends. The last save and the one at a stop have to succeed. Whether there is room at all is
    asked once, after the first step, when the optimizer has all of its state.

    What ends training is StorageFull: another start is of use once somebody has made room.
    """

    priority = Priority.CHECKPOINT
    trainer: TrainLoop

    def __init__(self, session: Session, period: int, max_iter: int, failures: int = 0) -> None:
        self.session = session
        self.period = period
        self.max_iter = max_iter
        self.failures = failures
        self._failed = 0  # in a row
        self._room_is_known = False

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Save where it is due."""
        if storage.iter == self.max_iter:
            self._save_up_to(1, storage.iter)
            return
        if not self._room_is_known:
            self._require_room(storage.iter)
        if self.period > 0 and storage.iter % self.period == 0:
            self._save_up_to(self.failures, storage.iter)

    def on_stop(self, reason: str) -> None:
        """The state of the step at which all ranks stop."""
        self._save_up_to(1, self.trainer.iteration)

    def on_exception(self, exc: BaseException) -> None:
        """Rank 0 keeps the weights of an unfinished step for a look, never to resume from. Where they are worth
        nothing, it orders the next start to go on from before the step that spoiled them."""
        if isinstance(exc, (PeerLost, StorageFull)) or self.session.rank != 0:
            return
        if isinstance(exc, NonFinite):
            self.session.enter(Section.SAVE)  # the launcher waits for it
            self.trainer.checkpointer.order_rollback(exc.iteration, self.trainer.loader.batches.place)
            return
        path = self.trainer.checkpointer.save_error(self.trainer.model, self.trainer.iteration)
        if path:
            logger.info("the weights at the time of the error are in %s", path)

    def _save_up_to(self, failures: int, iteration: int) -> None:
        """Save; raises StorageFull if this is the one that makes it so many failures in a row, 0: never."""
        try:
            self._save()
        except OSError as error:
            self._failed += 1
            note_failure(self.session, iteration, error)
            if 0 < failures <= self._failed:
                times = "" if self._failed == 1 else f", the {self._failed}th in a row"
                raise StorageFull(f"checkpoint at iteration {iteration} was not written{times}: {error}") from error
        else:
            self._failed = 0

    def _require_room(self, iteration: int) -> None:
        self._room_is_known = True
        try:
            self.trainer.checkpointer.require_room(self.trainer.model, self.trainer.optimizer)
        except OSError as error:
            note_failure(self.session, iteration, error)
            raise StorageFull(f"there is no room for checkpoints: {error}") from error

    def _save(self) -> None:
        began, saved = time.monotonic(), None
        try:
            with self.session.within(Section.SAVE):
                saved = self.trainer.save()
        finally:
            self._account(time.monotonic() - began, "success" if saved else "error")
        if saved:
            self.session.metrics.checkpoint, self.session.metrics.checkpoint_failure = saved, None
            self.session.publish()

    def _account(self, seconds: float, result: str) -> None:
        metrics = self.session.metrics
        metrics.accounting["stallSeconds"] = metrics.accounting.get("stallSeconds", 0.0) + seconds
        if self.trainer.checkpointer.directory:
            metrics.checkpoint_saves.setdefault(result, Histogram(SAVE_SECONDS)).observe(seconds)
