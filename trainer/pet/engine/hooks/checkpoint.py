"""When a checkpoint is written: periodically, after the last step, at a stop, and the bare weights after an error."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pet.engine.checkpoint.agreement import on_rank_0
from pet.engine.errors import NonFinite, PeerLost, StorageFull
from pet.engine.events import EventStorage
from pet.engine.hooks.base import LoopHook, Priority
from pet.engine.session import Session
from pet.engine.signals import stopping_seconds
from pet.launch.patience import stop_seconds
from pet.runfiles.checkpoint_info import CheckpointInfo, SaveFailure
from pet.runfiles.heartbeat import Section
from pet.runfiles.histogram import SAVE_SECONDS, Histogram

logger = logging.getLogger(__name__)


# Of the time that ranks have after a stop signal: an evaluation may take longer than the one before, and a save has to
# fit in after it.
_LONG_EVALUATION = 0.25


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


class PeriodicCheckpoint(LoopHook):
    """Saves every `period` steps (never, if it is not positive) and always after the last one.

    A periodic save that the disk refuses is reported and tried again at the next period, so that training outlives a
    disk that is full for a while. Each failure puts one more period of work at risk: after `failures` of them in a row
    (0: any number) training ends. The last save and the one at a stop have to succeed. Whether there is room at all is
    asked once, after the first step, when the optimizer has all of its state.

    A stop may have to wait for an evaluation, as for the part of it that ranks do which were not asked. Where it may
    last longer than the time that ranks have then, it begins with a save: else what was trained since the newest
    checkpoint would be lost.

    In the `background` a periodic save waits for the copy of the state alone; how its write ended, rank 0 hears between
    later steps, and tells of it only then. The last save and the one at a stop wait for the disk.

    Of the older ones, which are deleted, each `keep_each`-th periodic one stays; 0: none.

    What ends training is StorageFull: another start is of use once somebody has made room.
    """

    priority = Priority.CHECKPOINT

    def __init__(self, session: Session, period: int, max_iter: int, failures: int = 0, *,
                 keep_each: int = 0, background: bool = False) -> None:  # fmt: skip
        self.session = session
        self.period = period
        self.max_iter = max_iter
        self.failures = failures
        self.keep_each = keep_each
        self.background = background
        self._failed = 0  # in a row
        self._begun, self._begun_at = 0.0, 0  # the newest save: its time and its iteration
        self._savable = False

    def before_train(self) -> None:
        """Retention counts steps, since epochs may come to have another length."""
        self.trainer.checkpointer.keep_each(self.keep_each * max(0, self.period))

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Save where it is due."""
        if self.background:
            self._hear(self.failures)
        if storage.iter == self.max_iter:
            self._save(1)
            return
        if not self._savable:
            self._require_savable(storage.iter)
        if self.period > 0 and storage.iter % self.period == 0:
            self._save(self.failures, background=self.background)

    def secure(self, seconds: float) -> None:
        """Save what a stop in an evaluation of so many seconds would lose. Collective; rank 0's number counts."""
        trainer = self.trainer
        if trainer.iteration in (self._begun_at, trainer.checkpointer.iteration):
            return
        grace = stop_seconds(self.session.environment.grace_seconds)
        if on_rank_0(lambda: seconds > _LONG_EVALUATION * grace):
            self._save(self.failures, background=self.background)

    def on_stop(self, reason: str) -> None:
        """The state of the step at which all ranks stop, unless the time until they are killed is too short for it."""
        if on_rank_0(self._is_committed):
            return
        seconds = stop_seconds(self.session.environment.grace_seconds) - stopping_seconds()
        if self.trainer.checkpointer.fits_in(seconds, self.trainer.model, self.trainer.optimizer):
            self._save(1)
            return
        self._hear(0)
        logger.warning("iteration %d is not saved: it would take longer than the %.0f s that are left",
                       self.trainer.iteration, seconds)  # fmt: skip

    def on_exception(self, exc: BaseException) -> None:
        """Rank 0 keeps the weights of an unfinished step for a look, never to resume from. Where they are worth
        nothing, it orders the next start to go on from before the step that spoiled them."""
        if self.session.rank != 0:
            return
        self.session.enter(Section.SAVE)  # the launcher waits for it
        self._hear(0, wait=True)  # what is under way is what the next start needs
        if isinstance(exc, (PeerLost, StorageFull)):
            return
        if isinstance(exc, NonFinite):
            self.trainer.checkpointer.order_rollback(exc.iteration, self.trainer.loader.batches.place)
            return
        path = self.trainer.checkpointer.save_error(self.trainer.model, self.trainer.iteration)
        if path:
            logger.info("the weights at the time of the error are in %s", path)

    def _save(self, failures: int, *, background: bool = False) -> None:
        """Raises StorageFull if this is refused and makes it so many failures in a row; 0: never."""
        began = time.monotonic()
        with self.session.within(Section.SAVE):
            self._hear(failures if background else 0, wait=True)
            self._begun, self._begun_at = time.monotonic(), self.trainer.iteration
            try:
                saved = self.trainer.save(background=background)
            except OSError as error:
                self._refused(error, failures)
            else:
                if saved:
                    self._committed(saved)
            finally:
                self._tell_launcher()
                accounting = self.session.metrics.accounting
                accounting["stallSeconds"] = accounting.get("stallSeconds", 0.0) + time.monotonic() - began

    def _is_committed(self) -> bool:
        """Whether rank 0 knows the state of the last finished step to be on the disk."""
        newest = self.session.metrics.checkpoint
        return newest is not None and newest.iteration == self.trainer.iteration

    def _hear(self, failures: int, *, wait: bool = False) -> None:
        """How a write in the background has ended, if one has."""
        try:
            saved = self.trainer.checkpointer.written(wait=wait)
        except OSError as error:
            self._refused(error, failures)
        else:
            if saved:
                self._committed(saved)
        finally:
            self._tell_launcher()

    def _tell_launcher(self) -> None:
        """Where another rank fails it waits for what is written, whatever this one does meanwhile."""
        self.session.heartbeat.write_beside(self.trainer.checkpointer.writes_beside)

    def _committed(self, saved: CheckpointInfo) -> None:
        self._observe("success")
        self._failed = 0
        self.session.metrics.checkpoint, self.session.metrics.checkpoint_failure = saved, None
        self.session.publish()

    def _refused(self, error: OSError, failures: int) -> None:
        self._observe("error")
        self._failed += 1
        note_failure(self.session, self._begun_at, error)
        if 0 < failures <= self._failed:
            times = "" if self._failed == 1 else f", the {self._failed}th in a row"
            raise StorageFull(f"checkpoint at iteration {self._begun_at} was not written{times}: {error}") from error

    def _observe(self, result: str) -> None:
        durations = self.session.metrics.checkpoint_saves.setdefault(result, Histogram(SAVE_SECONDS))
        durations.observe(time.monotonic() - self._begun)

    def _require_savable(self, iteration: int) -> None:
        self._savable = True
        try:
            self.trainer.checkpointer.require_savable(self.trainer.model, self.trainer.optimizer)
        except OSError as error:
            note_failure(self.session, iteration, error)
            raise StorageFull(f"there is no room for checkpoints: {error}") from error
