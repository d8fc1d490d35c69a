"""Evaluation during and after training, on all ranks."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from pet.config import Config
from pet.engine.ddp import broadcast_buffers, unwrap
from pet.engine.errors import EvaluationStopped
from pet.engine.events import EventStorage
from pet.engine.hooks.average import EMA
from pet.engine.hooks.base import LoopHook, Priority
from pet.engine.hooks.checkpoint import PeriodicCheckpoint, may_fail
from pet.engine.hooks.garbage import collecting
from pet.engine.loader import TrainLoader
from pet.engine.session import Session
from pet.runfiles.heartbeat import Section

logger = logging.getLogger(__name__)


class Evaluation(LoopHook):
    """Calls `evaluate(model)`, which is collective and returns numbers by name, every `period` steps and at the end.

    It gets the model that trains, with the averaged weights where there is an EMA, in its training mode, and sees to
    `pet.engine.evaluation.evaluating` itself.
    The save of the same step comes first, so a failure in here loses no training. A step without one gets one where the
    evaluation is long, or not known to be short: a stop may have to wait for its end. What was evaluated is kept in the
    state: a run that resumes at a step whose evaluation is still owed begins with it. So where ranks are asked to stop
    none is begun, and one that raises EvaluationStopped is left for the next start.
    """

    priority = Priority.EVALUATION

    def __init__(
        self,
        session: Session,
        evaluate: Callable[[Any], dict[str, float]],
        cfg: Config,
        loader: TrainLoader,
        *,
        key_metric: str,
    ) -> None:
        """`key_metric` names the number that decides which checkpoint is the best."""
        self.session = session
        self.evaluate = evaluate
        self.period = _period(cfg.TEST, loader.iter_per_epoch)
        self.max_iter = loader.max_iter
        self.dataset = "+".join(cfg.TEST.DATASETS)
        self.key_metric = key_metric
        self.newest: dict[str, float] = {}
        self.evaluated_at = 0
        self._seconds = math.inf  # of the evaluation before; not known yet

    def catch_up(self) -> None:
        """Evaluate first if the checkpoint was saved and its evaluation was not done any more."""
        if self._due(self.trainer.iteration) and self.evaluated_at < self.trainer.iteration:
            self._run()
        elif self.newest:
            self._publish()

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """Evaluate where it is due."""
        if self._due(storage.iter):
            self._run()

    def state_dict(self) -> dict[str, Any]:
        """What was evaluated last, and when."""
        return {"evaluated_at": self.evaluated_at, "newest": self.newest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.evaluated_at, self.newest = state["evaluated_at"], dict(state["newest"])

    def _due(self, iteration: int) -> bool:
        return iteration > 0 and (iteration == self.max_iter or (self.period > 0 and iteration % self.period == 0))

    def _run(self) -> None:
        stop, iteration = self.trainer.stop, self.trainer.iteration
        if not stop.now():
            if (checkpoints := self.trainer.hooks.find(PeriodicCheckpoint)) is not None:
                checkpoints.secure(self._seconds)
            try:
                with self.session.within(Section.EVAL), collecting():
                    self._evaluate(iteration)
            except EvaluationStopped:
                stop.now()  # it is agreed: who left it was asked
        if stop.agreed and self.evaluated_at < iteration:
            logger.info("The evaluation at iteration %d is left to the next start", iteration)

    def _evaluate(self, iteration: int) -> None:
        model = unwrap(self.trainer.model)
        broadcast_buffers(model)
        average = self.trainer.hooks.find(EMA)
        begun = time.monotonic()
        with average.swapped() if average else nullcontext():
            self.newest = {name: float(value) for name, value in self.evaluate(model).items()}
        self._seconds = time.monotonic() - begun
        self.evaluated_at = iteration
        numbers = "  ".join(f"{name}: {value:.4f}" for name, value in self.newest.items())
        logger.info("Evaluation on %s at iteration %d: %s", self.dataset, iteration, numbers)
        self._publish()
        with may_fail(self.session, iteration), self.session.within(Section.SAVE):
            self.trainer.save_best(self.newest[self.key_metric])
        self.trainer.hooks.after_eval(metrics=self.newest)

    def _publish(self) -> None:
        self.session.metrics.metrics = self.newest
        self.session.metrics.dataset = self.dataset
        self.session.publish()


def _period(test: Config, iter_per_epoch: int) -> int:
    """Steps between two evaluations; 0: only after the last step."""
    if test.FREQUENCY_ITERS > 0:
        return int(test.FREQUENCY_ITERS)
    return int(test.FREQUENCY_EPOCHS * iter_per_epoch) if test.FREQUENCY_EPOCHS > 0 else 0
