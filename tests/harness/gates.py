"""Hooks that tests name under TRAIN.HOOKS to hold a training at an exact point, or to break it there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pet.engine.distributed import get_rank
from pet.engine.signals import stop_requested


class Gate:
    """Holds rank 0 before or after a step until the test opens the gate; the other ranks wait for it."""

    def __init__(self, folder: str, before: int = 0, after: int = 0) -> None:
        """The gate before step 3 is open once there is a file `open-before-3` in `folder`."""
        self.folder = Path(folder)
        self.before = before
        self.after = after

    def before_step(self, storage: Any) -> None:
        """Hold here?"""
        self._hold("before", self.before, storage.iter)

    def after_step(self, storage: Any) -> None:
        """Or here? With priority 95 that is after the step's log, save and evaluation."""
        self._hold("after", self.after, storage.iter)

    def _hold(self, where: str, step: int, iteration: int) -> None:
        if get_rank() != 0 or iteration != step:
            return
        (self.folder / f"reached-{where}-{step}").touch()
        while not (self.folder / f"open-{where}-{step}").exists():
            time.sleep(0.02)


class Held:
    """Holds the ranks of one pod before a step, once, until the pod is killed or asked to stop."""

    def __init__(self, folder: str, step: int, node_index: int) -> None:
        """Once it holds there is a file `held` in `folder`."""
        self.mark = Path(folder) / "held"
        self.step = step
        self.node_index = node_index

    def before_step(self, storage: Any) -> None:
        """Hold here?"""
        if storage.iter != self.step or int(os.environ["PETJOB_NODE_INDEX"]) != self.node_index or self.mark.exists():
            return
        self.mark.touch()
        while stop_requested() is None:
            time.sleep(0.02)


class Broken:
    """Fails in a step, each time."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_step(self, storage: Any) -> None:
        """Fail here?"""
        if storage.iter == self.step:
            raise ValueError(f"broken in step {self.step}")


class SaveHeld:
    """Holds rank 0 in the save after a step, the data written and nothing committed, until it is asked to stop."""

    def __init__(self, folder: str, step: int) -> None:
        """Once it holds there is a file `saving` in `folder`."""
        self.mark = Path(folder) / "saving"
        self.step = step

    def before_step(self, storage: Any) -> None:
        """The next file that has to be on the disk is the checkpoint after this step."""
        if get_rank() == 0 and storage.iter == self.step:
            self._fsync, os.fsync = os.fsync, self._hold

    def _hold(self, descriptor: int) -> None:
        os.fsync = self._fsync
        self.mark.touch()
        while stop_requested() is None:
            time.sleep(0.02)
        os.fsync(descriptor)


class Paced:
    """Makes each step take so many seconds until there is a file `hurry` in `folder`."""

    def __init__(self, folder: str, seconds: float) -> None:
        self.mark = Path(folder) / "hurry"
        self.seconds = seconds

    def before_step(self, storage: Any) -> None:
        """Wait."""
        limit = time.monotonic() + self.seconds
        while time.monotonic() < limit and not self.mark.exists():
            time.sleep(0.05)
