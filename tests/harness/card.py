"""The card of `make test-gpu`."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise
from typing import Any

import torch

# PET_TEST_DEVICE=cpu rehearses on a machine without a card: what only a card can do fails there.
DEVICE = os.environ.get("PET_TEST_DEVICE", "cuda")


class Waits:
    """A hook that counts the operations of each step that wait for the device, as torch tells of them."""

    name = "Waits"
    priority = 0

    def __init__(self) -> None:
        self.by_step: list[int] = []
        self._seen: list[warnings.WarningMessage] = []
        self._catch = warnings.catch_warnings(record=True)

    def before_train(self) -> None:
        self._seen = self._catch.__enter__() or []
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")

    def before_step(self, storage: Any) -> None:
        self.by_step.append(len(self._seen))

    def after_train(self, storage: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self.by_step.append(len(self._seen))
        self._catch.__exit__(None, None, None)

    def without_a_log(self, first: int, period: int) -> dict[int, int]:
        """Of the steps from `first` on that do not log, those that wait, and how often."""
        counts = [after - before for before, after in pairwise(self.by_step)]
        return {step: count for step, count in enumerate(counts, start=1) if count and step >= first and step % period}
