"""Hooks that tests name under TRAIN.HOOKS: a fault at an exact step of an exact rank, and a record of every step."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from pet.engine.distributed import get_rank
from pet.engine.hooks.base import TrainHook
from pet.engine.signals import stop_requested

PASSED_ON_WITHIN = 60.0  # seconds; a killed launcher takes this rank with it long before


class Fault:
    """Sends a signal once, in the middle of a step: to this rank itself, or to the launcher."""

    def __init__(self, step: int, rank: int, target: str, number: str, folder: str) -> None:
        """`target`: rank or launcher; `number`: the signal's name; `folder` holds `launcher.pid` and the mark."""
        self.step = step
        self.rank = rank
        self.target = target
        self.number = getattr(signal, number)
        self.folder = Path(folder)

    def before_step(self, storage: Any) -> None:
        """Fire if this is the step; the mark keeps the restarted run from firing again."""
        mark = self.folder / "fault-fired"
        if storage.iter != self.step or get_rank() != self.rank or mark.exists():
            return
        mark.touch()
        os.kill(os.getpid() if self.target == "rank" else int((self.folder / "launcher.pid").read_text()), self.number)
        # The launcher passes it on when the machine lets it; the step that the case names is the one that must see it.
        deadline = time.monotonic() + PASSED_ON_WITHIN
        while stop_requested() is None and time.monotonic() < deadline:
            time.sleep(0.005)


class Poison(TrainHook):
    """Makes the gradients of one step NaN, on every rank, once."""

    def __init__(self, step: int, folder: str) -> None:
        """`folder` holds the marks."""
        self.step = step
        self.folder = Path(folder)

    def after_backward(self, storage: Any) -> None:
        """The marks, one of each rank, keep the restarted run from doing it again."""
        mark = self.folder / f"poisoned-{get_rank()}"
        if storage.iter == self.step and not mark.exists():
            mark.touch()
            for parameter in self.trainer.model.parameters():
                assert parameter.grad is not None
                parameter.grad.fill_(math.nan)


class StepLog:
    """Appends the number of every finished step of rank 0 to a file, at once, and puts a floor under a step's time."""

    def __init__(self, path: str, step_seconds: float) -> None:
        self.path = path
        self.step_seconds = step_seconds

    def before_step(self, storage: Any) -> None:
        """Take at least this long."""
        time.sleep(self.step_seconds)

    def after_step(self, storage: Any) -> None:
        """One line, one write."""
        if get_rank() == 0:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{storage.iter}\n")
