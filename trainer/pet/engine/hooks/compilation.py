"""The hook that counts how often torch.compile has to begin anew."""

from __future__ import annotations

import logging

from torch._dynamo.callback import CallbackArgs, CallbackTrigger, callback_handler

from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.session import Session
from pet.runfiles.heartbeat import Section

logger = logging.getLogger(__name__)

A_FEW = 4


class Recompilations(TrainHook):
    """Puts `recompiles`, the compilations in steps after the first of this process, and warns once of too many.

    Each new shape may cost one, until torch takes sizes for variables; after eight of one piece of code torch compiles
    that no more. What an evaluation compiles is not counted. While torch compiles, the launcher is told that this rank
    loads: that may take longer than any step.
    """

    priority = Priority.TIMER

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0
        self._interrupted = Section.INIT
        self._counting = False
        self._stepped = False

    def before_train(self) -> None:
        """Let torch tell."""
        callback_handler.register_start_callback(self._compiling)
        callback_handler.register_end_callback(self._compiled)

    def before_step(self, storage: EventStorage) -> None:
        """The first step compiles what no pass before it has."""
        self._counting = self._stepped

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """What comes after a step is no part of it."""
        self._counting, self._stepped = False, True
        storage.put_scalar("recompiles", self.count, smoothing_hint=False)

    def after_train(self, storage: EventStorage) -> None:
        """Nothing is told any more."""
        callback_handler.remove_start_callback(self._compiling)
        callback_handler.remove_end_callback(self._compiled)

    def _compiled(self, told: CallbackArgs) -> None:
        self.session.enter(self._interrupted)

    def _compiling(self, told: CallbackArgs) -> None:
        self._interrupted = self.session.heartbeat.section
        self.session.enter(Section.INIT)
        if not self._counting or told.callback_trigger is not CallbackTrigger.DYNAMO:
            return
        self.count += 1
        if self.count == A_FEW + 1:
            logger.warning(
                "the model was compiled again %d times, now in iteration %d: inputs of many shapes are slow with "
                "MISC.COMPILE; give images of one size, or set it to False",
                self.count,
                self.trainer.iteration + 1,
            )
